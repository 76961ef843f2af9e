//! Where everybody stands in a picture: columns from who asks to who is asked.
//!
//! Guarantees: nobody stands on anybody else, and the same map gives the same places. A
//! line over several columns has a gap of its own in each between, so it meets no box.
//!
//! Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System
//! Structures" (1981): cycles are cut, columns are longest paths, orders are barycentres;
//! heights are then the closest to those of the neighbours that keep the order
//! (isotonic regression).

mod columns;

use std::collections::BTreeMap;

use columns::{columns, cut_cycles};

/// Width of a box.
pub(super) const WIDTH: f64 = 190.0;
/// Height of a box.
pub(super) const HEIGHT: f64 = 44.0;
/// Between two columns.
const COLUMN: f64 = 120.0;
/// Between the middles of two boxes in a column.
const ROW: f64 = 62.0;
/// Between two lines in a column.
const GAP: f64 = 18.0;
/// Around everything.
const MARGIN: f64 = 40.0;
/// How much of a box's side the ends of lines take.
const SIDE: f64 = 32.0;
/// Width of a picture that fits well, by its height.
const SHAPE: f64 = 2.2;
/// How often orders and heights are made better.
const ROUNDS: usize = 24;

/// A picture's places.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Layout {
    /// The left upper corner of each box.
    pub(super) boxes: Vec<(f64, f64)>,
    /// For each line the places it goes through, from the first box to the second, with
    /// both ends of each column between; between two of one column only these.
    pub(super) lines: Vec<Vec<(f64, f64)>>,
    /// Width and height of it all.
    pub(super) size: (f64, f64),
}

/// What stands in columns: boxes first, then the bends of lines.
struct Cells {
    column: Vec<usize>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    boxes: usize,
}

/// Places `count` boxes with lines between two different ones.
pub(super) fn layout(count: usize, lines: &[(usize, usize)]) -> Layout {
    let forward = cut_cycles(count, lines);
    let mut cells = Cells {
        column: columns(count, &forward),
        before: vec![Vec::new(); count],
        after: vec![Vec::new(); count],
        boxes: count,
    };
    // The cells of each line, from left to right.
    let chains: Vec<Vec<usize>> = forward.iter().map(|line| cells.chain(*line)).collect();
    let mut order = cells.in_columns();
    cells.sort(&mut order);
    let mut heights = cells.heights(&order);
    let lowest = heights.iter().copied().reduce(f64::min).unwrap_or_default();
    let highest = heights.iter().copied().reduce(f64::max).unwrap_or_default();
    let last = cells.column.iter().copied().max().unwrap_or_default() as f64;
    let width = (last + 1.0) * WIDTH + last * COLUMN + 2.0 * MARGIN;
    // Who looks has more room to the side than below.
    let stretch = (width / SHAPE / (highest - lowest).max(1.0)).clamp(1.0, 2.0);
    for height in &mut heights {
        *height = (*height - lowest) * stretch + MARGIN + HEIGHT / 2.0;
    }
    let left = |cell: usize| MARGIN + column_of(&cells, cell) as f64 * (WIDTH + COLUMN);
    let ways = chains.iter().zip(&forward).zip(lines).map(|((chain, forward), line)| {
        let ends = chain.iter().flat_map(|cell| {
            let height = get(&heights, *cell);
            [(left(*cell), height), (left(*cell) + WIDTH, height)]
        });
        let mut way: Vec<_> = match chain[..] {
            // Beside a column, from right to right.
            [from, to] if left(from) == left(to) => ends.skip(1).step_by(2).collect(),
            // From the right of the first box to the left of the last.
            _ => ends.skip(1).take(2 * chain.len() - 2).collect(),
        };
        if forward != line {
            way.reverse();
        }
        way
    });
    let mut ways: Vec<_> = ways.collect();
    spread(&mut ways, lines);
    Layout {
        boxes: (0..count).map(|cell| (left(cell), get(&heights, cell) - HEIGHT / 2.0)).collect(),
        lines: ways,
        size: (width, (highest - lowest) * stretch + HEIGHT + 2.0 * MARGIN),
    }
}

/// Spreads the ends of lines over the sides of their boxes, in the order of where they
/// lead.
fn spread(ways: &mut [Vec<(f64, f64)>], lines: &[(usize, usize)]) {
    // By box and side: where a line leads, which it is, and whether it begins there.
    let mut sides = BTreeMap::<_, Vec<_>>::new();
    for (index, (way, (from, to))) in ways.iter().zip(lines).enumerate() {
        let ([first, second, ..], [.., before, last]) = (&way[..], &way[..]) else { continue };
        let is_beside = way.len() == 2 && first.0 == last.0;
        let ends = [(from, first, second, true), (to, last, before, false)];
        for (node, own, next, is_start) in ends {
            let is_right = is_beside || next.0 > own.0;
            sides.entry((*node, is_right)).or_default().push((next.1, index, is_start));
        }
    }
    for ends in sides.values_mut() {
        ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let gaps = ends.len().saturating_sub(1) as f64;
        let step = (SIDE / gaps.max(1.0)).min(10.0);
        for (place, (_, index, is_start)) in ends.iter().enumerate() {
            let way = ways.get_mut(*index);
            let end = way.and_then(|way| if *is_start { way.first_mut() } else { way.last_mut() });
            end.into_iter().for_each(|end| end.1 += (place as f64 - gaps / 2.0) * step);
        }
    }
}

fn get(values: &[f64], cell: usize) -> f64 {
    values.get(cell).copied().unwrap_or_default()
}

fn column_of(cells: &Cells, cell: usize) -> usize {
    cells.column.get(cell).copied().unwrap_or_default()
}

impl Cells {
    /// The cells of a line, with a new one in each column between.
    fn chain(&mut self, (from, to): (usize, usize)) -> Vec<usize> {
        let mut chain = vec![from];
        for column in column_of(self, from) + 1..column_of(self, to) {
            chain.push(self.column.len());
            self.column.push(column);
            self.before.push(Vec::new());
            self.after.push(Vec::new());
        }
        chain.push(to);
        if column_of(self, from) == column_of(self, to) {
            return chain;
        }
        for (from, to) in chain.iter().zip(chain.iter().skip(1)) {
            self.after.get_mut(*from).into_iter().for_each(|after| after.push(*to));
            self.before.get_mut(*to).into_iter().for_each(|before| before.push(*from));
        }
        chain
    }

    fn in_columns(&self) -> Vec<Vec<usize>> {
        let count = self.column.iter().max().map_or(0, |last| last + 1);
        let mut order = vec![Vec::new(); count];
        for (cell, column) in self.column.iter().enumerate() {
            order.get_mut(*column).into_iter().for_each(|cells| cells.push(cell));
        }
        order
    }

    /// Orders each column by where the neighbours of its cells stand, from both sides in
    /// turn; the order with the fewest crossings stays.
    fn sort(&self, order: &mut Vec<Vec<usize>>) {
        let mut best = (self.crossings(order), order.clone());
        for round in 0..ROUNDS {
            let to_right = round % 2 == 0;
            let neighbours = if to_right { &self.before } else { &self.after };
            for step in 0..order.len() {
                let at = self.places(order);
                let column = if to_right { step } else { order.len() - 1 - step };
                let place = |cell: &usize| {
                    let own = get(&at, *cell);
                    (mean(neighbours.get(*cell).into_iter().flatten(), &at).unwrap_or(own), own)
                };
                if let Some(cells) = order.get_mut(column) {
                    cells.sort_by(|a, b| {
                        let (a, b) = (place(a), place(b));
                        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
                    });
                }
            }
            let crossings = self.crossings(order);
            if crossings < best.0 {
                best = (crossings, order.clone());
            }
        }
        *order = best.1;
    }

    /// The place of each cell in its column, from 0 to 1.
    fn places(&self, order: &[Vec<usize>]) -> Vec<f64> {
        let mut at = vec![0.0; self.column.len()];
        for cells in order {
            for (place, cell) in cells.iter().enumerate() {
                let place = (place as f64 + 0.5) / cells.len() as f64;
                at.get_mut(*cell).into_iter().for_each(|at| *at = place);
            }
        }
        at
    }

    /// How many pairs of lines cross between neighbouring columns.
    fn crossings(&self, order: &[Vec<usize>]) -> usize {
        let at = self.places(order);
        let mut crossings = 0;
        for cells in order {
            // Ends of the lines from cells above, ascending.
            let mut above: Vec<f64> = Vec::new();
            for cell in cells {
                let ends = self.after.get(*cell).into_iter().flatten();
                let ends: Vec<f64> = ends.map(|end| get(&at, *end)).collect();
                for end in &ends {
                    crossings += above.len() - above.partition_point(|other| other <= end);
                }
                above.extend(ends);
                above.sort_by(f64::total_cmp);
            }
        }
        crossings
    }

    /// The height of the middle of each cell.
    fn heights(&self, order: &[Vec<usize>]) -> Vec<f64> {
        let mut heights = vec![0.0; self.column.len()];
        let columns: Vec<_> = order.iter().map(|cells| (cells, self.offsets(cells))).collect();
        for (cells, offsets) in &columns {
            let middle = offsets.last().copied().unwrap_or_default() / 2.0;
            for (cell, offset) in cells.iter().zip(offsets) {
                heights.get_mut(*cell).into_iter().for_each(|y| *y = offset - middle);
            }
        }
        for round in 0..ROUNDS {
            for step in 0..columns.len() {
                let column = if round % 2 == 0 { step } else { columns.len() - 1 - step };
                let Some((cells, offsets)) = columns.get(column) else { continue };
                let wanted = cells.iter().zip(offsets).map(|(cell, offset)| {
                    let around = [self.before.get(*cell), self.after.get(*cell)];
                    let around = around.into_iter().flatten().flatten();
                    mean(around, &heights).unwrap_or_else(|| get(&heights, *cell)) - offset
                });
                let placed = ascending(wanted);
                for ((cell, offset), y) in cells.iter().zip(offsets).zip(placed) {
                    heights.get_mut(*cell).into_iter().for_each(|height| *height = y + offset);
                }
            }
        }
        heights
    }

    /// The least distance of each cell of a column from its first.
    fn offsets(&self, cells: &[usize]) -> Vec<f64> {
        let is_box = |cell: usize| cell < self.boxes;
        let pairs = cells.iter().zip(cells.iter().skip(1));
        let steps = pairs.map(|(above, below)| match (is_box(*above), is_box(*below)) {
            (true, true) => ROW,
            (false, false) => GAP,
            _ => (ROW + GAP) / 2.0,
        });
        let mut offset = 0.0;
        let below = steps.map(|step| {
            offset += step;
            offset
        });
        std::iter::once(0.0).chain(below).take(cells.len()).collect()
    }
}

fn mean<'a>(cells: impl Iterator<Item = &'a usize>, at: &[f64]) -> Option<f64> {
    let (sum, count) = cells.fold((0.0, 0), |(sum, count), cell| (sum + get(at, *cell), count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The closest values that never fall (least squares, by pooling neighbours that do).
fn ascending(wanted: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    let mean = |(sum, count): (f64, usize)| sum / count as f64;
    for value in wanted {
        let mut pool = (value, 1);
        while let Some(above) = pools.pop_if(|above| mean(*above) > mean(pool)) {
            pool = (pool.0 + above.0, pool.1 + above.1);
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|pool| std::iter::repeat_n(mean(pool), pool.1)).collect()
}

#[cfg(test)]
mod tests;

//! Which column each box is in.

use std::collections::{BTreeMap, BTreeSet};

/// So many columns are never too many.
const LEAST: usize = 6;

/// The lines, those turned round that would close a cycle.
pub(super) fn cut_cycles(count: usize, lines: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut next = vec![BTreeSet::new(); count];
    let mut is_asked = vec![false; count];
    for (from, to) in lines {
        next.get_mut(*from).into_iter().for_each(|next| _ = next.insert(*to));
        is_asked.get_mut(*to).into_iter().for_each(|is_asked| *is_asked = true);
    }
    // Who is asked by nobody comes first, then in the order given.
    let (first, rest): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|n| !is_asked.get(*n).copied().unwrap_or_default());
    let mut left = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for root in first.into_iter().chain(rest) {
        visit(root, &next, &mut seen, &mut left);
    }
    // Without a cycle, who is asked is left before who asks.
    let lines = lines.iter().map(|(from, to)| match left.get(from) < left.get(to) {
        true => (*to, *from),
        false => (*from, *to),
    });
    lines.collect()
}

/// Depth first, without recursion; notes as which one each was left.
fn visit(
    root: usize,
    next: &[BTreeSet<usize>],
    seen: &mut BTreeSet<usize>,
    left: &mut BTreeMap<usize, usize>,
) {
    let children = |node: usize| next.get(node).into_iter().flatten();
    if !seen.insert(root) {
        return;
    }
    let mut stack = vec![(root, children(root))];
    while let Some((node, unseen)) = stack.last_mut() {
        match unseen.next() {
            Some(child) if seen.insert(*child) => stack.push((*child, children(*child))),
            Some(_) => {}
            None => {
                left.insert(*node, left.len());
                stack.pop();
            }
        }
    }
}

/// The column of each box: not left of any that asks it. Lines have no cycle. Where that
/// would be more columns than anybody can look at, neighbouring ones are one.
pub(super) fn columns(count: usize, lines: &[(usize, usize)]) -> Vec<usize> {
    let mut columns = vec![0; count];
    // A path has fewer lines than there are boxes.
    for _ in 0..count {
        let before = columns.clone();
        for (from, to) in lines {
            let least = columns.get(*from).map_or(0, |column| column + 1);
            columns.get_mut(*to).into_iter().for_each(|column| *column = least.max(*column));
        }
        if columns == before {
            break;
        }
    }
    let found = columns.iter().max().map_or(0, |last| last + 1);
    let most = count.isqrt().max(LEAST);
    if found > most {
        columns.iter_mut().for_each(|column| *column = *column * most / found);
    }
    columns
}

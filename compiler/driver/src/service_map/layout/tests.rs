use super::{HEIGHT, Layout, WIDTH, layout};

fn is_apart(layout: &Layout) -> bool {
    let boxes = &layout.boxes;
    boxes.iter().enumerate().all(|(at, a)| {
        boxes.iter().skip(at + 1).all(|b| (a.0 - b.0).abs() >= WIDTH || (a.1 - b.1).abs() >= HEIGHT)
    })
}

#[test]
fn a_chain_stands_in_a_row() {
    let found = layout(3, &[(2, 0), (0, 1)]);
    let [a, b, c] = found.boxes[..] else { panic!("three") };
    assert!(c.0 < a.0 && a.0 < b.0, "{found:?}");
    assert!(a.1 == b.1 && b.1 == c.1, "{found:?}");
}

/// Numbers that look random: Knuth's MMIX generator.
fn numbers(seed: u64) -> impl Iterator<Item = usize> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(seed), next).skip(1).map(|state| (state >> 33) as usize)
}

#[test]
fn nobody_stands_on_anybody() {
    for seed in 0..200 {
        let mut numbers = numbers(seed);
        let mut below = |most: usize| numbers.next().unwrap_or_default() % most;
        let count = 1 + below(30);
        let lines: Vec<_> = (0..below(70)).map(|_| (below(count), below(count))).collect();
        let lines: Vec<_> = lines.into_iter().filter(|(from, to)| from != to).collect();
        let found = layout(count, &lines);
        assert!(is_apart(&found), "{seed}: {found:?}");
        assert_eq!(found, layout(count, &lines));
        let touches = |point: Option<&(f64, f64)>, node: usize| {
            let (point, corner) = (point.copied().unwrap(), found.boxes[node]);
            (point.1 - corner.1 - HEIGHT / 2.0).abs() < HEIGHT / 2.0
                && (point.0 == corner.0 || point.0 == corner.0 + WIDTH)
        };
        for (way, (from, to)) in found.lines.iter().zip(&lines) {
            assert!(touches(way.first(), *from) && touches(way.last(), *to), "{seed}: {way:?}");
        }
        for (x, y) in &found.boxes {
            assert!(*x >= 0.0 && *y >= 0.0, "{seed}");
            assert!(x + WIDTH <= found.size.0 && y + HEIGHT <= found.size.1, "{seed}");
        }
    }
}

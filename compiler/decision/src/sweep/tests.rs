use super::Sweep;

/// The places below 16 at which a predicate matches.
fn places(ranges: &[(u128, u128)]) -> Vec<u128> {
    let mut sweep = Sweep::default();
    sweep.add(0, ranges.to_vec());
    let mut matches = false;
    let mut places = Vec::new();
    for place in 0..16 {
        for predicate in sweep.changes_at(place) {
            assert_eq!(*predicate, 0);
            matches = !matches;
        }
        places.extend(matches.then_some(place));
    }
    places
}

#[test]
fn a_sweep_is_within_the_ranges_and_nowhere_else() {
    let cases: &[&[(u128, u128)]] = &[
        &[],
        &[(0, 0)],
        &[(3, 5), (4, 9), (9, 9)],
        &[(7, 8), (0, 1), (2, 3)],
        &[(5, 5), (5, 5)],
        &[(0, u128::MAX), (3, 4)],
        &[(12, u128::MAX), (1, 2)],
    ];
    for ranges in cases {
        let within =
            |place: &u128| ranges.iter().any(|(first, last)| (first..=last).contains(&place));
        let expected: Vec<u128> = (0..16).filter(within).collect();
        assert_eq!(places(ranges), expected, "{ranges:?}");
    }
}

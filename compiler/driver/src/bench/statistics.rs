//! Medians.

/// Groups of rounds, one after the other, whose medians are taken.
pub const GROUPS: usize = 5;

/// The median of the medians of [`GROUPS`] groups, in the order of the samples: a
/// disturbance of a second spoils one group. 0 without samples.
pub fn median_of_medians(samples: &[f64]) -> f64 {
    let size = samples.len().div_ceil(GROUPS).max(1);
    let mut medians: Vec<f64> = samples.chunks(size).map(median).collect();
    median_in_place(&mut medians)
}

fn median(samples: &[f64]) -> f64 {
    median_in_place(&mut samples.to_vec())
}

fn median_in_place(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => 0.0,
        n if n % 2 == 1 => samples[n / 2],
        n => f64::midpoint(samples[n / 2 - 1], samples[n / 2]),
    }
}

#[cfg(test)]
#[test]
fn medians() {
    assert_eq!(median_of_medians(&[]), 0.0);
    assert_eq!(median_of_medians(&[3.0]), 3.0);
    assert_eq!(median_of_medians(&[1.0, 2.0, 4.0]), 2.0);
    // A group that is spoilt wholly does not count.
    let disturbed = [1.0, 1.0, 90.0, 90.0, 2.0, 2.0, 3.0, 3.0, 2.0, 2.0];
    assert_eq!(median_of_medians(&disturbed), 2.0);
}

//! "Did you mean": the nearest known name to a mistyped one.

/// The known name that is most like `name`, if any is like it enough to be meant.
/// Of equally near names the first wins.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKE_ENOUGH: f64 = 0.72;
    // Longer names are nobody's typing error, and the distance is quadratic.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        return None;
    }
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let score = strsim::normalized_damerau_levenshtein(name, candidate);
        if score >= LIKE_ENOUGH && best.is_none_or(|(nearest, _)| score > nearest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

//! Durations as users type them.

use std::time::Duration;

/// Reads `60s`, `2m`, `1h`, or `90` for seconds.
///
/// # Errors
/// What is expected, when the text is none of these or the duration is zero.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let unit = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let (number, seconds) = unit.unwrap_or((text, 1));
    // `u64` would also read `+5`.
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number
        .parse::<u32>()
        .ok()
        .filter(|n| digits && *n > 0)
        .and_then(|n| n.checked_mul(seconds));
    let seconds = seconds.ok_or("write seconds, minutes or hours: `60s`, `2m`, `1h` or `90`")?;
    Ok(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
#[test]
fn durations() {
    let seconds = |text| parse(text).ok().map(|duration| duration.as_secs());
    assert_eq!(["60s", "2m", "1h", "90"].map(seconds), [Some(60), Some(120), Some(3600), Some(90)]);
    let wrong = ["", "s", "0", "0s", "1d", "-1", "+5", "1.5s", "60 s", "99999999999999999999"];
    assert_eq!(wrong.map(seconds), [None; 10]);
    assert_eq!(seconds("4294967295m"), None);
}

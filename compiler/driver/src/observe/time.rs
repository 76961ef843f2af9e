//! Times of records as people and programs read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Turns CLOCK_MONOTONIC into wall clock, as of when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall clock at monotonic 0.
    boot: SystemTime,
}

impl Clock {
    /// The clock of now; `monotonic` is CLOCK_MONOTONIC in nanoseconds.
    pub fn new(now: SystemTime, monotonic: u64) -> Self {
        Self { boot: now.checked_sub(Duration::from_nanos(monotonic)).unwrap_or(UNIX_EPOCH) }
    }

    /// The wall clock time of a record.
    pub fn wall(&self, monotonic: u64) -> SystemTime {
        self.boot.checked_add(Duration::from_nanos(monotonic)).unwrap_or(self.boot)
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-03-01T12:30:45.123Z`.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01 in the proleptic
/// Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

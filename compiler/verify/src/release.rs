//! A kernel's release, as far as rules depend on it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Major and minor number of a kernel: `6.1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Release {
    /// `6` of `6.1`.
    pub major: u16,
    /// `1` of `6.1`.
    pub minor: u16,
}

impl Release {
    /// The oldest kernel that policyc's programs must load on.
    pub const FLOOR: Self = Self::new(6, 1);

    /// `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads the beginning of what `uname -r` prints, or `None` if it does not
    /// begin with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

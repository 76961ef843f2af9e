//! The state word: one `u64` that every gate reads once per packet or event.
//!
//! Bit 0 is the active parity, bit 1 says that a confirmation is pending, bits
//! 2 to 63 hold its deadline in `CLOCK_MONOTONIC` nanoseconds. While a
//! confirmation is pending and the deadline has passed, gates use the other
//! parity: a rollback needs no living process.

use serde::{Deserialize, Serialize};

/// Which of a gate's two slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) enum Parity {
    Even,
    Odd,
}

impl Parity {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    /// Its slot in a gate's program array.
    pub(crate) const fn slot(self) -> u32 {
        self as u32
    }
}

impl From<Parity> for u8 {
    fn from(parity: Parity) -> Self {
        parity as Self
    }
}

impl TryFrom<u8> for Parity {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Even),
            1 => Ok(Self::Odd),
            other => Err(format!("a parity is 0 or 1, not {other}")),
        }
    }
}

/// Bit 1.
pub(crate) const PENDING: u64 = 2;
/// Where the deadline begins.
pub(crate) const DEADLINE_SHIFT: u32 = 2;

/// The word. On a fresh map it is 0: parity even, confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StateWord(pub(crate) u64);

impl StateWord {
    /// The parity that was flipped to last.
    pub(crate) const fn parity(self) -> Parity {
        if self.0 & 1 == 0 { Parity::Even } else { Parity::Odd }
    }

    /// When that parity stops to be active unless confirmed; `None` when it is.
    pub(crate) const fn deadline(self) -> Option<u64> {
        if self.0 & PENDING == 0 { None } else { Some(self.0 >> DEADLINE_SHIFT) }
    }

    /// The parity that gates use at `now`.
    pub(crate) fn active(self, now: u64) -> Parity {
        match self.deadline() {
            Some(deadline) if now >= deadline => self.parity().other(),
            _ => self.parity(),
        }
    }

    /// The word that makes `parity` active for good.
    ///
    /// INVARIANT: only the lowest byte differs from this word, because the
    /// kernel copies map values with an instruction that may be seen half done:
    /// a deadline that loses its bytes while still pending would look passed.
    #[must_use]
    pub(crate) const fn settled(self, parity: Parity) -> Self {
        Self(self.0 & !3 | parity as u64)
    }

    /// The word that makes `parity` active until `deadline`, which lies below
    /// 2^62 ns (146 years). Seen half done, it means the old or the new word.
    pub(crate) const fn until(parity: Parity, deadline: u64) -> Self {
        Self(parity as u64 | PENDING | deadline << DEADLINE_SHIFT)
    }
}

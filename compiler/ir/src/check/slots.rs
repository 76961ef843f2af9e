//! Which bytes of the stack were written on every way to a place.

use policyc_base::{EntityId, SecondaryMap};

use crate::types::{Block, Function, Slot};

/// The kernel's limit for a program's stack, in bytes.
pub(super) const STACK: u32 = 512;

/// One bit for each byte of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written([u64; STACK as usize / 64]);

impl Written {
    pub(super) const NOTHING: Self = Self([0; STACK as usize / 64]);
    const ALL: Self = Self([u64::MAX; STACK as usize / 64]);

    fn and(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
        both
    }

    pub(super) fn set(&mut self, from: u64, len: u64) {
        for byte in from..from.saturating_add(len).min(STACK.into()) {
            self.0[(byte / 64) as usize] |= 1 << (byte % 64);
        }
    }

    /// The first of `len` bytes that was not written.
    pub(super) fn first_missing(&self, from: u64, len: u64) -> Option<u64> {
        let mut bytes = from..from.saturating_add(len).min(STACK.into());
        bytes.find(|byte| self.0[(byte / 64) as usize] & (1 << (byte % 64)) == 0)
    }
}

/// Where each slot lies, and what blocks leave written.
pub(super) struct Slots {
    starts: Vec<u32>,
    /// Bytes of all slots, aligned to 8.
    pub(super) total: u32,
    left: SecondaryMap<Block, Written>,
}

impl Slots {
    pub(super) fn new(func: &Function) -> Self {
        let mut end: u32 = 0;
        let mut starts = vec![];
        for slot in func.slots.values() {
            let align = slot.align.max(1);
            end = end.checked_next_multiple_of(align).unwrap_or(u32::MAX);
            starts.push(end);
            end = end.saturating_add(slot.size);
        }
        let total = end.checked_next_multiple_of(8).unwrap_or(u32::MAX);
        Self { starts, total, left: SecondaryMap::with_default(Written::NOTHING) }
    }

    pub(super) fn start(&self, slot: Slot) -> u64 {
        self.starts.get(slot.index()).copied().unwrap_or(0).into()
    }

    /// What was written on every way to the start of a block.
    pub(super) fn at_entry(&self, preds: &[Block]) -> Written {
        if preds.is_empty() {
            return Written::NOTHING;
        }
        preds.iter().fold(Written::ALL, |all, pred| all.and(self.left[*pred]))
    }

    pub(super) fn leave(&mut self, block: Block, written: Written) {
        self.left[block] = written;
    }
}

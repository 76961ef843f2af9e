//! Spill slots: one home for each value, shared by values that never live together.

use policyc_base::SecondaryMap;

use super::live::Ranges;
use crate::backend::mir::VReg;

/// The slots in use.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// For each slot, where it is taken.
    taken: Vec<Ranges>,
    homes: SecondaryMap<VReg, Option<u32>>,
}

impl Slots {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.taken.len() as u32
    }

    /// The slot of a value that has one.
    pub(super) fn get(&self, value: VReg) -> Option<u32> {
        self.homes[value]
    }

    /// The slot of a value that is live in `ranges`; `wanted` if that is free there.
    pub(super) fn home(&mut self, value: VReg, ranges: &Ranges, wanted: Option<u32>) -> u32 {
        if let Some(slot) = self.homes[value] {
            return slot;
        }
        let all = 0..self.len();
        let mut candidates = wanted.into_iter().chain(all);
        let free = |slot: &u32| are_apart(&self.taken[*slot as usize], ranges);
        let slot = candidates.find(free).unwrap_or_else(|| self.add());
        let taken = &mut self.taken[slot as usize];
        taken.extend(ranges);
        taken.sort_unstable();
        self.homes[value] = Some(slot);
        slot
    }

    /// A slot that is never shared.
    pub(super) fn add_private(&mut self) -> u32 {
        let slot = self.add();
        self.taken[slot as usize].push((0, u32::MAX));
        slot
    }

    fn add(&mut self) -> u32 {
        self.taken.push(vec![]);
        self.len() - 1
    }
}

/// Whether no position is in both.
fn are_apart(a: &Ranges, b: &Ranges) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x.0 < y.1 && y.0 < x.1 {
            return false;
        }
        if x.1 <= y.1 {
            a.next();
        } else {
            b.next();
        }
    }
    true
}

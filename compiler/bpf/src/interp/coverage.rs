//! Which instructions were executed.

use std::collections::{BTreeMap, BTreeSet};

/// Slots that were executed, by program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    programs: BTreeMap<String, BTreeSet<u32>>,
}

impl Coverage {
    /// Adds the slots of a program.
    pub(super) fn extend(&mut self, program: &str, slots: impl IntoIterator<Item = u32>) {
        match self.programs.get_mut(program) {
            Some(known) => known.extend(slots),
            None => {
                self.programs.insert(program.into(), slots.into_iter().collect());
            }
        }
    }

    /// Whether the instruction at a slot was executed.
    pub fn contains(&self, program: &str, pc: u32) -> bool {
        self.programs.get(program).is_some_and(|slots| slots.contains(&pc))
    }

    /// Slots of executed instructions of a program, ascending. The second slot of a
    /// `lddw` is not among them.
    pub fn slots(&self, program: &str) -> impl Iterator<Item = u32> {
        self.programs.get(program).into_iter().flatten().copied()
    }

    /// Number of executed instructions of all programs.
    pub fn len(&self) -> usize {
        self.programs.values().map(BTreeSet::len).sum()
    }

    /// Whether nothing was executed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what another run executed.
    pub fn merge(&mut self, other: &Self) {
        for (program, slots) in &other.programs {
            self.extend(program, slots.iter().copied());
        }
    }
}

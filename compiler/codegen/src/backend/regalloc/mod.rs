//! Virtual registers to registers and spill slots.
//!
//! A linear scan over the layout that splits live ranges where it must (second-
//! chance binpacking, Traub, Holloway and Smith 1998), on SSA: a value is stored
//! at most once on any path, since it never changes. As the code is acyclic and
//! the layout topological, a block is entered when the locations at the end of
//! all its predecessors are known; what differs is moved on the edge.
//!
//! - `r6` is the context throughout; `r7` to `r9` survive calls; `r0` to `r5` do not.
//! - Values that are live across a call prefer `r7` to `r9`, else they are spilled.
//! - What can be made anew ([`Remat`](super::mir::Remat)) is never spilled.
//! - Values with disjoint live ranges share a spill slot.
//!
//! Guarantees: nothing; [`checker`](super::checker) does.

mod call;
mod join;
mod live;
mod moves;
mod scan;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use policyc_base::SecondaryMap;
use policyc_bpf::Reg;

use super::mir::{Block, Mir, VReg};

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loc {
    /// In a register.
    Reg(Reg),
    /// In a spill slot of eight bytes, by number.
    Slot(u32),
}

impl fmt::Debug for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reg(reg) => write!(f, "{reg}"),
            Self::Slot(slot) => write!(f, "slot {slot}"),
        }
    }
}

/// A piece of allocated code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A copy; one of the two is a register.
    Move { dst: Loc, src: Loc },
    /// The value made anew; into a slot only if it is a constant of 32 bits.
    Remat { dst: Loc, value: VReg },
    /// The instruction of that number in its block, with registers.
    Op { inst: usize, dst: Option<Reg>, uses: Vec<Reg> },
}

/// An edge: a block, and which of its targets.
pub(super) type Edge = (Block, usize);

/// Code with registers, to be read beside the [`Mir`] it was made from.
#[derive(Clone, Default, Debug)]
pub(super) struct Allocation {
    /// What each block does before its terminator.
    pub(super) blocks: SecondaryMap<Block, Vec<Step>>,
    /// The registers that each terminator reads.
    pub(super) terms: SecondaryMap<Block, Vec<Reg>>,
    /// What happens between a terminator and its target.
    pub(super) edges: BTreeMap<Edge, Vec<Step>>,
    /// Number of spill slots.
    pub(super) slots: u32,
}

impl Allocation {
    /// Number of values stored to spill slots.
    pub(super) fn spills(&self, mir: &Mir) -> u32 {
        let blocks = mir.layout.iter().flat_map(|block| &self.blocks[*block]);
        let steps = blocks.chain(self.edges.values().flatten());
        let is_spill = |step: &&Step| {
            matches!(
                step,
                Step::Move { dst: Loc::Slot(_), .. } | Step::Remat { dst: Loc::Slot(_), .. }
            )
        };
        steps.filter(is_spill).count() as u32
    }
}

/// Chooses a place for every value at every point.
pub(super) fn allocate(mir: &Mir) -> Allocation {
    scan::Scan::new(mir, &live::analyse(mir)).run()
}

/// Registers that values may live in. `r6` is the context, `r10` the frame.
const POOL: [Reg; 9] =
    [Reg::R5, Reg::R4, Reg::R3, Reg::R2, Reg::R1, Reg::R0, Reg::R7, Reg::R8, Reg::R9];

/// The registers of [`POOL`] that survive calls.
const SAVED: [Reg; 3] = [Reg::R7, Reg::R8, Reg::R9];

/// The registers that arguments go to.
const ARGS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct RegSet(u16);

impl RegSet {
    fn insert(&mut self, reg: Reg) {
        self.0 |= 1 << reg.number();
    }

    const fn contains(self, reg: Reg) -> bool {
        self.0 & (1 << reg.number()) != 0
    }
}

impl FromIterator<Reg> for RegSet {
    fn from_iter<I: IntoIterator<Item = Reg>>(regs: I) -> Self {
        let mut set = Self::default();
        regs.into_iter().for_each(|reg| set.insert(reg));
        set
    }
}

/// Whether a register survives calls.
fn is_saved(reg: Reg) -> bool {
    SAVED.contains(&reg)
}

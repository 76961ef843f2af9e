//! Allocated code to instructions.
//!
//! Guarantees: no jump to the next instruction; nothing unreachable; one origin
//! for each slot; every jump fits its distance, or there is an error that says by
//! how much it does not.
//! Does not know: whether the allocation is right.

mod blocks;
mod jumps;
mod step;

use policyc_base::Origin;
use policyc_bpf::{Insn, Reg, Reloc};

use super::Features;
use super::error::LimitError;
use super::mir::Mir;
use super::regalloc::Allocation;
use super::target::{MAX_INSNS, STACK_BYTES};
use jumps::Item;

/// Instructions and what belongs to their slots.
#[derive(Clone, Default, Debug)]
pub(super) struct Code {
    pub(super) insns: Vec<Insn>,
    pub(super) relocs: Vec<Reloc>,
    pub(super) origins: Vec<Option<Origin>>,
}

/// Bytes of stack that the program takes.
pub(super) fn stack_bytes(mir: &Mir, allocation: &Allocation) -> Result<u32, LimitError> {
    let needed = mir.frame.saturating_add(allocation.slots.saturating_mul(8));
    match needed <= STACK_BYTES {
        true => Ok(needed),
        false => Err(LimitError::Stack { needed, available: STACK_BYTES }),
    }
}

/// The instructions. [`stack_bytes`] was fine before.
pub(super) fn emit(
    mir: &Mir,
    allocation: &Allocation,
    features: Features,
) -> Result<Code, LimitError> {
    let mut items = blocks::items(mir, allocation);
    if items.iter().any(Item::reads_context) {
        items.insert(0, Item::insn(Insn::mov64(Reg::R6, Reg::R1), None));
    }
    let code = jumps::resolve(items, features)?;
    let insns = code.insns.len() as u32;
    match insns <= MAX_INSNS {
        true => Ok(code),
        false => Err(LimitError::ProgramSize { insns, limit: MAX_INSNS }),
    }
}

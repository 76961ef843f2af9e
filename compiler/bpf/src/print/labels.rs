//! Names for the places that a program jumps to or calls.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::{Callee, Imm64, Instruction};

/// The slot an instruction at `pc` jumps to, calls or takes the address of; `None`
/// if it does not, or if the slot is before the program.
pub(crate) fn destination(pc: u32, insn: &Instruction) -> Option<(u32, Use)> {
    let (distance, kind) = match insn {
        Instruction::Call(Callee::Local(distance)) => (*distance, Use::Call),
        Instruction::LoadImm { value: Imm64::Func(distance), .. } => (*distance, Use::Call),
        _ => (insn.jump_distance()?, Use::Jump),
    };
    // A function's address counts from the slot after the first, as the kernel's
    // `add_subprog_and_kfunc` has it.
    let slot = i64::from(pc) + 1 + i64::from(distance);
    Some((u32::try_from(slot).ok()?, kind))
}

/// How a place is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// By a jump.
    Jump,
    /// By a call, or by its address.
    Call,
}

/// A label for each slot that begins an instruction and is reached: `sub1` for
/// functions, `L1` for the rest, numbered from the top.
pub(super) fn name_labels<'a>(
    insns: impl Iterator<Item = (u32, &'a Instruction)> + Clone,
) -> BTreeMap<u32, String> {
    let starts: BTreeSet<u32> = insns.clone().map(|(pc, _)| pc).collect();
    let mut functions = BTreeSet::new();
    let mut reached = BTreeSet::new();
    for (slot, kind) in insns.filter_map(|(pc, insn)| destination(pc, insn)) {
        if starts.contains(&slot) {
            reached.insert(slot);
            if kind == Use::Call {
                functions.insert(slot);
            }
        }
    }
    let mut counts = (0, 0);
    let name = |slot: u32| {
        let (prefix, count) =
            if functions.contains(&slot) { ("sub", &mut counts.0) } else { ("L", &mut counts.1) };
        *count += 1;
        (slot, format!("{prefix}{count}"))
    };
    reached.into_iter().map(name).collect()
}

//! A program made ready to run: every slot decoded once.

use std::collections::BTreeMap;

use crate::decode::{DecodeError, Instruction, decode};
use crate::{Program, ProgramKind, RelocTarget};

/// A program by slots.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) kind: ProgramKind,
    pub(super) slots: Vec<Slot>,
}

/// What begins at a slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Insn(Instruction),
    /// A `lddw` of a map.
    Load(Instruction, RelocTarget),
    /// The second half of a `lddw`.
    Second,
    Bad(DecodeError),
}

impl Code {
    pub(super) fn new(program: &Program) -> Self {
        let relocs: BTreeMap<u32, RelocTarget> =
            program.relocs.iter().map(|r| (r.insn, r.target)).collect();
        let mut slots = Vec::with_capacity(program.insns.len());
        while let Some(rest) = program.insns.get(slots.len()..).filter(|rest| !rest.is_empty()) {
            let reloc = relocs.get(&(slots.len() as u32));
            match (decode(rest), reloc) {
                (Ok(insn @ Instruction::LoadImm { .. }), Some(target)) => {
                    slots.push(Slot::Load(insn, *target));
                    slots.push(Slot::Second);
                }
                (Ok(insn), _) => {
                    slots.push(Slot::Insn(insn));
                    if insn.slots() == 2 {
                        slots.push(Slot::Second);
                    }
                }
                (Err(error), _) => slots.push(Slot::Bad(error)),
            }
        }
        Self { name: program.name.clone(), kind: program.kind.clone(), slots }
    }
}

//! Level `structural`: checking finished bytecode in this process, without
//! privilege and without a kernel.
//!
//! Guarantees: total on any object; where it claims that something holds, it is
//! stricter than the kernels from [`Release::FLOOR`] on. A program passes only
//! if every obligation holds on every path.
//! Does not know: how the code was made; whether the kernel's verifier has
//! enough patience for it (`kernel` asks).
//!
//! How: `object` checks names, maps and relocations; `code` turns slots into a
//! program that only leads forward; then one walk in slot order keeps what is
//! known before each instruction (`state`, `value`), asks what the instruction
//! needs (`require`), decides that (`holds`) and goes on (`transfer`, `learn`). Paths
//! that meet are joined, so that the work is linear in the program.
//!
//! Not supported, and refused: loops, calls of other functions, kfuncs, BTF
//! pointers, packet metadata, legacy packet loads.

mod arguments;
mod arithmetic;
mod code;
mod context;
mod flow;
mod helpers;
mod holds;
mod isa;
mod learn;
mod object;
mod obligation;
mod require;
mod state;
mod transfer;
mod value;

use std::collections::BTreeMap;

use policyc_bpf::{Object, Program, RelocTarget};

pub use obligation::{AccessMode, Failure, Obligation, Shape};

use self::code::Code;
use crate::Release;

/// Checks an object for kernels from [`Release::FLOOR`] on.
pub fn verify_structural(object: &Object) -> Vec<Failure> {
    verify_structural_for(object, Release::FLOOR)
}

/// Checks an object for kernels from `floor` on; empty means that it passed.
///
/// The object's own failures come first, then each program's, in order.
pub fn verify_structural_for(object: &Object, floor: Release) -> Vec<Failure> {
    let mut failures: Vec<Failure> =
        object::check_object(object).into_iter().map(|fault| fault.of(None)).collect();
    for program in &object.programs {
        let faults = verify_program(object, program, floor);
        failures.extend(faults.into_iter().map(|fault| fault.of(Some(program))));
    }
    failures
}

/// What a program's shape costs the kernel's verifier, or `None` if it is no
/// well-formed program.
pub fn shape(program: &Program) -> Option<Shape> {
    // The floor does not matter for the shape.
    Code::read(&program.insns, Release::new(u16::MAX, 0)).ok().map(|code| code.shape())
}

fn verify_program(object: &Object, program: &Program, floor: Release) -> Vec<Fault> {
    let mut faults = object::check_program(object, program);
    let code = match Code::read(&program.insns, floor) {
        Ok(code) => code,
        Err(more) => {
            faults.extend(more);
            return faults;
        }
    };
    code::check_pending(&code.shape(), &mut faults);
    // With relocations that lead nowhere, what registers hold has no meaning.
    if faults.is_empty() {
        let relocs = program.relocs.iter().map(|r| (r.insn as usize, r.target)).collect();
        faults.extend(flow::walk(&Env { object, program, floor, relocs }, &code));
    }
    faults
}

/// What the walk refers to and does not change.
pub(crate) struct Env<'a> {
    pub(crate) object: &'a Object,
    pub(crate) program: &'a Program,
    /// The oldest kernel the program must load on.
    pub(crate) floor: Release,
    relocs: BTreeMap<usize, RelocTarget>,
}

impl Env<'_> {
    /// What the `lddw` at a slot is to load.
    pub(crate) fn reloc_at(&self, slot: usize) -> Option<RelocTarget> {
        self.relocs.get(&slot).copied()
    }
}

/// A failure that does not know its program yet.
pub(crate) struct Fault {
    slot: Option<usize>,
    obligation: Obligation,
    explanation: String,
}

impl Fault {
    pub(crate) fn program(obligation: Obligation, explanation: String) -> Self {
        Self { slot: None, obligation, explanation }
    }

    pub(crate) fn at(slot: usize, obligation: Obligation, explanation: String) -> Self {
        Self { slot: Some(slot), obligation, explanation }
    }

    fn of(self, program: Option<&Program>) -> Failure {
        let origin = program.zip(self.slot);
        Failure {
            program: program.map(|program| program.name.clone()),
            insn: self.slot.and_then(|slot| u32::try_from(slot).ok()),
            origin: origin.and_then(|(p, slot)| p.origins.get(slot).copied().flatten()),
            obligation: self.obligation,
            explanation: self.explanation,
        }
    }
}

#[cfg(test)]
mod tests;

//! The BPF instruction set, its assembler and interpreter, objects, and the
//! artifact.
//!
//! Guarantees: total functions on any bytes; the same blueprint gives the same
//! bytes.
//! Does not know: policies, BIR, or any running kernel.

pub mod insn;
pub mod program;

pub use insn::{Insn, Reg, code};
pub use program::{
    Direction, Judges, License, MapId, MapKind, MapRole, MapSpec, Object, Program, ProgramKind,
    Reloc, RelocTarget, SourceLine,
};

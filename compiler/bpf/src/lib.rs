//! The BPF instruction set, its assembler and interpreter, objects, and the
//! artifact.
//!
//! Guarantees: total functions on any bytes; the same blueprint gives the same
//! bytes.
//! Does not know: policies, BIR, or any running kernel.

pub mod construct;
pub mod decode;
pub mod helper;
pub mod insn;
pub mod interp;
pub mod parse;
pub mod print;
pub mod program;

pub use decode::{
    AluOp, AtomicOp, Callee, DecodeError, Imm64, Instruction, JmpOp, Operand, Size, SwapOp, Width,
    decode, decode_all,
};
pub use insn::{Insn, Reg, code};
pub use program::{
    Direction, Judges, License, MapId, MapKind, MapRole, MapSpec, Object, Program, ProgramKind,
    Reloc, RelocTarget, SourceLine,
};

pub mod artifact;
pub mod btf;
pub mod elf;
pub mod manifest;
pub mod sets;

pub use artifact::{Artifact, ArtifactError, Digest, Evidence, Finding, Level};
pub use btf::{Btf, ProgramInfo};
pub use elf::{ElfError, ObjectError, read_elf, write_elf};
pub use manifest::{
    AttachHint, Cost, Decision, EventField, EventFieldKind, EventSpec, Limit, Manifest, Outcome,
    ProgramEntry, Reason, RuntimeSet, Source, Subject, SubjectKind, Verdict,
};
pub use parse::{ParseError, assemble, parse_object};
pub use print::{Style, print_object, print_program, print_slots};

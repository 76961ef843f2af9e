//! Why a run stopped before its end.

use thiserror::Error;

use crate::decode::DecodeError;
use crate::{MapId, Reg, helper};

/// What a verified program never does, and where this one did.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("program `{program}`, slot {pc}: {kind}")]
pub struct Fault {
    /// The program.
    pub program: String,
    /// The slot in it.
    pub pc: u32,
    /// What it did.
    pub kind: FaultKind,
}

/// Kinds of [`Fault`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FaultKind {
    /// There is no program of that name.
    #[error("no such program")]
    NoProgram,
    /// The program's kind has another context.
    #[error("this kind of program has another context")]
    WrongContext,
    /// The slot is no instruction.
    #[error("{0}")]
    NoInstruction(#[from] DecodeError),
    /// A jump, or the end of the code without `exit`.
    #[error("runs to slot {0}, which begins no instruction")]
    NoSuchSlot(i64),
    /// Too many instructions.
    #[error("did not end within {0} instructions")]
    StepLimit(u64),
    /// More than eight functions deep.
    #[error("calls are nested more than eight deep")]
    CallDepth,
    /// A register is read that was never set, or lost by a call.
    #[error("{0} is read but holds nothing")]
    UnsetRegister(Reg),
    /// The frame pointer is written.
    #[error("r10 is written")]
    FramePointer,
    /// A bad memory access.
    #[error("{} of {size} bytes at {address:#x}: {why}", if *write { "store" } else { "load" })]
    Access {
        /// Simulated address.
        address: u64,
        /// Bytes.
        size: u64,
        /// Whether it is a store.
        write: bool,
        /// What is wrong.
        why: AccessError,
    },
    /// A helper that the interpreter does not have.
    #[error("helper {} is not interpreted", helper_name(*.0))]
    UnknownHelper(i32),
    /// A helper refuses an argument where the verifier would.
    #[error("{}, argument {argument}: {why}", helper_name(*.helper))]
    Argument {
        /// Number of the helper.
        helper: i32,
        /// From 1.
        argument: u8,
        /// What is wrong.
        why: &'static str,
    },
    /// A map that the object does not have.
    #[error("no map {0}")]
    NoMap(MapId),
    /// An instruction that is decoded but has no meaning without a kernel.
    #[error("{0} cannot be interpreted")]
    NotInterpreted(&'static str),
}

/// What is wrong with a memory access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AccessError {
    /// The address points to nothing.
    #[error("nothing is there")]
    Nowhere,
    /// It begins or ends outside of what the address points to.
    #[error("outside of the {0}")]
    OutOfBounds(&'static str),
    /// It is not aligned to its size where the kernel wants that.
    #[error("misaligned in the {0}")]
    Misaligned(&'static str),
    /// Bytes are read that nobody wrote.
    #[error("never written in the {0}")]
    Unset(&'static str),
    /// The memory is not for programs to write.
    #[error("the {0} is read-only")]
    ReadOnly(&'static str),
    /// The context has no such field, or not with that size.
    #[error("no field of the context")]
    NoField,
    /// Atomic operations are not allowed there.
    #[error("no atomic operations on the {0}")]
    NoAtomics(&'static str),
}

fn helper_name(number: i32) -> String {
    match helper::name(number) {
        Some(name) => format!("`{name}`"),
        None => format!("#{number}"),
    }
}

//! What must hold of a program, as data.
//!
//! Guarantees: every failure names the obligation that is not met, so that a
//! report, a test and a document speak of the same thing.
//! Does not know: how an obligation is decided (`holds`), or what instructions
//! do (`transfer`).

use policyc_base::Origin;
use policyc_bpf::Reg;
use serde::Serialize;

use crate::Release;

/// One thing that must hold. Those with fields are asked of an instruction;
/// their fields say what the instruction needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Obligation {
    /// Names are unique, 1 to 15 bytes of `[A-Za-z0-9_]`.
    ValidName,
    /// A map's sizes, flags and contents are such that the kernel creates it.
    ValidMap,
    /// There is one origin entry per slot, and each origin has a line.
    OriginPerSlot,
    /// 1 to 1,000,000 slots.
    ProgramSize,
    /// A relocation sits on a `lddw` with source and immediate 0, ascending.
    RelocOnLddw,
    /// A relocation names a map of the object, and [`RelocTarget::MapValue`]
    /// a byte inside the value of a flat array.
    ///
    /// [`RelocTarget::MapValue`]: policyc_bpf::RelocTarget::MapValue
    RelocFitsMap,
    /// The slot is an instruction that the kernel's encoding rules allow.
    ValidEncoding,
    /// The oldest target kernel knows the instruction or helper.
    KnownSince(Release),
    /// Jumps stay inside the program and do not land in the second slot of `lddw`.
    JumpInsideProgram,
    /// Jumps lead forward: loops are not supported.
    JumpForward,
    /// Every instruction can be reached.
    Reachable,
    /// The last instruction is `exit` or an unconditional jump.
    EndsProgram,
    /// At most 8,192 branches wait on any path (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
    PendingBranches,
    /// The helper is one that this kind of program may call.
    HelperAllowed(i32),
    /// A helper that is reserved for GPL programs is called under a licence that says GPL.
    HelperLicensed(i32),
    /// The register was written on every path, and not lost in a call since.
    Initialised(Reg),
    /// The register may be written: R10 may not.
    Writable(Reg),
    /// The register holds a number, not an address.
    Number(Reg),
    /// The divisor is not the constant 0.
    DivisorNotZero,
    /// A shift by a constant is smaller than the width.
    ShiftInWidth,
    /// Arithmetic on an address is one that keeps it an address: move, and
    /// 64-bit addition or subtraction of a bounded number.
    PointerArithmetic,
    /// The two operands may be compared.
    Comparable,
    /// `size` bytes at `base + off` may be read or written.
    Access {
        /// Register that holds the address.
        base: Reg,
        /// Bytes from there.
        off: i16,
        /// Bytes accessed.
        size: u8,
        /// What is done to them.
        mode: AccessMode,
    },
    /// Addresses are stored nowhere but on the stack, whole and aligned.
    PointerStaysPrivate(Reg),
    /// The n-th argument (from 1) of a helper is of the kind it takes.
    HelperArgument {
        /// Number of the helper.
        helper: i32,
        /// Position, from 1.
        position: u8,
    },
    /// R0 holds a result that the hook knows.
    ExitValue,
    /// What was reserved was submitted or discarded.
    Released,
}

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessMode {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Atomic operation: reads and writes.
    Atomic,
}

impl Obligation {
    /// Its stable name, for reports: `jump-forward`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ValidName => "valid-name",
            Self::ValidMap => "valid-map",
            Self::OriginPerSlot => "origin-per-slot",
            Self::ProgramSize => "program-size",
            Self::RelocOnLddw => "reloc-on-lddw",
            Self::RelocFitsMap => "reloc-fits-map",
            Self::ValidEncoding => "valid-encoding",
            Self::KnownSince(_) => "known-since",
            Self::JumpInsideProgram => "jump-inside-program",
            Self::JumpForward => "jump-forward",
            Self::Reachable => "reachable",
            Self::EndsProgram => "ends-program",
            Self::PendingBranches => "pending-branches",
            Self::HelperAllowed(_) => "helper-allowed",
            Self::HelperLicensed(_) => "helper-licensed",
            Self::Initialised(_) => "initialised",
            Self::Writable(_) => "writable",
            Self::Number(_) => "number",
            Self::DivisorNotZero => "divisor-not-zero",
            Self::ShiftInWidth => "shift-in-width",
            Self::PointerArithmetic => "pointer-arithmetic",
            Self::Comparable => "comparable",
            Self::Access { .. } => "access",
            Self::PointerStaysPrivate(_) => "pointer-stays-private",
            Self::HelperArgument { .. } => "helper-argument",
            Self::ExitValue => "exit-value",
            Self::Released => "released",
        }
    }
}

/// An obligation that is not met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Name of the program; `None` if the object itself is at fault.
    pub program: Option<String>,
    /// Slot of the instruction, if one is at fault.
    pub insn: Option<u32>,
    /// The rule that the instruction was made for.
    pub origin: Option<Origin>,
    /// What does not hold.
    pub obligation: Obligation,
    /// Why, in one lower-case line.
    pub explanation: String,
}

/// What a program costs the kernel's verifier at most, as far as its shape tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Shape {
    /// Slots of the program.
    pub insns: u32,
    /// Instructions on the longest path.
    pub longest_path: u32,
    /// Branches that wait at most while the kernel follows one path.
    pub pending_branches: u32,
}

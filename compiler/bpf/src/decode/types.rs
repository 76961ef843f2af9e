//! The instruction set as data: one [`Instruction`] for each meaning, so that
//! whoever reads a program (printer, interpreter, `verify`) matches on meanings
//! and never on bits.
//!
//! Source: RFC 9669; `kernel/bpf/verifier.c` and `kernel/bpf/disasm.c` of Linux
//! 6.18 for what the RFC does not have (`may_goto`, load-acquire,
//! store-release).

use crate::Reg;

/// Width of an arithmetic or compare: the whole register, or its lower half. A
/// 32-bit result clears the upper half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    W32,
    W64,
}

/// Size of a memory access or of the part of a register that is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum Size {
    B,
    H,
    W,
    DW,
}

impl Size {
    /// Every size, ascending.
    pub const ALL: [Self; 4] = [Self::B, Self::H, Self::W, Self::DW];

    /// In bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B => 1,
            Self::H => 2,
            Self::W => 4,
            Self::DW => 8,
        }
    }

    /// In bits.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// The size of that many bytes, if there is one.
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            1 => Some(Self::B),
            2 => Some(Self::H),
            4 => Some(Self::W),
            8 => Some(Self::DW),
            _ => None,
        }
    }
}

impl Width {
    /// The memory size of the same width.
    pub const fn size(self) -> Size {
        match self {
            Self::W32 => Size::W,
            Self::W64 => Size::DW,
        }
    }
}

/// Second operand: a register, or a constant that is sign-extended to the width
/// of the operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operand {
    Reg(Reg),
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Self::Imm(imm)
    }
}

/// Arithmetic with two operands. Division by zero gives 0, remainder by zero the
/// dividend; shift distances are taken modulo the width.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    /// Unsigned.
    Div,
    /// Signed, rounding to zero.
    Sdiv,
    Or,
    And,
    Lsh,
    /// Unsigned.
    Rsh,
    /// Unsigned.
    Mod,
    /// Signed, with the sign of the dividend.
    Smod,
    Xor,
    Mov,
    /// Signed.
    Arsh,
}

impl AluOp {
    /// Every operation.
    pub const ALL: [Self; 14] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Sdiv,
        Self::Or,
        Self::And,
        Self::Lsh,
        Self::Rsh,
        Self::Mod,
        Self::Smod,
        Self::Xor,
        Self::Mov,
        Self::Arsh,
    ];
}

/// What happens to the bytes of a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SwapOp {
    /// Between host and little-endian order: on our hosts only a truncation.
    ToLe,
    /// Between host and big-endian order: on our hosts a swap.
    ToBe,
    /// A swap on every host.
    Bswap,
}

/// A compare. Unsigned unless `S` says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum JmpOp {
    Eq,
    Gt,
    Ge,
    /// `(a & b) != 0`
    Set,
    Ne,
    Sgt,
    Sge,
    Lt,
    Le,
    Slt,
    Sle,
}

impl JmpOp {
    /// Every compare.
    pub const ALL: [Self; 11] = [
        Self::Eq,
        Self::Gt,
        Self::Ge,
        Self::Set,
        Self::Ne,
        Self::Sgt,
        Self::Sge,
        Self::Lt,
        Self::Le,
        Self::Slt,
        Self::Sle,
    ];
}

/// A read-modify-write of memory in one step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum AtomicOp {
    Add,
    Or,
    And,
    Xor,
    /// Like [`Self::Add`]; the source register gets the old value.
    FetchAdd,
    FetchOr,
    FetchAnd,
    FetchXor,
    /// Exchanges memory and source register.
    Xchg,
    /// Stores the source register if memory equals `r0`; `r0` gets the old value.
    CmpXchg,
}

impl AtomicOp {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::Add,
        Self::Or,
        Self::And,
        Self::Xor,
        Self::FetchAdd,
        Self::FetchOr,
        Self::FetchAnd,
        Self::FetchXor,
        Self::Xchg,
        Self::CmpXchg,
    ];
}

/// What a `call` calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Callee {
    /// A helper by its number in `enum bpf_func_id`.
    Helper(i32),
    /// A function of the same program, that many slots from the next instruction.
    Local(i32),
    /// A kernel function.
    Kfunc {
        /// Its BTF id.
        btf_id: i32,
        /// Index of the module's BTF in `fd_array`; 0 for the kernel's own.
        module: i16,
    },
}

/// What `lddw` loads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Imm64 {
    /// A number.
    Value(u64),
    /// A map by file descriptor.
    MapFd(i32),
    /// An address in the first value of an array map, by file descriptor.
    MapFdValue {
        /// File descriptor.
        fd: i32,
        /// Bytes from the start of the value.
        offset: u32,
    },
    /// The address of a kernel variable.
    BtfId {
        /// Its BTF id.
        id: i32,
        /// File descriptor of the module's BTF; 0 for the kernel's own.
        module_fd: i32,
    },
    /// The address of a function of the same program, that many slots from the
    /// next instruction after the first slot.
    Func(i32),
    /// A map by its index in `fd_array`.
    MapIdx(i32),
    /// An address in the first value of an array map, by its index in `fd_array`.
    MapIdxValue {
        /// Index.
        idx: i32,
        /// Bytes from the start of the value.
        offset: u32,
    },
}

/// One instruction. Jump distances count slots from the next instruction.
///
/// A combination that the instruction set does not have (a sign-extending load of
/// eight bytes, a byte swap of one) can be written down here; it encodes to
/// slots that the decoder rejects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "fields are named as in RFC 9669")]
pub enum Instruction {
    /// `dst = dst op src`
    Alu { width: Width, op: AluOp, dst: Reg, src: Operand },
    /// `dst = (sN)src`, sign-extended from `from` to `width`.
    MovSx { width: Width, from: Size, dst: Reg, src: Reg },
    /// `dst = -dst`
    Neg { width: Width, dst: Reg },
    /// `dst = be16 dst`: swaps or keeps the lower `size`, clears the rest.
    Swap { op: SwapOp, size: Size, dst: Reg },
    /// `goto`, 16-bit distance.
    Goto { off: i16 },
    /// `gotol`, 32-bit distance.
    Gotol { off: i32 },
    /// `may_goto`: a jump that the kernel takes when it has had enough.
    MayGoto { off: i16 },
    /// `if dst op src goto`
    If { width: Width, op: JmpOp, dst: Reg, src: Operand, off: i16 },
    /// `call`
    Call(Callee),
    /// Return from the function.
    Exit,
    /// `dst = *(uN *)(base + off)`
    Load { size: Size, dst: Reg, base: Reg, off: i16 },
    /// `dst = *(sN *)(base + off)`, sign-extended.
    LoadSx { size: Size, dst: Reg, base: Reg, off: i16 },
    /// `*(uN *)(base + off) = src`
    Store { size: Size, base: Reg, off: i16, src: Operand },
    /// `lock *(uN *)(base + off) op= src`
    Atomic { width: Width, op: AtomicOp, base: Reg, off: i16, src: Reg },
    /// A load that later accesses stay behind. Linux 6.15.
    LoadAcquire { size: Size, dst: Reg, base: Reg, off: i16 },
    /// A store that earlier accesses stay before. Linux 6.15.
    StoreRelease { size: Size, base: Reg, off: i16, src: Reg },
    /// `lddw`: two slots.
    LoadImm { dst: Reg, value: Imm64 },
    /// `r0 = *(uN *)skb[index + imm]`, in network order; `index` is `None` for
    /// `ABS`. Legacy: kept so that other people's programs can be read.
    LoadPacket { size: Size, index: Option<Reg>, imm: i32 },
}

impl Instruction {
    /// Number of slots: 2 for `lddw`, else 1.
    pub const fn slots(&self) -> u32 {
        match self {
            Self::LoadImm { .. } => 2,
            _ => 1,
        }
    }

    /// Distance in slots from the next instruction to where it may jump; `None`
    /// for instructions that do not jump. Calls do not count.
    pub const fn jump_distance(&self) -> Option<i32> {
        match self {
            Self::Goto { off } | Self::MayGoto { off } | Self::If { off, .. } => Some(*off as i32),
            Self::Gotol { off } => Some(*off),
            _ => None,
        }
    }

    /// Whether the instruction after it can follow it.
    pub const fn falls_through(&self) -> bool {
        !matches!(self, Self::Goto { .. } | Self::Gotol { .. } | Self::Exit)
    }
}

//! BIR: SSA with block parameters, typed by the facts the kernel verifier wants.
//!
//! A [`Module`] holds map declarations and functions; a [`Function`] is a set of
//! tables; a block has parameters instead of phis, instructions, and one
//! terminator. Every compare or check is a terminator with an on-match and an
//! on-miss target, so nothing falls through.
//!
//! Guarantees: plain data; ids print as the text form reads them.
//! Does not know: policies, rules (only [`Origin`]), registers, or bytecode.

use policyc_base::{Origin, PrimaryMap, entity};

entity!(
    /// A basic block.
    pub struct Block, "b"
);
entity!(
    /// An SSA value: a block parameter or a result of an instruction.
    pub struct Value, "v"
);
entity!(
    /// A stack slot.
    pub struct Slot, "s"
);
entity!(
    /// A map declared by the module.
    pub struct MapRef, "m"
);
entity!(
    /// A function of the module.
    pub struct FuncId, "f"
);

/// Width of an integer, in bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    W8,
    W16,
    W32,
    W64,
}

impl Width {
    /// Size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }

    /// Size in bits.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }
}

/// Byte order of an integer as it stands in a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Order {
    /// The machine's: arithmetic and ordered compares are meaningful.
    Native,
    /// Network order as loaded: only equality, `and`, `or`, `xor` and `swap` are.
    Big,
}

/// The type of a value: what the kernel verifier must know about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Type {
    /// An integer, zero-extended to the register: `u32`, `u16be`.
    Int(Width, Order),
    /// The program's context.
    Ctx,
    /// The address of a place in the context that is found at run time. Nothing can
    /// be loaded from it; helpers that read kernel memory take it.
    CtxPlace,
    /// A pointer into the packet; usable as far as a dominating `guard` reaches;
    /// dead after a helper that moves the packet.
    Pkt,
    /// The map itself, as helpers take it.
    Map(MapRef),
    /// A pointer into a value of a map, not null.
    MapValue(MapRef),
    /// The result of a lookup; only `br_null` can use it.
    MapValueOrNull(MapRef),
    /// A pointer into a stack slot.
    Stack(Slot),
}

impl Type {
    /// `u8`
    pub const U8: Self = Self::Int(Width::W8, Order::Native);
    /// `u16`
    pub const U16: Self = Self::Int(Width::W16, Order::Native);
    /// `u32`
    pub const U32: Self = Self::Int(Width::W32, Order::Native);
    /// `u64`
    pub const U64: Self = Self::Int(Width::W64, Order::Native);
    /// `u16be`
    pub const U16BE: Self = Self::Int(Width::W16, Order::Big);
    /// `u32be`
    pub const U32BE: Self = Self::Int(Width::W32, Order::Big);
    /// `u64be`
    pub const U64BE: Self = Self::Int(Width::W64, Order::Big);

    /// The type of a pointer of this type that is moved by some bytes.
    #[must_use]
    pub const fn moved(self) -> Self {
        match self {
            Self::Ctx => Self::CtxPlace,
            other => other,
        }
    }

    /// Whether it is an integer.
    pub const fn is_int(self) -> bool {
        matches!(self, Self::Int(..))
    }
}

/// Two-operand arithmetic. Both operands and the result have one type; shifts
/// take their distance in the same type and it must be below the width.
/// Division and remainder by zero are 0 and the dividend (RFC 9669, section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the text form's names")]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Shl,
    Lshr,
    Ashr,
}

/// A change of an integer's width or order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CastOp {
    /// To a wider type, upper bits zero. Native order only.
    Zext,
    /// To a narrower type, upper bits dropped. Native order only.
    Trunc,
    /// To the other byte order of the same width.
    Swap,
}

/// A compare. Ordered compares are unsigned unless they say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the text form's names")]
pub enum CmpOp {
    Eq,
    Ne,
    Ult,
    Ule,
    Ugt,
    Uge,
    Slt,
    Sle,
    Sgt,
    Sge,
    /// `(a & b) != 0`
    Set,
}

/// A kernel helper, by its name in `include/uapi/linux/bpf.h` without `bpf_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum Helper {
    MapLookupElem,
    MapUpdateElem,
    MapDeleteElem,
    KtimeGetNs,
    KtimeGetCoarseNs,
    GetPrandomU32,
    GetSmpProcessorId,
    SkbLoadBytes,
    SkbPullData,
    SkbStoreBytes,
    SkbChangeTail,
    SkbAdjustRoom,
    Redirect,
    XdpLoadBytes,
    RingbufOutput,
    GetCurrentPidTgid,
    GetCurrentUidGid,
    GetCurrentComm,
    GetCurrentTask,
    GetCurrentCgroupId,
    ProbeReadKernel,
    ProbeReadKernelStr,
    ProbeReadUser,
    ProbeReadUserStr,
}

/// What an instruction does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// An integer constant of the result's type, as its register bits.
    Const(u64),
    /// Arithmetic.
    Bin(BinOp, Value, Value),
    /// A change of width or order to the result's type.
    Cast(CastOp, Value),
    /// Pointer plus a native integer of bytes; keeps the pointer's type, but that of
    /// the context, which becomes a [`Type::CtxPlace`]. For a
    /// packet pointer the guard does not carry over when the offset is not constant.
    PtrAdd(Value, Value),
    /// The first byte of the packet.
    PktStart(Value),
    /// The address of a stack slot.
    SlotAddr(Slot),
    /// A map, for helpers.
    MapAddr(MapRef),
    /// The address of the only value of a flat map: an array with one entry.
    FlatAddr(MapRef),
    /// Load of the result's type from `base + offset`. From the context, packet,
    /// a map value or a stack slot.
    Load {
        /// Pointer.
        base: Value,
        /// Bytes.
        offset: i32,
    },
    /// Store of an integer to `base + offset`. No result.
    Store {
        /// Pointer.
        base: Value,
        /// Bytes.
        offset: i32,
        /// What is stored, with the width of its type.
        value: Value,
    },
    /// `lock *(base + offset) += value`, 32 or 64 bits, map value or stack. Without a
    /// result, or with what was there before.
    AtomicAdd {
        /// Pointer.
        base: Value,
        /// Bytes.
        offset: i32,
        /// What is added.
        value: Value,
    },
    /// A call of a kernel helper. One result.
    Helper(Helper, Vec<Value>),
    /// A call of a function of the module, with as many results as it returns.
    Call(FuncId, Vec<Value>),
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Inst {
    /// What it does.
    pub op: Op,
    /// What it defines.
    pub results: Vec<Value>,
    /// The rule it was made for.
    pub origin: Option<Origin>,
}

/// Where a terminator goes, and what it hands to the block's parameters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The block.
    pub block: Block,
    /// One value for each of its parameters.
    pub args: Vec<Value>,
}

/// How a block ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Terminator {
    /// Always.
    Jump(Target),
    /// `if a op b`.
    Br {
        /// The compare.
        op: CmpOp,
        /// Left operand.
        a: Value,
        /// Right operand, of the same type.
        b: Value,
        /// On match.
        then: Target,
        /// On miss.
        other: Target,
    },
    /// On the value of an integer; cases are distinct.
    Switch {
        /// What is looked at.
        value: Value,
        /// Register bits and where they lead.
        cases: Vec<(u64, Target)>,
        /// All other values.
        default: Target,
    },
    /// On whether a lookup found something. Among the arguments of `found`, `value`
    /// itself counts as a [`Type::MapValue`].
    BrNull {
        /// The result of a lookup.
        value: Value,
        /// Nothing was found.
        null: Target,
        /// Something was found.
        found: Target,
    },
    /// On whether `len` bytes from `ptr` are inside the packet. In blocks that
    /// `ok` dominates, `ptr` may be loaded from up to `len`.
    Guard {
        /// Packet pointer.
        ptr: Value,
        /// Bytes, a constant.
        len: u32,
        /// They are.
        ok: Target,
        /// They are not.
        short: Target,
    },
    /// Jump to program `index` of a program array; continues at `missed` when the
    /// slot is empty.
    TailCall {
        /// The context.
        ctx: Value,
        /// A program array.
        map: MapRef,
        /// Slot, a constant so that the JIT makes it a direct jump.
        index: u32,
        /// The slot was empty.
        missed: Target,
    },
    /// Return from the function, or from the program with one value.
    Ret(Vec<Value>),
}

/// A terminator with the rule it was made for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct End {
    /// How the block ends.
    pub term: Terminator,
    /// The rule it was made for.
    pub origin: Option<Origin>,
}

/// A basic block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockData {
    /// A name for readers, unique in the function; empty prints as the id.
    pub name: String,
    /// Values handed over by every predecessor.
    pub params: Vec<Value>,
    /// Instructions, in order.
    pub insts: Vec<Inst>,
    /// The end; `None` only while a builder works on the block.
    pub end: Option<End>,
}

/// What is known of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueData {
    /// Its type.
    pub ty: Type,
    /// A name for readers, unique in the function; empty prints as the id.
    pub name: String,
}

/// Bytes on the stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotData {
    /// Bytes.
    pub size: u32,
    /// Power of two, at most 8.
    pub align: u32,
    /// A name for readers, unique in the function; empty prints as the id.
    pub name: String,
}

/// One function. The parameters of the entry block are the function's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Unique in the module.
    pub name: String,
    /// Types of what it returns.
    pub results: Vec<Type>,
    /// Blocks; the entry has no predecessor.
    pub blocks: PrimaryMap<Block, BlockData>,
    /// Order of the blocks in text and code; the entry is first. Blocks not listed
    /// are gone.
    pub layout: Vec<Block>,
    /// Values.
    pub values: PrimaryMap<Value, ValueData>,
    /// Stack slots.
    pub slots: PrimaryMap<Slot, SlotData>,
}

/// How a declared map behaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MapKind {
    /// Array; with one entry it is *flat* and its value can be addressed directly.
    Array,
    /// Array with one value per CPU.
    PercpuArray,
    /// Hash table.
    Hash,
    /// Hash table that evicts the least recently used.
    LruHash,
    /// Longest prefix match.
    LpmTrie,
    /// Targets of tail calls.
    ProgArray,
    /// Ring buffer.
    Ringbuf,
}

/// A map as programs see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapDecl {
    /// Unique in the module.
    pub name: String,
    /// How it behaves.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries; bytes for a ring buffer.
    pub max_entries: u32,
}

/// Functions and the maps they use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Module {
    /// Maps.
    pub maps: PrimaryMap<MapRef, MapDecl>,
    /// Functions.
    pub functions: PrimaryMap<FuncId, Function>,
}

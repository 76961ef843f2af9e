//! Machine instructions over virtual registers, between `select` and `regalloc`.
//!
//! SSA with block parameters, acyclic; the layout is a topological order. An
//! arithmetic names three operands although the machine has two: that the result
//! and the left operand share a register is for `regalloc` to arrange.
//! Does not know: physical registers, spill slots, jump distances.

use policyc_base::{Origin, PrimaryMap, entity};
use policyc_bpf::MapId;
use policyc_bpf::decode::{AluOp, JmpOp, Size, Width};

entity!(
    /// A basic block.
    pub(crate) struct Block, "b"
);
entity!(
    /// A virtual register, defined once.
    pub(crate) struct VReg, "x"
);

/// A value that is made anew wherever it is needed, in one instruction or two,
/// instead of being kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Remat {
    /// A number.
    Const(u64),
    /// An address at this distance from the frame pointer.
    Frame(i16),
    /// A map, for helpers.
    Map(MapId),
    /// The address of a byte in the value of a flat map.
    MapValue(MapId, u32),
    /// A field of the context. Only for fields that no helper changes, and values
    /// whose range nobody relies on: a fresh load has forgotten every compare.
    Field(Size, i16),
}

/// Where a virtual register comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VRegDef {
    /// An instruction or a block parameter.
    Computed,
    /// It is the context, in `r6` throughout.
    Context,
    /// It has no instruction: see [`Remat`].
    Remat(Remat),
}

/// Where a memory access goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The first used register plus this.
    Base(i16),
    /// The frame pointer plus this.
    Frame(i16),
}

/// What an instruction does. `use n` is the n-th of [`Inst::uses`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// `dst = use 0 op use 1`
    Alu(Width, AluOp),
    /// `dst = use 0 op imm`
    AluImm(Width, AluOp, i32),
    /// `dst =` lower half of `use 0`, zero-extended.
    Mov32,
    /// `dst =` bytes of `use 0` swapped, zero-extended.
    Swap(Size),
    /// `dst =` memory.
    Load(Size, Place),
    /// Memory `=` last use.
    Store(Size, Place),
    /// Memory `= imm`
    StoreImm(Size, Place, i32),
    /// Memory `+=` last use, in one step.
    AtomicAdd(Width, Place),
    /// Memory `+=` use 0, in one step; the result is what was there. The last use is
    /// the base, if there is one.
    AtomicFetchAdd(Width, Place),
    /// A helper by number; the uses are its arguments.
    Call(i32),
}

impl Op {
    /// Whether result and `use 0` must share a register.
    pub(crate) const fn is_tied(self) -> bool {
        matches!(self, Self::Alu(..) | Self::AluImm(..) | Self::Swap(_) | Self::AtomicFetchAdd(..))
    }

    /// Whether the two uses may change places.
    pub(crate) const fn is_commutative(self) -> bool {
        matches!(self, Self::Alu(_, AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor))
    }

    /// Whether it must stay although nobody uses its result.
    pub(crate) const fn has_effect(self) -> bool {
        matches!(
            self,
            Self::Store(..)
                | Self::StoreImm(..)
                | Self::AtomicAdd(..)
                | Self::AtomicFetchAdd(..)
                | Self::Call(_)
        )
    }

    /// Whether `r0` to `r5` are lost.
    pub(crate) const fn is_call(self) -> bool {
        matches!(self, Self::Call(_))
    }
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inst {
    pub(crate) op: Op,
    pub(crate) dst: Option<VReg>,
    pub(crate) uses: Vec<VReg>,
    pub(crate) origin: Option<Origin>,
}

/// Where a jump goes, and what it hands to the block's parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) block: Block,
    pub(crate) args: Vec<VReg>,
}

/// Right side of a compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rhs {
    VReg(VReg),
    Imm(i32),
}

/// How a block ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// Always.
    Jump(Target),
    /// To the first target if `lhs op rhs`, else to the second.
    If { width: Width, op: JmpOp, lhs: VReg, rhs: Rhs, targets: [Target; 2] },
    /// Return the value.
    Exit(VReg),
}

impl Term {
    /// Where it can go; an edge is named by its block and its place in here.
    pub(crate) fn targets(&self) -> &[Target] {
        match self {
            Self::Jump(target) => std::slice::from_ref(target),
            Self::If { targets, .. } => targets,
            Self::Exit(_) => &[],
        }
    }

    /// The same, to be changed in place.
    pub(crate) fn targets_mut(&mut self) -> &mut [Target] {
        match self {
            Self::Jump(target) => std::slice::from_mut(target),
            Self::If { targets, .. } => targets,
            Self::Exit(_) => &mut [],
        }
    }

    /// What it reads itself, without what it hands over.
    pub(crate) fn uses(&self) -> impl Iterator<Item = VReg> + use<> {
        let (first, second) = match *self {
            Self::Jump(_) => (None, None),
            Self::If { lhs, rhs: Rhs::VReg(rhs), .. } => (Some(lhs), Some(rhs)),
            Self::If { lhs, rhs: Rhs::Imm(_), .. } => (Some(lhs), None),
            Self::Exit(value) => (Some(value), None),
        };
        first.into_iter().chain(second)
    }
}

/// A basic block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BlockData {
    pub(crate) params: Vec<VReg>,
    pub(crate) insts: Vec<Inst>,
    pub(crate) term: Term,
    /// The rule that the terminator was made for.
    pub(crate) origin: Option<Origin>,
}

/// A function.
#[derive(Clone, Debug)]
pub(crate) struct Mir {
    pub(crate) blocks: PrimaryMap<Block, BlockData>,
    /// Topological order; the entry is first.
    pub(crate) layout: Vec<Block>,
    pub(crate) vregs: PrimaryMap<VReg, VRegDef>,
    /// Bytes below the frame pointer that the function's own slots take; a
    /// multiple of 8.
    pub(crate) frame: u32,
}

impl Mir {
    /// How `value` is made anew, if it can be.
    pub(crate) fn remat(&self, value: VReg) -> Option<Remat> {
        match self.vregs[value] {
            VRegDef::Remat(remat) => Some(remat),
            VRegDef::Computed | VRegDef::Context => None,
        }
    }

    /// Whether `value` is the context.
    pub(crate) fn is_context(&self, value: VReg) -> bool {
        self.vregs[value] == VRegDef::Context
    }
}

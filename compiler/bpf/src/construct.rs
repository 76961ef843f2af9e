//! Readable constructors of slots, for whoever writes programs in Rust.
//!
//! Guarantees: every one is an encoding of an [`Instruction`], so the bits are
//! written down once.

use crate::decode::{
    AluOp, AtomicOp, Callee, Imm64, Instruction, JmpOp, Operand, Size, SwapOp, Width,
};
use crate::{Insn, Reg};

fn one(insn: Instruction) -> Insn {
    insn.encode().first()
}

/// Arithmetic.
impl Insn {
    /// `dst = dst op src` on 64 bits; a constant is sign-extended.
    pub fn alu64(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Self {
        one(Instruction::Alu { width: Width::W64, op, dst, src: src.into() })
    }

    /// `dst = dst op src` on the lower 32 bits; the upper ones become 0.
    pub fn alu32(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Self {
        one(Instruction::Alu { width: Width::W32, op, dst, src: src.into() })
    }

    /// `dst = src`
    pub fn mov64(dst: Reg, src: Reg) -> Self {
        Self::alu64(AluOp::Mov, dst, src)
    }

    /// `dst = imm`, sign-extended to 64 bits.
    pub fn mov64_imm(dst: Reg, imm: i32) -> Self {
        Self::alu64(AluOp::Mov, dst, imm)
    }

    /// The lower 32 bits of `src`, zero-extended.
    pub fn mov32(dst: Reg, src: Reg) -> Self {
        Self::alu32(AluOp::Mov, dst, src)
    }

    /// `dst = imm`, zero-extended to 64 bits.
    pub fn mov32_imm(dst: Reg, imm: i32) -> Self {
        Self::alu32(AluOp::Mov, dst, imm)
    }

    /// The lower `from` of `src`, sign-extended to 64 bits; `from` is below `DW`.
    pub fn movsx64(from: Size, dst: Reg, src: Reg) -> Self {
        one(Instruction::MovSx { width: Width::W64, from, dst, src })
    }

    /// The lower `from` of `src`, sign-extended to 32 bits; `from` is below `W`.
    pub fn movsx32(from: Size, dst: Reg, src: Reg) -> Self {
        one(Instruction::MovSx { width: Width::W32, from, dst, src })
    }

    /// Signed division on 64 bits.
    pub fn sdiv64(dst: Reg, src: impl Into<Operand>) -> Self {
        Self::alu64(AluOp::Sdiv, dst, src)
    }

    /// Signed remainder on 64 bits.
    pub fn smod64(dst: Reg, src: impl Into<Operand>) -> Self {
        Self::alu64(AluOp::Smod, dst, src)
    }

    /// `dst = -dst` on 64 bits.
    pub fn neg64(dst: Reg) -> Self {
        one(Instruction::Neg { width: Width::W64, dst })
    }

    /// `dst = -dst` on 32 bits.
    pub fn neg32(dst: Reg) -> Self {
        one(Instruction::Neg { width: Width::W32, dst })
    }

    /// Between host and big-endian order; `size` is above `B`.
    pub fn to_be(size: Size, dst: Reg) -> Self {
        one(Instruction::Swap { op: SwapOp::ToBe, size, dst })
    }

    /// Between host and little-endian order; `size` is above `B`.
    pub fn to_le(size: Size, dst: Reg) -> Self {
        one(Instruction::Swap { op: SwapOp::ToLe, size, dst })
    }

    /// Swaps bytes on every host; `size` is above `B`. ISA v4.
    pub fn bswap(size: Size, dst: Reg) -> Self {
        one(Instruction::Swap { op: SwapOp::Bswap, size, dst })
    }
}

/// Memory.
impl Insn {
    /// `dst = *(uN *)(base + off)`
    pub fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Self {
        one(Instruction::Load { size, dst, base, off })
    }

    /// `dst = *(sN *)(base + off)`, sign-extended; `size` is below `DW`. ISA v4.
    pub fn ldsx(size: Size, dst: Reg, base: Reg, off: i16) -> Self {
        one(Instruction::LoadSx { size, dst, base, off })
    }

    /// `*(uN *)(base + off) = src`
    pub fn store(size: Size, base: Reg, off: i16, src: Reg) -> Self {
        one(Instruction::Store { size, base, off, src: src.into() })
    }

    /// `*(uN *)(base + off) = imm`, sign-extended.
    pub fn store_imm(size: Size, base: Reg, off: i16, imm: i32) -> Self {
        one(Instruction::Store { size, base, off, src: imm.into() })
    }

    /// A read-modify-write of `*(base + off)`.
    pub fn atomic(width: Width, op: AtomicOp, base: Reg, off: i16, src: Reg) -> Self {
        one(Instruction::Atomic { width, op, base, off, src })
    }

    /// The two slots that load a 64-bit number.
    pub fn lddw(dst: Reg, value: u64) -> [Self; 2] {
        Self::lddw_from(dst, Imm64::Value(value))
    }

    /// The two slots that load whatever `value` names. A map of the object is
    /// `lddw(dst, 0)` with a [`Reloc`](crate::Reloc).
    pub fn lddw_from(dst: Reg, value: Imm64) -> [Self; 2] {
        let slots = Instruction::LoadImm { dst, value }.encode();
        [slots.first(), slots.second().unwrap_or_default()]
    }
}

/// Control flow. Distances count slots from the next instruction.
impl Insn {
    /// `if dst op src goto off`, comparing 64 bits.
    pub fn jump(op: JmpOp, dst: Reg, src: impl Into<Operand>, off: i16) -> Self {
        one(Instruction::If { width: Width::W64, op, dst, src: src.into(), off })
    }

    /// `if dst op src goto off`, comparing the lower 32 bits.
    pub fn jump32(op: JmpOp, dst: Reg, src: impl Into<Operand>, off: i16) -> Self {
        one(Instruction::If { width: Width::W32, op, dst, src: src.into(), off })
    }

    /// `goto off`
    pub fn ja(off: i16) -> Self {
        one(Instruction::Goto { off })
    }

    /// `goto off` with a 32-bit distance. ISA v4.
    pub fn gotol(off: i32) -> Self {
        one(Instruction::Gotol { off })
    }

    /// Calls a helper by its number in `enum bpf_func_id`.
    pub fn call_helper(number: i32) -> Self {
        one(Instruction::Call(Callee::Helper(number)))
    }

    /// Calls a function of the same program.
    pub fn call_local(distance: i32) -> Self {
        one(Instruction::Call(Callee::Local(distance)))
    }

    /// Calls a kernel function by its BTF id; `module` is the index of the
    /// module's BTF in `fd_array`, 0 for the kernel's own.
    pub fn call_kfunc(btf_id: i32, module: i16) -> Self {
        one(Instruction::Call(Callee::Kfunc { btf_id, module }))
    }

    /// Returns from the function.
    pub fn exit() -> Self {
        one(Instruction::Exit)
    }
}

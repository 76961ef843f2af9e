//! Meaning to slots.

use super::bits::{
    LOAD_ACQUIRE, STORE_RELEASE, alu_bits, alu_class, atomic_imm, jmp_bits, jmp_class, size_bits,
};
use super::types::{Callee, Imm64, Instruction, Operand, Size, SwapOp, Width};
use crate::{Insn, Reg, code};

/// The slots of one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slots {
    first: Insn,
    second: Option<Insn>,
}

impl Slots {
    /// The first slot, for most instructions the only one.
    pub const fn first(self) -> Insn {
        self.first
    }

    /// The second slot of `lddw`.
    pub const fn second(self) -> Option<Insn> {
        self.second
    }
}

impl IntoIterator for Slots {
    type Item = Insn;
    type IntoIter = std::iter::Chain<std::iter::Once<Insn>, std::option::IntoIter<Insn>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.second)
    }
}

impl Instruction {
    /// The slots that mean this instruction.
    pub fn encode(&self) -> Slots {
        match *self {
            Self::LoadImm { dst, value } => load_imm(dst, value),
            _ => Slots { first: self.encode_first(), second: None },
        }
    }

    /// The first slot.
    fn encode_first(&self) -> Insn {
        match *self {
            Self::Alu { width, op, dst, src } => {
                let (bits, off) = alu_bits(op);
                with_operand(alu_class(width) | bits, dst, src, off)
            }
            Self::MovSx { width, from, dst, src } => {
                let code = alu_class(width) | code::MOV | code::X;
                slot(code, dst.number(), src.number(), from.bits() as i16, 0)
            }
            Self::Neg { width, dst } => slot(alu_class(width) | code::NEG, dst.number(), 0, 0, 0),
            Self::Swap { op, size, dst } => {
                slot(swap_code(op), dst.number(), 0, 0, size.bits() as i32)
            }
            Self::Goto { off } => slot(code::JMP | code::JA, 0, 0, off, 0),
            Self::Gotol { off } => slot(code::JMP32 | code::JA, 0, 0, 0, off),
            Self::MayGoto { off } => slot(code::JMP | code::JCOND, 0, 0, off, 0),
            Self::If { width, op, dst, src, off } => {
                with_operand(jmp_class(width) | jmp_bits(op), dst, src, off)
            }
            Self::Call(callee) => call(callee),
            Self::Exit => slot(code::JMP | code::EXIT, 0, 0, 0, 0),
            Self::Load { size, dst, base, off } => load(code::MEM, size, dst, base, off),
            Self::LoadSx { size, dst, base, off } => load(code::MEMSX, size, dst, base, off),
            Self::Store { size, base, off, src } => store(size, base, off, src),
            Self::Atomic { width, op, base, off, src } => {
                atomic(width.size(), base, src, off, atomic_imm(op))
            }
            Self::LoadAcquire { size, dst, base, off } => {
                atomic(size, dst, base, off, LOAD_ACQUIRE)
            }
            Self::StoreRelease { size, base, off, src } => {
                atomic(size, base, src, off, STORE_RELEASE)
            }
            Self::LoadImm { dst, value } => load_imm(dst, value).first,
            Self::LoadPacket { size, index, imm } => {
                let (mode, src) = match index {
                    Some(reg) => (code::IND, reg.number()),
                    None => (code::ABS, 0),
                };
                slot(code::LD | mode | size_bits(size), 0, src, 0, imm)
            }
        }
    }
}

const fn slot(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

fn with_operand(code: u8, dst: Reg, src: Operand, off: i16) -> Insn {
    match src {
        Operand::Reg(src) => slot(code | code::X, dst.number(), src.number(), off, 0),
        Operand::Imm(imm) => slot(code | code::K, dst.number(), 0, off, imm),
    }
}

const fn swap_code(op: SwapOp) -> u8 {
    match op {
        SwapOp::ToLe => code::ALU | code::END,
        SwapOp::ToBe => code::ALU | code::END | code::X,
        SwapOp::Bswap => code::ALU64 | code::END,
    }
}

fn call(callee: Callee) -> Insn {
    let code = code::JMP | code::CALL;
    match callee {
        Callee::Helper(number) => slot(code, 0, 0, 0, number),
        Callee::Local(distance) => slot(code, 0, code::PSEUDO_CALL, 0, distance),
        Callee::Kfunc { btf_id, module } => slot(code, 0, code::PSEUDO_KFUNC_CALL, module, btf_id),
    }
}

fn load(mode: u8, size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    slot(code::LDX | mode | size_bits(size), dst.number(), base.number(), off, 0)
}

fn store(size: Size, base: Reg, off: i16, src: Operand) -> Insn {
    let mode = code::MEM | size_bits(size);
    match src {
        Operand::Reg(src) => slot(code::STX | mode, base.number(), src.number(), off, 0),
        Operand::Imm(imm) => slot(code::ST | mode, base.number(), 0, off, imm),
    }
}

fn atomic(size: Size, dst: Reg, src: Reg, off: i16, imm: i32) -> Insn {
    let code = code::STX | code::ATOMIC | size_bits(size);
    slot(code, dst.number(), src.number(), off, imm)
}

fn load_imm(dst: Reg, value: Imm64) -> Slots {
    let (src, low, high) = match value {
        Imm64::Value(v) => (0, v as u32 as i32, (v >> 32) as u32 as i32),
        Imm64::MapFd(fd) => (code::PSEUDO_MAP_FD, fd, 0),
        Imm64::MapFdValue { fd, offset } => (code::PSEUDO_MAP_VALUE, fd, offset as i32),
        Imm64::BtfId { id, module_fd } => (code::PSEUDO_BTF_ID, id, module_fd),
        Imm64::Func(distance) => (code::PSEUDO_FUNC, distance, 0),
        Imm64::MapIdx(idx) => (code::PSEUDO_MAP_IDX, idx, 0),
        Imm64::MapIdxValue { idx, offset } => (code::PSEUDO_MAP_IDX_VALUE, idx, offset as i32),
    };
    Slots {
        first: slot(code::LD | code::IMM | code::DW, dst.number(), src, 0, low),
        second: Some(slot(0, 0, 0, 0, high)),
    }
}

/// Width of a class of arithmetic or jumps.
pub(super) const fn width_of_class(class: u8) -> Width {
    match class {
        code::ALU | code::JMP32 => Width::W32,
        _ => Width::W64,
    }
}

//! The one table between the operations of [`types`](super::types) and their
//! bits, used in both directions.

use super::types::{AluOp, AtomicOp, JmpOp, Size, Width};
use crate::code;

/// Operation bits of an arithmetic, and its `off`: 1 marks the signed variant.
pub(super) const fn alu_bits(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (code::ADD, 0),
        AluOp::Sub => (code::SUB, 0),
        AluOp::Mul => (code::MUL, 0),
        AluOp::Div => (code::DIV, 0),
        AluOp::Sdiv => (code::DIV, 1),
        AluOp::Or => (code::OR, 0),
        AluOp::And => (code::AND, 0),
        AluOp::Lsh => (code::LSH, 0),
        AluOp::Rsh => (code::RSH, 0),
        AluOp::Mod => (code::MOD, 0),
        AluOp::Smod => (code::MOD, 1),
        AluOp::Xor => (code::XOR, 0),
        AluOp::Mov => (code::MOV, 0),
        AluOp::Arsh => (code::ARSH, 0),
    }
}

/// The inverse of [`alu_bits`].
pub(super) fn alu_op(bits: u8, off: i16) -> Option<AluOp> {
    AluOp::ALL.into_iter().find(|op| alu_bits(*op) == (bits, off))
}

/// Operation bits of a compare.
pub(super) const fn jmp_bits(op: JmpOp) -> u8 {
    match op {
        JmpOp::Eq => code::JEQ,
        JmpOp::Gt => code::JGT,
        JmpOp::Ge => code::JGE,
        JmpOp::Set => code::JSET,
        JmpOp::Ne => code::JNE,
        JmpOp::Sgt => code::JSGT,
        JmpOp::Sge => code::JSGE,
        JmpOp::Lt => code::JLT,
        JmpOp::Le => code::JLE,
        JmpOp::Slt => code::JSLT,
        JmpOp::Sle => code::JSLE,
    }
}

/// The inverse of [`jmp_bits`].
pub(super) fn jmp_op(bits: u8) -> Option<JmpOp> {
    JmpOp::ALL.into_iter().find(|op| jmp_bits(*op) == bits)
}

/// `imm` of a load-acquire (`BPF_LOAD_ACQ`).
pub(super) const LOAD_ACQUIRE: i32 = 0x100;
/// `imm` of a store-release (`BPF_STORE_REL`).
pub(super) const STORE_RELEASE: i32 = 0x110;

/// `imm` of an atomic operation.
pub(super) const fn atomic_imm(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add => code::ADD as i32,
        AtomicOp::Or => code::OR as i32,
        AtomicOp::And => code::AND as i32,
        AtomicOp::Xor => code::XOR as i32,
        AtomicOp::FetchAdd => code::ADD as i32 | code::FETCH,
        AtomicOp::FetchOr => code::OR as i32 | code::FETCH,
        AtomicOp::FetchAnd => code::AND as i32 | code::FETCH,
        AtomicOp::FetchXor => code::XOR as i32 | code::FETCH,
        AtomicOp::Xchg => code::XCHG,
        AtomicOp::CmpXchg => code::CMPXCHG,
    }
}

/// The inverse of [`atomic_imm`].
pub(super) fn atomic_op(imm: i32) -> Option<AtomicOp> {
    AtomicOp::ALL.into_iter().find(|op| atomic_imm(*op) == imm)
}

/// Size bits.
pub(super) const fn size_bits(size: Size) -> u8 {
    match size {
        Size::B => code::B,
        Size::H => code::H,
        Size::W => code::W,
        Size::DW => code::DW,
    }
}

/// The size that the code of a load or store names: every pattern is one.
pub(super) const fn size_of(code: u8) -> Size {
    match code & 0x18 {
        code::B => Size::B,
        code::H => Size::H,
        code::DW => Size::DW,
        _ => Size::W,
    }
}

/// Class of arithmetic of a width.
pub(super) const fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => code::ALU,
        Width::W64 => code::ALU64,
    }
}

/// Class of jumps whose compare has a width.
pub(super) const fn jmp_class(width: Width) -> u8 {
    match width {
        Width::W32 => code::JMP32,
        Width::W64 => code::JMP,
    }
}

//! The operators and types of the text, one table for each, used by the printer
//! and the assembler.

use crate::decode::{AluOp, AtomicOp, JmpOp, Size, SwapOp, Width};

/// `+=`; assignments of the signed variants begin with `s`.
pub(crate) const fn alu_op(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::Sdiv => "s/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod => "%=",
        AluOp::Smod => "s%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

/// `s>`
pub(crate) const fn jmp_op(op: JmpOp) -> &'static str {
    match op {
        JmpOp::Eq => "==",
        JmpOp::Gt => ">",
        JmpOp::Ge => ">=",
        JmpOp::Set => "&",
        JmpOp::Ne => "!=",
        JmpOp::Sgt => "s>",
        JmpOp::Sge => "s>=",
        JmpOp::Lt => "<",
        JmpOp::Le => "<=",
        JmpOp::Slt => "s<",
        JmpOp::Sle => "s<=",
    }
}

/// How an atomic operation is written: as an assignment or as a function.
pub(crate) enum AtomicWord {
    /// `lock *p += r1`
    Assign(&'static str),
    /// `r1 = atomic_fetch_add(p, r1)`, with `atomic64_` on 64 bits.
    Function(&'static str),
}

/// The word of an atomic operation.
pub(crate) const fn atomic_op(op: AtomicOp) -> AtomicWord {
    match op {
        AtomicOp::Add => AtomicWord::Assign("+="),
        AtomicOp::Or => AtomicWord::Assign("|="),
        AtomicOp::And => AtomicWord::Assign("&="),
        AtomicOp::Xor => AtomicWord::Assign("^="),
        AtomicOp::FetchAdd => AtomicWord::Function("fetch_add"),
        AtomicOp::FetchOr => AtomicWord::Function("fetch_or"),
        AtomicOp::FetchAnd => AtomicWord::Function("fetch_and"),
        AtomicOp::FetchXor => AtomicWord::Function("fetch_xor"),
        AtomicOp::Xchg => AtomicWord::Function("xchg"),
        AtomicOp::CmpXchg => AtomicWord::Function("cmpxchg"),
    }
}

/// Prefix of the functions of a width.
pub(crate) const fn atomic_prefix(width: Width) -> &'static str {
    match width {
        Width::W32 => "atomic_",
        Width::W64 => "atomic64_",
    }
}

/// `be`, before the number of bits.
pub(crate) const fn swap_op(op: SwapOp) -> &'static str {
    match op {
        SwapOp::ToLe => "le",
        SwapOp::ToBe => "be",
        SwapOp::Bswap => "bswap",
    }
}

/// `u32`
pub(crate) const fn unsigned(size: Size) -> &'static str {
    match size {
        Size::B => "u8",
        Size::H => "u16",
        Size::W => "u32",
        Size::DW => "u64",
    }
}

/// `s32`
pub(crate) const fn signed(size: Size) -> &'static str {
    match size {
        Size::B => "s8",
        Size::H => "s16",
        Size::W => "s32",
        Size::DW => "s64",
    }
}

/// `w` for the lower half of a register.
pub(crate) const fn reg_prefix(width: Width) -> char {
    match width {
        Width::W32 => 'w',
        Width::W64 => 'r',
    }
}

//! Arithmetic, compares and byte swaps on plain numbers.
//!
//! Source: RFC 9669 sections 4.1 to 4.3; division and the like as
//! `kernel/bpf/verifier.c` patches them before any JIT sees them.

use crate::decode::{AluOp, AtomicOp, JmpOp, Size, SwapOp, Width};

/// `a op b`, as the register stands afterwards.
pub(super) fn alu(width: Width, op: AluOp, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, a, b),
        Width::W32 => alu32(op, a as u32, b as u32).into(),
    }
}

fn alu64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
    }
}

fn alu32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a.wrapping_shl(b),
        AluOp::Rsh => a.wrapping_shr(b),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Arsh => (a as i32).wrapping_shr(b) as u32,
    }
}

/// Two's complement on a width.
pub(super) fn neg(width: Width, a: u64) -> u64 {
    match width {
        Width::W64 => a.wrapping_neg(),
        Width::W32 => (a as u32).wrapping_neg().into(),
    }
}

/// The lower `from` of `a`, sign-extended to a width.
pub(super) fn sign_extend(width: Width, from: Size, a: u64) -> u64 {
    let wide = match from {
        Size::B => i64::from(a as i8),
        Size::H => i64::from(a as i16),
        Size::W => i64::from(a as i32),
        Size::DW => a as i64,
    } as u64;
    match width {
        Width::W64 => wide,
        Width::W32 => (wide as u32).into(),
    }
}

/// The lower `size` of `a`, zero-extended.
pub(super) fn truncate(size: Size, a: u64) -> u64 {
    match size {
        Size::B => a & 0xff,
        Size::H => a & 0xffff,
        Size::W => a & 0xffff_ffff,
        Size::DW => a,
    }
}

/// Byte order on a little-endian host.
pub(super) fn swap(op: SwapOp, size: Size, a: u64) -> u64 {
    match (op, size) {
        (SwapOp::ToLe, size) => truncate(size, a),
        (_, Size::B) => truncate(Size::B, a),
        (_, Size::H) => (a as u16).swap_bytes().into(),
        (_, Size::W) => (a as u32).swap_bytes().into(),
        (_, Size::DW) => a.swap_bytes(),
    }
}

/// Whether `a op b`.
pub(super) fn compare(width: Width, op: JmpOp, a: u64, b: u64) -> bool {
    let (a, b) = match width {
        Width::W64 => (a, b),
        Width::W32 => (truncate(Size::W, a), truncate(Size::W, b)),
    };
    let signed = |v| sign_extend(Width::W64, width.size(), v) as i64;
    match op {
        JmpOp::Eq => a == b,
        JmpOp::Ne => a != b,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::Set => a & b != 0,
        JmpOp::Sgt => signed(a) > signed(b),
        JmpOp::Sge => signed(a) >= signed(b),
        JmpOp::Slt => signed(a) < signed(b),
        JmpOp::Sle => signed(a) <= signed(b),
    }
}

/// What an atomic operation leaves in memory that held `old`; `expected` is `r0`.
pub(super) fn atomic(width: Width, op: AtomicOp, old: u64, src: u64, expected: u64) -> u64 {
    let new = match op {
        AtomicOp::Add | AtomicOp::FetchAdd => old.wrapping_add(src),
        AtomicOp::Or | AtomicOp::FetchOr => old | src,
        AtomicOp::And | AtomicOp::FetchAnd => old & src,
        AtomicOp::Xor | AtomicOp::FetchXor => old ^ src,
        AtomicOp::Xchg => src,
        AtomicOp::CmpXchg if old == truncate(width.size(), expected) => src,
        AtomicOp::CmpXchg => old,
    };
    truncate(width.size(), new)
}

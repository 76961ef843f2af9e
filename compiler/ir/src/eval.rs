//! What integer operations give: one truth for interpreter and constant folding.
//!
//! Operands and results are register bits: integers of a width, zero-extended.
//!
//! Source: RFC 9669, sections 4.1 and 4.2.

use crate::types::{BinOp, CastOp, CmpOp, Width};

/// The bits of a width.
pub const fn mask(width: Width) -> u64 {
    u64::MAX >> (64 - width.bits())
}

/// `a op b`; `None` for a shift by the width or more, which BIR does not have.
pub const fn bin(op: BinOp, width: Width, a: u64, b: u64) -> Option<u64> {
    let result = match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Div if b == 0 => 0,
        BinOp::Div => a / b,
        BinOp::Mod if b == 0 => a,
        BinOp::Mod => a % b,
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl | BinOp::Lshr | BinOp::Ashr if b >= width.bits() as u64 => return None,
        BinOp::Shl => a << b,
        BinOp::Lshr => a >> b,
        BinOp::Ashr => (signed(width, a) >> b) as u64,
    };
    Some(result & mask(width))
}

/// A cast from one width to another; `swap` keeps the width.
pub const fn cast(op: CastOp, to: Width, a: u64) -> u64 {
    match op {
        CastOp::Zext => a,
        CastOp::Trunc => a & mask(to),
        CastOp::Swap => a.swap_bytes() >> (64 - to.bits()),
    }
}

/// Whether `a op b` holds.
pub const fn cmp(op: CmpOp, width: Width, a: u64, b: u64) -> bool {
    let (sa, sb) = (signed(width, a), signed(width, b));
    match op {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Ult => a < b,
        CmpOp::Ule => a <= b,
        CmpOp::Ugt => a > b,
        CmpOp::Uge => a >= b,
        CmpOp::Slt => sa < sb,
        CmpOp::Sle => sa <= sb,
        CmpOp::Sgt => sa > sb,
        CmpOp::Sge => sa >= sb,
        CmpOp::Set => a & b != 0,
    }
}

const fn signed(width: Width, a: u64) -> i64 {
    let unused = 64 - width.bits();
    ((a << unused) as i64) >> unused
}

impl CmpOp {
    /// The compare that holds exactly when this one does not; `set` has none.
    pub const fn negated(self) -> Option<Self> {
        Some(match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Ult => Self::Uge,
            Self::Ule => Self::Ugt,
            Self::Ugt => Self::Ule,
            Self::Uge => Self::Ult,
            Self::Slt => Self::Sge,
            Self::Sle => Self::Sgt,
            Self::Sgt => Self::Sle,
            Self::Sge => Self::Slt,
            Self::Set => return None,
        })
    }

    /// The same compare with its operands exchanged.
    #[must_use]
    pub const fn exchanged(self) -> Self {
        match self {
            Self::Ult => Self::Ugt,
            Self::Ule => Self::Uge,
            Self::Ugt => Self::Ult,
            Self::Uge => Self::Ule,
            Self::Slt => Self::Sgt,
            Self::Sle => Self::Sge,
            Self::Sgt => Self::Slt,
            Self::Sge => Self::Sle,
            Self::Eq | Self::Ne | Self::Set => self,
        }
    }
}

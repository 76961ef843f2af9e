//! Ranges of integers, no better than the kernel's oldest verifier knows them.
//!
//! An access that is in bounds by these ranges must be in bounds for the kernel,
//! so they learn less than they could.
//!
//! Source: `adjust_scalar_min_max_vals` and `reg_set_min_max` in
//! `kernel/bpf/verifier.c`.

use crate::eval::mask;
use crate::types::{BinOp, CmpOp, Width};

/// All values from `lo` to `hi`, unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) lo: u64,
    pub(super) hi: u64,
}

impl Range {
    pub(super) const ZERO: Self = Self::exactly(0);

    pub(super) const fn exactly(n: u64) -> Self {
        Self { lo: n, hi: n }
    }

    /// What a load or a cast to this width leaves.
    pub(super) const fn of(width: Width) -> Self {
        Self { lo: 0, hi: mask(width) }
    }

    /// What the kernel knows of a register after an operation that it does not follow:
    /// narrow arithmetic is done in 32 bits.
    const fn unknown(width: Width) -> Self {
        match width {
            Width::W64 => Self::of(Width::W64),
            _ => Self::of(Width::W32),
        }
    }

    pub(super) const fn constant(self) -> Option<u64> {
        if self.lo == self.hi { Some(self.lo) } else { None }
    }

    pub(super) fn hull(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// The sum, or everything if it can wrap.
    pub(super) fn plus(self, other: Self) -> Self {
        match (self.lo.checked_add(other.lo), self.hi.checked_add(other.hi)) {
            (Some(lo), Some(hi)) => Self { lo, hi },
            _ => Self::of(Width::W64),
        }
    }

    /// The part for which `value op n` holds. What contradicts itself is left alone:
    /// the way is never taken.
    pub(super) fn refine(self, op: CmpOp, n: u64) -> Self {
        let Self { lo, hi } = self;
        let (lo, hi) = match op {
            CmpOp::Eq => (n, n),
            CmpOp::Ult => (lo, hi.min(n.saturating_sub(1))),
            CmpOp::Ule => (lo, hi.min(n)),
            CmpOp::Ugt => (lo.max(n.saturating_add(1)), hi),
            CmpOp::Uge => (lo.max(n), hi),
            // KERNEL: 6.1 does not learn from `!= 0` that a value is at least 1.
            CmpOp::Ne | CmpOp::Slt | CmpOp::Sle | CmpOp::Sgt | CmpOp::Sge | CmpOp::Set => (lo, hi),
        };
        if lo <= hi { Self { lo, hi } } else { self }
    }
}

/// The range of `a op b` at a width.
pub(super) fn bin(op: BinOp, width: Width, a: Range, b: Range) -> Range {
    let fits = |lo: Option<u64>, hi: Option<u64>| match (lo, hi) {
        (Some(lo), Some(hi)) if hi <= mask(width) => Some(Range { lo, hi }),
        _ => None,
    };
    let distance = b.constant().filter(|n| *n < width.bits().into());
    let known = match (op, distance) {
        (BinOp::Add, _) => fits(a.lo.checked_add(b.lo), a.hi.checked_add(b.hi)),
        (BinOp::Sub, _) => fits(a.lo.checked_sub(b.hi), a.hi.checked_sub(b.lo)),
        (BinOp::Mul, _) if a.hi <= u32::MAX.into() && b.hi <= u32::MAX.into() => {
            fits(a.lo.checked_mul(b.lo), a.hi.checked_mul(b.hi))
        }
        (BinOp::And, _) => Some(Range { lo: 0, hi: a.hi.min(b.hi) }),
        (BinOp::Shl, Some(n)) if a.hi <= mask(width) >> n => {
            Some(Range { lo: a.lo << n, hi: a.hi << n })
        }
        (BinOp::Lshr, Some(n)) => Some(Range { lo: a.lo >> n, hi: a.hi >> n }),
        // KERNEL: 6.1 knows nothing after a 32-bit `or`; no version after div and mod.
        _ => None,
    };
    let wraps = matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Shl);
    // What can wrap is masked to its width by the code; other results need no mask.
    known.unwrap_or(if wraps { Range::of(width) } else { Range::unknown(width) })
}

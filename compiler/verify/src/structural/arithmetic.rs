//! Arithmetic on bounds.
//!
//! Guarantees: the bounds of the result hold for every pair of numbers in the
//! bounds of the operands. Where the kernel of 6.1 forgets, so does this.
//!
//! Source: `kernel/bpf/verifier.c`: `adjust_scalar_min_max_vals`.

use policyc_bpf::AluOp;

use super::value::Range;

/// Bounds of `a op b`, on 64 bits or on the lower 32.
pub(crate) fn arithmetic(wide: bool, op: AluOp, a: Range, b: Range) -> Range {
    let limit = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let exact = |range: Option<Range>| match range {
        Some(range) if range.max <= limit => range,
        _ => Range::up_to(limit),
    };
    // A 32-bit operation sees the lower half; of a larger number that may be anything.
    let lower = |range: Range| if range.max <= limit { range } else { Range::up_to(limit) };
    let (a, b) = (lower(a), lower(b));
    let between = |min: Option<u64>, max: Option<u64>, zeros: u32| {
        Some(Range { min: min?, max: max?, zeros })
    };
    let right =
        |by: u32| Range { min: a.min >> by, max: a.max >> by, zeros: a.zeros.saturating_sub(by) };
    let common = a.zeros.min(b.zeros);
    match op {
        AluOp::Add => exact(between(a.min.checked_add(b.min), a.max.checked_add(b.max), common)),
        AluOp::Sub => exact(between(a.min.checked_sub(b.max), a.max.checked_sub(b.min), common)),
        AluOp::Mul => exact(between(
            a.min.checked_mul(b.min),
            a.max.checked_mul(b.max),
            (a.zeros + b.zeros).min(64),
        )),
        AluOp::And => match (a.constant(), b.constant()) {
            (Some(a), Some(b)) => Range::exactly(a & b),
            _ => Range { zeros: a.zeros.max(b.zeros), ..Range::up_to(a.max.min(b.max)) },
        },
        AluOp::Or | AluOp::Xor => or_xor(wide, op, a, b),
        AluOp::Lsh => shift(b, wide, |by| left(a, by, limit)),
        AluOp::Rsh => shift(b, wide, |by| Some(right(by))),
        AluOp::Arsh if a.max <= limit >> 1 => shift(b, wide, |by| Some(right(by))),
        // The kernel of 6.1 knows nothing after these, not even their width.
        _ => Range::ANY,
    }
}

fn or_xor(wide: bool, op: AluOp, a: Range, b: Range) -> Range {
    match (a.constant(), b.constant()) {
        (Some(a), Some(b)) if op == AluOp::Or => Range::exactly(a | b),
        (Some(a), Some(b)) => Range::exactly(a ^ b),
        // KERNEL: 6.1 loses the bounds of a 32-bit `or`.
        _ if !wide => Range::of_bytes(4),
        _ => Range::up_to((a.max | b.max).checked_add(1).map_or(u64::MAX, |above| {
            above.checked_next_power_of_two().map_or(u64::MAX, |power| power - 1)
        })),
    }
}

/// A shift by a constant smaller than the width; by anything else, all is lost.
fn shift(by: Range, wide: bool, f: impl Fn(u32) -> Option<Range>) -> Range {
    let width = if wide { 64 } else { 32 };
    by.constant().filter(|&by| by < width).and_then(|by| f(by as u32)).unwrap_or(Range::ANY)
}

fn left(a: Range, by: u32, limit: u64) -> Option<Range> {
    let zeros = (a.zeros + by).min(64);
    let fits = a.max <= limit >> by;
    Some(if fits {
        Range { min: a.min << by, max: a.max << by, zeros }
    } else {
        Range { zeros, ..Range::up_to(limit) }
    })
}

//! Tests of event fields, as BIR.
//!
//! Integers are asked by a balanced tree of compares, texts by 64-bit words: the
//! bytes of a value, masked at its end, against the bytes that were read. A text
//! carries the result of its read in front: its length with the NUL, or a negative
//! number.

use policyc_decision::tracing::EventTest;
use policyc_ir::{BinOp, Block, CmpOp, FunctionBuilder, Type, Value};
use policyc_policy::tracing::{IntRange, Test, TextOp};
use policyc_target::IntType;

use super::record::TEXT_READ;

/// Where a test leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    /// It holds.
    pub(super) yes: Block,
    /// It does not.
    pub(super) no: Block,
}

/// An integer of the context at `offset`, sign- or zero-extended to `u64`.
pub(super) fn load_int(b: &mut FunctionBuilder, ctx: Value, offset: u32, ty: IntType) -> Value {
    let narrow = match ty.bytes {
        1 => Type::U8,
        2 => Type::U16,
        4 => Type::U32,
        _ => Type::U64,
    };
    let value = b.load(narrow, ctx, offset as i32);
    if narrow == Type::U64 {
        return value;
    }
    let value = b.zext(Type::U64, value);
    if !ty.signed {
        return value;
    }
    let unused = u64::from(64 - ty.bits());
    let value = b.bin_const(BinOp::Shl, value, unused);
    b.bin_const(BinOp::Ashr, value, unused)
}

/// A test of an integer that is at hand as `u64`.
pub(super) fn int(b: &mut FunctionBuilder, value: Value, test: &EventTest, ways: Ways) {
    match &test.test {
        Test::InRanges(ranges) => {
            let signed = ranges.first().is_some_and(|r| r.first < 0);
            in_ranges(b, value, signed, ranges, ways);
        }
        Test::HasBits(masks) => {
            let any = masks.iter().fold(0, |any, mask| any | mask);
            b.br_const(CmpOp::Set, value, any, ways.yes, ways.no);
        }
        // INVARIANT: the checker of policies asks texts of texts only.
        Test::Text { .. } => b.jump(ways.no),
    }
}

/// Ranges are ascending and apart, so one compare halves them. Where one is below
/// zero the order is that of signed numbers, otherwise both orders agree on every
/// value that can be in a range.
fn in_ranges(b: &mut FunctionBuilder, value: Value, signed: bool, ranges: &[IntRange], ways: Ways) {
    let (below, at_most) = if signed { (CmpOp::Slt, CmpOp::Sle) } else { (CmpOp::Ult, CmpOp::Ule) };
    match ranges {
        [] => b.jump(ways.no),
        [range] if range.first == range.last => {
            b.br_const(CmpOp::Eq, value, range.first as u64, ways.yes, ways.no);
        }
        [range] => {
            let above = b.block("above");
            b.br_const(below, value, range.first as u64, ways.no, above);
            b.switch_to(above);
            b.br_const(at_most, value, range.last as u64, ways.yes, ways.no);
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (left, right) = (b.block("left"), b.block("right"));
            b.br_const(below, value, high[0].first as u64, left, right);
            b.switch_to(left);
            in_ranges(b, value, signed, low, ways);
            b.switch_to(right);
            in_ranges(b, value, signed, high, ways);
        }
    }
}

/// A test of the text whose read result lies at `record + at`.
pub(super) fn text(b: &mut FunctionBuilder, record: Value, at: i32, test: &EventTest, ways: Ways) {
    // INVARIANT: the checker of policies asks integers of integers only.
    let Test::Text { op, values } = &test.test else { return b.jump(ways.no) };
    let doubt = if test.doubt { ways.yes } else { ways.no };
    let length = b.load(Type::U64, record, at);
    let readable = b.block("readable");
    b.br_const(CmpOp::Slt, length, 1, doubt, readable);
    b.switch_to(readable);
    let bytes = (record, at + 8);
    match op {
        TextOp::Equal => chain(b, values, ways, |b, value, ways| {
            equal(b, bytes, &with_nul(value), ways);
        }),
        TextOp::Prefix => chain(b, values, ways, |b, value, ways| equal(b, bytes, value, ways)),
        TextOp::Postfix => {
            let whole = b.block("whole");
            b.br_const(CmpOp::Uge, length, u64::from(TEXT_READ), doubt, whole);
            b.switch_to(whole);
            chain(b, values, ways, |b, value, ways| {
                ends_with(b, bytes, length, value, ways);
            });
        }
    }
}

/// Asks for one value after the other.
fn chain(
    b: &mut FunctionBuilder,
    values: &[Vec<u8>],
    ways: Ways,
    ask: impl Fn(&mut FunctionBuilder, &[u8], Ways),
) {
    let Some((last, others)) = values.split_last() else { return b.jump(ways.no) };
    for value in others {
        let next = b.block("next_value");
        ask(b, value, Ways { no: next, ..ways });
        b.switch_to(next);
    }
    ask(b, last, ways);
}

/// With its NUL a value can only be the whole text.
fn with_nul(value: &[u8]) -> Vec<u8> {
    value.iter().copied().chain([0]).collect()
}

/// Whether the bytes at `base + offset` begin with `value`.
fn equal(b: &mut FunctionBuilder, bytes: (Value, i32), value: &[u8], ways: Ways) {
    let (base, offset) = bytes;
    let mut difference = None;
    for (i, chunk) in value.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let read = b.load(Type::U64, base, offset + 8 * i as i32);
        let mut differs = b.bin_const(BinOp::Xor, read, u64::from_le_bytes(word));
        if chunk.len() < 8 {
            // The bytes behind the value are the upper ones of the word.
            differs = b.bin_const(BinOp::Shl, differs, 64 - 8 * chunk.len() as u64);
        }
        difference = Some(difference.map_or(differs, |d| b.bin(BinOp::Or, d, differs)));
    }
    match difference {
        // Every text begins with nothing.
        None => b.jump(ways.yes),
        Some(difference) => b.br_const(CmpOp::Eq, difference, 0, ways.yes, ways.no),
    }
}

/// Whether the text of `length` bytes with its NUL ends with `value`.
fn ends_with(
    b: &mut FunctionBuilder,
    bytes: (Value, i32),
    length: Value,
    value: &[u8],
    ways: Ways,
) {
    let wanted = with_nul(value);
    let long_enough = b.block("long_enough");
    b.br_const(CmpOp::Ult, length, wanted.len() as u64, ways.no, long_enough);
    b.switch_to(long_enough);
    let start = b.bin_const(BinOp::Sub, length, wanted.len() as u64);
    let start = b.bin_const(BinOp::And, start, u64::from(TEXT_READ) - 1);
    let base = b.ptr_add(bytes.0, start);
    equal(b, (base, bytes.1), &wanted, ways);
}

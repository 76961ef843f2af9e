//! Lookups in flat tables, as branch-free BIR.
//!
//! The size of a table is known when the code is made, so a search is unrolled:
//! one load a step, no branch that could be mispredicted (a mispredicted branch
//! costs as much as ten loads), and offsets whose bounds the verifier sees from
//! the shifts alone.

use policyc_decision::intervals::Family;
use policyc_ir::{BinOp, FunctionBuilder, MapRef, Type, Value};

use super::layout;

/// A key of an interval table: the address as native integers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// `u64` below 2^32.
    V4(Value),
    /// High and low `u64`.
    V6(Value, Value),
}

/// The class (`u64`) of an address in an interval table of `size` entries, a
/// power of two.
pub(super) fn interval_class(
    b: &mut FunctionBuilder,
    table: MapRef,
    size: usize,
    key: Key,
) -> Value {
    let family = match key {
        Key::V4(_) => Family::V4,
        Key::V6(..) => Family::V6,
    };
    let stride = layout::interval_stride(family);
    let mut at = b.flat_addr(table);
    let mut step = size as u32 / 2;
    while step > 0 {
        let offset = (step * stride) as i32;
        let above = match key {
            Key::V4(key) => above4(b, at, offset, key),
            Key::V6(hi, lo) => above6(b, at, offset, (hi, lo)),
        };
        let bytes = b.bin_const(BinOp::Shl, above, u64::from((step * stride).trailing_zeros()));
        at = b.ptr_add(at, bytes);
        step /= 2;
    }
    let class = b.load(Type::U32, at, layout::class_offset(family));
    b.zext(Type::U64, class)
}

/// 1 if the key is above the address at `at + offset`, else 0: the sign of the
/// difference, which fits because both are below 2^32.
fn above4(b: &mut FunctionBuilder, at: Value, offset: i32, key: Value) -> Value {
    let before = b.load(Type::U32, at, offset);
    let before = b.zext(Type::U64, before);
    let difference = b.bin(BinOp::Sub, before, key);
    b.bin_const(BinOp::Lshr, difference, 63)
}

/// 1 if the key is above the address at `at + offset`, else 0: the borrow of a
/// 128-bit subtraction, low words first.
fn above6(b: &mut FunctionBuilder, at: Value, offset: i32, key: (Value, Value)) -> Value {
    let high = b.load(Type::U64, at, offset);
    let low = b.load(Type::U64, at, offset + 8);
    let zero = b.const_u64(0);
    let borrow = borrow(b, low, key.1, zero);
    self::borrow(b, high, key.0, borrow)
}

/// The borrow of `x - y - carry` on 64 bits (Warren, Hacker's Delight, 2-13).
fn borrow(b: &mut FunctionBuilder, x: Value, y: Value, carry: Value) -> Value {
    let difference = b.bin(BinOp::Sub, x, y);
    let difference = b.bin(BinOp::Sub, difference, carry);
    let not_x = b.bin_const(BinOp::Xor, x, u64::MAX);
    let both = b.bin(BinOp::And, not_x, y);
    let either = b.bin(BinOp::Or, not_x, y);
    let masked = b.bin(BinOp::And, either, difference);
    let sign = b.bin(BinOp::Or, both, masked);
    b.bin_const(BinOp::Lshr, sign, 63)
}

/// The class (`u64`) of a protocol (`u8`) and a port (`u16`) in a ports table
/// with `classes` classes, a power of two.
pub(super) fn port_class(
    b: &mut FunctionBuilder,
    table: MapRef,
    classes: usize,
    protocol: Value,
    port: Value,
) -> Value {
    let base = b.flat_addr(table);
    let protocol = b.zext(Type::U64, protocol);
    let offset = b.bin_const(BinOp::Shl, protocol, u64::from(layout::SLICE.trailing_zeros()));
    let slice = b.ptr_add(base, offset);
    let first = b.load(Type::U32, slice, 0);
    let mask = b.load(Type::U32, slice, 4);
    let port = b.zext(Type::U32, port);
    let port = b.bin(BinOp::And, port, mask);
    let index = b.bin(BinOp::Add, first, port);
    let index = b.zext(Type::U64, index);
    let at = element(b, base, index, classes, 2);
    let class = b.load(Type::U16, at, layout::PORT_CLASSES as i32);
    b.zext(Type::U64, class)
}

/// The address of element `index` (`u64`) of an array of `count` elements of
/// `bytes` each, both powers of two. The mask keeps what the verifier cannot know
/// to be small inside the array.
pub(super) fn element(
    b: &mut FunctionBuilder,
    base: Value,
    index: Value,
    count: usize,
    bytes: u32,
) -> Value {
    let index = b.bin_const(BinOp::And, index, count as u64 - 1);
    let offset = b.bin_const(BinOp::Shl, index, u64::from(bytes.trailing_zeros()));
    b.ptr_add(base, offset)
}

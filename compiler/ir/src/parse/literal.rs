//! Numbers of the text form.

use std::net::Ipv4Addr;

use crate::eval::mask;
use crate::types::{Order, Type, Width};

/// An unsigned number, decimal or hexadecimal; `None` above 64 bits.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The integer type of a word; `u64` for what the grammar does not let through.
pub(super) fn int_type(word: &str) -> Type {
    let (digits, order) = match word.strip_suffix("be") {
        Some(digits) => (digits, Order::Big),
        None => (word, Order::Native),
    };
    let width = match digits {
        "u8" => Width::W8,
        "u16" => Width::W16,
        "u32" => Width::W32,
        _ => Width::W64,
    };
    Type::Int(width, order)
}

/// The register bits of a literal of an integer type; `None` if it does not fit
/// or the type is no integer. Negative numbers are two's complement.
pub fn bits(text: &str, ty: Type) -> Option<u64> {
    let Type::Int(width, order) = ty else { return None };
    let value = if let Some(positive) = text.strip_prefix('-') {
        negative(number(positive)?, width)?
    } else if text.contains('.') {
        u32::from(text.parse::<Ipv4Addr>().ok()?).into()
    } else {
        number(text)?
    };
    if value > mask(width) {
        return None;
    }
    Some(match (order, width) {
        (Order::Native, _) | (_, Width::W8) => value,
        (Order::Big, Width::W16) => (value as u16).swap_bytes().into(),
        (Order::Big, Width::W32) => (value as u32).swap_bytes().into(),
        (Order::Big, Width::W64) => value.swap_bytes(),
    })
}

fn negative(magnitude: u64, width: Width) -> Option<u64> {
    let limit = 1 << (width.bits() - 1);
    (magnitude <= limit).then(|| magnitude.wrapping_neg() & mask(width))
}

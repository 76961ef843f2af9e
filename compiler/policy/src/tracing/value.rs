//! Values of filters: integers of a type, and texts.

use policyc_base::{Code, Diagnostic, Spanned};
use policyc_target::IntType;

use super::codes;
use super::types::{IntRange, LONGEST_TEXT};
use crate::yaml::shorten;

type Finding = Box<Diagnostic>;

fn finding(code: Code, text: &Spanned<String>, message: String) -> Finding {
    Box::new(Diagnostic::error(code, text.span, message))
}

/// An integer: decimal, `0x`, `0b`, or octal with `0o` or a leading `0`, with a sign.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // A second sign would be taken by the number's own parser.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

fn parse(text: &Spanned<String>, part: &str) -> Result<i128, Finding> {
    integer(part).ok_or_else(|| {
        let message = format!("`{}` is not an integer", shorten(part));
        finding(codes::VALUE, text, message)
    })
}

fn within(text: &Spanned<String>, value: i128, ty: IntType) -> Result<i128, Finding> {
    let (first, last) = (ty.min(), ty.max());
    if (first..=last).contains(&value) {
        return Ok(value);
    }
    let message = format!("{value} is out of range: {ty} holds {first} to {last}");
    let mut found = finding(codes::VALUE_RANGE, text, message);
    let wrapped = ty.wrap(value);
    if ty.signed && value > last && value < 1i128 << ty.bits() {
        found = Box::new(found.with_help(format!("write `{wrapped}` for these bits")));
    }
    Err(found)
}

/// One integer of a type.
pub(super) fn int(text: &Spanned<String>, ty: IntType) -> Result<i128, Finding> {
    within(text, parse(text, &text.value)?, ty)
}

/// `first:last`, both included.
pub(super) fn range(text: &Spanned<String>, ty: IntType) -> Result<IntRange, Finding> {
    let Some((first, last)) = text.value.split_once(':') else {
        let message = format!("`{}` is not a range", shorten(&text.value));
        let found = finding(codes::VALUE, text, message);
        return Err(Box::new(found.with_help("write `first:last`, both included")));
    };
    let first = within(text, parse(text, first)?, ty)?;
    let last = within(text, parse(text, last)?, ty)?;
    if first > last {
        let message = format!("the range `{}` ends before it begins", shorten(&text.value));
        let help = format!("write `{last}:{first}`");
        return Err(Box::new(finding(codes::VALUE, text, message).with_help(help)));
    }
    Ok(IntRange { first, last })
}

/// Bits of a type: any number that fits its width, with or without a sign.
pub(super) fn mask(text: &Spanned<String>, ty: IntType) -> Result<u64, Finding> {
    let unsigned = IntType::unsigned(ty.bytes);
    let value = parse(text, &text.value)?;
    if value < 0 {
        within(text, value, ty)?;
    } else {
        within(text, value, unsigned)?;
    }
    if value == 0 {
        let found = finding(codes::FILTER_CONSTANT, text, "a mask of 0 never matches".to_owned());
        return Err(Box::new(found.with_help("leave it out")));
    }
    // INVARIANT: wrapped into at most 64 unsigned bits.
    Ok(unsigned.wrap(value) as u64)
}

/// A text without its final NUL, which some write as `\0` to say "to the end".
pub(super) fn bytes(text: &Spanned<String>) -> Result<Vec<u8>, Finding> {
    let mut value = text.value.as_str();
    while let Some(rest) = value.strip_suffix('\0').or_else(|| value.strip_suffix("\\0")) {
        value = rest;
    }
    if value.contains('\0') {
        let message = "the value has a NUL inside, where every text ends".to_owned();
        return Err(finding(codes::VALUE, text, message));
    }
    if value.len() > LONGEST_TEXT {
        let message = format!(
            "the value has {} bytes, and only texts of at most {LONGEST_TEXT} are read whole",
            value.len()
        );
        return Err(finding(codes::VALUE_LENGTH, text, message));
    }
    Ok(value.as_bytes().to_vec())
}

/// The same numbers as ranges that ascend and do not touch.
pub(super) fn normalise(mut ranges: Vec<IntRange>) -> Vec<IntRange> {
    ranges.sort_unstable();
    let mut apart: Vec<IntRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(before) if range.first <= before.last + 1 => {
                before.last = before.last.max(range.last)
            }
            _ => apart.push(range),
        }
    }
    apart
}

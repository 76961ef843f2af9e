//! Numbers, registers, names and strings.

use pest::iterators::{Pair, Pairs};
use policyc_base::{EntityId, Origin};
use policyc_grammar::asm::Rule;

use super::{Result, error};
use crate::Reg;
use crate::decode::{Size, Width};

/// The next part of a rule.
///
/// # Errors
/// Never, if the grammar says that there is one.
pub(super) fn next<'a>(parts: &mut Pairs<'a, Rule>, of: &Pair<'_, Rule>) -> Result<Pair<'a, Rule>> {
    parts.next().ok_or_else(|| error(of, "something is missing"))
}

/// The only part of a rule.
pub(super) fn only<'a>(pair: &Pair<'a, Rule>) -> Result<Pair<'a, Rule>> {
    next(&mut pair.clone().into_inner(), pair)
}

/// A number without sign, decimal or `0x`.
pub(super) fn number(pair: &Pair<'_, Rule>) -> Result<u64> {
    magnitude(pair.as_str()).ok_or_else(|| error(pair, "the number needs more than 64 bits"))
}

/// A number of at most 32 bits without sign.
pub(super) fn number32(pair: &Pair<'_, Rule>) -> Result<u32> {
    let value = magnitude(pair.as_str()).and_then(|n| u32::try_from(n).ok());
    value.ok_or_else(|| error(pair, "the number needs more than 32 bits"))
}

/// An immediate: decimal by value, `0x` by its 32 bits.
pub(super) fn imm(pair: &Pair<'_, Rule>) -> Result<i32> {
    let text = pair.as_str();
    let value = match text.strip_prefix('-') {
        Some(rest) => magnitude(rest).and_then(|n| 0i64.checked_sub_unsigned(n)),
        None if text.starts_with("0x") => {
            magnitude(text).and_then(|n| u32::try_from(n).ok()).map(|n| i64::from(n as i32))
        }
        None => magnitude(text).and_then(|n| i64::try_from(n).ok()),
    };
    let value = value.and_then(|v| i32::try_from(v).ok());
    value.ok_or_else(|| error(pair, format!("`{text}` does not fit into 32 bits")))
}

fn magnitude(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `+8` or `-8`.
pub(super) fn offset(pair: &Pair<'_, Rule>) -> Result<i16> {
    pair.as_str().parse().map_err(|_| error(pair, "the offset needs more than 16 bits"))
}

/// `!3`
pub(super) fn origin(pair: &Pair<'_, Rule>) -> Result<Origin> {
    let index = pair.as_str().trim_start_matches('!').parse::<u32>();
    let index = index.map_err(|_| error(pair, "the origin needs more than 32 bits"))?;
    Ok(Origin::from_index(index as usize))
}

/// A register that is written as `r`.
pub(super) fn reg(pair: &Pair<'_, Rule>) -> Result<Reg> {
    match any_reg(pair)? {
        (Width::W64, reg) => Ok(reg),
        (Width::W32, reg) => Err(error(pair, format!("write `{reg}`: all of it is meant"))),
    }
}

/// A register and the part of it that is meant: `r1` or `w1`.
pub(super) fn any_reg(pair: &Pair<'_, Rule>) -> Result<(Width, Reg)> {
    let text = pair.as_str();
    let width = if text.starts_with('w') { Width::W32 } else { Width::W64 };
    let number = text.get(1..).and_then(|n| n.parse().ok()).and_then(Reg::new);
    let number = number.ok_or_else(|| error(pair, format!("there is no register `{text}`")))?;
    Ok((width, number))
}

/// `u32` or `s32`: the size, and whether it is signed.
pub(super) fn mem_type(pair: &Pair<'_, Rule>) -> Result<(Size, bool)> {
    let text = pair.as_str();
    let bits = text.get(1..).and_then(|n| n.parse::<u32>().ok()).unwrap_or_default();
    let size = Size::from_bytes(bits / 8).ok_or_else(|| error(pair, "unknown type"))?;
    Ok((size, text.starts_with('s')))
}

/// A name, quoted or not.
pub(super) fn name(pair: &Pair<'_, Rule>) -> Result<String> {
    let inner = only(pair)?;
    match inner.as_rule() {
        Rule::string => string(&inner),
        _ => Ok(inner.as_str().into()),
    }
}

/// A quoted string, escapes resolved.
pub(super) fn string(pair: &Pair<'_, Rule>) -> Result<String> {
    let quoted = only(pair)?;
    let mut out = String::new();
    let mut rest = quoted.as_str();
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (c, len) = escape(after).ok_or_else(|| error(pair, "unknown escape"))?;
        out.push(c);
        rest = after.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

/// The character behind a backslash and how many bytes name it.
fn escape(text: &str) -> Option<(char, usize)> {
    match text.chars().next()? {
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        'u' => {
            let (hex, _) = text.strip_prefix("u{")?.split_once('}')?;
            let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
            Some((c, hex.len() + 3))
        }
        c @ ('"' | '\\') => Some((c, 1)),
        _ => None,
    }
}

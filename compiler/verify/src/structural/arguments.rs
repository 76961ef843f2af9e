//! Whether the arguments of a helper are what it takes.
//!
//! Guarantees: stricter than the kernel.
//!
//! Source: `kernel/bpf/verifier.c`: `check_func_arg`, `check_helper_mem_access`,
//! `check_stack_range_initialized`.

use policyc_bpf::{MapSpec, Reg};

use super::Env;
use super::helpers::{Arg, Helper};
use super::holds::{MAX_ADDED, ensure, in_packet, in_region};
use super::state::{STACK_BYTES, State};
use super::transfer::next;
use super::value::{Range, Value};

/// Whether the argument in `position` (from 1) is of the kind the helper takes.
pub(crate) fn argument(
    state: &State,
    env: &Env<'_>,
    helper: &Helper,
    position: u8,
) -> Result<(), String> {
    let index = usize::from(position) - 1;
    let (Some(arg), Some(reg)) = (helper.args.get(index), Reg::new(position)) else {
        return Err(format!("`{}` has no argument {position}", helper.name));
    };
    let value = state.reg(reg).ok_or_else(|| format!("{reg} holds nothing"))?;
    let wrong = || format!("argument {position} of `{}` is {}", helper.name, value.describe());
    match (*arg, value) {
        (Arg::Ctx, Value::Context) => Ok(()),
        (Arg::Number, Value::Number { .. }) | (Arg::Unsafe, _) => Ok(()),
        (Arg::Map(kinds), Value::Map(map)) => {
            let fits = env.object.maps.get(map).is_some_and(|map| kinds.contains(&map.kind));
            ensure(fits, || format!("`{}` does not take this kind of map", helper.name))
        }
        (Arg::MapKey, value) => {
            let size = map_size(state, env, |map| map.key_size)?;
            memory(state, helper, value, Range::exactly(size), false)
        }
        (Arg::MapValue, value) => {
            let size = map_size(state, env, |map| map.value_size)?;
            memory(state, helper, value, Range::exactly(size), false)
        }
        (Arg::MemOrNull, Value::Number { range, .. }) if range == Range::exactly(0) => Ok(()),
        (Arg::Mem | Arg::MemOrNull, value) => {
            memory(state, helper, value, length(state, reg)?, false)
        }
        (Arg::MemOut, value) => memory(state, helper, value, length(state, reg)?, true),
        (Arg::Size, Value::Number { range, .. }) => {
            ensure(range.min > 0 && range.max <= MAX_ADDED as u64, wrong)
        }
        (Arg::SizeOrZero, Value::Number { range, .. }) => {
            ensure(range.max <= MAX_ADDED as u64, wrong)
        }
        (Arg::AllocSize, Value::Number { range, .. }) => {
            let constant = range.constant().ok_or_else(wrong)?;
            ensure((1..=MAX_ADDED as u64).contains(&constant), wrong)
        }
        (Arg::Reserved, Value::Region(region)) => {
            let whole = region.reserved.is_some() && (region.lo, region.hi) == (0, 0);
            ensure(whole && !region.nullable, wrong)
        }
        _ => Err(wrong()),
    }
}

/// A size of the map in R1.
fn map_size(state: &State, env: &Env<'_>, size: impl Fn(&MapSpec) -> u32) -> Result<u64, String> {
    match state.reg(Reg::R1) {
        Some(Value::Map(map)) => env
            .object
            .maps
            .get(map)
            .map(|map| size(map).into())
            .ok_or_else(|| format!("there is no {map}")),
        _ => Err("r1 is no map".into()),
    }
}

/// The length that follows the address in `reg`.
fn length(state: &State, reg: Reg) -> Result<Range, String> {
    match next(reg).and_then(|next| state.reg(next)) {
        Some(Value::Number { range, .. }) if range.max <= MAX_ADDED as u64 => Ok(range),
        _ => Err(format!("the length of the memory at {reg} is not bounded")),
    }
}

/// Whether a helper may use `length` bytes at an address.
fn memory(
    state: &State,
    helper: &Helper,
    address: Value,
    length: Range,
    out: bool,
) -> Result<(), String> {
    let bytes = i64::try_from(length.max).unwrap_or(i64::MAX);
    match address {
        Value::Stack { off } => {
            ensure(off >= -STACK_BYTES && off.saturating_add(bytes) <= 0, || {
                format!("{bytes} bytes at r10{off:+}, outside the stack")
            })?;
            if out && length.constant().is_some() {
                return Ok(());
            }
            ensure(state.spilled_address(off, bytes).is_none(), || {
                "an address on the stack is passed as data".into()
            })?;
            match state.first_unwritten(off, bytes) {
                None => Ok(()),
                Some(byte) => {
                    Err(format!("the stack byte at r10{byte:+} was not written on every path"))
                }
            }
        }
        Value::Region(region) => in_region(region, 0, bytes),
        Value::Packet(packet) if helper.packet_args && !out => {
            in_packet(packet.off, bytes, packet.range)
        }
        other => Err(format!("`{}` is given {} as memory", helper.name, other.describe())),
    }
}

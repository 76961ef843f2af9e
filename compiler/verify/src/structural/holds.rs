//! Whether an obligation holds in a state.
//!
//! Guarantees: stricter than the kernel; what is not understood does not hold.
//! Does not know: what instructions do.
//!
//! Source: `kernel/bpf/verifier.c`: `check_mem_access`, `check_stack_read`,
//! `check_packet_access`, `check_func_arg`, `check_return_code`,
//! `check_reg_sane_offset`.

use policyc_bpf::{AluOp, Direction, JmpOp, License, Operand, ProgramKind, Reg};

use super::Env;
use super::arguments::argument;
use super::context::field;
use super::helpers::helper;
use super::isa::Op;
use super::obligation::{AccessMode, Obligation};
use super::state::{STACK_BYTES, State};
use super::transfer::immediate;
use super::value::{Range, Region, Value};

/// `BPF_MAX_VAR_OFF`: what may be added to an address.
pub(crate) const MAX_ADDED: i64 = 1 << 29;

/// `Ok` if the obligation of `op` holds, else why it does not.
pub(crate) fn holds(
    obligation: &Obligation,
    state: &State,
    env: &Env<'_>,
    op: &Op,
) -> Result<(), String> {
    match *obligation {
        Obligation::Initialised(reg) => match state.reg(reg) {
            Some(_) => Ok(()),
            None => Err(format!(
                "{reg} is read, but not every path to here leaves one kind of value in it \
                 (calls lose r1 to r5, helpers that move the packet its addresses)"
            )),
        },
        Obligation::Writable(reg) => {
            ensure(reg != Reg::R10, || "r10 is written, which holds the stack".into())
        }
        Obligation::Number(reg) => match state.reg(reg) {
            Some(Value::Number { .. }) => Ok(()),
            Some(value) => Err(format!("{reg} is {}, not a number", value.describe())),
            None => Err(format!("{reg} holds nothing")),
        },
        Obligation::DivisorNotZero => {
            ensure(constant_source(op) != Some(0), || "division by the constant 0".into())
        }
        Obligation::ShiftInWidth => shift_in_width(op),
        Obligation::PointerArithmetic => pointer_arithmetic(state, &env.program.kind, op),
        Obligation::Comparable => comparable(state, op),
        Obligation::Access { base, off, size, mode } => {
            access(state, &env.program.kind, base, off.into(), size, mode)
        }
        Obligation::PointerStaysPrivate(reg) => private(state, reg, op),
        Obligation::HelperAllowed(id) => match helper(id) {
            None => Err(format!("helper {id} is not one that policyc uses")),
            Some(helper) => ensure(helper.allowed.contains(&env.program.kind), || {
                format!("`{}` is not for this kind of program", helper.name)
            }),
        },
        Obligation::KnownSince(release) => {
            ensure(release <= env.floor, || format!("needs {release}, the target is {}", env.floor))
        }
        Obligation::HelperLicensed(id) => {
            let gpl = helper(id).is_some_and(|helper| helper.gpl);
            ensure(!gpl || env.program.license == License::DualMitGpl, || {
                format!("helper {id} is for GPL programs, the licence is not one")
            })
        }
        Obligation::HelperArgument { helper: id, position } => match helper(id) {
            Some(helper) => argument(state, env, helper, position),
            None => Err(format!("helper {id} is not known")),
        },
        Obligation::ExitValue => exit_value(state, &env.program.kind),
        Obligation::Released => ensure(state.reserved.is_empty(), || {
            "memory reserved in a ring buffer is neither submitted nor discarded".into()
        }),
        // The rest is asked of objects and of the shape of code, not of states.
        _ => Ok(()),
    }
}

pub(crate) fn ensure(condition: bool, explanation: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(explanation()) }
}

fn constant_source(op: &Op) -> Option<i32> {
    match *op {
        Op::Alu { src: Operand::Imm(imm), .. } => Some(imm),
        _ => None,
    }
}

fn shift_in_width(op: &Op) -> Result<(), String> {
    let Op::Alu { wide, .. } = *op else { return Ok(()) };
    let width = if wide { 64 } else { 32 };
    match constant_source(op) {
        Some(by) if !(0..width).contains(&by) => Err(format!("shift of {width} bits by {by}")),
        _ => Ok(()),
    }
}

fn pointer_arithmetic(state: &State, kind: &ProgramKind, op: &Op) -> Result<(), String> {
    let Op::Alu { op, dst, src, .. } = *op else { return Ok(()) };
    let right = match src {
        Operand::Reg(reg) => state.reg(reg),
        Operand::Imm(imm) => Some(Value::number(Range::exactly(immediate(true, imm)), 0)),
    };
    let (Some(left), Some(right)) = (state.reg(dst), right) else {
        return Err("an operand holds nothing".into());
    };
    let (pointer, range) = match (left, right) {
        (Value::Number { .. }, Value::Number { .. }) => return Ok(()),
        (Value::Packet(_) | Value::PacketEnd, Value::Packet(_) | Value::PacketEnd)
            if op == AluOp::Sub =>
        {
            return Ok(());
        }
        (Value::Number { range, .. }, pointer) if op == AluOp::Add => (pointer, range),
        (pointer, Value::Number { range, .. }) => (pointer, range),
        _ => return Err(format!("{} and {} are added", left.describe(), right.describe())),
    };
    let constant = range.constant();
    let added = match constant {
        Some(constant) => (constant as i64).checked_abs().unwrap_or(i64::MAX),
        None => i64::try_from(range.max).unwrap_or(i64::MAX),
    };
    ensure(added <= MAX_ADDED, || format!("{} is added to an address", bounds(range)))?;
    match pointer {
        Value::Region(region) => {
            ensure(!region.nullable, || "arithmetic on an address that may be null".into())?;
            ensure(op == AluOp::Add || constant.is_some(), || {
                "an unknown number is subtracted from an address".into()
            })
        }
        Value::Packet(_) => ensure(op == AluOp::Add || constant.is_some(), || {
            "an unknown number is subtracted from an address".into()
        }),
        Value::Stack { off } => {
            let constant = constant.ok_or("an unknown number is added to a stack address")? as i64;
            let moved = if op == AluOp::Sub {
                off.checked_sub(constant)
            } else {
                off.checked_add(constant)
            };
            ensure(moved.is_some_and(|off| (-STACK_BYTES..=0).contains(&off)), || {
                "a stack address leaves the stack".into()
            })
        }
        // Where a tracepoint says that its text lies in its record.
        Value::Context if op == AluOp::Add && matches!(kind, ProgramKind::Tracepoint { .. }) => {
            Ok(())
        }
        other => Err(format!("arithmetic on {}", other.describe())),
    }
}

fn bounds(range: Range) -> String {
    Value::number(range, 0).describe()
}

fn comparable(state: &State, op: &Op) -> Result<(), String> {
    let Op::Branch { wide, compare, dst, src, .. } = *op else { return Ok(()) };
    let equality = matches!(compare, JmpOp::Eq | JmpOp::Ne);
    let order = matches!(compare, JmpOp::Gt | JmpOp::Ge | JmpOp::Lt | JmpOp::Le);
    let right = match src {
        Operand::Reg(reg) => state.reg(reg),
        Operand::Imm(imm) => Some(Value::number(Range::exactly(immediate(wide, imm)), 0)),
    };
    let (Some(left), Some(right)) = (state.reg(dst), right) else {
        return Err("an operand holds nothing".into());
    };
    let fine = match (left, right) {
        (Value::Number { .. }, Value::Number { .. }) => true,
        (Value::Region(_), Value::Number { .. }) => wide && equality && src == Operand::Imm(0),
        (Value::Packet(_), Value::PacketEnd) | (Value::PacketEnd, Value::Packet(_)) => {
            wide && (equality || order)
        }
        _ => false,
    };
    ensure(fine, || format!("{} is compared with {}", left.describe(), right.describe()))
}

fn access(
    state: &State,
    kind: &ProgramKind,
    base: Reg,
    off: i64,
    size: u8,
    mode: AccessMode,
) -> Result<(), String> {
    let bytes = i64::from(size);
    match state.reg(base) {
        Some(Value::Context) => ensure(field(kind, off, size, mode).is_some(), || {
            format!("{bytes} bytes at {off} of the context may not be accessed so")
        }),
        Some(Value::Stack { off: from }) => stack_access(state, from + off, size, mode),
        Some(Value::Region(region)) => {
            in_region(region, off, bytes)?;
            ensure(mode != AccessMode::Atomic || is_aligned(region, off, bytes), || {
                format!("an atomic operation on {bytes} bytes that may not be aligned")
            })
        }
        Some(Value::Packet(packet)) => {
            let writable = !matches!(kind, ProgramKind::CgroupSkb(_));
            ensure(mode == AccessMode::Read || (mode == AccessMode::Write && writable), || {
                "the packet may not be written so".into()
            })?;
            in_packet(packet.off.saturating_add(off), bytes, packet.range)
        }
        Some(other) => Err(format!("{} is no memory", other.describe())),
        None => Err(format!("{base} holds nothing")),
    }
}

/// `range` bytes of the packet were compared with its end.
pub(crate) fn in_packet(from: i64, bytes: i64, range: i64) -> Result<(), String> {
    ensure(from >= 0 && from.saturating_add(bytes) <= range, || {
        format!(
            "bytes {from} to {} of the packet are accessed, {range} were compared with its end",
            from.saturating_add(bytes)
        )
    })
}

pub(crate) fn in_region(region: Region, off: i64, bytes: i64) -> Result<(), String> {
    ensure(!region.nullable, || "the address may be null: compare it with 0 first".into())?;
    let (from, to) = (region.lo.saturating_add(off), region.hi.saturating_add(off));
    ensure(from >= 0 && to.saturating_add(bytes) <= i64::from(region.size), || {
        format!("bytes {from} to {} of {}", to.saturating_add(bytes), region.size)
    })
}

fn is_aligned(region: Region, off: i64, bytes: i64) -> bool {
    let exact = region.lo == region.hi || region.zeros >= bytes.trailing_zeros();
    exact && (region.lo.wrapping_add(off)) % bytes == 0
}

fn stack_access(state: &State, at: i64, size: u8, mode: AccessMode) -> Result<(), String> {
    let bytes = i64::from(size);
    ensure(at >= -STACK_BYTES && at + bytes <= 0, || {
        format!("{bytes} bytes at r10{at:+}, outside the stack")
    })?;
    ensure(at % bytes == 0, || format!("{bytes} bytes at r10{at:+}, not aligned"))?;
    if mode == AccessMode::Write {
        return Ok(());
    }
    let whole = bytes == 8 && mode == AccessMode::Read && state.spilled(at).is_some();
    if whole {
        return Ok(());
    }
    ensure(state.spilled_address(at, bytes).is_none(), || {
        format!("part of the address spilled at r10{at:+} is read")
    })?;
    match state.first_unwritten(at, bytes) {
        None => Ok(()),
        Some(byte) => Err(format!("the stack byte at r10{byte:+} was not written on every path")),
    }
}

fn private(state: &State, reg: Reg, op: &Op) -> Result<(), String> {
    let Op::Store { size, base, .. } = *op else { return Ok(()) };
    match state.reg(reg) {
        Some(Value::Number { .. }) => Ok(()),
        Some(value) => {
            let on_stack = matches!(state.reg(base), Some(Value::Stack { .. })) && size == 8;
            ensure(on_stack, || format!("{} is stored where it is seen", value.describe()))
        }
        None => Err(format!("{reg} holds nothing")),
    }
}

fn exit_value(state: &State, kind: &ProgramKind) -> Result<(), String> {
    let Some(Value::Number { range, .. }) = state.reg(Reg::R0) else {
        return Err("r0 is no number at the end".into());
    };
    let known = match kind {
        // KERNEL: egress may also report congestion (2 and 3).
        ProgramKind::CgroupSkb(Direction::Ingress) => range.max <= 1,
        ProgramKind::CgroupSkb(Direction::Egress) => range.max <= 3,
        // TCX_NEXT is -1, TC_ACT_* go to 8; XDP_* go to 4. The kernel takes any
        // number and treats what it does not know as a drop or an error.
        ProgramKind::Tc => range.constant().is_none_or(|v| (-1..=8).contains(&(v as i32))),
        ProgramKind::Xdp => range.constant().is_none_or(|v| v <= 4),
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => true,
    };
    ensure(known, || format!("r0 is {}, which this hook does not know", bounds(range)))
}

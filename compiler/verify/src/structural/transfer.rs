//! What an instruction does to what is known.
//!
//! Guarantees: called for instructions whose obligations hold, it gives a state
//! that is true of every run. Where the kernel of 6.1 forgets, it forgets too:
//! to know more than the kernel would be to promise more.
//! Does not know: what must hold before.
//!
//! Source: `kernel/bpf/verifier.c`: `adjust_scalar_min_max_vals`,
//! `adjust_ptr_min_max_vals`, `reg_set_min_max`, `find_good_pkt_pointers`.

use policyc_bpf::{AluOp, AtomicOp, JmpOp, Operand, ProgramKind, Reg, RelocTarget};

use super::Env;
use super::context::{Field, field};
use super::helpers::{Arg, Return, helper};
use super::isa::Op;
use super::obligation::AccessMode;
use super::state::State;
use super::value::{Id, Packet, Range, Region, Value};

/// `MAX_PACKET_OFF`: what may be added to a packet address.
pub(crate) const MAX_PACKET_OFF: u64 = 0xffff;

/// The state after an instruction that falls through.
pub(crate) fn step(state: &mut State, env: &Env<'_>, slot: usize, op: Op) {
    match op {
        Op::Alu { wide, op, dst, src } => {
            let value = alu(state, slot, wide, op, dst, src);
            state.set(dst, value);
        }
        Op::Scramble { dst } | Op::MovSx { dst, .. } => {
            state.set(dst, Some(Value::number(Range::ANY, slot)));
        }
        Op::Load { size, dst, base, off, signed } => {
            let value = load(state, &env.program.kind, slot, (size, signed), base, off.into());
            state.set(dst, Some(value));
        }
        Op::Store { size, base, off, value } => store(state, slot, size, base, off.into(), value),
        Op::Atomic { size, op, base, off, src } => {
            if let Some(Value::Stack { off: from }) = state.reg(base) {
                state.write_bytes(from + i64::from(off), size.into());
            }
            if let Some(old) = fetched_into(op, src) {
                state.set(old, Some(Value::number(Range::of_bytes(size), slot)));
            }
        }
        Op::LoadImm64 { dst, value } => {
            let value = match env.reloc_at(slot) {
                None => Value::number(Range::exactly(value), slot),
                Some(RelocTarget::Map(map)) => Value::Map(map),
                Some(RelocTarget::MapValue(map, offset)) => Value::Region(Region {
                    size: env.object.maps.get(map).map_or(0, |map| map.value_size),
                    lo: offset.into(),
                    hi: offset.into(),
                    zeros: Region::EXACT,
                    nullable: false,
                    reserved: None,
                    id: Id::made_at(slot),
                }),
            };
            state.set(dst, Some(value));
        }
        Op::Call { helper: id } => call(state, env, slot, id),
        Op::Jump { .. } | Op::Branch { .. } | Op::Exit => {}
    }
}

/// The register that an atomic operation returns the old value in.
pub(crate) fn fetched_into(op: AtomicOp, src: Reg) -> Option<Reg> {
    match op {
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => None,
        AtomicOp::CmpXchg => Some(Reg::R0),
        _ => Some(src),
    }
}

fn operand(state: &State, wide: bool, src: Operand, slot: usize) -> Option<Value> {
    match src {
        Operand::Reg(reg) => state.reg(reg),
        Operand::Imm(imm) => Some(Value::number(Range::exactly(immediate(wide, imm)), slot)),
    }
}

/// An immediate as a number: sign-extended to the width of the operation.
pub(crate) fn immediate(wide: bool, imm: i32) -> u64 {
    if wide { i64::from(imm) as u64 } else { u64::from(imm as u32) }
}

fn alu(state: &State, slot: usize, wide: bool, op: AluOp, dst: Reg, src: Operand) -> Option<Value> {
    let right = operand(state, wide, src, slot)?;
    if op == AluOp::Mov {
        return Some(moved(wide, right, slot));
    }
    let left = state.reg(dst)?;
    match (left, right) {
        (Value::Number { range: a, .. }, Value::Number { range: b, .. }) => {
            Some(Value::number(arithmetic(wide, op, a, b), slot))
        }
        // The difference of two packet addresses.
        (Value::Packet(_) | Value::PacketEnd, Value::Packet(_) | Value::PacketEnd) => {
            Some(Value::number(Range::ANY, slot))
        }
        (Value::Number { range, .. }, pointer) | (pointer, Value::Number { range, .. }) => {
            shifted(pointer, op, range, slot)
        }
        _ => None,
    }
}

fn moved(wide: bool, value: Value, slot: usize) -> Value {
    match value {
        Value::Number { range, .. } if !wide => {
            let fits = range.max <= u64::from(u32::MAX);
            Value::number(if fits { range } else { Range::of_bytes(4) }, slot)
        }
        other => other,
    }
}

/// An address plus or minus a number. The number is known to be bounded.
fn shifted(pointer: Value, op: AluOp, by: Range, slot: usize) -> Option<Value> {
    let (min, max) = match op {
        AluOp::Sub => {
            let by = (by.constant()? as i64).checked_neg()?;
            (by, by)
        }
        _ => match by.constant() {
            Some(constant) => (constant as i64, constant as i64),
            None => (i64::try_from(by.min).ok()?, i64::try_from(by.max).ok()?),
        },
    };
    match pointer {
        Value::Stack { off } if min == max => Some(Value::Stack { off: off.checked_add(min)? }),
        Value::Region(region) => Some(Value::Region(Region {
            lo: region.lo.checked_add(min)?,
            hi: region.hi.checked_add(max)?,
            zeros: if min == max {
                region.zeros
            } else {
                region.zeros.min(by.zeros).min(by.min.trailing_zeros())
            },
            ..region
        })),
        Value::Packet(packet) if min == max => {
            Some(Value::Packet(Packet { off: packet.off.checked_add(min)?, ..packet }))
        }
        // Of a sum that is not constant nothing was compared with the end yet.
        Value::Packet(packet) => Some(Value::Packet(Packet {
            id: Id::made_at(slot),
            off: packet.off,
            var_max: packet.var_max.checked_add(u64::try_from(max).ok()?)?,
            range: 0,
        })),
        _ => None,
    }
}

fn arithmetic(wide: bool, op: AluOp, a: Range, b: Range) -> Range {
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

fn load(
    state: &State,
    kind: &ProgramKind,
    slot: usize,
    (size, signed): (u8, bool),
    base: Reg,
    off: i64,
) -> Value {
    let number = if signed { Range::ANY } else { Range::of_bytes(size) };
    match state.reg(base) {
        Some(Value::Context) => match field(kind, off, size, AccessMode::Read) {
            Some(Field::PacketStart) => {
                Value::Packet(Packet { id: Id::PACKET, off: 0, var_max: 0, range: 0 })
            }
            Some(Field::PacketEnd) => Value::PacketEnd,
            _ => Value::number(number, slot),
        },
        Some(Value::Stack { off: from }) if size == 8 => {
            state.spilled(from + off).map_or(Value::number(number, slot), |v| unlinked(v, slot))
        }
        _ => Value::number(number, slot),
    }
}

/// A value on its way to or from the stack.
///
/// KERNEL: 6.1 keeps what is known of a number that is spilled, but not that it
/// equals the register: what is learnt later about one is not learnt about the
/// other.
fn unlinked(value: Value, slot: usize) -> Value {
    match value {
        Value::Number { range, .. } => Value::number(range, slot),
        address => address,
    }
}

fn store(state: &mut State, slot: usize, size: u8, base: Reg, off: i64, value: Operand) {
    let Some(Value::Stack { off: from }) = state.reg(base) else { return };
    let at = from + off;
    match operand(state, true, value, slot) {
        Some(value) if size == 8 => state.spill(at, unlinked(value, slot)),
        _ => state.write_bytes(at, size.into()),
    }
}

fn call(state: &mut State, env: &Env<'_>, slot: usize, id: i32) {
    let Some(helper) = helper(id) else { return };
    let mut returned = match helper.returns {
        Return::Number => Some(Value::number(Range::ANY, slot)),
        Return::Nothing => None,
        Return::ValueOrNull | Return::ReservedOrNull => Some(Value::Region(Region {
            size: 0,
            lo: 0,
            hi: 0,
            zeros: Region::EXACT,
            nullable: true,
            reserved: None,
            id: Id::made_at(slot),
        })),
    };
    for (reg, arg) in argument_registers().zip(helper.args) {
        match (*arg, state.reg(reg), &mut returned) {
            (Arg::Map(_), Some(Value::Map(map)), Some(Value::Region(region)))
                if helper.returns == Return::ValueOrNull =>
            {
                region.size = env.object.maps.get(map).map_or(0, |map| map.value_size);
            }
            (Arg::AllocSize, Some(Value::Number { range, .. }), Some(Value::Region(region))) => {
                region.size = u32::try_from(range.min).unwrap_or(0);
                region.reserved = Some(region.id);
                state.reserved.insert(region.id);
            }
            (Arg::Reserved, Some(Value::Region(region)), _) => {
                if let Some(reservation) = region.reserved {
                    state.release(reservation);
                }
            }
            (Arg::MemOut, Some(Value::Stack { off }), _) => {
                if let Some(Value::Number { range, .. }) = next(reg).and_then(|r| state.reg(r)) {
                    // A length that is not constant is allowed only where all
                    // was written before (`holds::memory`).
                    state.write_bytes(off, i64::try_from(range.max).unwrap_or(0));
                }
            }
            _ => {}
        }
    }
    if helper.moves_packet {
        state.lose_packet();
    }
    state.lose_arguments();
    state.set(Reg::R0, returned);
}

/// R1 to R5.
pub(crate) fn argument_registers() -> impl Iterator<Item = Reg> {
    [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].into_iter()
}

/// The register with the next number.
pub(crate) fn next(reg: Reg) -> Option<Reg> {
    Reg::new(reg.number() + 1)
}

/// What a branch teaches the side on which its comparison holds (`holds`) or
/// the other one.
pub(crate) fn learn(
    state: &mut State,
    wide: bool,
    compare: JmpOp,
    dst: Reg,
    src: Operand,
    holds: bool,
) {
    let compare = if holds { Some(compare) } else { opposite(compare) };
    let (Some(compare), Some(left)) = (compare, state.reg(dst)) else { return };
    // The id of an immediate names nothing, so any slot will do.
    let Some(right) = operand(state, wide, src, usize::MAX - 1) else { return };
    match (left, right) {
        (Value::Region(region), _) if wide && region.nullable && src == Operand::Imm(0) => {
            match compare {
                JmpOp::Eq => state.learn_null(region.id),
                JmpOp::Ne => state.learn_not_null(region.id),
                _ => {}
            }
        }
        (Value::Packet(packet), Value::PacketEnd) if wide => learn_end(state, packet, compare),
        (Value::PacketEnd, Value::Packet(packet)) if wide => {
            learn_end(state, packet, mirrored(compare));
        }
        (Value::Number { range: a, id: left }, Value::Number { range: b, id: right }) => {
            learn_numbers(state, wide, compare, src, (left, a), (right, b));
        }
        _ => {}
    }
}

fn learn_numbers(
    state: &mut State,
    wide: bool,
    compare: JmpOp,
    src: Operand,
    (left, a): (Id, Range),
    (right, b): (Id, Range),
) {
    // KERNEL: 6.1 learns only from comparisons with constants, and from 32-bit
    // ones little; it must be an immediate, of a number that has 32 bits.
    let narrow = a.max <= u64::from(u32::MAX) && matches!(src, Operand::Imm(_));
    if !wide && !narrow {
        return;
    }
    if let Some(constant) = b.constant() {
        if let Some(range) = narrowed(a, compare, constant) {
            state.learn_range(left, range);
        }
    } else if let Some(constant) = a.constant()
        && let Some(range) = narrowed(b, mirrored(compare), constant)
    {
        state.learn_range(right, range);
    }
}

/// The part of a range on which a comparison with a constant holds, or `None`
/// if that teaches nothing (or nothing remains, and the side is never reached).
fn narrowed(range: Range, compare: JmpOp, constant: u64) -> Option<Range> {
    let Range { min, max, zeros } = range;
    let (min, max) = match compare {
        JmpOp::Eq => (min.max(constant), max.min(constant)),
        JmpOp::Gt => (min.max(constant.checked_add(1)?), max),
        JmpOp::Ge => (min.max(constant), max),
        JmpOp::Lt => (min, max.min(constant.checked_sub(1)?)),
        JmpOp::Le => (min, max.min(constant)),
        _ => return None,
    };
    (min <= max).then_some(Range { min, max, zeros })
}

/// `packet compare end` holds.
fn learn_end(state: &mut State, packet: Packet, compare: JmpOp) {
    let (near, far) = (packet.off, packet.var_max.saturating_add_signed(packet.off));
    let known = match compare {
        JmpOp::Le => near,
        JmpOp::Lt if near > 0 => near + 1,
        _ => return,
    };
    if near >= 0 && far <= MAX_PACKET_OFF {
        state.learn_packet(packet.id, known);
    }
}

fn opposite(compare: JmpOp) -> Option<JmpOp> {
    Some(match compare {
        JmpOp::Eq => JmpOp::Ne,
        JmpOp::Ne => JmpOp::Eq,
        JmpOp::Gt => JmpOp::Le,
        JmpOp::Le => JmpOp::Gt,
        JmpOp::Ge => JmpOp::Lt,
        JmpOp::Lt => JmpOp::Ge,
        _ => return None,
    })
}

/// The comparison with its sides exchanged.
fn mirrored(compare: JmpOp) -> JmpOp {
    match compare {
        JmpOp::Gt => JmpOp::Lt,
        JmpOp::Lt => JmpOp::Gt,
        JmpOp::Ge => JmpOp::Le,
        JmpOp::Le => JmpOp::Ge,
        other => other,
    }
}

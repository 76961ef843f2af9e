//! What an instruction does to what is known.
//!
//! Guarantees: called for instructions whose obligations hold, it gives a state
//! that is true of every run. Where the kernel of 6.1 forgets, it forgets too:
//! to know more than the kernel would be to promise more.
//! Does not know: what must hold before.
//!
//! Source: `kernel/bpf/verifier.c`: `adjust_ptr_min_max_vals`, `check_mem_access`,
//! `check_helper_call`.

use policyc_bpf::{AluOp, AtomicOp, Operand, ProgramKind, Reg, RelocTarget};

use super::Env;
use super::arithmetic::arithmetic;
use super::context::{Field, field};
use super::helpers::{Arg, Return, helper};
use super::isa::Op;
use super::obligation::AccessMode;
use super::state::State;
use super::value::{Id, Packet, Range, Region, Value};

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

/// What a second operand holds; one that is a constant is made at `slot`.
pub(crate) fn operand(state: &State, wide: bool, src: Operand, slot: usize) -> Option<Value> {
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
        Value::Context => Some(Value::Opaque),
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

//! What a branch teaches on each of its sides.
//!
//! Guarantees: nothing is learnt that the kernel of 6.1 does not learn.
//!
//! Source: `kernel/bpf/verifier.c`: `reg_set_min_max`, `mark_ptr_or_null_regs`,
//! `find_good_pkt_pointers`.

use policyc_bpf::{JmpOp, Operand, Reg};

use super::state::State;
use super::transfer::operand;
use super::value::{Id, Packet, Range, Value};

/// `MAX_PACKET_OFF`: farthest from the packet's start that a comparison with
/// its end teaches anything.
const MAX_PACKET_OFF: u64 = 0xffff;

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

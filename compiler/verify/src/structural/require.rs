//! What an instruction needs, as a list of obligations.
//!
//! Guarantees: if all of them hold before the instruction, it is safe to run
//! and [`transfer::step`](super::transfer::step) may be applied.
//! Does not know: what holds.

use policyc_bpf::{AluOp, AtomicOp, Operand, Reg};

use super::helpers::helper;
use super::isa::Op;
use super::obligation::{AccessMode, Obligation};
use super::transfer::{argument_registers, fetched_into};

/// The obligations of an instruction, in the order in which they are to be
/// checked: later ones may rely on earlier ones.
pub(crate) fn obligations(op: &Op) -> Vec<Obligation> {
    let mut list = Vec::new();
    match *op {
        Op::Alu { wide, op, dst, src } => alu(wide, op, dst, src, &mut list),
        Op::Scramble { dst } => {
            list.extend([Obligation::Writable(dst), Obligation::Initialised(dst)]);
            list.push(Obligation::Number(dst));
        }
        Op::MovSx { dst, src } => {
            list.extend([Obligation::Writable(dst), Obligation::Initialised(src)]);
            list.push(Obligation::Number(src));
        }
        Op::Load { size, dst, base, off, .. } => {
            list.push(Obligation::Initialised(base));
            list.push(Obligation::Access { base, off, size, mode: AccessMode::Read });
            list.push(Obligation::Writable(dst));
        }
        Op::Store { size, base, off, value } => {
            list.push(Obligation::Initialised(base));
            initialised(value, &mut list);
            list.push(Obligation::Access { base, off, size, mode: AccessMode::Write });
            if let Operand::Reg(value) = value {
                list.push(Obligation::PointerStaysPrivate(value));
            }
        }
        Op::Atomic { size, op, base, off, src } => {
            list.extend([Obligation::Initialised(base), Obligation::Initialised(src)]);
            list.push(Obligation::Number(src));
            if op == AtomicOp::CmpXchg {
                list.extend([Obligation::Initialised(Reg::R0), Obligation::Number(Reg::R0)]);
            }
            list.push(Obligation::Access { base, off, size, mode: AccessMode::Atomic });
            list.extend(fetched_into(op, src).map(Obligation::Writable));
        }
        Op::LoadImm64 { dst, .. } => list.push(Obligation::Writable(dst)),
        Op::Jump { .. } => {}
        Op::Branch { dst, src, .. } => {
            list.push(Obligation::Initialised(dst));
            initialised(src, &mut list);
            list.push(Obligation::Comparable);
        }
        Op::Call { helper: id } => call(id, &mut list),
        Op::Exit => {
            list.extend([Obligation::Initialised(Reg::R0), Obligation::ExitValue]);
            list.push(Obligation::Released);
        }
    }
    list
}

fn initialised(operand: Operand, list: &mut Vec<Obligation>) {
    if let Operand::Reg(reg) = operand {
        list.push(Obligation::Initialised(reg));
    }
}

fn alu(wide: bool, op: AluOp, dst: Reg, src: Operand, list: &mut Vec<Obligation>) {
    list.push(Obligation::Writable(dst));
    initialised(src, list);
    if op != AluOp::Mov {
        list.push(Obligation::Initialised(dst));
    }
    match op {
        // Truncating an address would make a number of it.
        AluOp::Mov => {
            if let Operand::Reg(src) = src
                && !wide
            {
                list.push(Obligation::Number(src));
            }
        }
        AluOp::Add | AluOp::Sub if wide => list.push(Obligation::PointerArithmetic),
        _ => {
            list.push(Obligation::Number(dst));
            if let Operand::Reg(src) = src {
                list.push(Obligation::Number(src));
            }
        }
    }
    match op {
        AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod => {
            list.push(Obligation::DivisorNotZero);
        }
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => list.push(Obligation::ShiftInWidth),
        _ => {}
    }
}

fn call(id: i32, list: &mut Vec<Obligation>) {
    list.push(Obligation::HelperAllowed(id));
    let Some(helper) = helper(id) else { return };
    list.push(Obligation::KnownSince(helper.since));
    list.push(Obligation::HelperLicensed(id));
    for (reg, position) in argument_registers().zip(1_u8..).take(helper.args.len()) {
        list.push(Obligation::Initialised(reg));
        list.push(Obligation::HelperArgument { helper: id, position });
    }
}

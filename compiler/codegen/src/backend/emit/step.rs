//! One step of the allocation as instructions.

use policyc_base::Origin;
use policyc_bpf::decode::{AluOp, AtomicOp, Operand, Size, Width};
use policyc_bpf::{Insn, Reg, RelocTarget};

use super::jumps::Item;
use crate::backend::mir::{Inst, Mir, Op, Place, Remat};
use crate::backend::regalloc::{Loc, Step};

/// Appends the instructions of a step; `insts` are those of its block.
pub(super) fn emit(
    mir: &Mir,
    insts: &[Inst],
    step: &Step,
    origin: Option<Origin>,
    items: &mut Vec<Item>,
) {
    let insn = |insn| Item::insn(insn, origin);
    match step {
        Step::Move { dst: Loc::Reg(dst), src: Loc::Reg(src) } => {
            items.push(insn(Insn::mov64(*dst, *src)));
        }
        Step::Move { dst: Loc::Reg(dst), src: Loc::Slot(slot) } => {
            let offset = slot_offset(mir, *slot);
            items.push(insn(Insn::load(Size::DW, *dst, Reg::R10, offset)));
        }
        Step::Move { dst: Loc::Slot(slot), src: Loc::Reg(src) } => {
            let offset = slot_offset(mir, *slot);
            items.push(insn(Insn::store(Size::DW, Reg::R10, offset, *src)));
        }
        // INVARIANT: `moves` makes none; the checker refuses them.
        Step::Move { dst: Loc::Slot(_), src: Loc::Slot(_) } => {}
        Step::Remat { dst: Loc::Reg(dst), value } => {
            if let Some(remat) = mir.remat(*value) {
                self::remat(*dst, remat, origin, items);
            }
        }
        Step::Remat { dst: Loc::Slot(slot), value } => {
            if let Some(Remat::Const(bits)) = mir.remat(*value) {
                let offset = slot_offset(mir, *slot);
                items.push(insn(Insn::store_imm(Size::DW, Reg::R10, offset, bits as i32)));
            }
        }
        Step::Op { inst, dst, uses } => {
            if let Some(inst) = insts.get(*inst) {
                items.extend(op(inst.op, *dst, uses).map(insn));
            }
        }
    }
}

fn slot_offset(mir: &Mir, slot: u32) -> i16 {
    // INVARIANT: the stack has at most 512 bytes; that was checked before.
    -((mir.frame + 8 * (slot + 1)) as i16)
}

fn remat(dst: Reg, remat: Remat, origin: Option<Origin>, items: &mut Vec<Item>) {
    let insn = |insn| Item::insn(insn, origin);
    let map = |target| Item::wide(Insn::lddw(dst, 0), Some(target), origin);
    match remat {
        Remat::Const(bits) => items.push(constant(dst, bits, origin)),
        Remat::Frame(offset) => {
            items.push(insn(Insn::mov64(dst, Reg::R10)));
            items.push(insn(Insn::alu64(AluOp::Add, dst, i32::from(offset))));
        }
        Remat::Map(id) => items.push(map(RelocTarget::Map(id))),
        Remat::MapValue(id, offset) => items.push(map(RelocTarget::MapValue(id, offset))),
        Remat::Field(size, offset) => items.push(insn(Insn::load(size, dst, Reg::R6, offset))),
    }
}

/// A constant in the shortest form: one slot sign- or zero-extended, or two.
fn constant(dst: Reg, bits: u64, origin: Option<Origin>) -> Item {
    match (i32::try_from(bits as i64), u32::try_from(bits)) {
        (Ok(imm), _) => Item::insn(Insn::mov64_imm(dst, imm), origin),
        (Err(_), Ok(low)) => Item::insn(Insn::mov32_imm(dst, low as i32), origin),
        (Err(_), Err(_)) => Item::wide(Insn::lddw(dst, bits), None, origin),
    }
}

/// An instruction with registers; `None` if operands are missing, which the
/// checker refuses.
fn op(op: Op, dst: Option<Reg>, uses: &[Reg]) -> Option<Insn> {
    let (first, last) = (uses.first().copied(), uses.last().copied());
    let memory = |place| match place {
        Place::Base(offset) => first.map(|base| (base, offset)),
        Place::Frame(offset) => Some((Reg::R10, offset)),
    };
    Some(match op {
        Op::Alu(width, op) => {
            let other = if dst == first { last? } else { first? };
            alu(width, op, dst?, other)
        }
        Op::AluImm(width, op, imm) => alu(width, op, dst?, imm),
        Op::Mov32 => Insn::mov32(dst?, first?),
        Op::Swap(size) => Insn::to_be(size, dst?),
        Op::Load(size, place) => {
            let (base, offset) = memory(place)?;
            Insn::load(size, dst?, base, offset)
        }
        Op::Store(size, place) => {
            let (base, offset) = memory(place)?;
            Insn::store(size, base, offset, last?)
        }
        Op::StoreImm(size, place, imm) => {
            let (base, offset) = memory(place)?;
            Insn::store_imm(size, base, offset, imm)
        }
        Op::AtomicAdd(width, place) => {
            let (base, offset) = memory(place)?;
            Insn::atomic(width, AtomicOp::Add, base, offset, last?)
        }
        Op::AtomicFetchAdd(width, place) => {
            let (base, offset) = match place {
                Place::Base(offset) => (last?, offset),
                Place::Frame(offset) => (Reg::R10, offset),
            };
            Insn::atomic(width, AtomicOp::FetchAdd, base, offset, dst?)
        }
        Op::Call(number) => Insn::call_helper(number),
    })
}

fn alu(width: Width, op: AluOp, dst: Reg, src: impl Into<Operand>) -> Insn {
    match width {
        Width::W32 => Insn::alu32(op, dst, src),
        Width::W64 => Insn::alu64(op, dst, src),
    }
}

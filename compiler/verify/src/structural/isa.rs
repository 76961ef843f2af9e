//! The instructions that are understood here, narrowed from the whole set.
//!
//! Guarantees: total on any slots; what has no meaning to these checks is an
//! error that says so.
//! Does not know: what registers hold, maps, or whether a jump may go where it goes.

use policyc_bpf::{
    AluOp, AtomicOp, Callee, Imm64, Insn, Instruction, JmpOp, Operand, Reg, SwapOp, Width,
};

use crate::Release;

/// One instruction. `wide` is 64 bits, else 32; sizes are in bytes; targets
/// are slots of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Alu {
        wide: bool,
        op: AluOp,
        dst: Reg,
        src: Operand,
    },
    /// Negation or byte order: `dst` becomes a number of which nothing is known.
    Scramble {
        dst: Reg,
    },
    /// Move with sign extension.
    MovSx {
        dst: Reg,
        src: Reg,
    },
    Load {
        size: u8,
        dst: Reg,
        base: Reg,
        off: i16,
        signed: bool,
    },
    Store {
        size: u8,
        base: Reg,
        off: i16,
        value: Operand,
    },
    Atomic {
        size: u8,
        op: AtomicOp,
        base: Reg,
        off: i16,
        src: Reg,
    },
    /// `lddw` of a number, or of a map if a relocation sits on it.
    LoadImm64 {
        dst: Reg,
        value: u64,
    },
    Jump {
        target: i64,
    },
    Branch {
        wide: bool,
        compare: JmpOp,
        dst: Reg,
        src: Operand,
        target: i64,
    },
    Call {
        helper: i32,
    },
    Exit,
}

/// What was read at a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    pub(crate) op: Op,
    /// Slots it takes: 2 for `lddw`.
    pub(crate) slots: usize,
    /// First kernel that knows it.
    pub(crate) since: Release,
}

/// Reads the instruction at `insns[slot]`, or says why it is none.
pub(crate) fn decode(insns: &[Insn], slot: usize) -> Result<Decoded, String> {
    let slots = insns.get(slot..).unwrap_or_default();
    let insn = policyc_bpf::decode(slots).map_err(|error| error.to_string())?;
    let target = |distance: i32| slot as i64 + 1 + i64::from(distance);
    let op = match insn {
        Instruction::Alu { width, op, dst, src } => Op::Alu { wide: wide(width), op, dst, src },
        Instruction::Neg { dst, .. } | Instruction::Swap { dst, .. } => Op::Scramble { dst },
        Instruction::MovSx { dst, src, .. } => Op::MovSx { dst, src },
        Instruction::Goto { off } => Op::Jump { target: target(off.into()) },
        Instruction::Gotol { off } => Op::Jump { target: target(off) },
        Instruction::If { width, op, dst, src, off } => {
            Op::Branch { wide: wide(width), compare: op, dst, src, target: target(off.into()) }
        }
        Instruction::Call(Callee::Helper(helper)) => Op::Call { helper },
        Instruction::Exit => Op::Exit,
        Instruction::Load { size, dst, base, off } => {
            Op::Load { size: bytes(size.bytes()), dst, base, off, signed: false }
        }
        Instruction::LoadSx { size, dst, base, off } => {
            Op::Load { size: bytes(size.bytes()), dst, base, off, signed: true }
        }
        Instruction::Store { size, base, off, src } => {
            Op::Store { size: bytes(size.bytes()), base, off, value: src }
        }
        Instruction::Atomic { width, op, base, off, src } => {
            Op::Atomic { size: bytes(width.size().bytes()), op, base, off, src }
        }
        Instruction::LoadImm { dst, value: Imm64::Value(value) } => Op::LoadImm64 { dst, value },
        Instruction::LoadImm { .. } => {
            return Err("`lddw` with a pseudo source: maps are named by relocations".into());
        }
        Instruction::Call(Callee::Local(_) | Callee::Kfunc { .. }) => {
            return Err("only calls of helpers are supported".into());
        }
        Instruction::MayGoto { .. }
        | Instruction::LoadAcquire { .. }
        | Instruction::StoreRelease { .. }
        | Instruction::LoadPacket { .. } => return Err("this instruction is not supported".into()),
    };
    Ok(Decoded { op, slots: insn.slots() as usize, since: since(&insn) })
}

fn wide(width: Width) -> bool {
    width == Width::W64
}

/// 1, 2, 4 or 8.
fn bytes(size: u32) -> u8 {
    size as u8
}

/// First kernel that knows an instruction.
fn since(insn: &Instruction) -> Release {
    match insn {
        // KERNEL: >= 6.6 because the fourth version of the instruction set came with it.
        Instruction::MovSx { .. }
        | Instruction::LoadSx { .. }
        | Instruction::Gotol { .. }
        | Instruction::Swap { op: SwapOp::Bswap, .. }
        | Instruction::Alu { op: AluOp::Sdiv | AluOp::Smod, .. } => Release::new(6, 6),
        // KERNEL: >= 5.12 because atomics that return the old value came with it.
        _ => Release::new(5, 12),
    }
}

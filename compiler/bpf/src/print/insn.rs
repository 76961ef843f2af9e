//! One instruction as the kernel writes it (`kernel/bpf/disasm.c`).

use std::fmt;

use super::words::{
    AtomicWord, alu_op, atomic_op, atomic_prefix, jmp_op, reg_prefix, signed, swap_op, unsigned,
};
use crate::decode::{AtomicOp, Callee, Imm64, Instruction, Operand, Size, Width};
use crate::{Reg, helper};

/// Distances are written as `pc+3`. The deviation from the kernel: a `lddw` of a
/// number ends in `ll`, as LLVM has it, so that it reads back as two slots.
impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_insn(f, self, None)
    }
}

/// Writes an instruction; `target` is the label it jumps to or calls.
pub(super) fn write_insn(
    f: &mut impl fmt::Write,
    insn: &Instruction,
    target: Option<&str>,
) -> fmt::Result {
    match *insn {
        Instruction::Alu { width, op, dst, src } => {
            let prefix = reg_prefix(width);
            write!(f, "{prefix}{} {} ", dst.number(), alu_op(op))?;
            match src {
                Operand::Reg(src) => write!(f, "{prefix}{}", src.number()),
                Operand::Imm(imm) => write!(f, "{imm}"),
            }
        }
        Instruction::MovSx { width, from, dst, src } => {
            let prefix = reg_prefix(width);
            write!(f, "{prefix}{} = ({}){prefix}{}", dst.number(), signed(from), src.number())
        }
        Instruction::Neg { width, dst } => {
            let prefix = reg_prefix(width);
            write!(f, "{prefix}{0} = -{prefix}{0}", dst.number())
        }
        Instruction::Swap { op, size, dst } => {
            write!(f, "{dst} = {}{} {dst}", swap_op(op), size.bits())
        }
        Instruction::Goto { off } => write_jump(f, "goto", off.into(), target),
        Instruction::Gotol { off } => write_jump(f, "gotol", off, target),
        Instruction::MayGoto { off } => write_jump(f, "may_goto", off.into(), target),
        Instruction::If { width, op, dst, src, off } => {
            let prefix = reg_prefix(width);
            write!(f, "if {prefix}{} {} ", dst.number(), jmp_op(op))?;
            match src {
                Operand::Reg(src) => write!(f, "{prefix}{} ", src.number())?,
                Operand::Imm(imm) => write!(f, "{imm:#x} ")?,
            }
            write_jump(f, "goto", off.into(), target)
        }
        Instruction::Call(callee) => write_call(f, callee, target),
        Instruction::Exit => f.write_str("exit"),
        Instruction::Load { size, dst, base, off } => {
            write!(f, "{dst} = *{}", Pointer(unsigned(size), base, off))
        }
        Instruction::LoadSx { size, dst, base, off } => {
            write!(f, "{dst} = *{}", Pointer(signed(size), base, off))
        }
        Instruction::Store { size, base, off, src } => {
            write!(f, "*{} = ", Pointer(unsigned(size), base, off))?;
            match src {
                Operand::Reg(src) => write!(f, "{src}"),
                Operand::Imm(imm) => write!(f, "{imm}"),
            }
        }
        Instruction::Atomic { width, op, base, off, src } => {
            write_atomic(f, width, op, Pointer(unsigned(width.size()), base, off), src)
        }
        Instruction::LoadAcquire { size, dst, base, off } => {
            write!(f, "{dst} = load_acquire({})", Pointer(unsigned(size), base, off))
        }
        Instruction::StoreRelease { size, base, off, src } => {
            write!(f, "store_release({}, {src})", Pointer(unsigned(size), base, off))
        }
        Instruction::LoadImm { dst, value } => {
            write!(f, "{dst} = ")?;
            write_imm64(f, value, target)
        }
        Instruction::LoadPacket { size, index, imm } => write_packet(f, size, index, imm),
    }
}

/// `(u32 *)(r1 +4)`
struct Pointer(&'static str, Reg, i16);

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} *)({} {:+})", self.0, self.1, self.2)
    }
}

fn write_jump(
    f: &mut impl fmt::Write,
    word: &str,
    distance: i32,
    target: Option<&str>,
) -> fmt::Result {
    write!(f, "{word} ")?;
    write_target(f, distance, target)
}

fn write_target(f: &mut impl fmt::Write, distance: i32, target: Option<&str>) -> fmt::Result {
    match target {
        Some(label) => f.write_str(label),
        None => write!(f, "pc{distance:+}"),
    }
}

fn write_call(f: &mut impl fmt::Write, callee: Callee, target: Option<&str>) -> fmt::Result {
    match callee {
        Callee::Helper(number) => {
            write!(f, "call {}#{number}", helper::name(number).unwrap_or_default())
        }
        Callee::Local(distance) => write_jump(f, "call", distance, target),
        Callee::Kfunc { btf_id, module: 0 } => write!(f, "call kfunc[id:{btf_id}]"),
        Callee::Kfunc { btf_id, module } => write!(f, "call kfunc[id:{btf_id}, fd:{module}]"),
    }
}

fn write_atomic(
    f: &mut impl fmt::Write,
    width: Width,
    op: AtomicOp,
    at: Pointer,
    src: Reg,
) -> fmt::Result {
    let prefix = atomic_prefix(width);
    match atomic_op(op) {
        AtomicWord::Assign(word) => write!(f, "lock *{at} {word} {src}"),
        AtomicWord::Function(word) if op == AtomicOp::CmpXchg => {
            write!(f, "r0 = {prefix}{word}({at}, r0, {src})")
        }
        AtomicWord::Function(word) => write!(f, "{src} = {prefix}{word}({at}, {src})"),
    }
}

fn write_imm64(f: &mut impl fmt::Write, value: Imm64, target: Option<&str>) -> fmt::Result {
    match value {
        Imm64::Value(value) => write!(f, "{value:#x} ll"),
        Imm64::MapFd(fd) => write!(f, "map[fd:{fd}]"),
        Imm64::MapFdValue { fd, offset } => write!(f, "map[fd:{fd}][0]+{offset}"),
        Imm64::BtfId { id, module_fd: 0 } => write!(f, "btf[id:{id}]"),
        Imm64::BtfId { id, module_fd } => write!(f, "btf[id:{id}, fd:{module_fd}]"),
        Imm64::Func(distance) => {
            f.write_str("subprog[")?;
            write_target(f, distance, target)?;
            f.write_str("]")
        }
        Imm64::MapIdx(idx) => write!(f, "map[idx:{idx}]"),
        Imm64::MapIdxValue { idx, offset } => write!(f, "map[idx:{idx}][0]+{offset}"),
    }
}

fn write_packet(f: &mut impl fmt::Write, size: Size, index: Option<Reg>, imm: i32) -> fmt::Result {
    write!(f, "r0 = *({} *)skb[", unsigned(size))?;
    match index {
        Some(index) => write!(f, "{index} + {imm}]"),
        None => write!(f, "{imm}]"),
    }
}

//! The verifier's own reading of an instruction slot.
//!
//! Guarantees: total on any slots; what is returned was understood completely,
//! with every reserved field zero, as the kernel demands.
//! Does not know: what registers hold, maps, or whether a jump may go where it goes.
//!
//! It repeats what the decoder of `bpf` does on purpose: a mistake there must
//! not be able to hide itself here.
//!
//! Source: RFC 9669; `kernel/bpf/verifier.c`: `check_alu_op`, `check_ld_imm`,
//! `check_cond_jmp_op`, `resolve_pseudo_ldimm64`, `check_atomic`.

use policyc_bpf::{Insn, Reg, code};

use crate::Release;

/// The second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operand {
    Reg(Reg),
    /// Sign-extended to 64 bits by 64-bit operations.
    Imm(i32),
}

/// What an arithmetic instruction computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Neg,
    Mod,
    Xor,
    Mov,
    Arsh,
    /// Signed division.
    SDiv,
    /// Signed remainder.
    SMod,
    /// Move with sign extension from 8, 16 or 32 bits.
    MovSx,
    /// Byte swap or truncation to 16, 32 or 64 bits.
    End,
}

/// What a conditional jump compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Set,
    SignedGt,
    SignedGe,
    SignedLt,
    SignedLe,
}

/// One instruction, understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Alu { wide: bool, op: AluOp, dst: Reg, src: Operand },
    /// `dst = *(size *)(src + off)`
    Load { size: u8, dst: Reg, base: Reg, off: i16, signed: bool },
    /// `*(size *)(base + off) = value`
    Store { size: u8, base: Reg, off: i16, value: Operand },
    /// Read-modify-write. `fetch` returns the old value: in R0 for
    /// compare-and-exchange, in `src` otherwise.
    Atomic { size: u8, base: Reg, off: i16, src: Reg, fetch: bool, compare_exchange: bool },
    /// `lddw` of a constant, or of a map if a relocation sits on it.
    LoadImm64 { dst: Reg, value: u64 },
    Jump { target: i64 },
    Branch { wide: bool, compare: Compare, dst: Reg, src: Operand, target: i64 },
    Call { helper: i32 },
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

/// Kernels that know what came before the fourth version of the instruction set.
const ALWAYS: Release = Release::new(5, 12);
// KERNEL: >= 6.6 because the fourth version of the instruction set came with it.
const V4: Release = Release::new(6, 6);

/// Reads the instruction at `insns[slot]`, or says why it is none.
pub(crate) fn decode(insns: &[Insn], slot: usize) -> Result<Decoded, String> {
    let insn = insns.get(slot).copied().ok_or("beyond the end of the program")?;
    match insn.code & 0x07 {
        code::ALU | code::ALU64 => decode_alu(insn),
        code::JMP | code::JMP32 => decode_jump(insn, slot),
        code::LD => decode_lddw(insn, insns.get(slot + 1).copied()),
        code::LDX => decode_load(insn),
        code::ST => decode_store(insn),
        // Three bits: only STX is left.
        _ => decode_stx(insn),
    }
}

fn one(op: Op, since: Release) -> Decoded {
    Decoded { op, slots: 1, since }
}

fn reg(number: u8) -> Result<Reg, String> {
    Reg::new(number).ok_or_else(|| format!("there is no register r{number}"))
}

fn reserved(fields: &[(&str, i64)]) -> Result<(), String> {
    match fields.iter().find(|(_, value)| *value != 0) {
        Some((name, value)) => Err(format!("reserved field `{name}` is {value}, not 0")),
        None => Ok(()),
    }
}

fn unknown(insn: Insn) -> String {
    format!("code {:#04x} is no instruction", insn.code)
}

/// The second operand; the field that it does not use must be zero.
fn operand(insn: Insn) -> Result<Operand, String> {
    if insn.code & code::X == code::X {
        reserved(&[("imm", insn.imm.into())])?;
        Ok(Operand::Reg(reg(insn.src)?))
    } else {
        reserved(&[("src", insn.src.into())])?;
        Ok(Operand::Imm(insn.imm))
    }
}

fn decode_alu(insn: Insn) -> Result<Decoded, String> {
    let wide = insn.code & 0x07 == code::ALU64;
    let dst = reg(insn.dst)?;
    let op = match insn.code & 0xf0 {
        code::END => return decode_end(insn, wide, dst),
        code::NEG => {
            reserved(&[
                ("source bit", (insn.code & code::X).into()),
                ("src", insn.src.into()),
                ("off", insn.off.into()),
                ("imm", insn.imm.into()),
            ])?;
            let src = Operand::Imm(0);
            return Ok(one(Op::Alu { wide, op: AluOp::Neg, dst, src }, ALWAYS));
        }
        code::MOV => return decode_mov(insn, wide, dst),
        code::DIV if insn.off == 1 => AluOp::SDiv,
        code::MOD if insn.off == 1 => AluOp::SMod,
        code::ADD => AluOp::Add,
        code::SUB => AluOp::Sub,
        code::MUL => AluOp::Mul,
        code::DIV => AluOp::Div,
        code::OR => AluOp::Or,
        code::AND => AluOp::And,
        code::LSH => AluOp::Lsh,
        code::RSH => AluOp::Rsh,
        code::MOD => AluOp::Mod,
        code::XOR => AluOp::Xor,
        code::ARSH => AluOp::Arsh,
        _ => return Err(unknown(insn)),
    };
    let signed = matches!(op, AluOp::SDiv | AluOp::SMod);
    if !signed {
        reserved(&[("off", insn.off.into())])?;
    }
    let src = operand(insn)?;
    Ok(one(Op::Alu { wide, op, dst, src }, if signed { V4 } else { ALWAYS }))
}

fn decode_mov(insn: Insn, wide: bool, dst: Reg) -> Result<Decoded, String> {
    let src = operand(insn)?;
    let (op, since) = match (insn.off, src) {
        (0, _) => (AluOp::Mov, ALWAYS),
        (8 | 16, Operand::Reg(_)) => (AluOp::MovSx, V4),
        (32, Operand::Reg(_)) if wide => (AluOp::MovSx, V4),
        _ => return Err(format!("`off` {} of a move", insn.off)),
    };
    Ok(one(Op::Alu { wide, op, dst, src }, since))
}

fn decode_end(insn: Insn, wide: bool, dst: Reg) -> Result<Decoded, String> {
    reserved(&[("src", insn.src.into()), ("off", insn.off.into())])?;
    if wide {
        reserved(&[("source bit", (insn.code & code::X).into())])?;
    }
    if !matches!(insn.imm, 16 | 32 | 64) {
        return Err(format!("byte order of {} bits", insn.imm));
    }
    let op = Op::Alu { wide: true, op: AluOp::End, dst, src: Operand::Imm(insn.imm) };
    Ok(one(op, if wide { V4 } else { ALWAYS }))
}

fn decode_jump(insn: Insn, slot: usize) -> Result<Decoded, String> {
    let wide = insn.code & 0x07 == code::JMP;
    let target = |distance: i64| slot as i64 + 1 + distance;
    let compare = match insn.code & 0xf0 {
        code::JA => {
            reserved(&[
                ("source bit", (insn.code & code::X).into()),
                ("dst", insn.dst.into()),
                ("src", insn.src.into()),
            ])?;
            let (unused, distance) =
                if wide { (insn.imm.into(), insn.off.into()) } else { (insn.off.into(), insn.imm.into()) };
            reserved(&[("distance", unused)])?;
            let since = if wide { ALWAYS } else { V4 };
            return Ok(one(Op::Jump { target: target(distance) }, since));
        }
        code::CALL if wide => {
            reserved(&[
                ("source bit", (insn.code & code::X).into()),
                ("dst", insn.dst.into()),
                ("off", insn.off.into()),
            ])?;
            if insn.src != 0 {
                return Err("only calls of helpers are supported".into());
            }
            return Ok(one(Op::Call { helper: insn.imm }, ALWAYS));
        }
        code::EXIT if wide => {
            reserved(&[
                ("source bit", (insn.code & code::X).into()),
                ("dst", insn.dst.into()),
                ("src", insn.src.into()),
                ("off", insn.off.into()),
                ("imm", insn.imm.into()),
            ])?;
            return Ok(one(Op::Exit, ALWAYS));
        }
        code::JEQ => Compare::Eq,
        code::JNE => Compare::Ne,
        code::JGT => Compare::Gt,
        code::JGE => Compare::Ge,
        code::JLT => Compare::Lt,
        code::JLE => Compare::Le,
        code::JSET => Compare::Set,
        code::JSGT => Compare::SignedGt,
        code::JSGE => Compare::SignedGe,
        code::JSLT => Compare::SignedLt,
        code::JSLE => Compare::SignedLe,
        _ => return Err(unknown(insn)),
    };
    let (dst, src) = (reg(insn.dst)?, operand(insn)?);
    Ok(one(Op::Branch { wide, compare, dst, src, target: target(insn.off.into()) }, ALWAYS))
}

fn decode_lddw(insn: Insn, second: Option<Insn>) -> Result<Decoded, String> {
    if insn.code != code::LD | code::IMM | code::DW {
        return Err(unknown(insn));
    }
    let second = second.ok_or("`lddw` without its second slot")?;
    reserved(&[
        ("off", insn.off.into()),
        ("second code", second.code.into()),
        ("second dst", second.dst.into()),
        ("second src", second.src.into()),
        ("second off", second.off.into()),
    ])?;
    if insn.src != 0 {
        return Err(format!("`lddw` with pseudo source {}: maps are named by relocations", insn.src));
    }
    let value = u64::from(second.imm as u32) << 32 | u64::from(insn.imm as u32);
    let op = Op::LoadImm64 { dst: reg(insn.dst)?, value };
    Ok(Decoded { op, slots: 2, since: ALWAYS })
}

fn access_size(insn: Insn) -> u8 {
    match insn.code & 0x18 {
        code::W => 4,
        code::H => 2,
        code::B => 1,
        _ => 8,
    }
}

fn decode_load(insn: Insn) -> Result<Decoded, String> {
    reserved(&[("imm", insn.imm.into())])?;
    let size = access_size(insn);
    let signed = match insn.code & 0xe0 {
        code::MEM => false,
        code::MEMSX if size < 8 => true,
        _ => return Err(unknown(insn)),
    };
    let op = Op::Load { size, dst: reg(insn.dst)?, base: reg(insn.src)?, off: insn.off, signed };
    Ok(one(op, if signed { V4 } else { ALWAYS }))
}

fn decode_store(insn: Insn) -> Result<Decoded, String> {
    if insn.code & 0xe0 != code::MEM {
        return Err(unknown(insn));
    }
    reserved(&[("src", insn.src.into())])?;
    let value = Operand::Imm(insn.imm);
    let op = Op::Store { size: access_size(insn), base: reg(insn.dst)?, off: insn.off, value };
    Ok(one(op, ALWAYS))
}

fn decode_stx(insn: Insn) -> Result<Decoded, String> {
    let (size, base, src) = (access_size(insn), reg(insn.dst)?, reg(insn.src)?);
    match insn.code & 0xe0 {
        code::MEM => {
            reserved(&[("imm", insn.imm.into())])?;
            Ok(one(Op::Store { size, base, off: insn.off, value: Operand::Reg(src) }, ALWAYS))
        }
        code::ATOMIC if size >= 4 => {
            let compare_exchange = insn.imm == code::CMPXCHG;
            let plain = insn.imm & !code::FETCH;
            let known = [code::ADD, code::OR, code::AND, code::XOR].map(i32::from);
            if !compare_exchange && insn.imm != code::XCHG && !known.contains(&plain) {
                return Err(format!("atomic operation {:#x}", insn.imm));
            }
            let fetch = insn.imm & code::FETCH != 0;
            let op = Op::Atomic { size, base, off: insn.off, src, fetch, compare_exchange };
            Ok(one(op, ALWAYS))
        }
        _ => Err(unknown(insn)),
    }
}

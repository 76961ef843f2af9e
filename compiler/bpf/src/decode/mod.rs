//! Slots to meaning and back.
//!
//! Guarantees: total on any slots; `decode(encode(i)) == i` for every
//! instruction of the set and `encode(decode(s)) == s` for every slot that
//! decodes, because a reserved field that is not zero is an error.
//! Does not know: whether a program is safe. What has a meaning decodes, even
//! where the kernel's verifier refuses it: a division by the constant 0, a
//! constant shift beyond the width, a jump to nowhere.
//! Source: RFC 9669; reserved fields after `kernel/bpf/verifier.c`.

mod bits;
mod encode;
mod types;

#[cfg(test)]
pub(crate) mod strategy;

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::{Insn, Reg, code};
use bits::{LOAD_ACQUIRE, STORE_RELEASE, alu_op, atomic_op, jmp_op, size_of};
use encode::width_of_class;

pub use encode::Slots;
pub use types::{AluOp, AtomicOp, Callee, Imm64, Instruction, JmpOp, Operand, Size, SwapOp, Width};

/// Why a slot is no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum DecodeError {
    /// There is no slot.
    #[error("no instruction left")]
    Empty,
    /// The code means nothing.
    #[error("unknown code {0:#04x}")]
    UnknownCode(u8),
    /// A register above 10.
    #[error("no register r{0}")]
    UnknownRegister(u8),
    /// A field that the instruction does not use, or uses for other values, has
    /// this one.
    #[error("reserved field `{0}` is set")]
    Reserved(Field),
    /// `lddw` without a second slot.
    #[error("the second slot is missing")]
    MissingSecondSlot,
}

/// A field of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names of RFC 9669")]
pub enum Field {
    Dst,
    Src,
    Off,
    Imm,
    SecondSlot,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dst => "dst",
            Self::Src => "src",
            Self::Off => "off",
            Self::Imm => "imm",
            Self::SecondSlot => "second slot",
        })
    }
}

type Decoded = Result<Instruction, DecodeError>;

/// The instruction that begins with the first of these slots. How many it took,
/// [`Instruction::slots`] says.
///
/// # Errors
/// The first rule of the encoding that the slots break.
pub fn decode(slots: &[Insn]) -> Decoded {
    let [insn, rest @ ..] = slots else { return Err(DecodeError::Empty) };
    match insn.code & 0x07 {
        code::LD => ld(insn, rest.first()),
        code::LDX => ldx(insn),
        code::ST => st(insn),
        code::STX => stx(insn),
        code::ALU | code::ALU64 => alu(insn),
        _ => jmp(insn),
    }
}

/// Every instruction with its slot.
///
/// # Errors
/// The first slot that is no instruction, and why.
pub fn decode_all(slots: &[Insn]) -> Result<Vec<(u32, Instruction)>, (u32, DecodeError)> {
    let mut out = Vec::new();
    let mut pc = 0;
    while pc < slots.len() {
        let at = pc as u32;
        let insn = decode(&slots[pc..]).map_err(|e| (at, e))?;
        pc += insn.slots() as usize;
        out.push((at, insn));
    }
    Ok(out)
}

fn reg(number: u8) -> Result<Reg, DecodeError> {
    Reg::new(number).ok_or(DecodeError::UnknownRegister(number))
}

fn zero<T: Default + PartialEq>(value: T, field: Field) -> Result<(), DecodeError> {
    if value == T::default() { Ok(()) } else { Err(DecodeError::Reserved(field)) }
}

/// Second operand of arithmetic and compares, whose other half must be zero.
fn operand(insn: &Insn) -> Result<Operand, DecodeError> {
    if insn.code & code::X == 0 {
        zero(insn.src, Field::Src)?;
        Ok(Operand::Imm(insn.imm))
    } else {
        zero(insn.imm, Field::Imm)?;
        Ok(Operand::Reg(reg(insn.src)?))
    }
}

fn alu(insn: &Insn) -> Decoded {
    let op = insn.code & 0xf0;
    match op {
        code::NEG => neg(insn),
        code::END => swap(insn),
        code::MOV if insn.code & code::X != 0 && insn.off != 0 => mov_sx(insn),
        _ => {
            let width = width_of_class(insn.code & 0x07);
            if alu_op(op, 0).is_none() {
                return Err(DecodeError::UnknownCode(insn.code));
            }
            let op = alu_op(op, insn.off).ok_or(DecodeError::Reserved(Field::Off))?;
            Ok(Instruction::Alu { width, op, dst: reg(insn.dst)?, src: operand(insn)? })
        }
    }
}

fn neg(insn: &Insn) -> Decoded {
    if insn.code & code::X != 0 {
        return Err(DecodeError::UnknownCode(insn.code));
    }
    zero(insn.src, Field::Src)?;
    zero(insn.off, Field::Off)?;
    zero(insn.imm, Field::Imm)?;
    Ok(Instruction::Neg { width: width_of_class(insn.code & 0x07), dst: reg(insn.dst)? })
}

fn swap(insn: &Insn) -> Decoded {
    let op = match (insn.code & 0x07, insn.code & code::X) {
        (code::ALU, 0) => SwapOp::ToLe,
        (code::ALU, _) => SwapOp::ToBe,
        (_, 0) => SwapOp::Bswap,
        _ => return Err(DecodeError::UnknownCode(insn.code)),
    };
    zero(insn.src, Field::Src)?;
    zero(insn.off, Field::Off)?;
    let size = match insn.imm {
        16 => Size::H,
        32 => Size::W,
        64 => Size::DW,
        _ => return Err(DecodeError::Reserved(Field::Imm)),
    };
    Ok(Instruction::Swap { op, size, dst: reg(insn.dst)? })
}

fn mov_sx(insn: &Insn) -> Decoded {
    let width = width_of_class(insn.code & 0x07);
    let from = match (insn.off, width) {
        (8, _) => Size::B,
        (16, _) => Size::H,
        (32, Width::W64) => Size::W,
        _ => return Err(DecodeError::Reserved(Field::Off)),
    };
    zero(insn.imm, Field::Imm)?;
    Ok(Instruction::MovSx { width, from, dst: reg(insn.dst)?, src: reg(insn.src)? })
}

fn jmp(insn: &Insn) -> Decoded {
    let width = width_of_class(insn.code & 0x07);
    let long = width == Width::W32;
    match insn.code & 0xf8 {
        code::JA if long => {
            nothing_but(insn, &[Field::Imm])?;
            Ok(Instruction::Gotol { off: insn.imm })
        }
        code::JA => {
            nothing_but(insn, &[Field::Off])?;
            Ok(Instruction::Goto { off: insn.off })
        }
        code::JCOND if !long => {
            nothing_but(insn, &[Field::Off])?;
            Ok(Instruction::MayGoto { off: insn.off })
        }
        code::CALL if !long => call(insn),
        code::EXIT if !long => {
            nothing_but(insn, &[])?;
            Ok(Instruction::Exit)
        }
        _ => {
            let op = jmp_op(insn.code & 0xf0).ok_or(DecodeError::UnknownCode(insn.code))?;
            let (dst, src) = (reg(insn.dst)?, operand(insn)?);
            Ok(Instruction::If { width, op, dst, src, off: insn.off })
        }
    }
}

/// Every field that is not listed must be zero.
fn nothing_but(insn: &Insn, used: &[Field]) -> Result<(), DecodeError> {
    let fields = [
        (Field::Dst, insn.dst != 0),
        (Field::Src, insn.src != 0),
        (Field::Off, insn.off != 0),
        (Field::Imm, insn.imm != 0),
    ];
    match fields.into_iter().find(|(field, set)| *set && !used.contains(field)) {
        Some((field, _)) => Err(DecodeError::Reserved(field)),
        None => Ok(()),
    }
}

fn call(insn: &Insn) -> Decoded {
    zero(insn.dst, Field::Dst)?;
    let callee = match insn.src {
        0 => Callee::Helper(insn.imm),
        code::PSEUDO_CALL => Callee::Local(insn.imm),
        code::PSEUDO_KFUNC_CALL => Callee::Kfunc { btf_id: insn.imm, module: insn.off },
        _ => return Err(DecodeError::Reserved(Field::Src)),
    };
    if insn.src != code::PSEUDO_KFUNC_CALL {
        zero(insn.off, Field::Off)?;
    }
    Ok(Instruction::Call(callee))
}

fn ld(insn: &Insn, second: Option<&Insn>) -> Decoded {
    let size = size_of(insn.code);
    let index = match insn.code & 0xe0 {
        code::IMM if size == Size::DW => return load_imm(insn, second),
        code::ABS if size != Size::DW => {
            zero(insn.src, Field::Src)?;
            None
        }
        code::IND if size != Size::DW => Some(reg(insn.src)?),
        _ => return Err(DecodeError::UnknownCode(insn.code)),
    };
    zero(insn.dst, Field::Dst)?;
    zero(insn.off, Field::Off)?;
    Ok(Instruction::LoadPacket { size, index, imm: insn.imm })
}

fn load_imm(insn: &Insn, second: Option<&Insn>) -> Decoded {
    let second = second.ok_or(DecodeError::MissingSecondSlot)?;
    let high = second.imm;
    if (Insn { imm: 0, ..*second }) != Insn::default() {
        return Err(DecodeError::Reserved(Field::SecondSlot));
    }
    zero(insn.off, Field::Off)?;
    let value = match insn.src {
        0 => Imm64::Value(u64::from(high as u32) << 32 | u64::from(insn.imm as u32)),
        code::PSEUDO_MAP_FD => Imm64::MapFd(insn.imm),
        code::PSEUDO_MAP_VALUE => Imm64::MapFdValue { fd: insn.imm, offset: high as u32 },
        code::PSEUDO_BTF_ID => Imm64::BtfId { id: insn.imm, module_fd: high },
        code::PSEUDO_FUNC => Imm64::Func(insn.imm),
        code::PSEUDO_MAP_IDX => Imm64::MapIdx(insn.imm),
        code::PSEUDO_MAP_IDX_VALUE => Imm64::MapIdxValue { idx: insn.imm, offset: high as u32 },
        _ => return Err(DecodeError::Reserved(Field::Src)),
    };
    if matches!(value, Imm64::MapFd(_) | Imm64::Func(_) | Imm64::MapIdx(_)) {
        zero(high, Field::SecondSlot)?;
    }
    Ok(Instruction::LoadImm { dst: reg(insn.dst)?, value })
}

fn ldx(insn: &Insn) -> Decoded {
    let size = size_of(insn.code);
    let (dst, base, off) = (insn.dst, insn.src, insn.off);
    match insn.code & 0xe0 {
        code::MEM => {
            zero(insn.imm, Field::Imm)?;
            Ok(Instruction::Load { size, dst: reg(dst)?, base: reg(base)?, off })
        }
        code::MEMSX if size != Size::DW => {
            zero(insn.imm, Field::Imm)?;
            Ok(Instruction::LoadSx { size, dst: reg(dst)?, base: reg(base)?, off })
        }
        _ => Err(DecodeError::UnknownCode(insn.code)),
    }
}

fn st(insn: &Insn) -> Decoded {
    if insn.code & 0xe0 != code::MEM {
        return Err(DecodeError::UnknownCode(insn.code));
    }
    zero(insn.src, Field::Src)?;
    let src = Operand::Imm(insn.imm);
    Ok(Instruction::Store { size: size_of(insn.code), base: reg(insn.dst)?, off: insn.off, src })
}

fn stx(insn: &Insn) -> Decoded {
    let size = size_of(insn.code);
    let (dst, src, off) = (reg(insn.dst)?, reg(insn.src)?, insn.off);
    match insn.code & 0xe0 {
        code::MEM => {
            zero(insn.imm, Field::Imm)?;
            Ok(Instruction::Store { size, base: dst, off, src: src.into() })
        }
        code::ATOMIC => match insn.imm {
            LOAD_ACQUIRE => Ok(Instruction::LoadAcquire { size, dst, base: src, off }),
            STORE_RELEASE => Ok(Instruction::StoreRelease { size, base: dst, off, src }),
            imm => {
                let width = match size {
                    Size::W => Width::W32,
                    Size::DW => Width::W64,
                    Size::B | Size::H => return Err(DecodeError::UnknownCode(insn.code)),
                };
                let op = atomic_op(imm).ok_or(DecodeError::Reserved(Field::Imm))?;
                Ok(Instruction::Atomic { width, op, base: dst, off, src })
            }
        },
        _ => Err(DecodeError::UnknownCode(insn.code)),
    }
}

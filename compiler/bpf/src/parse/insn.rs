//! Instructions.

use std::collections::BTreeMap;

use pest::iterators::{Pair, Pairs};
use policyc_grammar::asm::Rule;

use super::literal::{any_reg, imm, mem_type, name, next, number, number32, offset, only, reg};
use super::{Result, error};
use crate::decode::{
    AluOp, AtomicOp, Callee, Imm64, Instruction, JmpOp, Operand, Size, SwapOp, Width,
};
use crate::print::words::{self, AtomicWord};
use crate::{MapId, Reg, RelocTarget, helper};

/// What names in a program stand for.
pub(super) struct Names<'a> {
    pub(super) labels: &'a BTreeMap<&'a str, u32>,
    pub(super) maps: &'a BTreeMap<&'a str, MapId>,
}

/// Number of slots of a line of code.
pub(super) fn slots(line: &Pair<'_, Rule>) -> u32 {
    let is_wide = |p: Pair<'_, Rule>| p.into_inner().any(|p| p.as_rule() == Rule::wide);
    if line.clone().into_inner().any(is_wide) { 2 } else { 1 }
}

/// One instruction at `pc`, and the map it loads.
pub(super) fn instruction(
    pair: Pair<'_, Rule>,
    pc: u32,
    names: &Names<'_>,
) -> Result<(Instruction, Option<RelocTarget>)> {
    let pair = only(&pair)?;
    let mut parts = pair.clone().into_inner();
    let at = Place { pair: &pair, pc, names };
    let insn = match pair.as_rule() {
        Rule::exit => Instruction::Exit,
        Rule::branch => branch(&mut parts, &at)?,
        Rule::goto_insn => goto(&mut parts, &at)?,
        Rule::call => call(&mut parts, &at)?,
        Rule::wide => return wide(&mut parts, &at),
        Rule::neg | Rule::swap | Rule::movsx | Rule::alu => arithmetic(&mut parts, &at)?,
        _ => memory(&mut parts, &at)?,
    };
    Ok((insn, None))
}

/// Where an instruction stands.
struct Place<'a> {
    pair: &'a Pair<'a, Rule>,
    pc: u32,
    names: &'a Names<'a>,
}

impl Place<'_> {
    fn part<'a>(&self, parts: &mut Pairs<'a, Rule>) -> Result<Pair<'a, Rule>> {
        next(parts, self.pair)
    }

    fn reg(&self, parts: &mut Pairs<'_, Rule>) -> Result<Reg> {
        reg(&self.part(parts)?)
    }

    /// Distance in slots to a label, or as it is written.
    fn target(&self, pair: &Pair<'_, Rule>) -> Result<i64> {
        let target = only(pair)?;
        if target.as_rule() == Rule::distance {
            let text = target.as_str().trim_start_matches("pc");
            return text.parse().map_err(|_| error(pair, "the distance needs more than 64 bits"));
        }
        let slot = self.names.labels.get(target.as_str());
        let slot = slot.ok_or_else(|| error(pair, format!("no label `{}`", target.as_str())))?;
        Ok(i64::from(*slot) - i64::from(self.pc) - 1)
    }

    fn target16(&self, pair: &Pair<'_, Rule>) -> Result<i16> {
        let distance = i16::try_from(self.target(pair)?);
        distance.map_err(|_| error(pair, "too far for 16 bits: use `gotol`"))
    }

    fn target32(&self, pair: &Pair<'_, Rule>) -> Result<i32> {
        let distance = i32::try_from(self.target(pair)?);
        distance.map_err(|_| error(pair, "too far for 32 bits"))
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(error(self.pair, message))
    }
}

/// The operation whose word is written.
fn op_of<T: Copy>(pair: &Pair<'_, Rule>, all: &[T], word: fn(T) -> &'static str) -> Result<T> {
    let found = all.iter().copied().find(|op| word(*op) == pair.as_str());
    found.ok_or_else(|| error(pair, format!("unknown operator `{}`", pair.as_str())))
}

/// A register of the given width, or a constant.
fn operand(pair: &Pair<'_, Rule>, width: Width) -> Result<Operand> {
    let inner = only(pair)?;
    match inner.as_rule() {
        Rule::reg => Ok(Operand::Reg(same_width(&inner, width)?)),
        _ => Ok(Operand::Imm(imm(&inner)?)),
    }
}

fn same_width(pair: &Pair<'_, Rule>, width: Width) -> Result<Reg> {
    match any_reg(pair)? {
        (w, reg) if w == width => Ok(reg),
        _ => Err(error(pair, "both operands are `r` registers or both are `w`")),
    }
}

fn branch(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let (width, dst) = any_reg(&at.part(parts)?)?;
    let op = op_of(&at.part(parts)?, &JmpOp::ALL, words::jmp_op)?;
    let src = operand(&at.part(parts)?, width)?;
    let off = at.target16(&at.part(parts)?)?;
    Ok(Instruction::If { width, op, dst, src, off })
}

fn goto(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let word = at.part(parts)?;
    let target = at.part(parts)?;
    Ok(match word.as_str() {
        "gotol" => Instruction::Gotol { off: at.target32(&target)? },
        "may_goto" => Instruction::MayGoto { off: at.target16(&target)? },
        _ => Instruction::Goto { off: at.target16(&target)? },
    })
}

fn call(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let callee = at.part(parts)?;
    Ok(Instruction::Call(match callee.as_rule() {
        Rule::kfunc => {
            let (btf_id, fd) = id_and_fd(&callee)?;
            let Ok(module) = i16::try_from(fd) else {
                return at.error("the index of the module's BTF needs more than 16 bits");
            };
            Callee::Kfunc { btf_id, module }
        }
        Rule::helper => Callee::Helper(helper_number(&callee)?),
        _ => {
            let text = callee.as_str().trim();
            match helper::number(text) {
                Some(number) if !at.names.labels.contains_key(text) => Callee::Helper(number),
                _ => Callee::Local(at.target32(&callee)?),
            }
        }
    }))
}

/// `map_lookup_elem#1`: the number counts, the name must agree with it.
fn helper_number(pair: &Pair<'_, Rule>) -> Result<i32> {
    let mut parts = pair.clone().into_inner();
    let first = next(&mut parts, pair)?;
    let Some(second) = parts.next() else { return imm(&first) };
    let number = imm(&second)?;
    match helper::name(number) {
        Some(name) if name == first.as_str() => Ok(number),
        Some(name) => Err(error(pair, format!("helper {number} is `{name}`"))),
        None => Err(error(pair, format!("helper {number} has no name here"))),
    }
}

/// `id:5, fd:1`; without `fd` it is 0.
fn id_and_fd(pair: &Pair<'_, Rule>) -> Result<(i32, i32)> {
    let mut parts = pair.clone().into_inner();
    let id = imm(&next(&mut parts, pair)?)?;
    let fd = parts.next().map_or(Ok(0), |fd| imm(&fd))?;
    Ok((id, fd))
}

fn wide(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<(Instruction, Option<RelocTarget>)> {
    let dst = at.reg(parts)?;
    let source = at.part(parts)?;
    let (value, reloc) = match source.as_rule() {
        Rule::load_number => (Imm64::Value(number(&only(&source)?)?), None),
        Rule::load_btf => {
            let (id, module_fd) = id_and_fd(&source)?;
            (Imm64::BtfId { id, module_fd }, None)
        }
        Rule::load_func => (Imm64::Func(at.target32(&only(&source)?)?), None),
        _ => load_map(&source, at)?,
    };
    Ok((Instruction::LoadImm { dst, value }, reloc))
}

/// `map[name]`, `map[fd:5]`, `map[idx:5]`, each with `[0]+8` for an address in the
/// first value.
fn load_map(source: &Pair<'_, Rule>, at: &Place<'_>) -> Result<(Imm64, Option<RelocTarget>)> {
    let mut parts = source.clone().into_inner();
    let which = next(&mut parts, source)?;
    let offset = match parts.next() {
        Some(offset) => Some(number32(&only(&offset)?)?),
        None => None,
    };
    if which.as_rule() == Rule::name {
        let name = name(&which)?;
        let Some(map) = at.names.maps.get(name.as_str()).copied() else {
            return Err(error(&which, format!("no map `{name}`")));
        };
        let target = match offset {
            None => RelocTarget::Map(map),
            Some(offset) => RelocTarget::MapValue(map, offset),
        };
        return Ok((Imm64::Value(0), Some(target)));
    }
    let number = imm(&only(&which)?)?;
    let value = match (which.as_rule(), offset) {
        (Rule::map_fd, None) => Imm64::MapFd(number),
        (Rule::map_fd, Some(offset)) => Imm64::MapFdValue { fd: number, offset },
        (_, None) => Imm64::MapIdx(number),
        (_, Some(offset)) => Imm64::MapIdxValue { idx: number, offset },
    };
    Ok((value, None))
}

/// Instructions on registers; the first part is the destination.
fn arithmetic(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let first = at.part(parts)?;
    let (width, dst) = any_reg(&first)?;
    match at.pair.as_rule() {
        Rule::neg => {
            if same_width(&at.part(parts)?, width)? != dst {
                return at.error("a negation has one register");
            }
            Ok(Instruction::Neg { width, dst })
        }
        Rule::swap => {
            let (op, size) = swap_op(&at.part(parts)?)?;
            if (width, reg(&at.part(parts)?)?) != (Width::W64, dst) {
                return at.error("a byte swap has one `r` register");
            }
            Ok(Instruction::Swap { op, size, dst })
        }
        Rule::movsx => {
            let (from, signed) = mem_type(&at.part(parts)?)?;
            let src = same_width(&at.part(parts)?, width)?;
            if !signed || from >= width.size() {
                return at.error("a sign extension is from a narrower signed type");
            }
            Ok(Instruction::MovSx { width, from, dst, src })
        }
        _ => {
            let op = op_of(&at.part(parts)?, &AluOp::ALL, words::alu_op)?;
            let src = operand(&at.part(parts)?, width)?;
            Ok(Instruction::Alu { width, op, dst, src })
        }
    }
}

/// `be16`
fn swap_op(pair: &Pair<'_, Rule>) -> Result<(SwapOp, Size)> {
    let text = pair.as_str();
    for op in [SwapOp::ToLe, SwapOp::ToBe, SwapOp::Bswap] {
        let bits = text.strip_prefix(words::swap_op(op)).and_then(|n| n.parse::<u32>().ok());
        if let Some(size) = bits.and_then(|bits| Size::from_bytes(bits / 8)) {
            return Ok((op, size));
        }
    }
    Err(error(pair, "unknown byte swap"))
}

/// Instructions on memory.
fn memory(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    match at.pair.as_rule() {
        Rule::load => {
            let dst = at.reg(parts)?;
            let Pointer { size, signed, base, off } = Pointer::in_mem(&at.part(parts)?)?;
            if signed && size == Size::DW {
                return at.error("a load of eight bytes has no sign to extend: `u64`");
            }
            Ok(if signed {
                Instruction::LoadSx { size, dst, base, off }
            } else {
                Instruction::Load { size, dst, base, off }
            })
        }
        Rule::store => {
            let Pointer { size, base, off, .. } =
                Pointer::in_mem(&at.part(parts)?)?.unsigned(at)?;
            let src = operand(&at.part(parts)?, Width::W64)?;
            Ok(Instruction::Store { size, base, off, src })
        }
        Rule::load_acquire => {
            let dst = at.reg(parts)?;
            let Pointer { size, base, off, .. } = Pointer::of(&at.part(parts)?)?.unsigned(at)?;
            Ok(Instruction::LoadAcquire { size, dst, base, off })
        }
        Rule::store_release => {
            let Pointer { size, base, off, .. } = Pointer::of(&at.part(parts)?)?.unsigned(at)?;
            Ok(Instruction::StoreRelease { size, base, off, src: at.reg(parts)? })
        }
        Rule::packet => packet(parts, at),
        _ => atomic(parts, at),
    }
}

fn packet(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let dst = at.reg(parts)?;
    let (size, signed) = mem_type(&at.part(parts)?)?;
    if dst != Reg::R0 || signed || size == Size::DW {
        return at.error("a packet load puts `u8`, `u16` or `u32` into r0");
    }
    let from = at.part(parts)?;
    if from.as_rule() != Rule::packet_index {
        return Ok(Instruction::LoadPacket { size, index: None, imm: imm(&from)? });
    }
    let mut index = from.clone().into_inner();
    let reg = at.reg(&mut index)?;
    Ok(Instruction::LoadPacket { size, index: Some(reg), imm: imm(&at.part(&mut index)?)? })
}

fn atomic(parts: &mut Pairs<'_, Rule>, at: &Place<'_>) -> Result<Instruction> {
    let result = match at.pair.as_rule() {
        Rule::atomic => None,
        _ => Some((at.reg(parts)?, at.part(parts)?)),
    };
    let pointer = match &result {
        None => Pointer::in_mem(&at.part(parts)?)?,
        Some(_) => Pointer::of(&at.part(parts)?)?,
    };
    let Pointer { size, base, off, .. } = pointer.unsigned(at)?;
    let width = match size {
        Size::W => Width::W32,
        Size::DW => Width::W64,
        Size::B | Size::H => return at.error("an atomic operation has `u32` or `u64`"),
    };
    let Some((result, word)) = result else {
        let op = atomic_op(at.part(parts)?.as_str(), "");
        let Some(op) = op else { return at.error("unknown atomic operation") };
        return Ok(Instruction::Atomic { width, op, base, off, src: at.reg(parts)? });
    };
    let Some(op) = atomic_op(word.as_str(), words::atomic_prefix(width)) else {
        return at.error(format!("with this type, use `{}…`", words::atomic_prefix(width)));
    };
    if op == AtomicOp::CmpXchg && (result, at.reg(parts)?) != (Reg::R0, Reg::R0) {
        return at.error("a compare-exchange compares with r0 and returns in r0");
    }
    let src = at.reg(parts)?;
    if op != AtomicOp::CmpXchg && result != src {
        return at.error("the old value comes back in the source register");
    }
    Ok(Instruction::Atomic { width, op, base, off, src })
}

/// The atomic operation of an operator, or of a function behind `prefix`.
fn atomic_op(word: &str, prefix: &str) -> Option<AtomicOp> {
    let rest = word.strip_prefix(prefix)?;
    AtomicOp::ALL.into_iter().find(|op| match words::atomic_op(*op) {
        AtomicWord::Assign(w) | AtomicWord::Function(w) => w == rest,
    })
}

/// `(u32 *)(r1 +4)`
struct Pointer {
    size: Size,
    signed: bool,
    base: Reg,
    off: i16,
}

impl Pointer {
    fn of(pair: &Pair<'_, Rule>) -> Result<Self> {
        let mut parts = pair.clone().into_inner();
        let (size, signed) = mem_type(&next(&mut parts, pair)?)?;
        let base = reg(&next(&mut parts, pair)?)?;
        let off = offset(&next(&mut parts, pair)?)?;
        Ok(Self { size, signed, base, off })
    }

    /// `*(u32 *)(r1 +4)`
    fn in_mem(pair: &Pair<'_, Rule>) -> Result<Self> {
        Self::of(&only(pair)?)
    }

    fn unsigned(self, at: &Place<'_>) -> Result<Self> {
        if self.signed { at.error("only a load extends a sign") } else { Ok(self) }
    }
}

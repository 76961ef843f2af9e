//! Integers: arithmetic, casts, and which of them need a mask afterwards.

use policyc_bpf::decode::{AluOp, Width};
use policyc_ir as ir;
use policyc_ir::{BinOp, CastOp};

use super::{Op, Select, Selected, size};
use crate::backend::mir::VReg;

impl Select<'_> {
    pub(super) fn bin(&mut self, op: BinOp, a: ir::Value, b: ir::Value) -> Selected<VReg> {
        let width = self.width(a)?;
        let swap = is_commutative(op) && self.constants[a].is_some() && self.constants[b].is_none();
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let (left, constant) = (self.reg(a)?, self.constants[b]);
        match (op, constant) {
            (BinOp::Shl | BinOp::Lshr | BinOp::Ashr, Some(by)) if by >= width.bits().into() => {
                return Err(format!("a shift by {by} of {} bits", width.bits()));
            }
            // The verifier refuses them as immediates; RFC 9669 says what they are.
            (BinOp::Div, Some(0)) => return Ok(self.constant(0)),
            (BinOp::Mod, Some(0)) => return Ok(left),
            _ => {}
        }
        let value = match op {
            BinOp::Ashr if width.bits() < 32 => {
                let top = self.at_top(left, width);
                let top = self.alu_imm(Width::W32, AluOp::Arsh, top, 32 - width.bits() as i32);
                self.apply(op, ir::Width::W32, top, b)?
            }
            _ => self.apply(op, width, left, b)?,
        };
        let overflows =
            matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Shl | BinOp::Ashr);
        Ok(if overflows && width.bits() < 32 { self.mask(value, width) } else { value })
    }

    /// `left op b` in the cheapest form that is right for zero-extended operands.
    fn apply(&mut self, op: BinOp, width: ir::Width, left: VReg, b: ir::Value) -> Selected<VReg> {
        let alu = alu_op(op);
        let bitwise = matches!(op, BinOp::And | BinOp::Or | BinOp::Xor);
        let machine = match width {
            ir::Width::W64 => Width::W64,
            _ if bitwise => Width::W64,
            _ => Width::W32,
        };
        let Some(bits) = self.constants[b] else {
            let right = self.reg(b)?;
            return Ok(self.compute(Op::Alu(machine, alu), vec![left, right]));
        };
        let wide = i32::try_from(bits as i64).ok();
        let low = u32::try_from(bits).ok().map(|low| low as i32);
        Ok(match (machine, wide, low) {
            (Width::W64, Some(imm), _) => self.alu_imm(Width::W64, alu, left, imm),
            (Width::W32, _, Some(imm)) => self.alu_imm(Width::W32, alu, left, imm),
            (Width::W64, None, Some(-1)) if op == BinOp::And => self.compute(Op::Mov32, vec![left]),
            // The upper half of the result is 0 either way.
            (Width::W64, None, Some(imm)) if op == BinOp::And || width != ir::Width::W64 => {
                self.alu_imm(Width::W32, alu, left, imm)
            }
            _ => {
                let right = self.constant(bits);
                self.compute(Op::Alu(machine, alu), vec![left, right])
            }
        })
    }

    pub(super) fn cast(&mut self, op: CastOp, a: ir::Value, to: ir::Type) -> Selected<VReg> {
        let from = self.width(a)?;
        let value = self.reg(a)?;
        let ir::Type::Int(width, _) = to else {
            return Err("a cast gives an integer".into());
        };
        Ok(match op {
            CastOp::Zext => value,
            CastOp::Trunc if width >= from => value,
            CastOp::Trunc if width == ir::Width::W32 => self.compute(Op::Mov32, vec![value]),
            CastOp::Trunc => self.mask(value, width),
            CastOp::Swap if width == ir::Width::W8 => value,
            // KERNEL: TO_BE is in every version; `bswap` needs 6.6. All our targets
            // are little-endian, as the encoding of `Insn` is.
            CastOp::Swap => self.compute(Op::Swap(size(width)), vec![value]),
        })
    }

    /// Clears what is above 8 or 16 bits.
    fn mask(&mut self, value: VReg, width: ir::Width) -> VReg {
        let mask = (1 << width.bits()) - 1;
        self.alu_imm(Width::W64, AluOp::And, value, mask)
    }

    /// The integer moved to the top of 32 bits, where its sign is the register's.
    pub(super) fn at_top(&mut self, value: VReg, width: ir::Width) -> VReg {
        self.alu_imm(Width::W32, AluOp::Lsh, value, 32 - width.bits() as i32)
    }
}

const fn is_commutative(op: BinOp) -> bool {
    matches!(op, BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor)
}

const fn alu_op(op: BinOp) -> AluOp {
    match op {
        BinOp::Add => AluOp::Add,
        BinOp::Sub => AluOp::Sub,
        BinOp::Mul => AluOp::Mul,
        BinOp::Div => AluOp::Div,
        BinOp::Mod => AluOp::Mod,
        BinOp::And => AluOp::And,
        BinOp::Or => AluOp::Or,
        BinOp::Xor => AluOp::Xor,
        BinOp::Shl => AluOp::Lsh,
        BinOp::Lshr => AluOp::Rsh,
        BinOp::Ashr => AluOp::Arsh,
    }
}

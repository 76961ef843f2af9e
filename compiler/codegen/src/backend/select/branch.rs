//! Terminators: fused compares, null checks, guards, switches, tail calls.

use policyc_bpf::decode::{JmpOp, Width};
use policyc_ir as ir;
use policyc_ir::{CmpOp, Terminator};

use super::{Op, Place, Remat, Select, Selected, Size, empty_block};
use crate::backend::mir::{Block, Rhs, Target, Term, VReg};
use crate::backend::target::{MAX_PACKET_OFFSET, TAIL_CALL};

/// A switch of up to this many cases is a chain of compares; above, a tree.
const CHAIN: usize = 3;

/// What is on the right of a compare.
#[derive(Clone, Copy)]
enum Right {
    Const(u64),
    Value(VReg),
}

impl Select<'_> {
    pub(super) fn terminator(&mut self, term: &Terminator) -> Selected {
        let term = match term {
            Terminator::Jump(target) => Term::Jump(self.target(target)?),
            Terminator::Br { op, a, b, then, other } => {
                let targets = [self.target(then)?, self.target(other)?];
                self.branch(*op, *a, *b, targets)?
            }
            Terminator::Switch { value, cases, default } => {
                return self.switch(*value, cases, default);
            }
            Terminator::BrNull { value, null, found } => {
                let targets = [self.target(null)?, self.target(found)?];
                jump_if(Width::W64, JmpOp::Eq, self.reg(*value)?, Rhs::Imm(0), targets)
            }
            Terminator::Guard { ptr, len, ok, short } => {
                let targets = [self.target(short)?, self.target(ok)?];
                self.guard(*ptr, *len, targets)?
            }
            Terminator::TailCall { ctx, map, index, missed } => {
                self.tail_call(*ctx, *map, *index)?;
                Term::Jump(self.target(missed)?)
            }
            Terminator::Ret(values) => match values[..] {
                [value] => Term::Exit(self.reg(value)?),
                _ => return Err("a program returns one integer".into()),
            },
        };
        self.end(term);
        Ok(())
    }

    fn end(&mut self, term: Term) {
        let block = &mut self.mir.blocks[self.at];
        block.term = term;
        block.origin = self.origin;
    }

    fn target(&self, target: &ir::Target) -> Selected<Target> {
        let block = self.blocks[target.block].ok_or("a target is missing")?;
        let params = &self.func.blocks[target.block].params;
        if params.len() != target.args.len() {
            return Err(format!("{} takes other arguments", target.block));
        }
        let pairs = params.iter().zip(&target.args);
        let args = pairs.filter(|(param, _)| self.func.ty(**param) != ir::Type::Ctx);
        let args = args.map(|(_, arg)| self.reg(*arg)).collect::<Selected<_>>()?;
        Ok(Target { block, args })
    }

    fn branch(
        &mut self,
        op: CmpOp,
        a: ir::Value,
        b: ir::Value,
        targets: [Target; 2],
    ) -> Selected<Term> {
        let width = self.width(a)?;
        let (op, a, b) = match (self.constants[a], self.constants[b]) {
            (Some(_), None) => (mirror(op), b, a),
            _ => (op, a, b),
        };
        let left = self.reg(a)?;
        let right = match self.constants[b] {
            Some(bits) => Right::Const(bits),
            None => Right::Value(self.reg(b)?),
        };
        Ok(self.compare(op, width, left, right, targets))
    }

    /// `left op right`, fused with its jump.
    ///
    /// Operands are zero-extended, so unsigned compares of narrow integers are
    /// done on 64 bits; on 32 only if the constant has no other immediate.
    fn compare(
        &mut self,
        op: CmpOp,
        width: ir::Width,
        left: VReg,
        right: Right,
        targets: [Target; 2],
    ) -> Term {
        let signed = matches!(op, CmpOp::Slt | CmpOp::Sle | CmpOp::Sgt | CmpOp::Sge);
        if signed && width.bits() < 32 {
            let left = self.at_top(left, width);
            let right = match right {
                Right::Const(bits) => Right::Const((bits << (32 - width.bits())) & 0xffff_ffff),
                Right::Value(value) => Right::Value(self.at_top(value, width)),
            };
            return self.compare(op, ir::Width::W32, left, right, targets);
        }
        let narrow = width != ir::Width::W64;
        let jmp = jmp_op(op);
        match right {
            Right::Value(value) => {
                let width = if signed && narrow { Width::W32 } else { Width::W64 };
                jump_if(width, jmp, left, Rhs::VReg(value), targets)
            }
            Right::Const(bits) if signed && narrow => {
                jump_if(Width::W32, jmp, left, Rhs::Imm(bits as u32 as i32), targets)
            }
            Right::Const(bits) => match (i32::try_from(bits as i64), narrow) {
                (Ok(imm), _) => jump_if(Width::W64, jmp, left, Rhs::Imm(imm), targets),
                (Err(_), true) => {
                    jump_if(Width::W32, jmp, left, Rhs::Imm(bits as u32 as i32), targets)
                }
                (Err(_), false) => {
                    let value = self.constant(bits);
                    jump_if(Width::W64, jmp, left, Rhs::VReg(value), targets)
                }
            },
        }
    }

    /// `if ptr + len > data_end goto short`, the one form that every verifier
    /// understands; `data_end` is loaded anew each time, as helpers move the packet.
    fn guard(&mut self, ptr: ir::Value, len: u32, targets: [Target; 2]) -> Selected<Term> {
        if len > MAX_PACKET_OFFSET {
            return Err(format!("a guard of {len} bytes; a packet has at most 65535"));
        }
        let fields = self.packet_fields()?;
        let limit = self.end_of(ptr, len)?;
        let end = self.load_from(Size::W, Place::Base(fields.end), Some(self.context));
        Ok(jump_if(Width::W64, JmpOp::Gt, limit, Rhs::VReg(end), targets))
    }

    /// The index is a constant, and constants are moved to their argument
    /// registers last, next to the call: so the JIT sees it and jumps directly.
    fn tail_call(&mut self, ctx: ir::Value, map: ir::MapRef, index: u32) -> Selected {
        let map = self.map(map)?;
        let map = self.remat(Remat::Map(map));
        let index = self.constant(index.into());
        let uses = vec![self.reg(ctx)?, map, index];
        self.push(Op::Call(TAIL_CALL), None, uses);
        Ok(())
    }

    /// A balanced tree of compares over the sorted cases with short chains as leaves.
    fn switch(
        &mut self,
        value: ir::Value,
        cases: &[(u64, ir::Target)],
        default: &ir::Target,
    ) -> Selected {
        let width = self.width(value)?;
        let key = self.reg(value)?;
        let default = self.target(default)?;
        let mut sorted = Vec::with_capacity(cases.len());
        for (bits, target) in cases {
            sorted.push((*bits, self.target(target)?));
        }
        sorted.sort_by_key(|(bits, _)| *bits);
        let mut work = vec![(self.at, &sorted[..])];
        while let Some((block, cases)) = work.pop() {
            self.go_to(block);
            if cases.len() <= CHAIN {
                self.chain(key, width, cases, &default);
                continue;
            }
            let (low, high) = cases.split_at(cases.len() / 2);
            let (left, right) = (self.new_block(), self.new_block());
            let targets = [to(right), to(left)];
            let term = self.compare(CmpOp::Uge, width, key, Right::Const(high[0].0), targets);
            self.end(term);
            work.extend([(right, high), (left, low)]);
        }
        Ok(())
    }

    fn chain(&mut self, key: VReg, width: ir::Width, cases: &[(u64, Target)], default: &Target) {
        for (at, (bits, target)) in cases.iter().enumerate() {
            let is_last = at + 1 == cases.len();
            let next = (!is_last).then(|| self.new_block());
            let miss = next.map_or_else(|| default.clone(), to);
            let targets = [target.clone(), miss];
            let term = self.compare(CmpOp::Eq, width, key, Right::Const(*bits), targets);
            self.end(term);
            if let Some(next) = next {
                self.go_to(next);
            }
        }
        if cases.is_empty() {
            self.end(Term::Jump(default.clone()));
        }
    }

    fn new_block(&mut self) -> Block {
        self.mir.blocks.push(empty_block(self.context))
    }

    /// Continues in `block`, which comes next in the layout if it is new.
    fn go_to(&mut self, block: Block) {
        if self.at != block {
            self.mir.layout.push(block);
            self.at = block;
        }
    }
}

fn to(block: Block) -> Target {
    Target { block, args: vec![] }
}

const fn jump_if(width: Width, op: JmpOp, lhs: VReg, rhs: Rhs, targets: [Target; 2]) -> Term {
    Term::If { width, op, lhs, rhs, targets }
}

const fn jmp_op(op: CmpOp) -> JmpOp {
    match op {
        CmpOp::Eq => JmpOp::Eq,
        CmpOp::Ne => JmpOp::Ne,
        CmpOp::Ult => JmpOp::Lt,
        CmpOp::Ule => JmpOp::Le,
        CmpOp::Ugt => JmpOp::Gt,
        CmpOp::Uge => JmpOp::Ge,
        CmpOp::Slt => JmpOp::Slt,
        CmpOp::Sle => JmpOp::Sle,
        CmpOp::Sgt => JmpOp::Sgt,
        CmpOp::Sge => JmpOp::Sge,
        CmpOp::Set => JmpOp::Set,
    }
}

/// `a op b` as `b mirror(op) a`.
const fn mirror(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::Eq | CmpOp::Ne | CmpOp::Set => op,
        CmpOp::Ult => CmpOp::Ugt,
        CmpOp::Ule => CmpOp::Uge,
        CmpOp::Ugt => CmpOp::Ult,
        CmpOp::Uge => CmpOp::Ule,
        CmpOp::Slt => CmpOp::Sgt,
        CmpOp::Sle => CmpOp::Sge,
        CmpOp::Sgt => CmpOp::Slt,
        CmpOp::Sge => CmpOp::Sle,
    }
}

//! Constants are computed, algebra is simplified.
//!
//! Sound: integers are computed by [`eval`], as the interpreter does and RFC 9669
//! says; each rule is an identity of unsigned integers of a width. Equality does
//! not depend on byte order, so a compare of a swapped value with a constant is one
//! of the value with the swapped constant. A pointer plus a constant is the same
//! place as that much more of an offset, and a guard on it the same guard on the
//! pointer with that much more length.
//!
//! No rule takes away a bound that the checker (and the kernel) derives from an
//! operation: narrow masks and casts stay.

use policyc_ir::{
    BinOp, Block, CastOp, Cfg, CmpOp, Function, Inst, Op, Terminator, Type, Value, ValueData,
    Width, eval,
};

use super::rewrite::{Definitions, Replace};

/// Offsets of loads and stores are 16 bits in the machine.
const OFFSETS: std::ops::RangeInclusive<i64> = i16::MIN as i64..=i16::MAX as i64;

/// The farthest a guard reaches.
const PACKET: u64 = 0xffff;

/// Simplifies every instruction and terminator once; whether anything changed.
pub fn fold(func: &mut Function) -> bool {
    let order = Cfg::new(func).order().to_vec();
    let definitions = Definitions::new(func);
    let mut folder =
        Folder { func, definitions, replace: Replace::default(), out: vec![], changed: false };
    order.into_iter().for_each(|block| folder.block(block));
    let changed = folder.changed;
    let replace = folder.replace;
    replace.apply(func) | changed
}

struct Folder<'a> {
    func: &'a mut Function,
    definitions: Definitions,
    replace: Replace,
    /// The instructions of the current block.
    out: Vec<Inst>,
    changed: bool,
}

/// What an operation is the same as.
enum Same {
    Op(Op),
    Value(Value),
}

impl Same {
    fn bits(bits: u64) -> Option<Self> {
        Some(Self::Op(Op::Const(bits)))
    }
}

impl Folder<'_> {
    fn block(&mut self, block: Block) {
        let insts = std::mem::take(&mut self.func.blocks[block].insts);
        for mut inst in insts {
            inst.op.map_operands(|value| *value = self.replace.get(*value));
            self.inst(inst);
        }
        if let Some(mut end) = self.func.blocks[block].end.take() {
            end.term.map_operands(|value| *value = self.replace.get(*value));
            if let Some(term) = self.terminator(&end.term) {
                end.term = term;
                self.changed = true;
            }
            self.func.blocks[block].end = Some(end);
        }
        self.func.blocks[block].insts = std::mem::take(&mut self.out);
    }

    fn inst(&mut self, mut inst: Inst) {
        let result = inst.results.first().copied();
        let simpler = match result {
            Some(result) => self.value_op(&inst.op, self.func.ty(result)),
            None => self.memory_op(&inst.op).map(Same::Op),
        };
        match (simpler, result) {
            (Some(Same::Value(value)), Some(result)) => {
                self.replace.insert(result, value);
                self.changed = true;
                return;
            }
            (Some(Same::Op(op)), _) => {
                inst.op = op;
                self.changed = true;
            }
            _ => {}
        }
        if let Some(result) = result.filter(|_| !matches!(inst.op, Op::Call(..))) {
            self.definitions.set(result, inst.op.clone());
        }
        self.out.push(inst);
    }

    /// A constant in the current block.
    fn constant(&mut self, ty: Type, bits: u64) -> Value {
        let value = self.func.values.push(ValueData { ty, name: String::new() });
        self.definitions.set(value, Op::Const(bits));
        self.out.push(Inst { op: Op::Const(bits), results: vec![value], origin: None });
        value
    }

    fn value_op(&mut self, op: &Op, ty: Type) -> Option<Same> {
        match (op, ty) {
            (Op::Bin(op, a, b), Type::Int(width, _)) => self.bin(*op, *a, *b, ty, width),
            (Op::Cast(op, a), Type::Int(width, _)) => self.cast(*op, *a, ty, width),
            (Op::PtrAdd(base, bytes), _) => self.ptr_add(*base, *bytes),
            (Op::Load { .. }, _) => self.memory_op(op).map(Same::Op),
            _ => None,
        }
    }

    fn bin(&mut self, op: BinOp, a: Value, b: Value, ty: Type, width: Width) -> Option<Same> {
        let (left, right) = (self.definitions.constant(a), self.definitions.constant(b));
        match (left, right) {
            (Some(left), Some(right)) => Same::bits(eval::bin(op, width, left, right)?),
            (Some(_), None) if is_commutative(op) => Some(Same::Op(Op::Bin(op, b, a))),
            (None, Some(n)) => self.bin_constant(op, a, n, ty, width),
            _ if a == b => match op {
                BinOp::Sub | BinOp::Xor => Same::bits(0),
                BinOp::And | BinOp::Or => Some(Same::Value(a)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `a op n`
    fn bin_constant(
        &mut self,
        op: BinOp,
        a: Value,
        n: u64,
        ty: Type,
        width: Width,
    ) -> Option<Same> {
        let wide = matches!(width, Width::W32 | Width::W64);
        match (op, n) {
            (
                BinOp::Add
                | BinOp::Sub
                | BinOp::Or
                | BinOp::Xor
                | BinOp::Shl
                | BinOp::Lshr
                | BinOp::Ashr
                | BinOp::Mod,
                0,
            )
            | (BinOp::Mul | BinOp::Div, 1) => Some(Same::Value(a)),
            (BinOp::And | BinOp::Mul | BinOp::Div, 0) | (BinOp::Mod, 1) => Same::bits(0),
            (BinOp::And, n) if wide && n == eval::mask(width) => Some(Same::Value(a)),
            (BinOp::Or, n) if n == eval::mask(width) => Same::bits(n),
            (BinOp::Mul, n) if n.is_power_of_two() => {
                let distance = self.constant(ty, n.trailing_zeros().into());
                Some(Same::Op(Op::Bin(BinOp::Shl, a, distance)))
            }
            (BinOp::Div, n) if n.is_power_of_two() => {
                let distance = self.constant(ty, n.trailing_zeros().into());
                Some(Same::Op(Op::Bin(BinOp::Lshr, a, distance)))
            }
            (BinOp::Mod, n) if n.is_power_of_two() => {
                let mask = self.constant(ty, n - 1);
                Some(Same::Op(Op::Bin(BinOp::And, a, mask)))
            }
            _ => self.reassociate(op, a, n, ty, width),
        }
    }

    /// `(x op m) op n` is `x op (m op n)`; for sums only while that does not wrap, so
    /// that bounds stay.
    fn reassociate(&mut self, op: BinOp, a: Value, n: u64, ty: Type, width: Width) -> Option<Same> {
        let associative = matches!(op, BinOp::Add | BinOp::And | BinOp::Or | BinOp::Xor);
        let Some(Op::Bin(inner, x, m)) = self.definitions.get(a).cloned() else { return None };
        let m = self.definitions.constant(m)?;
        if inner != op || !associative {
            return None;
        }
        let both = eval::bin(op, width, m, n)?;
        if op == BinOp::Add && both < n {
            return None;
        }
        let both = self.constant(ty, both);
        Some(Same::Op(Op::Bin(op, x, both)))
    }

    fn cast(&mut self, op: CastOp, a: Value, ty: Type, width: Width) -> Option<Same> {
        if let Some(bits) = self.definitions.constant(a) {
            return Same::bits(eval::cast(op, width, bits));
        }
        let Some(Op::Cast(inner, x)) = self.definitions.get(a).cloned() else { return None };
        let (from, to) = (self.func.ty(x), ty);
        match (inner, op) {
            (CastOp::Swap, CastOp::Swap) => Some(Same::Value(x)),
            (CastOp::Zext, CastOp::Zext) | (CastOp::Trunc, CastOp::Trunc) => {
                Some(Same::Op(Op::Cast(op, x)))
            }
            (CastOp::Zext, CastOp::Trunc) if from > to => Some(Same::Op(Op::Cast(op, x))),
            (CastOp::Zext, CastOp::Trunc) if from < to => Some(Same::Op(Op::Cast(CastOp::Zext, x))),
            (CastOp::Zext, CastOp::Trunc) if from == Type::U32 => Some(Same::Value(x)),
            _ => None,
        }
    }

    fn ptr_add(&mut self, base: Value, bytes: Value) -> Option<Same> {
        let n = self.definitions.constant(bytes)?;
        if n == 0 && self.func.ty(base).moved() == self.func.ty(base) {
            return Some(Same::Value(base));
        }
        let (root, offset) = self.definitions.base(base);
        if root == base {
            return None;
        }
        let bytes = self.constant(Type::U64, offset.checked_add(n)?);
        Some(Same::Op(Op::PtrAdd(root, bytes)))
    }

    /// A load or store with the constant part of its pointer in the offset.
    fn memory_op(&mut self, op: &Op) -> Option<Op> {
        let mut op = op.clone();
        let (Op::Load { base, offset }
        | Op::Store { base, offset, .. }
        | Op::AtomicAdd { base, offset, .. }) = &mut op
        else {
            return None;
        };
        let (root, more) = self.definitions.base(*base);
        let sum = i64::try_from(more).ok()?.checked_add((*offset).into())?;
        if root == *base || !OFFSETS.contains(&sum) {
            return None;
        }
        (*base, *offset) = (root, i32::try_from(sum).ok()?);
        Some(op)
    }

    fn terminator(&mut self, term: &Terminator) -> Option<Terminator> {
        match term {
            Terminator::Br { op, a, b, then, other } => {
                let (op, a, b) = self.compare(*op, *a, *b)?;
                Some(Terminator::Br { op, a, b, then: then.clone(), other: other.clone() })
            }
            Terminator::Switch { value, cases, default } => {
                let value = self.swapped(*value)?;
                let Type::Int(width, _) = self.func.ty(value) else { return None };
                let swap = |bits: u64| eval::cast(CastOp::Swap, width, bits);
                let cases = cases.iter().map(|(bits, target)| (swap(*bits), target.clone()));
                Some(Terminator::Switch { value, cases: cases.collect(), default: default.clone() })
            }
            Terminator::Guard { ptr, len, ok, short } => {
                let (root, offset) = self.definitions.base(*ptr);
                let reach = offset.saturating_add((*len).into());
                if root == *ptr || reach > PACKET {
                    return None;
                }
                let len = u32::try_from(reach).ok()?;
                let (ok, short) = (ok.clone(), short.clone());
                Some(Terminator::Guard { ptr: root, len, ok, short })
            }
            _ => None,
        }
    }

    fn compare(&mut self, op: CmpOp, a: Value, b: Value) -> Option<(CmpOp, Value, Value)> {
        let (left, right) = (self.definitions.constant(a), self.definitions.constant(b));
        if left.is_some() && right.is_none() {
            return Some((op.exchanged(), b, a));
        }
        if !matches!(op, CmpOp::Eq | CmpOp::Ne | CmpOp::Set) {
            return None;
        }
        let x = self.swapped(a)?;
        if let Some(y) = self.swapped(b) {
            return Some((op, x, y));
        }
        let ty = self.func.ty(x);
        let Type::Int(width, _) = ty else { return None };
        let y = self.constant(ty, eval::cast(CastOp::Swap, width, right?));
        Some((op, x, y))
    }

    /// The value that this one is the `swap` of.
    fn swapped(&self, value: Value) -> Option<Value> {
        match self.definitions.get(value)? {
            Op::Cast(CastOp::Swap, x) => Some(*x),
            _ => None,
        }
    }
}

const fn is_commutative(op: BinOp) -> bool {
    matches!(op, BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor)
}

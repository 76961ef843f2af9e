//! Second pass over a function: instructions and terminators.

use pest::iterators::{Pair, Pairs};
use policyc_base::{EntityId, Origin, Span};
use policyc_grammar::bir::Rule;

use super::declare::{Local, NextIfRule, Scope};
use super::{NAME, NUMBER, Reader, TYPE, literal, name_of};
use crate::helpers::Arg;
use crate::place::Place;
use crate::types::{
    BinOp, Block, CastOp, CmpOp, End, FuncId, Function, Helper, Inst, Op, Target, Terminator, Type,
    Value, ValueData,
};

impl Reader {
    /// Reads the body of a declared function.
    pub(super) fn body(&mut self, id: FuncId, pair: Pair<'_, Rule>) {
        let scope = self.declare(id, &pair);
        let func = self.module.functions[id].clone();
        let layout = func.layout.clone();
        let mut body =
            Body { reader: self, id, func, scope, block: Block::from_index(0), origin: None };
        let blocks = pair.into_inner().filter(|part| part.as_rule() == Rule::block);
        for (block, pair) in layout.into_iter().zip(blocks) {
            body.block = block;
            pair.into_inner().skip(1).for_each(|line| body.line(line));
        }
        let mut func = body.func;
        func.compact();
        self.module.functions[id] = func;
    }
}

struct Body<'r, 'i> {
    reader: &'r mut Reader,
    id: FuncId,
    func: Function,
    scope: Scope<'i>,
    /// The block that lines are added to.
    block: Block,
    /// The rule of the current line.
    origin: Option<Origin>,
}

type Parts<'i> = Pairs<'i, Rule>;

impl<'i> Body<'_, 'i> {
    fn line(&mut self, pair: Pair<'i, Rule>) {
        let span = self.reader.span(&pair);
        if self.func.blocks[self.block].end.is_some() {
            return self.reader.error(
                NAME,
                span,
                "this stands after the terminator of its block".to_owned(),
            );
        }
        let origin = pair.clone().into_inner().find(|part| part.as_rule() == Rule::origin);
        self.origin = origin.map(|part| {
            let number: u32 =
                literal::number(part.as_str().trim_start_matches('!')).unwrap_or(0) as u32;
            Origin::from_index(number as usize)
        });
        let is_inst = pair.as_rule() == Rule::inst;
        let mut parts = pair.into_inner();
        if is_inst {
            self.inst(parts, span);
        } else if let Some(term) = parts.next().and_then(|part| self.terminator(part)) {
            self.func.blocks[self.block].end = Some(End { term, origin: self.origin });
            self.reader.spans.insert((self.id, Place::End(self.block)), span);
        }
    }

    fn inst(&mut self, mut parts: Parts<'i>, span: Span) {
        let names = parts.next_if_rule(Rule::locals).map(Pair::into_inner);
        let results =
            names.into_iter().flatten().filter_map(|name| match self.scope.local(name_of(&name)) {
                Some(Local::Value(value)) => Some(value),
                _ => None,
            });
        let mut results: Vec<Value> = results.collect();
        let Some(operation) = parts.next() else { return };
        let Some(op) = self.operation(operation, &results) else { return };
        if results.is_empty()
            && let Op::Helper(helper, args) = &op
        {
            let first = args.first().map(|arg| self.func.ty(*arg));
            results.push(self.value(helper.result(first).unwrap_or(Type::U64)));
        }
        self.push(op, results, span);
    }

    fn push(&mut self, op: Op, results: Vec<Value>, span: Span) {
        let insts = &mut self.func.blocks[self.block].insts;
        insts.push(Inst { op, results, origin: self.origin });
        let place = Place::Inst(self.block, insts.len() - 1);
        self.reader.spans.insert((self.id, place), span);
    }

    fn value(&mut self, ty: Type) -> Value {
        self.func.values.push(ValueData { ty, name: String::new() })
    }

    /// An instruction for an operand that is no value.
    fn implicit(&mut self, op: Op, ty: Type, span: Span) -> Value {
        let value = self.value(ty);
        self.push(op, vec![value], span);
        value
    }

    /// `None` after an error that was reported.
    fn operation(&mut self, pair: Pair<'i, Rule>, results: &[Value]) -> Option<Op> {
        let rule = pair.as_rule();
        let span = self.reader.span(&pair);
        let mut parts = pair.into_inner();
        let result = results.first().map(|value| self.func.ty(*value));
        Some(match rule {
            Rule::constant => Op::Const(self.bits(&parts.nth(1)?, result?)?),
            Rule::binary => {
                let op = BinOp::from_name(parts.next()?.as_str())?;
                parts.next()?;
                let a = self.operand(parts.next()?, result)?;
                Op::Bin(op, a, self.operand(parts.next()?, result)?)
            }
            Rule::cast => {
                let op = CastOp::from_name(parts.next()?.as_str())?;
                parts.next()?;
                Op::Cast(op, self.operand(parts.next()?, None)?)
            }
            Rule::ptr_add => {
                let base = self.operand(parts.next()?, None)?;
                Op::PtrAdd(base, self.operand(parts.next()?, Some(Type::U64))?)
            }
            Rule::pkt_start => Op::PktStart(self.operand(parts.next()?, None)?),
            Rule::slot_addr => {
                let name = parts.next()?;
                match self.scope.local(name_of(&name)) {
                    Some(Local::Slot(slot)) => Op::SlotAddr(slot),
                    _ => return self.unknown(&name, "stack slot"),
                }
            }
            Rule::map_addr => Op::MapAddr(self.reader.map_ref(&parts.next()?)),
            Rule::flat_addr => Op::FlatAddr(self.reader.map_ref(&parts.next()?)),
            Rule::load => {
                let (base, offset) = self.address(parts.nth(1)?)?;
                Op::Load { base, offset }
            }
            Rule::store | Rule::atomic_add => {
                let ty = self.reader.ty(parts.next()?, &self.func);
                let (base, offset) = self.address(parts.next()?)?;
                let value = self.typed(parts.next()?, ty, span)?;
                if rule == Rule::store {
                    Op::Store { base, offset, value }
                } else {
                    Op::AtomicAdd { base, offset, value }
                }
            }
            Rule::call => {
                let name = parts.next()?;
                let Some(callee) = self.reader.find_func(name_of(&name)) else {
                    return self.unknown(&name, "function");
                };
                let params = self.param_types(callee);
                Op::Call(callee, self.operands(parts, &params)?)
            }
            _ => {
                let helper = Helper::from_name(parts.next()?.as_str())?;
                let wanted: Vec<_> = helper.signature().args.iter().map(literal_type).collect();
                Op::Helper(helper, self.operands(parts, &wanted)?)
            }
        })
    }

    /// Types of a function's parameters, of the current one as far as it is read.
    fn param_types(&self, callee: FuncId) -> Vec<Option<Type>> {
        let callee =
            if callee == self.id { &self.func } else { &self.reader.module.functions[callee] };
        // Layouts are made after heads: the entry is block 0 until then.
        let entry = callee.blocks.get(Block::from_index(0));
        let params = entry.map_or(&[][..], |entry| &entry.params);
        params.iter().map(|value| Some(callee.ty(*value))).collect()
    }

    fn operands(&mut self, parts: Parts<'i>, wanted: &[Option<Type>]) -> Option<Vec<Value>> {
        let read = |(i, part)| self.operand(part, wanted.get(i).copied().flatten());
        parts.enumerate().map(read).collect()
    }

    /// A value, or what stands for one; integers take the type `wanted`.
    fn operand(&mut self, pair: Pair<'i, Rule>, wanted: Option<Type>) -> Option<Value> {
        let span = self.reader.span(&pair);
        let part = pair.into_inner().next()?;
        match part.as_rule() {
            Rule::literal => {
                let Some(ty) = wanted else {
                    let message = format!("`{}` has no type here: use `const`", part.as_str());
                    self.reader.error(TYPE, span, message);
                    return None;
                };
                let bits = self.bits(&part, ty)?;
                Some(self.implicit(Op::Const(bits), ty, span))
            }
            Rule::global => {
                let map = self.reader.map_ref(&part);
                Some(self.implicit(Op::MapAddr(map), Type::Map(map), span))
            }
            _ => match self.scope.local(name_of(&part)) {
                Some(Local::Value(value)) => Some(value),
                Some(Local::Slot(slot)) => {
                    Some(self.implicit(Op::SlotAddr(slot), Type::Stack(slot), span))
                }
                None => self.unknown(&part, "value"),
            },
        }
    }

    /// An operand whose type the line states.
    fn typed(&mut self, pair: Pair<'i, Rule>, ty: Type, span: Span) -> Option<Value> {
        let text = pair.as_str();
        let value = self.operand(pair, Some(ty))?;
        if self.func.ty(value) != ty {
            let message = format!("`{text}` is not of the type that the line states");
            self.reader.error(TYPE, span, message);
        }
        Some(value)
    }

    fn address(&mut self, pair: Pair<'i, Rule>) -> Option<(Value, i32)> {
        let mut parts = pair.into_inner();
        let base = self.operand(parts.next()?, None)?;
        let Some(offset) = parts.next() else { return Some((base, 0)) };
        let digits: String = offset.as_str().chars().filter(|c| *c != ' ').collect();
        let Ok(number) = digits.parse() else {
            let message = format!("`{digits}` is too large an offset");
            self.reader.error(NUMBER, self.reader.span(&offset), message);
            return None;
        };
        Some((base, number))
    }

    /// `None` after an error that was reported.
    fn terminator(&mut self, pair: Pair<'i, Rule>) -> Option<Terminator> {
        let rule = pair.as_rule();
        let mut parts = pair.into_inner();
        Some(match rule {
            Rule::jump => Terminator::Jump(self.target(parts.next()?)?),
            Rule::br => {
                let op = CmpOp::from_name(parts.next()?.as_str())?;
                let (left, right) = (parts.next()?, parts.next()?);
                let (a, b) = self.compared(left, right)?;
                let then = self.target(parts.next()?)?;
                Terminator::Br { op, a, b, then, other: self.target(parts.next()?)? }
            }
            Rule::switch => self.switch(parts)?,
            Rule::br_null => {
                let value = self.operand(parts.next()?, None)?;
                let null = self.target(parts.next()?)?;
                Terminator::BrNull { value, null, found: self.target(parts.next()?)? }
            }
            Rule::guard => {
                let ptr = self.operand(parts.next()?, None)?;
                let len = self.reader.number(&parts.next()?);
                let ok = self.target(parts.next()?)?;
                Terminator::Guard { ptr, len, ok, short: self.target(parts.next()?)? }
            }
            Rule::tail_call => {
                let ctx = self.operand(parts.next()?, None)?;
                let map = self.reader.map_ref(&parts.next()?);
                let index = self.reader.number(&parts.next()?);
                Terminator::TailCall { ctx, map, index, missed: self.target(parts.next()?)? }
            }
            _ => {
                let results: Vec<_> = self.func.results.iter().copied().map(Some).collect();
                Terminator::Ret(self.operands(parts, &results)?)
            }
        })
    }

    /// The operands of a compare; an integer takes the type of the other one.
    fn compared(&mut self, a: Pair<'i, Rule>, b: Pair<'i, Rule>) -> Option<(Value, Value)> {
        let (first, second) = (self.operand_type(&a), self.operand_type(&b));
        let a = self.operand(a, second)?;
        Some((a, self.operand(b, first)?))
    }

    fn operand_type(&self, pair: &Pair<'i, Rule>) -> Option<Type> {
        let part = pair.clone().into_inner().next()?;
        match self.scope.local(name_of(&part))? {
            Local::Value(value) => Some(self.func.ty(value)),
            Local::Slot(slot) => Some(Type::Stack(slot)),
        }
    }

    fn switch(&mut self, mut parts: Parts<'i>) -> Option<Terminator> {
        let value = self.operand(parts.next()?, None)?;
        let ty = self.func.ty(value);
        let mut cases = vec![];
        while let Some(case) = parts.next_if_rule(Rule::case) {
            let mut case = case.into_inner();
            let bits = self.bits(&case.next()?, ty)?;
            cases.push((bits, self.target(case.next()?)?));
        }
        Some(Terminator::Switch { value, cases, default: self.target(parts.next()?)? })
    }

    fn target(&mut self, pair: Pair<'i, Rule>) -> Option<Target> {
        let mut parts = pair.into_inner();
        let name = parts.next()?;
        let Some(block) = self.scope.block(name.as_str()) else {
            return self.unknown(&name, "block");
        };
        let params = self.func.blocks[block].params.iter();
        let wanted: Vec<_> = params.map(|value| Some(self.func.ty(*value))).collect();
        Some(Target { block, args: self.operands(parts, &wanted)? })
    }

    fn bits(&mut self, pair: &Pair<'i, Rule>, ty: Type) -> Option<u64> {
        let bits = literal::bits(pair.as_str(), ty);
        if bits.is_none() {
            let message = format!("`{}` does not fit its type", pair.as_str());
            self.reader.error(NUMBER, self.reader.span(pair), message);
        }
        bits
    }

    fn unknown<T>(&mut self, pair: &Pair<'i, Rule>, what: &str) -> Option<T> {
        let message = format!("no {what} `{}`", pair.as_str());
        self.reader.error(NAME, self.reader.span(pair), message);
        None
    }
}

/// The type an integer takes as this argument of a helper.
fn literal_type(arg: &Arg) -> Option<Type> {
    match arg {
        Arg::Size { .. } => Some(Type::U32),
        Arg::Int(width) => Some(Type::Int(*width, crate::types::Order::Native)),
        _ => None,
    }
}

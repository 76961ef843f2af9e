//! Types of operands and results.

use super::Found;
use super::ssa::name;
use crate::cfg::Cfg;
use crate::eval::mask;
use crate::helpers::Arg;
use crate::place::Place;
use crate::types::{
    BinOp, Block, CastOp, CmpOp, Function, Helper, Inst, MapKind, MapRef, Module, Op, Order,
    Target, Terminator, Type, Value, Width,
};

pub(super) fn check(module: &Module, func: &Function, cfg: &Cfg, found: &mut Found) {
    let mut checker = Checker { module, func, found, place: Place::Header };
    checker.signature();
    for block in cfg.order() {
        checker.block(*block);
    }
}

struct Checker<'a> {
    module: &'a Module,
    func: &'a Function,
    found: &'a mut Found,
    /// The line that is looked at.
    place: Place,
}

impl Checker<'_> {
    fn signature(&mut self) {
        let params = self.func.params().iter().map(|value| self.func.ty(*value));
        for ty in params.chain(self.func.results.iter().copied()).collect::<Vec<_>>() {
            if matches!(ty, Type::Stack(_) | Type::MapValueOrNull(_)) {
                self.error("functions take and return neither stack pointers nor null");
            }
        }
    }

    fn block(&mut self, block: Block) {
        let func = self.func;
        let data = &func.blocks[block];
        self.place = Place::Label(block);
        for value in &data.params {
            self.defined(*value);
            if let Type::MapValueOrNull(_) = func.ty(*value) {
                self.error("only `br_null` can use a pointer that may be null");
            }
        }
        for (i, inst) in data.insts.iter().enumerate() {
            self.place = Place::Inst(block, i);
            inst.results.iter().for_each(|value| self.defined(*value));
            self.inst(inst);
        }
        self.place = Place::End(block);
        if let Some(end) = &data.end {
            self.terminator(&end.term);
        }
    }

    fn defined(&mut self, value: Value) {
        if self.func.ty(value) == Type::Int(Width::W8, Order::Big) {
            self.error("one byte has no byte order");
        }
    }

    fn inst(&mut self, inst: &Inst) {
        let results: Vec<_> = inst.results.iter().map(|value| self.func.ty(*value)).collect();
        if let Op::Call(callee, args) = &inst.op {
            let callee = &self.module.functions[*callee];
            // The callee may be ill-formed itself: that is found when it is looked at.
            let param = |value: &Value| callee.values.get(*value).map(|data| data.ty);
            let params: Vec<_> = callee.params().iter().filter_map(param).collect();
            self.same(&params, args, "the function takes");
            if results != callee.results {
                self.error("the results are not those of the function");
            }
            return;
        }
        if let Op::Store { base, value, .. } | Op::AtomicAdd { base, value, .. } = inst.op {
            let fetched = [self.func.ty(value)];
            let fetches = matches!(inst.op, Op::AtomicAdd { .. }) && results == fetched;
            if !results.is_empty() && !fetches {
                self.error("this has no result, or what an atomic add found");
            }
            return self.write(inst, base, value);
        }
        let [result] = results.as_slice() else {
            return self.error("this has one result");
        };
        if let Some(message) = self.value_op(&inst.op, *result) {
            self.error(message);
        }
    }

    fn write(&mut self, inst: &Inst, base: Value, value: Value) {
        let atomic = matches!(inst.op, Op::AtomicAdd { .. });
        let base_ok = match self.func.ty(base) {
            Type::MapValue(_) | Type::Stack(_) => true,
            Type::Ctx | Type::Pkt => !atomic,
            _ => false,
        };
        if !base_ok {
            self.error(format!("`{}` cannot be written through", name(self.func, base)));
        }
        match self.func.ty(value) {
            Type::Int(Width::W32 | Width::W64, Order::Native) => {}
            Type::Int(..) if !atomic => {}
            _ if atomic => self.error("only `u32` and `u64` are added atomically"),
            _ => self.error("only integers are stored"),
        }
    }

    /// What is wrong with an operation that has one result.
    fn value_op(&mut self, op: &Op, result: Type) -> Option<String> {
        let ty = |value: &Value| self.func.ty(*value);
        let wrong = |ok: bool, message: &str| (!ok).then(|| message.to_owned());
        match op {
            Op::Const(bits) => {
                let Type::Int(width, _) = result else {
                    return Some("only integers are constants".into());
                };
                wrong(*bits <= mask(width), "the constant does not fit its type")
            }
            Op::Bin(op, a, b) => {
                let Type::Int(_, order) = result else {
                    return Some("arithmetic is on integers".into());
                };
                let bitwise = matches!(op, BinOp::And | BinOp::Or | BinOp::Xor);
                wrong(ty(a) == result && ty(b) == result, "operands and result have one type")
                    .or_else(|| wrong(order == Order::Native || bitwise, NETWORK_ORDER))
            }
            Op::Cast(op, a) => {
                let (Type::Int(from, from_order), Type::Int(to, to_order)) = (ty(a), result) else {
                    return Some("casts are of integers".into());
                };
                match op {
                    CastOp::Swap => wrong(
                        from == to && from_order != to_order,
                        "`swap` changes the byte order and keeps the width",
                    ),
                    _ if (from_order, to_order) != (Order::Native, Order::Native) => {
                        Some(NETWORK_ORDER.into())
                    }
                    CastOp::Zext => wrong(from < to, "`zext` makes an integer wider"),
                    CastOp::Trunc => wrong(from > to, "`trunc` makes an integer narrower"),
                }
            }
            Op::PtrAdd(base, bytes) => {
                let pointer =
                    matches!(ty(base), Type::Ctx | Type::Pkt | Type::MapValue(_) | Type::Stack(_));
                wrong(pointer && ty(base).moved() == result, "this is not a pointer that can move")
                    .or_else(|| {
                        let native = matches!(ty(bytes), Type::Int(_, Order::Native));
                        wrong(native, "a number of bytes is a native integer")
                    })
            }
            Op::PktStart(ctx) => wrong(
                ty(ctx) == Type::Ctx && result == Type::Pkt,
                "`pkt_start` is of the context and gives a packet pointer",
            ),
            Op::SlotAddr(slot) => wrong(result == Type::Stack(*slot), RESULT),
            Op::MapAddr(map) => wrong(result == Type::Map(*map), RESULT),
            Op::FlatAddr(map) => {
                let decl = &self.module.maps[*map];
                let flat = decl.kind == MapKind::Array && decl.max_entries == 1;
                wrong(flat, "only an array with one entry is flat")
                    .or_else(|| wrong(result == Type::MapValue(*map), RESULT))
            }
            Op::Load { base, .. } => {
                let readable =
                    matches!(ty(base), Type::Ctx | Type::Pkt | Type::MapValue(_) | Type::Stack(_));
                wrong(readable, "this is not a pointer that can be read")
                    .or_else(|| wrong(result.is_int(), "only integers are loaded"))
            }
            Op::Helper(helper, args) => self.helper(*helper, args, result),
            Op::Store { .. } | Op::AtomicAdd { .. } | Op::Call(..) => None,
        }
    }

    fn helper(&self, helper: Helper, args: &[Value], result: Type) -> Option<String> {
        let wanted = helper.signature().args;
        if args.len() != wanted.len() {
            return Some(format!("the helper takes {} arguments", wanted.len()));
        }
        for (i, (arg, wanted)) in args.iter().zip(wanted).enumerate() {
            let ty = self.func.ty(*arg);
            let memory = matches!(ty, Type::Stack(_) | Type::MapValue(_));
            let kind = match ty {
                Type::Map(map) => self.module.maps.get(map).map(|decl| decl.kind),
                _ => None,
            };
            let (ok, what) = match wanted {
                Arg::Ctx => (ty == Type::Ctx, "the context".to_owned()),
                Arg::KeyedMap => (kind.is_some_and(MapKind::is_keyed), "a map with keys".into()),
                Arg::Ringbuf => (kind == Some(MapKind::Ringbuf), "a ring buffer".into()),
                Arg::Key | Arg::Value | Arg::Read { .. } | Arg::Write { .. } => {
                    (memory, "a pointer to a slot or a map value".into())
                }
                Arg::Size { .. } => (
                    matches!(ty, Type::Int(Width::W32 | Width::W64, Order::Native)),
                    "a number of bytes, `u32` or `u64`".into(),
                ),
                Arg::KernelAddress => (
                    matches!(ty, Type::U64 | Type::CtxPlace),
                    "an address: a `u64`, or a place in the context".to_owned(),
                ),
                Arg::Int(width) => {
                    (ty == Type::Int(*width, Order::Native), format!("a `u{}`", width.bits()))
                }
            };
            if !ok {
                return Some(format!("argument {} of the helper is {what}", i + 1));
            }
        }
        let first = args.first().map(|arg| self.func.ty(*arg));
        (helper.result(first) != Some(result)).then(|| RESULT.to_owned())
    }

    fn terminator(&mut self, term: &Terminator) {
        let ty = |value: &Value| self.func.ty(*value);
        match term {
            Terminator::Jump(_) => {}
            Terminator::Br { op, a, b, .. } => match (ty(a), ty(b)) {
                (Type::Int(_, order), other) if ty(a) == other => {
                    let equality = matches!(op, CmpOp::Eq | CmpOp::Ne | CmpOp::Set);
                    if order == Order::Big && !equality {
                        self.error(NETWORK_ORDER);
                    }
                }
                _ => self.error("integers of one type are compared"),
            },
            Terminator::Switch { value, cases, .. } => {
                let Type::Int(width, _) = ty(value) else {
                    return self.error("`switch` is on an integer");
                };
                let mut seen = std::collections::BTreeSet::new();
                for (bits, _) in cases {
                    if *bits > mask(width) || !seen.insert(*bits) {
                        self.error(format!(
                            "case {bits:#x} does not fit the type or is there twice"
                        ));
                    }
                }
            }
            Terminator::BrNull { value, .. } => {
                if !matches!(ty(value), Type::MapValueOrNull(_)) {
                    self.error("`br_null` is on the result of a lookup");
                }
            }
            Terminator::Guard { ptr, .. } => {
                if ty(ptr) != Type::Pkt {
                    self.error("`guard` is on a packet pointer");
                }
            }
            Terminator::TailCall { ctx, map, index, .. } => self.tail_call(ty(ctx), *map, *index),
            Terminator::Ret(values) => {
                self.same(&self.func.results, values, "the function returns")
            }
        }
        let nullable = match term {
            Terminator::BrNull { value, .. } => Some(*value),
            _ => None,
        };
        for (i, target) in term.targets().into_iter().enumerate() {
            // The second target of `br_null` is `found`.
            self.target(target, nullable.filter(|_| i == 1));
        }
    }

    fn tail_call(&mut self, ctx: Type, map: MapRef, index: u32) {
        let decl = self.module.maps.get(map).filter(|decl| decl.kind == MapKind::ProgArray);
        match decl {
            None => self.error("`tail_call` is through a program array"),
            Some(decl) if index >= decl.max_entries => {
                self.error(format!("the program array has {} slots", decl.max_entries));
            }
            Some(_) if ctx != Type::Ctx => self.error("`tail_call` takes the context"),
            Some(_) => {}
        }
    }

    /// Arguments of a target; `found` counts as a pointer that is not null.
    fn target(&mut self, target: &Target, found: Option<Value>) {
        let block = &self.func.blocks[target.block];
        let wanted: Vec<_> = block.params.iter().map(|value| self.func.ty(*value)).collect();
        let seen = |value: &Value| match self.func.ty(*value) {
            Type::MapValueOrNull(map) if found == Some(*value) => Type::MapValue(map),
            ty => ty,
        };
        let given: Vec<_> = target.args.iter().map(seen).collect();
        if given != wanted {
            self.mismatch(&wanted, &given, "the block takes");
        }
    }

    fn same(&mut self, wanted: &[Type], values: &[Value], who: &str) {
        let given: Vec<_> = values.iter().map(|value| self.func.ty(*value)).collect();
        if given != wanted {
            self.mismatch(wanted, &given, who);
        }
    }

    fn mismatch(&mut self, wanted: &[Type], given: &[Type], who: &str) {
        if wanted.len() != given.len() {
            return self.error(format!("{who} {} values, not {}", wanted.len(), given.len()));
        }
        let first = wanted.iter().zip(given).position(|(wanted, given)| wanted != given);
        let at = first.unwrap_or(0);
        if matches!(given.get(at), Some(Type::MapValueOrNull(_))) {
            return self.error("only `br_null` can use a pointer that may be null");
        }
        self.error(format!("{who} another type as value {}", at + 1));
    }

    fn error(&mut self, message: impl Into<String>) {
        self.found.push(self.place, message);
    }
}

const NETWORK_ORDER: &str = "network order knows only equality, `and`, `or`, `xor` and `swap`";
const RESULT: &str = "the result has another type";

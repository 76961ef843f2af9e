//! First pass over a function: everything that has a name.
//!
//! After it every slot, block and value of the text has its id, and every value
//! its type, so that the second pass can resolve any use, also one that stands
//! before the definition.

use std::collections::{BTreeMap, BTreeSet};

use pest::iterators::Pair;
use policyc_base::{EntityId, Span};
use policyc_grammar::bir::Rule;

use super::{NAME, Reader, TYPE, name_of};
use crate::names::is_id;
use crate::place::Place;
use crate::types::{
    Block, BlockData, FuncId, Function, Helper, Slot, SlotData, Type, Value, ValueData,
};

/// What the names of one function stand for.
#[derive(Default)]
pub(super) struct Scope<'i> {
    locals: BTreeMap<&'i str, Local>,
    blocks: BTreeMap<&'i str, Block>,
    /// Values whose type follows from another's.
    pending: Vec<Pending<'i>>,
}

/// What a local name stands for.
#[derive(Clone, Copy)]
pub(super) enum Local {
    Value(Value),
    Slot(Slot),
}

struct Pending<'i> {
    value: Value,
    from: &'i str,
    /// The pointer that a lookup in that map returns, instead of the same type.
    lookup: bool,
    span: Span,
}

impl<'i> Scope<'i> {
    pub(super) fn local(&self, name: &str) -> Option<Local> {
        self.locals.get(name).copied()
    }

    pub(super) fn block(&self, name: &str) -> Option<Block> {
        self.blocks.get(name).copied()
    }
}

impl Reader {
    /// Makes the entry block with the function's parameters.
    pub(super) fn declare_params(&mut self, func: &mut Function, pair: Pair<'_, Rule>) {
        let entry = func.blocks.push(empty_block());
        let mut parts = pair.into_inner();
        let Some(params) = parts.find(|part| part.as_rule() == Rule::params) else { return };
        for param in params.into_inner() {
            let Some(ty) = param.into_inner().nth(1) else { continue };
            let ty = self.ty(ty, func);
            let value = func.values.push(ValueData { ty, name: String::new() });
            func.blocks[entry].params.push(value);
        }
    }

    /// Gives ids to the names of a function's body.
    pub(super) fn declare<'i>(&mut self, id: FuncId, pair: &Pair<'i, Rule>) -> Scope<'i> {
        let mut func = self.module.functions[id].clone();
        let mut scope = Scope::default();
        let mut blocks = vec![];
        for part in pair.clone().into_inner() {
            match part.as_rule() {
                Rule::params => self.name_params(&mut func, &mut scope, part),
                Rule::slot => self.slot(&mut func, &mut scope, part),
                Rule::block => blocks.push(part),
                _ => {}
            }
        }
        for (i, block) in blocks.iter().enumerate() {
            let entry = if i == 0 { Some(Block::from_index(0)) } else { None };
            self.block(id, &mut func, &mut scope, entry, block.clone());
        }
        for block in blocks {
            for line in block.into_inner().filter(|part| part.as_rule() == Rule::inst) {
                self.results(&mut func, &mut scope, line);
            }
        }
        self.infer(&mut func, &mut scope);
        self.module.functions[id] = func;
        scope
    }

    fn name_params<'i>(
        &mut self,
        func: &mut Function,
        scope: &mut Scope<'i>,
        params: Pair<'i, Rule>,
    ) {
        let values = func.params_of_entry();
        let names = params.into_inner().filter_map(|param| param.into_inner().next());
        for (value, name) in values.into_iter().zip(names) {
            func.values[value].name = given_name(name_of(&name));
            self.define(scope, &name, Local::Value(value));
        }
    }

    fn slot<'i>(&mut self, func: &mut Function, scope: &mut Scope<'i>, pair: Pair<'i, Rule>) {
        let mut parts = pair.into_inner();
        let (Some(name), Some(size)) = (parts.next(), parts.next()) else { return };
        let size = self.number(&size);
        let align = parts.next().map_or(8, |align| self.number(&align));
        let data = SlotData { size, align, name: given_name(name_of(&name)) };
        let slot = func.slots.push(data);
        self.define(scope, &name, Local::Slot(slot));
    }

    fn block<'i>(
        &mut self,
        id: FuncId,
        func: &mut Function,
        scope: &mut Scope<'i>,
        entry: Option<Block>,
        pair: Pair<'i, Rule>,
    ) {
        let block = entry.unwrap_or_else(|| func.blocks.push(empty_block()));
        func.layout.push(block);
        let Some(label) = pair.into_inner().next() else { return };
        let span = self.span(&label);
        self.spans.insert((id, Place::Label(block)), span);
        let mut parts = label.into_inner();
        let Some(name) = parts.next() else { return };
        func.blocks[block].name = given_name(name.as_str());
        if scope.blocks.insert(name.as_str(), block).is_some() {
            self.error(NAME, span, format!("block `{}` is declared twice", name.as_str()));
        }
        for param in parts.flat_map(Pair::into_inner) {
            if entry.is_some() {
                self.error(
                    NAME,
                    span,
                    "the first block takes the parameters of the function".to_owned(),
                );
                return;
            }
            let mut parts = param.into_inner();
            let (Some(name), Some(ty)) = (parts.next(), parts.next()) else { continue };
            let ty = self.ty(ty, func);
            let value = self.value(func, scope, &name, ty);
            func.blocks[block].params.push(value);
        }
    }

    fn value<'i>(
        &mut self,
        func: &mut Function,
        scope: &mut Scope<'i>,
        name: &Pair<'i, Rule>,
        ty: Type,
    ) -> Value {
        let value = func.values.push(ValueData { ty, name: given_name(name_of(name)) });
        self.define(scope, name, Local::Value(value));
        value
    }

    fn define<'i>(&mut self, scope: &mut Scope<'i>, name: &Pair<'i, Rule>, local: Local) {
        if scope.locals.insert(name_of(name), local).is_some() {
            self.error(NAME, self.span(name), format!("`{}` is defined twice", name.as_str()));
        }
    }

    /// Declares the results of one instruction.
    fn results<'i>(&mut self, func: &mut Function, scope: &mut Scope<'i>, line: Pair<'i, Rule>) {
        let span = self.span(&line);
        let mut parts = line.into_inner();
        let names: Vec<_> = match parts.next_if_rule(Rule::locals) {
            Some(locals) => locals.into_inner().collect(),
            None => vec![],
        };
        let Some(operation) = parts.next() else { return };
        let (types, from) = self.result_types(func, operation);
        if names.len() != types.len() && !(names.is_empty() && from.is_none()) {
            let (found, wanted) = (names.len(), types.len());
            self.error(TYPE, span, format!("{found} results named, {wanted} given"));
        }
        for (name, ty) in names.iter().zip(types) {
            let value = self.value(func, scope, name, ty);
            if let Some((from, lookup)) = from {
                scope.pending.push(Pending { value, from, lookup, span });
            }
        }
    }

    /// Types of the results of an operation; with the name of the value they follow
    /// from when they are not known yet.
    fn result_types<'i>(
        &mut self,
        func: &Function,
        operation: Pair<'i, Rule>,
    ) -> (Vec<Type>, Option<(&'i str, bool)>) {
        let rule = operation.as_rule();
        let mut parts = operation.into_inner();
        let known = |ty| (vec![ty], None);
        match rule {
            // What an atomic addition found need not be named.
            Rule::constant | Rule::load | Rule::atomic_add => match parts.next() {
                Some(ty) => known(self.ty(ty, func)),
                None => (vec![], None),
            },
            Rule::binary | Rule::cast => match parts.nth(1) {
                Some(ty) => known(self.ty(ty, func)),
                None => (vec![], None),
            },
            Rule::pkt_start => known(Type::Pkt),
            Rule::slot_addr | Rule::ptr_add => {
                let from = parts.next().map(|part| name_of(&part));
                (vec![Type::U64], from.map(|name| (name, false)))
            }
            Rule::map_addr => match parts.next() {
                Some(name) => known(Type::Map(self.map_ref(&name))),
                None => (vec![], None),
            },
            Rule::flat_addr => match parts.next() {
                Some(name) => known(Type::MapValue(self.map_ref(&name))),
                None => (vec![], None),
            },
            Rule::call => {
                let callee = parts.next().and_then(|name| self.find_func(name_of(&name)));
                let results = callee.map(|callee| self.module.functions[callee].results.clone());
                (results.unwrap_or_default(), None)
            }
            Rule::helper => self.helper_result(parts.collect()),
            _ => (vec![], None),
        }
    }

    fn helper_result<'i>(
        &mut self,
        parts: Vec<Pair<'i, Rule>>,
    ) -> (Vec<Type>, Option<(&'i str, bool)>) {
        let Some((name, args)) = parts.split_first() else { return (vec![], None) };
        let Some(helper) = Helper::from_name(name.as_str()) else {
            self.error(NAME, self.span(name), format!("no instruction `{}`", name.as_str()));
            return (vec![Type::U64], None);
        };
        let first = args.first();
        match (helper.result(None), first) {
            (Some(ty), _) => (vec![ty], None),
            (None, Some(map)) if map.as_str().starts_with('@') => {
                let map = self.find_map(name_of(map));
                (vec![map.map_or(Type::U64, Type::MapValueOrNull)], None)
            }
            (None, first) => (vec![Type::U64], first.map(|part| (name_of(part), true))),
        }
    }

    /// Types that follow from others, in as many rounds as they depend on each other.
    fn infer(&mut self, func: &mut Function, scope: &mut Scope<'_>) {
        loop {
            let before = scope.pending.len();
            let open: BTreeSet<_> = scope.pending.iter().map(|p| p.value).collect();
            let known = |name: &str| match scope.locals.get(name)? {
                Local::Slot(slot) => Some(Type::Stack(*slot)),
                Local::Value(value) if open.contains(value) => None,
                Local::Value(value) => Some(func.values[*value].ty),
            };
            let resolved: Vec<_> = scope.pending.iter().map(|p| known(p.from)).collect();
            let mut found = resolved.into_iter();
            scope.pending.retain(|pending| {
                let Some(ty) = found.next().flatten() else { return true };
                func.values[pending.value].ty = match ty {
                    Type::Map(map) if pending.lookup => Type::MapValueOrNull(map),
                    // A lookup's other types are not its own, and addresses of slots stay.
                    ty => ty.moved(),
                };
                false
            });
            if scope.pending.len() == before {
                break;
            }
        }
        for pending in std::mem::take(&mut scope.pending) {
            let message = format!("`%{}` has no type that this could take", pending.from);
            self.error(TYPE, pending.span, message);
        }
    }
}

impl Function {
    fn params_of_entry(&self) -> Vec<Value> {
        self.blocks.get(Block::from_index(0)).map_or(vec![], |entry| entry.params.clone())
    }
}

/// The next pair if it is of a rule.
pub(super) trait NextIfRule<'i> {
    fn next_if_rule(&mut self, rule: Rule) -> Option<Pair<'i, Rule>>;
}

impl<'i> NextIfRule<'i> for pest::iterators::Pairs<'i, Rule> {
    fn next_if_rule(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        if self.peek()?.as_rule() == rule { self.next() } else { None }
    }
}

/// The name to keep: none for what looks like an id.
fn given_name(name: &str) -> String {
    if is_id(name) { String::new() } else { name.to_owned() }
}

fn empty_block() -> BlockData {
    BlockData { name: String::new(), params: vec![], insts: vec![], end: None }
}

//! Calls become the bodies of their functions, with fresh names.
//!
//! Sound: a function is entered by its entry alone and left by `ret` alone, so
//! jumping to a copy of its body with the arguments in place of its parameters,
//! and from each `ret` to what follows the call with the returned values as
//! parameters, runs the same instructions on the same values. Stack slots of two
//! calls may share bytes: a slot's address cannot leave its function, so the slots
//! of a call are dead when it returns. A tail call inside ends the program either way.
//!
//! Functions are inlined into their callers from the leaves up; recursion is an error.

use std::collections::{BTreeMap, BTreeSet};

use policyc_base::{Origin, PrimaryMap};
use policyc_ir::{
    Block, BlockData, End, FuncId, Function, Inst, Module, Op, Slot, SlotData, Target, Terminator,
    Type, Value,
};

use super::OptError;

/// Inlines every call of a module; whether there was one.
pub fn inline(module: &mut Module) -> Result<bool, OptError> {
    let mut changed = false;
    for id in leaves_first(module)? {
        let mut caller = Caller::new(module.functions[id].clone());
        if caller.inline_all(module) {
            module.functions[id] = caller.func;
            changed = true;
        }
    }
    Ok(changed)
}

/// Every function, after those it calls.
fn leaves_first(module: &Module) -> Result<Vec<FuncId>, OptError> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Open,
        Done,
    }
    let mut states = BTreeMap::new();
    let mut order = vec![];
    for root in module.functions.ids() {
        let mut stack = vec![root];
        while let Some(id) = stack.last().copied() {
            match states.get(&id) {
                Some(State::Done) => {
                    stack.pop();
                }
                Some(State::Open) => {
                    states.insert(id, State::Done);
                    order.push(id);
                    stack.pop();
                }
                None => {
                    states.insert(id, State::Open);
                    for callee in callees(&module.functions[id]) {
                        match states.get(&callee) {
                            Some(State::Open) => {
                                let name = module.functions[callee].name.clone();
                                return Err(OptError::Recursion(name));
                            }
                            Some(State::Done) => {}
                            None => stack.push(callee),
                        }
                    }
                }
            }
        }
    }
    Ok(order)
}

fn callees(func: &Function) -> BTreeSet<FuncId> {
    let insts = func.layout.iter().flat_map(|block| &func.blocks[*block].insts);
    insts
        .filter_map(|inst| match inst.op {
            Op::Call(callee, _) => Some(callee),
            _ => None,
        })
        .collect()
}

/// Drops every function that is neither wanted nor called by one that stays.
pub(super) fn keep(module: &mut Module, wanted: impl Fn(&Function) -> bool) {
    let roots = module.functions.iter().filter(|(_, func)| wanted(func)).map(|(id, _)| id);
    let mut todo: Vec<_> = roots.collect();
    let mut kept = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if kept.insert(id) {
            todo.extend(callees(&module.functions[id]));
        }
    }
    let mut functions = PrimaryMap::new();
    let ids: BTreeMap<FuncId, FuncId> =
        kept.iter().map(|id| (*id, functions.push(module.functions[*id].clone()))).collect();
    for (_, func) in functions.iter_mut() {
        for (_, data) in func.blocks.iter_mut() {
            for inst in &mut data.insts {
                if let Op::Call(callee, _) = &mut inst.op
                    && let Some(new) = ids.get(callee)
                {
                    *callee = *new;
                }
            }
        }
    }
    module.functions = functions;
}

/// A function that bodies are copied into.
struct Caller {
    func: Function,
    names: BTreeSet<String>,
    /// Slots that calls share.
    pool: Vec<Slot>,
}

/// What the callee's things became in the caller.
struct Copies {
    values: BTreeMap<Value, Value>,
    blocks: BTreeMap<Block, Block>,
    slots: BTreeMap<Slot, Slot>,
    /// The rule of the call, for what has none itself.
    origin: Option<Origin>,
    /// Where `ret` leads.
    after: Block,
}

impl Caller {
    fn new(func: Function) -> Self {
        let values = func.values.values().map(|data| &data.name);
        let slots = func.slots.values().map(|data| &data.name);
        let blocks = func.blocks.values().map(|data| &data.name);
        let names = values.chain(slots).chain(blocks).cloned().collect();
        Self { func, names, pool: vec![] }
    }

    fn inline_all(&mut self, module: &Module) -> bool {
        let mut layout = vec![];
        let mut todo: Vec<_> = self.func.layout.iter().rev().copied().collect();
        let mut changed = false;
        while let Some(block) = todo.pop() {
            layout.push(block);
            let insts = &self.func.blocks[block].insts;
            let is_call = |inst: &Inst| matches!(inst.op, Op::Call(..));
            let Some(at) = insts.iter().position(is_call) else { continue };
            let (copied, after) = self.inline_one(module, block, at);
            layout.extend(copied);
            todo.push(after);
            changed = true;
        }
        self.func.layout = layout;
        changed
    }

    /// Inlines the call at a position of a block. The body's other blocks, and the
    /// block that goes on after the call.
    fn inline_one(&mut self, module: &Module, block: Block, at: usize) -> (Vec<Block>, Block) {
        let data = &mut self.func.blocks[block];
        let rest = data.insts.split_off(at + 1);
        let end = data.end.take();
        // INVARIANT: the instruction at `at` is a call, and `rest` begins behind it.
        let Some(Inst { op: Op::Call(callee, args), results, origin }) = data.insts.pop() else {
            data.insts.extend(rest);
            data.end = end;
            return (vec![], block);
        };
        let name = self.unique(&format!("{}.done", module.functions[callee].name));
        let data = BlockData { name, params: results, insts: rest, end };
        let after = self.func.blocks.push(data);
        let callee = &module.functions[callee];
        let mut copies = Copies {
            values: callee.params().iter().copied().zip(args).collect(),
            blocks: BTreeMap::new(),
            slots: BTreeMap::new(),
            origin,
            after,
        };
        self.copy_slots(callee, &mut copies);
        let copied = self.declare(callee, &mut copies);
        for source in &callee.layout {
            let target =
                if callee.entry() == Some(*source) { block } else { copies.blocks[source] };
            self.copy_block(&callee.blocks[*source], target, &copies);
        }
        (copied, after)
    }

    /// Finds a free slot of the pool for each slot of the callee, or makes one.
    fn copy_slots(&mut self, callee: &Function, copies: &mut Copies) {
        let mut free = self.pool.clone();
        for (slot, data) in callee.slots.iter() {
            let fits = |mine: &Slot| {
                let mine = &self.func.slots[*mine];
                mine.size >= data.size && mine.align >= data.align
            };
            let copy = match free.iter().position(fits) {
                Some(i) => free.remove(i),
                None => {
                    let name = self.unique(&data.name);
                    let copy = self.func.slots.push(SlotData { name, ..data.clone() });
                    self.pool.push(copy);
                    copy
                }
            };
            copies.slots.insert(slot, copy);
        }
    }

    /// Makes fresh blocks and values for the callee's; the blocks in its order.
    fn declare(&mut self, callee: &Function, copies: &mut Copies) -> Vec<Block> {
        let mut copied = vec![];
        for source in &callee.layout {
            let data = &callee.blocks[*source];
            let is_entry = callee.entry() == Some(*source);
            let params = if is_entry { vec![] } else { self.fresh(callee, &data.params, copies) };
            for inst in &data.insts {
                self.fresh(callee, &inst.results, copies);
            }
            if !is_entry {
                let name = self.unique(&data.name);
                let copy = BlockData { name, params, insts: vec![], end: None };
                let block = self.func.blocks.push(copy);
                copies.blocks.insert(*source, block);
                copied.push(block);
            }
        }
        copied
    }

    fn fresh(&mut self, callee: &Function, values: &[Value], copies: &mut Copies) -> Vec<Value> {
        let copy = |value: &Value| {
            let mut data = callee.values[*value].clone();
            data.name = self.unique(&data.name);
            if let Type::Stack(slot) = &mut data.ty
                && let Some(mine) = copies.slots.get(slot)
            {
                *slot = *mine;
            }
            let fresh = self.func.values.push(data);
            copies.values.insert(*value, fresh);
            fresh
        };
        values.iter().map(copy).collect()
    }

    fn copy_block(&mut self, source: &BlockData, target: Block, copies: &Copies) {
        let insts = source.insts.iter().map(|inst| copies.inst(inst));
        let end = source.end.as_ref().map(|end| copies.end(end));
        let data = &mut self.func.blocks[target];
        data.insts.extend(insts);
        data.end = end;
    }

    fn unique(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let numbered = (2..).map(|n| format!("{name}.{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let free = candidates.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(free.clone());
        free
    }
}

impl Copies {
    fn value(&self, value: &mut Value) {
        // INVARIANT: `declare` saw every value of the callee.
        *value = self.values.get(value).copied().unwrap_or(*value);
    }

    fn inst(&self, inst: &Inst) -> Inst {
        let mut inst = inst.clone();
        inst.op.map_operands(|value| self.value(value));
        inst.results.iter_mut().for_each(|value| self.value(value));
        inst.origin = inst.origin.or(self.origin);
        if let Op::SlotAddr(slot) = &mut inst.op
            && let Some(mine) = self.slots.get(slot)
        {
            *slot = *mine;
        }
        inst
    }

    fn end(&self, end: &End) -> End {
        let mut end = end.clone();
        end.origin = end.origin.or(self.origin);
        end.term.map_operands(|value| self.value(value));
        for target in end.term.targets_mut() {
            if let Some(block) = self.blocks.get(&target.block) {
                target.block = *block;
            }
        }
        if let Terminator::Ret(values) = end.term {
            end.term = Terminator::Jump(Target { block: self.after, args: values });
        }
        end
    }
}

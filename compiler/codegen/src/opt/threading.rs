//! Branches that are decided on some ways to them are skipped on those ways.
//!
//! A block that only looks at its parameters (as after an inlined function that
//! returns a status) is passed by every jump that hands over a constant the branch
//! is decided by.
//!
//! Sound: the way past the block does what the way through it would. What the
//! block defines and others use is handed on: each of its targets that is entered
//! from it alone gets a parameter for each such value, which stands for the value in
//! all that the target dominates. If there is a use elsewhere, or a target has
//! other ways in and the value would have to go there, nothing is done.

use std::collections::{BTreeMap, BTreeSet};

use policyc_ir::{Block, Cfg, Function, Inst, Op, Target, Terminator, Value, ValueData};

use super::rewrite::Definitions;
use super::thread_jumps::decided;

/// An edge into a decision, and which target of the decision it ends up at.
struct Way {
    pred: Block,
    edge: usize,
    target: usize,
}

/// Passes blocks by where the way is decided; whether there were any.
pub(super) fn thread(func: &mut Function) -> bool {
    let mut definitions = Definitions::new(func);
    let mut cfg = Cfg::new(func);
    let mut changed = false;
    for block in func.layout.clone() {
        if cfg.preds(block).len() < 2 || !is_decision(func, block) {
            continue;
        }
        let ways = decided_ways(func, &cfg, &definitions, block);
        if ways.is_empty() || !hand_on(func, &cfg, block) {
            continue;
        }
        for way in ways {
            pass_by(func, &mut definitions, &way, block);
        }
        cfg = Cfg::new(func);
        changed = true;
    }
    changed
}

/// Whether a block does nothing but branch on constants and parameters.
fn is_decision(func: &Function, block: Block) -> bool {
    let data = &func.blocks[block];
    let branches = data
        .end
        .as_ref()
        .is_some_and(|end| matches!(end.term, Terminator::Br { .. } | Terminator::Switch { .. }));
    let constants = data.insts.iter().all(|inst| matches!(inst.op, Op::Const(_)));
    branches && constants && !data.params.is_empty()
}

/// Edges that hand over what decides the branch of a block.
fn decided_ways(func: &Function, cfg: &Cfg, definitions: &Definitions, block: Block) -> Vec<Way> {
    let preds: BTreeSet<_> = cfg.preds(block).iter().copied().collect();
    let Some(end) = &func.blocks[block].end else { return vec![] };
    let mut ways = vec![];
    for pred in preds {
        let targets = func.blocks[pred].end.as_ref().map(|end| end.term.targets());
        for (edge, handed) in targets.unwrap_or_default().into_iter().enumerate() {
            if handed.block != block {
                continue;
            }
            let params = func.blocks[block].params.iter().copied();
            let args: BTreeMap<_, _> = params.zip(handed.args.iter().copied()).collect();
            let constant =
                |value: Value| definitions.constant(args.get(&value).copied().unwrap_or(value));
            if let Some(target) = decided(func, &end.term, constant) {
                ways.push(Way { pred, edge, target });
            }
        }
    }
    ways
}

/// Gives the targets of a block parameters for what they and the blocks they dominate
/// use of it; `false`, and nothing changes, if others use it too.
fn hand_on(func: &mut Function, cfg: &Cfg, block: Block) -> bool {
    let data = &func.blocks[block];
    let results = data.insts.iter().flat_map(|inst| &inst.results);
    let defined: BTreeSet<_> = data.params.iter().chain(results).copied().collect();
    let targets = data.end.as_ref().map(|end| end.term.targets()).unwrap_or_default();
    let targets = targets.into_iter().map(|target| target.block);
    let own: Vec<_> = targets.filter(|target| cfg.only_pred(*target) == Some(block)).collect();
    let mut wanted: BTreeMap<Block, BTreeSet<Value>> = BTreeMap::new();
    for user in cfg.order().iter().filter(|user| **user != block) {
        let used: BTreeSet<_> = uses(func, *user).intersection(&defined).copied().collect();
        if used.is_empty() {
            continue;
        }
        match own.iter().find(|target| cfg.dominates(**target, *user)) {
            Some(target) => wanted.entry(*target).or_default().extend(used),
            None => return false,
        }
    }
    for (target, values) in wanted {
        let region: Vec<_> =
            cfg.order().iter().copied().filter(|user| cfg.dominates(target, *user)).collect();
        let params = values.into_iter().map(|value| {
            let data = ValueData { ty: func.ty(value), name: String::new() };
            (value, func.values.push(data))
        });
        let params: BTreeMap<Value, Value> = params.collect();
        for user in region {
            rename(func, user, &params);
        }
        func.blocks[target].params.extend(params.values());
        let end = func.blocks[block].end.iter_mut();
        let edges = end.flat_map(|end| end.term.targets_mut());
        for edge in edges.filter(|edge| edge.block == target) {
            edge.args.extend(params.keys());
        }
    }
    true
}

fn uses(func: &Function, block: Block) -> BTreeSet<Value> {
    let data = &func.blocks[block];
    let mut used: BTreeSet<_> = data.insts.iter().flat_map(|inst| inst.op.operands()).collect();
    if let Some(end) = &data.end {
        used.extend(end.term.operands());
        used.extend(end.term.targets().into_iter().flat_map(|target| &target.args));
    }
    used
}

fn rename(func: &mut Function, block: Block, names: &BTreeMap<Value, Value>) {
    let new = |value: &mut Value| *value = names.get(value).copied().unwrap_or(*value);
    let data = &mut func.blocks[block];
    data.insts.iter_mut().for_each(|inst| inst.op.map_operands(new));
    if let Some(end) = &mut data.end {
        end.term.map_operands(new);
    }
}

/// Leads an edge directly to where it ends up. Constants of the block that are handed
/// on are made anew before it.
fn pass_by(func: &mut Function, definitions: &mut Definitions, way: &Way, block: Block) {
    let Some(target) = edge(func, block, way.target).cloned() else { return };
    let Some(handed) = edge(func, way.pred, way.edge).cloned() else { return };
    let params = func.blocks[block].params.iter().copied();
    let mut known: BTreeMap<Value, Value> = params.zip(handed.args).collect();
    for Inst { op, results, origin } in func.blocks[block].insts.clone() {
        for result in results.into_iter().filter(|result| target.args.contains(result)) {
            let data = ValueData { ty: func.ty(result), name: String::new() };
            let copy = func.values.push(data);
            definitions.set(copy, op.clone());
            known.insert(result, copy);
            let inst = Inst { op: op.clone(), results: vec![copy], origin };
            func.blocks[way.pred].insts.push(inst);
        }
    }
    let args = target.args.iter().map(|arg| known.get(arg).copied().unwrap_or(*arg));
    let target = Target { block: target.block, args: args.collect() };
    let end = func.blocks[way.pred].end.as_mut();
    if let Some(edge) = end.and_then(|end| end.term.targets_mut().into_iter().nth(way.edge)) {
        *edge = target;
    }
}

fn edge(func: &Function, block: Block, index: usize) -> Option<&Target> {
    func.blocks[block].end.as_ref()?.term.targets().into_iter().nth(index)
}

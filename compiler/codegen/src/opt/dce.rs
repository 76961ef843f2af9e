//! What nobody uses or reaches disappears.
//!
//! Sound: a block that no way from the entry leads to never runs. An instruction
//! without effect whose results nothing else needs changes nothing that can be
//! seen; a block parameter that nothing needs, likewise. What is needed is found
//! from what has effects: stores, calls, most helpers, and terminators.

use std::collections::BTreeMap;

use policyc_base::SecondaryMap;
use policyc_ir::{Block, Cfg, Function, Value};

use super::params::drop_params;

/// Removes dead blocks, instructions and parameters; whether there were any.
pub fn dce(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let before = func.layout.len();
    func.layout.retain(|block| cfg.is_reachable(*block));
    let mut changed = func.layout.len() != before;
    let needed = needed(func);
    let mut dropped: BTreeMap<Block, Vec<usize>> = BTreeMap::new();
    for block in func.layout.iter().skip(1) {
        let params = func.blocks[*block].params.iter().enumerate();
        let dead: Vec<_> = params.filter(|(_, value)| !needed[**value]).map(|(i, _)| i).collect();
        if !dead.is_empty() {
            dropped.insert(*block, dead);
        }
    }
    changed |= !dropped.is_empty();
    for block in func.layout.clone() {
        drop_params(func, block, &dropped);
        let insts = &mut func.blocks[block].insts;
        let before = insts.len();
        insts.retain(|inst| {
            !inst.op.is_removable() || inst.results.iter().any(|value| needed[*value])
        });
        changed |= insts.len() != before;
    }
    changed
}

/// Values that something with an effect needs.
fn needed(func: &Function) -> SecondaryMap<Value, bool> {
    let mut needs: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    let mut todo: Vec<Value> = vec![];
    for block in &func.layout {
        let data = &func.blocks[*block];
        for inst in &data.insts {
            if !inst.op.is_removable() {
                todo.extend(inst.op.operands());
            }
            for result in &inst.results {
                needs.entry(*result).or_default().extend(inst.op.operands());
            }
        }
        let Some(end) = &data.end else { continue };
        todo.extend(end.term.operands());
        for target in end.term.targets() {
            let params = &func.blocks[target.block].params;
            for (param, arg) in params.iter().zip(&target.args) {
                needs.entry(*param).or_default().push(*arg);
            }
        }
    }
    let mut needed = SecondaryMap::with_default(false);
    while let Some(value) = todo.pop() {
        if !needed[value] {
            needed[value] = true;
            todo.extend(needs.get(&value).into_iter().flatten());
        }
    }
    needed
}

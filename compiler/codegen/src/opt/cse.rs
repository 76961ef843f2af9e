//! Equal pure operations are done once.
//!
//! Sound: a pure operation gives the same result for the same operands wherever
//! it stands, and a result that is defined on every way to a place can be used
//! there. `ptr_add` counts as pure, so that a guard on one of two equal pointers
//! serves both. Loads are not touched: memory may change in between.

use std::collections::HashMap;

use policyc_ir::{Block, Cfg, Function, Op, Type, Value};

use super::rewrite::Replace;

/// Replaces repeated operations by the first; whether there were any.
pub fn cse(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let mut replace = Replace::default();
    // Only looked up, never iterated: the order of a hash map cannot matter.
    let mut seen: HashMap<(Op, Type), Vec<(Block, Value)>> = HashMap::new();
    for block in cfg.order() {
        for inst in &func.blocks[*block].insts {
            let [result] = inst.results.as_slice() else { continue };
            if !inst.op.is_pure() {
                continue;
            }
            let mut op = inst.op.clone();
            op.map_operands(|value| *value = replace.get(*value));
            let known = seen.entry((op, func.ty(*result))).or_default();
            match known.iter().find(|(home, _)| cfg.dominates(*home, *block)) {
                Some((_, first)) => replace.insert(*result, *first),
                None => known.push((*block, *result)),
            }
        }
    }
    if replace.is_empty() {
        return false;
    }
    for block in cfg.order() {
        let insts = &mut func.blocks[*block].insts;
        insts.retain(|inst| !inst.results.iter().any(|value| replace.get(*value) != *value));
    }
    replace.apply(func)
}

//! Block parameters that are always one value become that value.
//!
//! Sound: if every edge into a block hands over the same value, that value is
//! defined on every way to the block, and equals the parameter. If every edge
//! hands over a constant of the same bits, the parameter is that constant. A
//! pointer that `br_null` proves is another value than the nullable one, as its
//! type shows, and stays.

use std::collections::BTreeMap;

use policyc_ir::{Block, Cfg, Function, Inst, Op, Value};

use super::rewrite::{Definitions, Replace};

/// Removes parameters that need not be; whether there were any.
pub fn params(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let definitions = Definitions::new(func);
    let mut replace = Replace::default();
    let mut dropped: BTreeMap<Block, Vec<usize>> = BTreeMap::new();
    for block in cfg.order().iter().skip(1) {
        let edges = edges_into(func, &cfg, *block);
        for (i, param) in func.blocks[*block].params.clone().into_iter().enumerate() {
            let args: Vec<_> = edges.iter().filter_map(|args| args.get(i).copied()).collect();
            let Some(first) = args.first().copied() else { continue };
            let final_first = replace.get(first);
            if final_first != param
                && args.iter().all(|arg| replace.get(*arg) == final_first)
                && func.ty(first) == func.ty(param)
            {
                replace.insert(param, final_first);
            } else if let Some(bits) = definitions.constant(first)
                && args.iter().all(|arg| definitions.constant(*arg) == Some(bits))
            {
                let constant = Inst { op: Op::Const(bits), results: vec![param], origin: None };
                func.blocks[*block].insts.insert(0, constant);
            } else {
                continue;
            }
            dropped.entry(*block).or_default().push(i);
        }
    }
    for block in func.layout.clone() {
        drop_params(func, block, &dropped);
    }
    replace.apply(func);
    !dropped.is_empty()
}

/// What each edge into a block hands over.
fn edges_into(func: &Function, cfg: &Cfg, block: Block) -> Vec<Vec<Value>> {
    let mut preds = cfg.preds(block).to_vec();
    preds.sort_unstable();
    preds.dedup();
    let ends = preds.into_iter().filter_map(|pred| func.blocks[pred].end.as_ref());
    let targets = ends.flat_map(|end| end.term.targets());
    targets.filter(|target| target.block == block).map(|target| target.args.clone()).collect()
}

/// Drops parameters by position, and what this block hands over to such.
pub(super) fn drop_params(
    func: &mut Function,
    block: Block,
    dropped: &BTreeMap<Block, Vec<usize>>,
) {
    let without = |values: &mut Vec<Value>, gone: &[usize]| {
        let mut at = 0..;
        values.retain(|_| at.next().is_none_or(|i| !gone.contains(&i)));
    };
    let data = &mut func.blocks[block];
    if let Some(gone) = dropped.get(&block) {
        without(&mut data.params, gone);
    }
    for target in data.end.iter_mut().flat_map(|end| end.term.targets_mut()) {
        if let Some(gone) = dropped.get(&target.block) {
            without(&mut target.args, gone);
        }
    }
}

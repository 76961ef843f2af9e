//! One definition for each value, before every use.

use std::collections::BTreeMap;

use super::Found;
use crate::cfg::Cfg;
use crate::place::Place;
use crate::types::{Block, Function, Value};

/// Where values are defined: the block, and the position in it; parameters are
/// before the first instruction.
type Definitions = BTreeMap<Value, (Block, Option<usize>)>;

pub(super) fn check(func: &Function, cfg: &Cfg, found: &mut Found) {
    let definitions = definitions(func, found);
    for block in &func.layout {
        // What cannot be reached has no dominators; passes may leave it behind.
        if !cfg.is_reachable(*block) {
            continue;
        }
        let data = &func.blocks[*block];
        let mut check = |place, at, value| {
            if let Some(message) = misuse(func, cfg, &definitions, *block, at, value) {
                found.push(place, message);
            }
        };
        for (i, inst) in data.insts.iter().enumerate() {
            for value in inst.op.operands() {
                check(Place::Inst(*block, i), i, value);
            }
        }
        if let Some(end) = &data.end {
            let args = end.term.targets().into_iter().flat_map(|target| &target.args);
            for value in end.term.operands().iter().chain(args) {
                check(Place::End(*block), usize::MAX, *value);
            }
        }
    }
}

fn definitions(func: &Function, found: &mut Found) -> Definitions {
    let mut definitions = Definitions::new();
    for block in &func.layout {
        let data = &func.blocks[*block];
        let params = data.params.iter().map(|value| (*value, None));
        let results = data.insts.iter().enumerate();
        let results = results.flat_map(|(i, inst)| inst.results.iter().map(move |v| (*v, Some(i))));
        for (value, at) in params.chain(results) {
            let place = at.map_or(Place::Label(*block), |i| Place::Inst(*block, i));
            if func.values.get(value).is_none() {
                found.push(place, format!("`%{value}` is not a value of the function"));
            } else if definitions.insert(value, (*block, at)).is_some() {
                found.push(place, format!("`{}` is defined twice", name(func, value)));
            }
        }
    }
    definitions
}

/// What is wrong with the use of a value at a position of a block.
fn misuse(
    func: &Function,
    cfg: &Cfg,
    definitions: &Definitions,
    block: Block,
    at: usize,
    value: Value,
) -> Option<String> {
    let name = name(func, value);
    let Some((home, defined)) = definitions.get(&value) else {
        return Some(format!("`{name}` is not defined"));
    };
    let before = if *home == block {
        defined.is_none_or(|defined| defined < at)
    } else {
        cfg.dominates(*home, block)
    };
    (!before).then(|| format!("`{name}` is not defined on every way to here"))
}

/// A value as the text form spells it.
pub(super) fn name(func: &Function, value: Value) -> String {
    match func.values.get(value) {
        Some(data) if !data.name.is_empty() => format!("%{}", data.name),
        _ => format!("%{value}"),
    }
}

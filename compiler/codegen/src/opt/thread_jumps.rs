//! Empty blocks and decided branches are skipped, straight lines become one block.
//!
//! Sound:
//! - a branch on constants, or with equal targets, goes where it goes;
//! - a block without instructions that only jumps on can be left out of the way, if
//!   its parameters are used nowhere but in that jump;
//! - a block that is entered by one jump alone can stand in place of that jump;
//! - see [`super::threading`] for branches that are decided on some ways only.

use std::collections::BTreeMap;

use policyc_ir::{Block, Cfg, CmpOp, Function, Target, Terminator, Type, Value, eval};

use super::rewrite::{Definitions, Replace};
use super::threading;

/// Simplifies control flow; whether anything changed.
pub fn thread_jumps(func: &mut Function) -> bool {
    let decided = decide(func);
    let skipped = skip_empty(func);
    let threaded = threading::thread(func);
    let merged = merge_lines(func);
    decided | skipped | threaded | merged
}

/// Turns branches that can go one way only into jumps.
fn decide(func: &mut Function) -> bool {
    let definitions = Definitions::new(func);
    let mut changed = false;
    for block in func.layout.clone() {
        let Some(end) = &func.blocks[block].end else { continue };
        let constant = |value: Value| definitions.constant(value);
        let simpler = decided(func, &end.term, constant)
            .and_then(|index| end.term.targets().into_iter().nth(index).cloned())
            .map(Terminator::Jump)
            .or_else(|| without_default_cases(&end.term));
        if let (Some(term), Some(end)) = (simpler, &mut func.blocks[block].end) {
            end.term = term;
            changed = true;
        }
    }
    changed
}

/// Which of its targets a branch goes to, given what is known of its operands.
pub(super) fn decided(
    func: &Function,
    term: &Terminator,
    constant: impl Fn(Value) -> Option<u64>,
) -> Option<usize> {
    match term {
        Terminator::Br { then, other, .. } if then == other => Some(0),
        Terminator::Guard { ok, short, .. } if ok == short => Some(0),
        Terminator::Br { op, a, b, .. } => {
            let Type::Int(width, _) = func.ty(*a) else { return None };
            let holds = if a == b && *op != CmpOp::Set {
                eval::cmp(*op, width, 0, 0)
            } else {
                eval::cmp(*op, width, constant(*a)?, constant(*b)?)
            };
            Some(if holds { 0 } else { 1 })
        }
        Terminator::Switch { cases, .. } if cases.is_empty() => Some(0),
        Terminator::Switch { value, cases, .. } => {
            let bits = constant(*value)?;
            // The default comes after the cases.
            Some(cases.iter().position(|(case, _)| *case == bits).unwrap_or(cases.len()))
        }
        _ => None,
    }
}

/// A switch without the cases that lead where all other values lead.
fn without_default_cases(term: &Terminator) -> Option<Terminator> {
    let Terminator::Switch { value, cases, default } = term else { return None };
    let kept: Vec<_> = cases.iter().filter(|(_, target)| target != default).cloned().collect();
    let fewer = kept.len() < cases.len();
    fewer.then(|| Terminator::Switch { value: *value, cases: kept, default: default.clone() })
}

/// Leads edges past blocks that only jump on.
fn skip_empty(func: &mut Function) -> bool {
    let uses = uses_outside_of_jumps(func);
    let mut changed = false;
    for block in func.layout.clone() {
        let Some(mut end) = func.blocks[block].end.take() else { continue };
        for target in end.term.targets_mut() {
            // As many steps as there are blocks: a cycle is for the checker to report.
            for _ in 0..func.layout.len() {
                if target.block == block {
                    break;
                }
                let Some(next) = past(func, &uses, target) else { break };
                *target = next;
                changed = true;
            }
        }
        func.blocks[block].end = Some(end);
    }
    changed
}

/// Blocks whose parameters are used elsewhere than in the jump of that block.
fn uses_outside_of_jumps(func: &Function) -> BTreeMap<Value, usize> {
    let mut uses = BTreeMap::new();
    let mut count = |value: Value| *uses.entry(value).or_insert(0) += 1;
    for block in &func.layout {
        let data = &func.blocks[*block];
        data.insts.iter().flat_map(|inst| inst.op.operands()).for_each(&mut count);
        let Some(end) = &data.end else { continue };
        end.term.operands().into_iter().for_each(&mut count);
        for arg in end.term.targets().into_iter().flat_map(|target| &target.args) {
            let own_jump = matches!(end.term, Terminator::Jump(_)) && data.params.contains(arg);
            if !own_jump {
                count(*arg);
            }
        }
    }
    uses
}

/// Where an edge leads past the empty block it points to.
fn past(func: &Function, uses: &BTreeMap<Value, usize>, target: &Target) -> Option<Target> {
    let data = func.blocks.get(target.block)?;
    let Terminator::Jump(next) = &data.end.as_ref()?.term else { return None };
    if !data.insts.is_empty() || data.params.iter().any(|param| uses.contains_key(param)) {
        return None;
    }
    let handed = |arg: &Value| {
        let param = data.params.iter().position(|param| param == arg);
        param.and_then(|i| target.args.get(i)).copied().unwrap_or(*arg)
    };
    Some(Target { block: next.block, args: next.args.iter().map(handed).collect() })
}

/// Puts a block that one jump alone leads to in place of that jump.
fn merge_lines(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let before = func.layout.len();
    // What cannot be reached may still mention what is merged here.
    func.layout.retain(|block| cfg.is_reachable(*block));
    let mut replace = Replace::default();
    // Where the instructions of a merged block went.
    let mut home: BTreeMap<Block, Block> = BTreeMap::new();
    for block in cfg.order().iter().skip(1) {
        let Some(pred) = cfg.only_pred(*block) else { continue };
        let pred = home.get(&pred).copied().unwrap_or(pred);
        let Some(Terminator::Jump(target)) = func.blocks[pred].end.as_ref().map(|end| &end.term)
        else {
            continue;
        };
        let args = target.args.clone();
        let data = &mut func.blocks[*block];
        let (params, insts) = (std::mem::take(&mut data.params), std::mem::take(&mut data.insts));
        let end = data.end.take();
        for (param, arg) in params.into_iter().zip(args) {
            replace.insert(param, replace.get(arg));
        }
        func.blocks[pred].insts.extend(insts);
        func.blocks[pred].end = end;
        home.insert(*block, pred);
    }
    func.layout.retain(|block| !home.contains_key(block));
    replace.apply(func);
    func.layout.len() != before
}

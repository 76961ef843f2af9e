//! Guards that others imply disappear.
//!
//! Sound, two rules:
//! - where a guard succeeded on every way to here, a guard on the same pointer (or
//!   one that is a constant away from it) of no more length succeeds: the packet did
//!   not move, or the pointer could not be used any more;
//! - a guard whose success leads, with nothing in between that can be seen from
//!   outside, to a wider guard that fails to the same place, can ask for the wider
//!   length at once: a packet between the two lengths reaches that place either way.

use policyc_ir::{Block, Cfg, Function, Target, Terminator, Value};

use super::rewrite::Definitions;

/// Removes guards and widens others; whether there were any.
pub fn merge_guards(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let definitions = Definitions::new(func);
    let mut changed = false;
    for block in cfg.order() {
        if let Some(ok) = implied(func, &cfg, &definitions, *block) {
            jump(func, *block, ok);
            changed = true;
        }
    }
    // One at a time: a widened guard may be widened again by the next.
    for block in cfg.order().iter().rev() {
        changed |= widen(func, &cfg, &definitions, *block);
    }
    changed
}

/// A guard as root pointer, length behind it, and targets.
struct Guard<'a> {
    root: Value,
    reach: u64,
    ok: &'a Target,
    short: &'a Target,
}

fn guard<'a>(func: &'a Function, definitions: &Definitions, block: Block) -> Option<Guard<'a>> {
    match &func.blocks[block].end.as_ref()?.term {
        Terminator::Guard { ptr, len, ok, short } => {
            let (root, offset) = definitions.base(*ptr);
            let reach = offset.saturating_add((*len).into());
            Some(Guard { root, reach, ok, short })
        }
        _ => None,
    }
}

/// Where the guard that ends a block leads, if one before it implies it.
fn implied(func: &Function, cfg: &Cfg, definitions: &Definitions, block: Block) -> Option<Target> {
    let this = guard(func, definitions, block)?;
    let mut at = block;
    loop {
        if let Some(pred) = cfg.only_pred(at)
            && let Some(before) = guard(func, definitions, pred)
            && before.ok.block == at
            && before.root == this.root
            && before.reach >= this.reach
        {
            return Some(this.ok.clone());
        }
        at = cfg.idom(at)?;
    }
}

/// Widens the guard that ends a block to the one that follows it.
fn widen(func: &mut Function, cfg: &Cfg, definitions: &Definitions, block: Block) -> bool {
    let Some(this) = guard(func, definitions, block) else { return false };
    let next = this.ok.block;
    if cfg.only_pred(next) != Some(block) {
        return false;
    }
    let Some(wider) = guard(func, definitions, next) else { return false };
    let unseen = func.blocks[next].insts.iter().all(|inst| inst.op.is_removable());
    if wider.root != this.root || wider.reach <= this.reach || wider.short != this.short || !unseen
    {
        return false;
    }
    let (more, ok) = (wider.reach - this.reach, wider.ok.clone());
    let Some(Terminator::Guard { len, .. }) =
        func.blocks[block].end.as_mut().map(|end| &mut end.term)
    else {
        return false;
    };
    let Some(widened) = u32::try_from(more).ok().and_then(|more| len.checked_add(more)) else {
        return false;
    };
    *len = widened;
    jump(func, next, ok);
    true
}

fn jump(func: &mut Function, block: Block, target: Target) {
    if let Some(end) = &mut func.blocks[block].end {
        end.term = Terminator::Jump(target);
    }
}

//! Which loads from the context may be repeated instead of kept.
//!
//! Fields of the context other than the packet's bounds are changed by stores, and by
//! the few helpers that change the packet's length: a function with either repeats no
//! load. And a verifier that saw `if len > 10` knows it of the register, not of the
//! field; so a load is repeated only if nobody needs its range.

use policyc_base::SecondaryMap;
use policyc_ir::{BinOp, Function, Helper, Op, Terminator, Type, Value};

/// For each value, whether it is a load from the context that may be repeated.
pub(super) fn reloadable(func: &Function) -> SecondaryMap<Value, bool> {
    let mut reloadable = SecondaryMap::default();
    let blocks = || func.layout.iter().filter_map(|block| func.blocks.get(*block));
    if blocks().flat_map(|block| &block.insts).any(|inst| changes_fields(func, &inst.op)) {
        return reloadable;
    }
    let mut constants: SecondaryMap<Value, bool> = SecondaryMap::default();
    for inst in blocks().flat_map(|block| &block.insts) {
        let Some(&result) = inst.results.first() else { continue };
        match inst.op {
            Op::Load { base, .. } => reloadable[result] = func.ty(base) == Type::Ctx,
            Op::Const(_) => constants[result] = true,
            _ => {}
        }
    }
    for inst in blocks().flat_map(|block| &block.insts) {
        let needs_range = match inst.op {
            Op::Store { base, .. } => vec![base],
            Op::Bin(BinOp::And, a, b) if constants[a] || constants[b] => vec![],
            _ => inst.op.operands(),
        };
        needs_range.into_iter().for_each(|value| reloadable[value] = false);
    }
    for end in blocks().filter_map(|block| block.end.as_ref()) {
        let handed_over = end.term.targets().into_iter().flat_map(|target| &target.args);
        handed_over.for_each(|value| reloadable[*value] = false);
        if let Terminator::Guard { ptr, .. } = end.term {
            reloadable[ptr] = false;
        }
    }
    reloadable
}

/// Whether fields of the context are others after an operation.
fn changes_fields(func: &Function, op: &Op) -> bool {
    match op {
        Op::Store { base, .. } => func.ty(*base) == Type::Ctx,
        Op::Helper(Helper::SkbChangeTail | Helper::SkbAdjustRoom, _) => true,
        _ => false,
    }
}

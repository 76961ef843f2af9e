//! Removes what nobody uses: addresses that every access folded, constants that
//! became immediates, block parameters of no use.
//!
//! One sweep backward over the layout is enough, since it is a topological order.

use policyc_base::SecondaryMap;

use super::mir::{Block, Mir, VReg};

/// Removes instructions and block parameters without use.
pub(super) fn sweep(mir: &mut Mir) {
    let mut used: SecondaryMap<VReg, bool> = SecondaryMap::default();
    let mut kept: SecondaryMap<Block, Vec<bool>> = SecondaryMap::default();
    for block in mir.layout.clone().into_iter().rev() {
        let data = &mut mir.blocks[block];
        for target in data.term.targets_mut() {
            let mut keep = kept[target.block].iter();
            target.args.retain(|_| keep.next().copied().unwrap_or(true));
            target.args.iter().for_each(|arg| used[*arg] = true);
        }
        data.term.uses().for_each(|value| used[value] = true);
        let insts = std::mem::take(&mut data.insts).into_iter().rev().filter(|inst| {
            let needed = inst.op.has_effect() || inst.dst.is_some_and(|dst| used[dst]);
            inst.uses.iter().filter(|_| needed).for_each(|value| used[*value] = true);
            needed
        });
        data.insts = insts.collect();
        data.insts.reverse();
        kept[block] = data.params.iter().map(|param| used[*param]).collect();
        data.params.retain(|param| used[*param]);
    }
}

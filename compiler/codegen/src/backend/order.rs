//! The order in which blocks become code.
//!
//! Everything after `select` relies on it: each block comes after all of its
//! predecessors, so that one sweep forward or backward sees everything.

use std::collections::BTreeSet;

use policyc_base::SecondaryMap;
use policyc_ir::{Block, Function};

/// The blocks that can be reached, in the function's own order as far as that is
/// topological; `None` if there is a loop.
///
/// KERNEL: unreachable instructions are an error in every version (`check_cfg`).
pub(super) fn topological(func: &Function) -> Option<Vec<Block>> {
    let Some(entry) = func.entry() else { return Some(vec![]) };
    let reachable = reachable(func, entry);
    let mut rank: SecondaryMap<Block, usize> = SecondaryMap::with_default(usize::MAX);
    for (at, &block) in func.layout.iter().enumerate() {
        rank[block] = at;
    }
    let mut waiting: SecondaryMap<Block, usize> = SecondaryMap::default();
    for &block in &reachable {
        successors(func, block).for_each(|next| waiting[next] += 1);
    }
    let mut ready = BTreeSet::from([(rank[entry], entry)]);
    let mut order = Vec::with_capacity(reachable.len());
    while let Some((_, block)) = ready.pop_first() {
        order.push(block);
        for next in successors(func, block) {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.insert((rank[next], next));
            }
        }
    }
    (order.len() == reachable.len()).then_some(order)
}

fn reachable(func: &Function, entry: Block) -> BTreeSet<Block> {
    let mut seen = BTreeSet::from([entry]);
    let mut work = vec![entry];
    while let Some(block) = work.pop() {
        work.extend(successors(func, block).filter(|next| seen.insert(*next)));
    }
    seen
}

fn successors(func: &Function, block: Block) -> impl Iterator<Item = Block> {
    let targets = func.blocks.get(block).and_then(|data| data.end.as_ref());
    targets.map(|end| end.term.targets()).unwrap_or_default().into_iter().map(|t| t.block)
}

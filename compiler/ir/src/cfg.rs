//! Who can follow whom: predecessors, a topological order, dominators.
//!
//! Computed once from a function whose targets exist; a pass that changes blocks
//! or targets computes it anew. Blocks that cannot be reached are in no order.
//!
//! Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001).

use policyc_base::SecondaryMap;

use crate::types::{Block, Function};

/// The control flow graph of a function.
#[derive(Clone, Debug)]
pub struct Cfg {
    order: Vec<Block>,
    /// Position in `order`, `None` for what cannot be reached.
    position: SecondaryMap<Block, Option<usize>>,
    /// One entry for each edge, so that a block with both arms of a branch appears twice.
    preds: SecondaryMap<Block, Vec<Block>>,
    idom: SecondaryMap<Block, Option<Block>>,
    /// Numbers of a block in the dominator tree, on the way down and up: a block
    /// dominates those whose numbers lie between its own.
    span: SecondaryMap<Block, (usize, usize)>,
    back_edge: Option<(Block, Block)>,
}

impl Cfg {
    /// The graph of a function.
    pub fn new(func: &Function) -> Self {
        let mut cfg = Self {
            order: vec![],
            position: SecondaryMap::default(),
            preds: SecondaryMap::default(),
            idom: SecondaryMap::default(),
            span: SecondaryMap::default(),
            back_edge: None,
        };
        if let Some(entry) = func.entry() {
            cfg.visit(func, entry);
            cfg.dominators(entry);
            cfg.number(entry);
        }
        cfg
    }

    /// Depth first without recursion, as deep as a program is long.
    fn visit(&mut self, func: &Function, entry: Block) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = SecondaryMap::with_default(State::New);
        let mut stack = vec![(entry, successors(func, entry))];
        state[entry] = State::Open;
        while let Some((block, todo)) = stack.last_mut() {
            let block = *block;
            let Some(next) = todo.pop() else {
                state[block] = State::Done;
                self.order.push(block);
                stack.pop();
                continue;
            };
            self.preds[next].push(block);
            match state[next] {
                State::New => {
                    state[next] = State::Open;
                    stack.push((next, successors(func, next)));
                }
                State::Open => self.back_edge = self.back_edge.or(Some((block, next))),
                State::Done => {}
            }
        }
        self.order.reverse();
        for (i, block) in self.order.iter().enumerate() {
            self.position[*block] = Some(i);
        }
    }

    fn dominators(&mut self, entry: Block) {
        self.idom[entry] = Some(entry);
        let mut changed = true;
        while changed {
            changed = false;
            for i in 1..self.order.len() {
                let block = self.order[i];
                let mut known = self.preds[block].iter().filter(|p| self.idom[**p].is_some());
                let Some(first) = known.next().copied() else { continue };
                let idom = known.copied().fold(first, |a, b| self.meet(a, b));
                if self.idom[block] != Some(idom) {
                    self.idom[block] = Some(idom);
                    changed = true;
                }
            }
        }
        self.idom[entry] = None;
    }

    fn meet(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            let later = if self.position[a] > self.position[b] { &mut a } else { &mut b };
            match self.idom[*later] {
                Some(idom) if idom != *later => *later = idom,
                _ => break,
            }
        }
        if self.position[a] < self.position[b] { a } else { b }
    }

    fn number(&mut self, entry: Block) {
        let mut children: SecondaryMap<Block, Vec<Block>> = SecondaryMap::default();
        for block in &self.order {
            if let Some(idom) = self.idom[*block] {
                children[idom].push(*block);
            }
        }
        let mut clock = 0;
        let mut stack = vec![entry];
        self.span[entry].0 = clock;
        while let Some(block) = stack.last().copied() {
            clock += 1;
            if let Some(child) = children[block].pop() {
                self.span[child].0 = clock;
                stack.push(child);
            } else {
                self.span[block].1 = clock;
                stack.pop();
            }
        }
    }

    /// Reachable blocks; without cycles, every block stands after its predecessors.
    pub fn order(&self) -> &[Block] {
        &self.order
    }

    /// Whether the entry leads to a block.
    pub fn is_reachable(&self, block: Block) -> bool {
        self.position[block].is_some()
    }

    /// Reachable predecessors of a block, one for each edge.
    pub fn preds(&self, block: Block) -> &[Block] {
        &self.preds[block]
    }

    /// The closest other block on every way from the entry; `None` for the entry.
    pub fn idom(&self, block: Block) -> Option<Block> {
        self.idom[block]
    }

    /// Whether every way to `b` leads through `a`; a block dominates itself. Blocks
    /// that cannot be reached dominate nothing else and are dominated by nothing else.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let reachable = self.is_reachable(a) && self.is_reachable(b);
        let ((down_a, up_a), (down_b, up_b)) = (self.span[a], self.span[b]);
        a == b || reachable && down_a <= down_b && up_b <= up_a
    }

    /// The predecessor of a block that is entered by one edge only: what that edge
    /// tells holds in all blocks that this one dominates.
    pub fn only_pred(&self, block: Block) -> Option<Block> {
        match self.preds(block) {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// An edge that closes a cycle, if there is one.
    pub fn back_edge(&self) -> Option<(Block, Block)> {
        self.back_edge
    }
}

/// Successors in text order; the last is visited first, so that the reversed
/// post-order keeps text order where there is a choice.
fn successors(func: &Function, block: Block) -> Vec<Block> {
    let end = func.blocks.get(block).and_then(|data| data.end.as_ref());
    let targets = end.map(|end| end.term.targets()).unwrap_or_default();
    targets.into_iter().map(|target| target.block).collect()
}

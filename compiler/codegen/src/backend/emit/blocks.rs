//! Blocks in a row: which jump is a fallthrough, and where the code of edges goes.
//!
//! The code of an edge stands at the end of its source if that goes nowhere else,
//! at the start of its target if nobody else goes there, else between the two.

use policyc_base::{EntityId, Origin, SecondaryMap};
use policyc_bpf::Insn;
use policyc_bpf::decode::Operand;

use super::jumps::{Condition, Item, Label, invert};
use super::step;
use crate::backend::mir::{Block, Mir, Rhs, Term};
use crate::backend::regalloc::{Allocation, Step};

/// The code of all blocks, in the order of the layout.
pub(super) fn items(mir: &Mir, allocation: &Allocation) -> Vec<Item> {
    let mut writer = Writer::new(mir, allocation);
    let written: Vec<_> =
        mir.layout.iter().copied().filter(|block| writer.forward[*block].is_none()).collect();
    for (at, &block) in written.iter().enumerate() {
        writer.block(block, written.get(at + 1).copied());
    }
    writer.items
}

struct Writer<'a> {
    mir: &'a Mir,
    allocation: &'a Allocation,
    /// For blocks that only jump on: where to.
    forward: SecondaryMap<Block, Option<Block>>,
    /// For blocks with one predecessor, the edge from it.
    only_edge: SecondaryMap<Block, Option<(Block, usize)>>,
    labels: u32,
    items: Vec<Item>,
}

impl<'a> Writer<'a> {
    fn new(mir: &'a Mir, allocation: &'a Allocation) -> Self {
        let mut count: SecondaryMap<Block, u32> = SecondaryMap::default();
        let mut only_edge: SecondaryMap<Block, Option<_>> = SecondaryMap::default();
        for &block in &mir.layout {
            for (at, target) in mir.blocks[block].term.targets().iter().enumerate() {
                count[target.block] += 1;
                only_edge[target.block] = Some((block, at));
            }
        }
        for &block in mir.layout.iter().filter(|block| count[**block] != 1) {
            only_edge[block] = None;
        }
        let labels = mir.blocks.len() as u32;
        let forward = SecondaryMap::default();
        let mut writer = Self { mir, allocation, forward, only_edge, labels, items: vec![] };
        writer.find_forwards();
        writer
    }

    /// Blocks without code of their own are never written.
    fn find_forwards(&mut self) {
        for &block in self.mir.layout.iter().skip(1).rev() {
            let Term::Jump(target) = &self.mir.blocks[block].term else { continue };
            let is_empty = self.allocation.blocks[block].is_empty()
                && self.edge((block, 0)).is_empty()
                && self.only_edge[block].is_none_or(|edge| self.edge(edge).is_empty());
            if is_empty {
                self.forward[block] = Some(self.forward[target.block].unwrap_or(target.block));
            }
        }
    }

    fn edge(&self, edge: (Block, usize)) -> &'a [Step] {
        self.allocation.edges.get(&edge).map_or(&[], Vec::as_slice)
    }

    fn block(&mut self, block: Block, next: Option<Block>) {
        let data = &self.mir.blocks[block];
        self.items.push(Item::Label(label(block)));
        if let Some(edge) = self.only_edge[block] {
            self.steps(edge.0, self.edge(edge));
        }
        self.steps(block, &self.allocation.blocks[block]);
        match &data.term {
            Term::Exit(_) => self.items.push(Item::insn(Insn::exit(), data.origin)),
            Term::Jump(_) => self.way(block, 0, next),
            Term::If { width, op, rhs, .. } => {
                let regs = &self.allocation.terms[block];
                let (Some(&lhs), Some(&last)) = (regs.first(), regs.last()) else { return };
                let rhs = match rhs {
                    Rhs::Imm(imm) => Operand::Imm(*imm),
                    Rhs::VReg(_) => Operand::Reg(last),
                };
                let condition = Condition { width: *width, op: *op, lhs, rhs };
                self.branch(block, condition, next);
            }
        }
    }

    fn branch(&mut self, block: Block, condition: Condition, next: Option<Block>) {
        let origin = self.mir.blocks[block].origin;
        let direct = [0, 1].map(|at| self.is_direct(block, at));
        let goal = [0, 1].map(|at| self.goal(block, at));
        let falls = goal.map(|goal| Some(goal) == next);
        // The way that is not jumped to comes right after the jump: the one with
        // code of its own, else the one that leads to the next block.
        let first_falls = match direct {
            [false, true] => true,
            [true, false] => false,
            [true, true] => falls[0] && !falls[1],
            [false, false] => falls[1] && !falls[0],
        };
        let (condition, jumped) = match (first_falls, invert(condition.op)) {
            (true, Some(op)) => (Condition { op, ..condition }, 1),
            _ => (condition, 0),
        };
        let other = 1 - jumped;
        if direct[jumped] {
            self.jump(Some(condition), label(goal[jumped]), origin);
            self.way(block, other, next);
        } else {
            let aside = self.new_label();
            self.jump(Some(condition), aside, origin);
            self.way(block, other, None);
            self.items.push(Item::Label(aside));
            self.way(block, jumped, next);
        }
    }

    /// The code of an edge, then on to its target.
    fn way(&mut self, block: Block, at: usize, next: Option<Block>) {
        let origin = self.mir.blocks[block].origin;
        if !self.is_direct(block, at) {
            self.steps(block, self.edge((block, at)));
        }
        let goal = self.goal(block, at);
        if Some(goal) != next {
            self.jump(None, label(goal), origin);
        }
    }

    /// Whether nothing stands between a block and its target.
    fn is_direct(&self, block: Block, at: usize) -> bool {
        let target = self.mir.blocks[block].term.targets().get(at);
        let at_target = target.is_some_and(|target| self.only_edge[target.block].is_some());
        at_target || self.edge((block, at)).is_empty()
    }

    fn goal(&self, block: Block, at: usize) -> Block {
        let target = self.mir.blocks[block].term.targets().get(at).map_or(block, |it| it.block);
        self.forward[target].unwrap_or(target)
    }

    fn jump(&mut self, condition: Option<Condition>, to: Label, origin: Option<Origin>) {
        self.items.push(Item::Jump { condition, to, origin });
    }

    /// Steps with the origin of the instruction that each is made for.
    fn steps(&mut self, block: Block, steps: &[Step]) {
        let data = &self.mir.blocks[block];
        let mut origins = vec![];
        let mut origin = data.origin;
        for step in steps.iter().rev() {
            if let Step::Op { inst, .. } = step {
                origin = data.insts.get(*inst).and_then(|inst| inst.origin);
            }
            origins.push(origin);
        }
        for (step, origin) in steps.iter().zip(origins.into_iter().rev()) {
            step::emit(self.mir, &data.insts, step, origin, &mut self.items);
        }
    }

    fn new_label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }
}

fn label(block: Block) -> Label {
    Label(block.index() as u32)
}

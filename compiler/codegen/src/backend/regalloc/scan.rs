//! The walk over the layout: where every value is, instruction by instruction.

use std::collections::{BTreeMap, BTreeSet};

use policyc_base::SecondaryMap;
use policyc_bpf::Reg;

use super::live::{Liveness, Next};
use super::moves::{self, Emergency, Source};
use super::slots::Slots;
use super::{Allocation, Edge, Loc, POOL, RegSet, SAVED, Step, is_saved};
use crate::backend::mir::{Block, Inst, Mir, Target, Term, VReg};

/// How many values ahead a register is chosen.
const WISH_DEPTH: usize = 8;

/// Where values are at one point. A value is in at most one register.
#[derive(Clone, Default, Debug)]
pub(super) struct State {
    /// By register number.
    pub(super) regs: [Option<VReg>; 11],
    /// Values whose spill slot holds them.
    pub(super) stored: BTreeSet<VReg>,
}

impl State {
    pub(super) fn reg_of(&self, value: VReg) -> Option<Reg> {
        POOL.into_iter().find(|reg| self.at(*reg) == Some(value))
    }

    pub(super) fn at(&self, reg: Reg) -> Option<VReg> {
        self.regs[usize::from(reg.number())]
    }

    pub(super) fn set(&mut self, reg: Reg, value: Option<VReg>) {
        self.regs[usize::from(reg.number())] = value;
    }
}

/// The walk.
pub(super) struct Scan<'a> {
    pub(super) mir: &'a Mir,
    pub(super) live: &'a Liveness,
    pub(super) state: State,
    pub(super) next: SecondaryMap<VReg, Next>,
    pub(super) slots: Slots,
    pub(super) emergency: Emergency,
    /// Steps of the current block.
    pub(super) steps: Vec<Step>,
    /// Position of the current instruction.
    now: u32,
    /// Where the parameters of blocks to come are expected, after the first edge.
    expected: SecondaryMap<VReg, Option<Reg>>,
    pub(super) edges_into: SecondaryMap<Block, Vec<Edge>>,
    /// Where values are on edges whose target was not entered yet.
    pub(super) leaving: BTreeMap<Edge, State>,
    pub(super) out: Allocation,
}

impl<'a> Scan<'a> {
    pub(super) fn new(mir: &'a Mir, live: &'a Liveness) -> Self {
        let mut edges_into: SecondaryMap<Block, Vec<Edge>> = SecondaryMap::default();
        for &block in &mir.layout {
            for (at, target) in mir.blocks[block].term.targets().iter().enumerate() {
                edges_into[target.block].push((block, at));
            }
        }
        Self {
            mir,
            live,
            state: State::default(),
            next: SecondaryMap::default(),
            slots: Slots::default(),
            emergency: Emergency::default(),
            steps: vec![],
            now: 0,
            expected: SecondaryMap::default(),
            edges_into,
            leaving: BTreeMap::new(),
            out: Allocation::default(),
        }
    }

    pub(super) fn run(mut self) -> Allocation {
        for &block in &self.mir.layout {
            self.block(block);
        }
        self.out.slots = self.slots.len();
        self.out
    }

    fn block(&mut self, block: Block) {
        self.enter(block);
        let data = &self.mir.blocks[block];
        let after = &self.live.after[block];
        self.now = self.live.start[block];
        for (at, (inst, after)) in data.insts.iter().zip(after).enumerate() {
            self.now += 2;
            if inst.op.is_call() {
                self.call(at, inst, after);
            } else if inst.op.is_tied() {
                self.tied(at, inst, after);
            } else {
                self.plain(at, inst, after);
            }
        }
        self.now += 2;
        let after = after.last().map_or(&[][..], Vec::as_slice);
        self.out.terms[block] = self.term(&data.term, after);
        for (at, target) in data.term.targets().iter().enumerate() {
            self.expect(target);
            self.leaving.insert((block, at), self.state.clone());
        }
        self.out.blocks[block] = std::mem::take(&mut self.steps);
    }

    /// Later edges to the same block do well to bring arguments where this one has
    /// them.
    fn expect(&mut self, target: &Target) {
        for (arg, param) in target.args.iter().zip(&self.mir.blocks[target.block].params) {
            if self.expected[*param].is_none() {
                self.expected[*param] = self.state.reg_of(*arg);
            }
        }
    }

    fn term(&mut self, term: &Term, after: &[(VReg, Next)]) -> Vec<Reg> {
        if let Term::Exit(value) = *term {
            let copy = [(Loc::Reg(Reg::R0), self.source(value))];
            self.copy(&copy, RegSet::default());
            return vec![Reg::R0];
        }
        let mut pinned = RegSet::default();
        let regs = term.uses().map(|value| self.ensure(value, &mut pinned)).collect();
        self.advance(after);
        regs
    }

    /// An instruction whose result may go anywhere.
    fn plain(&mut self, at: usize, inst: &Inst, after: &[(VReg, Next)]) {
        let mut pinned = RegSet::default();
        let uses = inst.uses.iter().map(|value| self.ensure(*value, &mut pinned)).collect();
        self.advance(after);
        let dst = inst.dst.map(|dst| {
            let reg = self.take(dst, RegSet::default());
            self.define(dst, reg);
            reg
        });
        self.steps.push(Step::Op { inst: at, dst, uses });
    }

    /// An instruction whose result replaces its left operand.
    fn tied(&mut self, at: usize, inst: &Inst, after: &[(VReg, Next)]) {
        let (Some(dst), Some(&left)) = (inst.dst, inst.uses.first()) else { return };
        let right = inst.uses.get(1).copied().filter(|right| *right != left);
        let mut pinned: RegSet = self.state.reg_of(left).into_iter().collect();
        let right_reg = right.map(|right| self.ensure(right, &mut pinned));
        let left_reg = self.state.reg_of(left);
        self.advance(after);
        let (reg, left_reg) = match (left_reg, right_reg) {
            (Some(reg), _) if self.next[left].is_never() => (reg, reg),
            (Some(left_reg), Some(reg))
                if inst.op.is_commutative() && self.state.at(reg).is_none() =>
            {
                (reg, left_reg)
            }
            _ => {
                let reg = self.take(dst, pinned);
                self.place(left, reg);
                (reg, reg)
            }
        };
        self.define(dst, reg);
        let right = (inst.uses.len() == 2).then(|| right_reg.unwrap_or(left_reg));
        let uses = [left_reg].into_iter().chain(right).collect();
        self.steps.push(Step::Op { inst: at, dst: Some(reg), uses });
    }
}

/// Building blocks.
impl Scan<'_> {
    /// Makes `value` be in a register and pins it there.
    pub(super) fn ensure(&mut self, value: VReg, pinned: &mut RegSet) -> Reg {
        if self.mir.is_context(value) {
            return Reg::R6;
        }
        let reg = self.state.reg_of(value).unwrap_or_else(|| {
            let reg = self.take(value, *pinned);
            self.place(value, reg);
            self.state.set(reg, Some(value));
            reg
        });
        pinned.insert(reg);
        reg
    }

    /// Writes a copy of `value` to a register that is free.
    fn place(&mut self, value: VReg, reg: Reg) {
        let dst = Loc::Reg(reg);
        let step = match self.source(value) {
            Source::Loc(src) => Step::Move { dst, src },
            Source::Remat(value) => Step::Remat { dst, value },
        };
        self.steps.push(step);
    }

    /// Where a copy of `value` comes from.
    pub(super) fn source(&self, value: VReg) -> Source {
        source(self.mir, &self.slots, &self.state, value)
    }

    /// A free register for `value`, if need be by eviction of another.
    fn take(&mut self, value: VReg, pinned: RegSet) -> Reg {
        let next = self.next[value];
        let free = |reg: &Reg| self.state.at(*reg).is_none() && !pinned.contains(*reg);
        let hint = self.wish(value).filter(|reg| !next.crosses || is_saved(*reg));
        let saved = SAVED.into_iter().filter(|_| next.crosses);
        let mut wishes = hint.into_iter().chain(saved).chain(POOL);
        if let Some(reg) = wishes.find(free) {
            return reg;
        }
        let victims = POOL.into_iter().filter(|reg| !pinned.contains(*reg));
        let victim = victims.max_by_key(|reg| self.distance(*reg)).unwrap_or(Reg::R0);
        self.evict(victim);
        victim
    }

    /// Where `value`, or what it turns into, is wanted or expected.
    pub(super) fn wish(&self, value: VReg) -> Option<Reg> {
        let chain = std::iter::successors(Some(value), |value| self.live.becomes[*value]);
        chain.take(WISH_DEPTH).find_map(|it| self.live.hints[it].or(self.expected[it]))
    }

    /// How little it hurts to lose what is in a register: the distance to its next
    /// use, twice if it need not be stored first.
    fn distance(&self, reg: Reg) -> u64 {
        let Some(value) = self.state.at(reg) else { return u64::MAX };
        let distance = u64::from(self.next[value].at.saturating_sub(self.now));
        if self.is_cheap(value) { 2 * distance } else { distance }
    }

    /// Whether `value` can be dropped without a store.
    pub(super) fn is_cheap(&self, value: VReg) -> bool {
        self.mir.remat(value).is_some() || self.state.stored.contains(&value)
    }

    fn evict(&mut self, reg: Reg) {
        if let Some(value) = self.state.at(reg) {
            self.store(value, reg);
            self.state.set(reg, None);
        }
    }

    /// Makes `value`, which is in `reg`, be in its slot, unless it needs none.
    pub(super) fn store(&mut self, value: VReg, reg: Reg) {
        if !self.is_cheap(value) {
            let slot = self.slots.home(value, &self.live.ranges[value], None);
            self.steps.push(Step::Move { dst: Loc::Slot(slot), src: Loc::Reg(reg) });
            self.state.stored.insert(value);
        }
    }

    /// Takes note of what comes after an instruction; what is dead is dropped.
    pub(super) fn advance(&mut self, after: &[(VReg, Next)]) {
        for &(value, next) in after {
            self.next[value] = next;
            self.forget(value, next.is_never());
        }
    }

    fn forget(&mut self, value: VReg, is_dead: bool) {
        if is_dead {
            if let Some(reg) = self.state.reg_of(value) {
                self.state.set(reg, None);
            }
            self.state.stored.remove(&value);
        }
    }

    pub(super) fn define(&mut self, value: VReg, reg: Reg) {
        let is_live = !self.next[value].is_never();
        self.state.set(reg, is_live.then_some(value));
    }

    /// Parallel copies at the current point.
    pub(super) fn copy(&mut self, copies: &[(Loc, Source)], keep: RegSet) {
        let Self { mir, slots, emergency, .. } = self;
        let steps = moves::sequence(mir, slots, emergency, copies, keep);
        self.steps.extend(steps);
    }
}

/// Where a copy of `value` comes from, given where values are.
pub(super) fn source(mir: &Mir, slots: &Slots, state: &State, value: VReg) -> Source {
    if mir.is_context(value) {
        return Source::Loc(Loc::Reg(Reg::R6));
    }
    match (state.reg_of(value), mir.remat(value), slots.get(value)) {
        (Some(reg), _, _) => Source::Loc(Loc::Reg(reg)),
        (None, Some(_), _) => Source::Remat(value),
        // INVARIANT: what is live and in no register is in its slot; if it were
        // not, the checker would say so.
        (None, None, slot) => Source::Loc(Loc::Slot(slot.unwrap_or(u32::MAX))),
    }
}

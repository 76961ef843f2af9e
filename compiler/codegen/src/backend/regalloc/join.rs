//! Where values are at the start of a block, and the moves on the edges into it.
//!
//! All predecessors are done by then. A value stays where they agree; else it goes
//! where most have it; what is needed last goes to its spill slot when registers
//! run out. What can be made anew stays only where everybody has it.

use std::collections::BTreeMap;

use policyc_bpf::Reg;

use super::live::Next;
use super::moves::{self, Source};
use super::scan::{Scan, State, source};
use super::{Edge, Loc, POOL, RegSet, SAVED, is_saved};
use crate::backend::mir::{Block, VReg};

/// A value that is live at the start of a block.
struct Candidate {
    value: VReg,
    next: Next,
    /// What it is called on each edge: itself, or the argument.
    names: Vec<VReg>,
    /// By register number, on how many edges it is there.
    votes: [usize; 11],
}

impl Candidate {
    /// The register it is in on every edge.
    fn unanimous(&self) -> Option<Reg> {
        let edges = self.names.len();
        POOL.into_iter().find(|reg| edges > 0 && self.votes(*reg) == edges)
    }

    fn votes(&self, reg: Reg) -> usize {
        self.votes[usize::from(reg.number())]
    }
}

impl Scan<'_> {
    /// Sets the state at the start of `block` and makes the edges lead to it.
    pub(super) fn enter(&mut self, block: Block) {
        let edges = self.edges_into[block].clone();
        let states: Vec<_> =
            edges.iter().map(|edge| self.leaving.remove(edge).unwrap_or_default()).collect();
        let candidates = self.candidates(block, &edges, &states);
        self.state = State::default();
        for candidate in &candidates {
            self.next[candidate.value] = candidate.next;
        }
        let in_memory = self.place_candidates(&candidates);
        self.keep_stored(&candidates, &states);
        let homes = self.homes(&candidates, &in_memory, &states);
        for (at, (edge, state)) in edges.iter().zip(&states).enumerate() {
            let copies = self.copies(at, &candidates, &homes, state);
            let keep = RegSet::default();
            let Self { mir, slots, emergency, .. } = self;
            let steps = moves::sequence(mir, slots, emergency, &copies, keep);
            self.out.edges.insert(*edge, steps);
        }
    }

    /// What is live at the start of `block`, nearest next use first.
    fn candidates(&self, block: Block, edges: &[Edge], states: &[State]) -> Vec<Candidate> {
        let params = &self.mir.blocks[block].params;
        let entry = &self.live.entry[block];
        let mut candidates = Vec::with_capacity(entry.len());
        for (&value, &next) in entry {
            let param = params.iter().position(|param| *param == value);
            let name = |&(from, target): &Edge| {
                let args = &self.mir.blocks[from].term.targets()[target].args;
                param.map_or(value, |param| args[param])
            };
            let names: Vec<_> = edges.iter().map(name).collect();
            let mut votes = [0; 11];
            for (state, name) in states.iter().zip(&names) {
                if let Some(reg) = state.reg_of(*name) {
                    votes[usize::from(reg.number())] += 1;
                }
            }
            candidates.push(Candidate { value, next, names, votes });
        }
        candidates.sort_by_key(|candidate| (candidate.next.at, candidate.value));
        candidates
    }

    /// Gives registers to candidates; returns those that go to their slots.
    fn place_candidates(&mut self, candidates: &[Candidate]) -> Vec<VReg> {
        let mut undecided = vec![];
        for candidate in candidates {
            match candidate.unanimous().filter(|reg| self.state.at(*reg).is_none()) {
                Some(reg) => self.state.set(reg, Some(candidate.value)),
                None if self.mir.remat(candidate.value).is_some() => {}
                None => undecided.push(candidate),
            }
        }
        let mut in_memory = vec![];
        for candidate in undecided {
            let is_param = candidate.names.iter().any(|name| *name != candidate.value);
            let is_anywhere = is_param || candidate.votes.iter().any(|votes| *votes > 0);
            match self.choose(candidate).filter(|_| is_anywhere) {
                Some(reg) => self.state.set(reg, Some(candidate.value)),
                None => in_memory.push(candidate.value),
            }
        }
        in_memory
    }

    /// A free register for a candidate on which its predecessors do not agree.
    fn choose(&self, candidate: &Candidate) -> Option<Reg> {
        let free = |reg: &Reg| self.state.at(*reg).is_none();
        let crosses = candidate.next.crosses;
        let voted = POOL
            .into_iter()
            .filter(|reg| candidate.votes(*reg) > 0 && (!crosses || is_saved(*reg)))
            .filter(free)
            .max_by_key(|reg| candidate.votes(*reg));
        let saved = SAVED.into_iter().filter(|_| crosses);
        let hint = self.wish(candidate.value).filter(|_| !crosses);
        let mut others = saved.chain(hint).chain(POOL);
        voted.or_else(|| others.find(free))
    }

    /// What every predecessor has stored is stored.
    fn keep_stored(&mut self, candidates: &[Candidate], states: &[State]) {
        for Candidate { value, names, .. } in candidates {
            let everywhere = |state: &State| state.stored.contains(value);
            if names.iter().all(|name| name == value) && states.iter().all(everywhere) {
                self.state.stored.insert(*value);
            }
        }
    }

    /// The slots of the candidates that go there. A parameter takes over the slot
    /// of an argument if that dies.
    fn homes(
        &mut self,
        candidates: &[Candidate],
        in_memory: &[VReg],
        states: &[State],
    ) -> BTreeMap<VReg, u32> {
        let mut homes = BTreeMap::new();
        for candidate in candidates.iter().filter(|it| in_memory.contains(&it.value)) {
            let stored = candidate.names.iter().zip(states);
            let wanted = stored
                .filter(|(name, state)| state.stored.contains(name))
                .find_map(|(name, _)| self.slots.get(*name));
            let ranges = &self.live.ranges[candidate.value];
            let slot = self.slots.home(candidate.value, ranges, wanted);
            self.state.stored.insert(candidate.value);
            homes.insert(candidate.value, slot);
        }
        homes
    }

    /// The copies on edge number `at`.
    fn copies(
        &self,
        at: usize,
        candidates: &[Candidate],
        homes: &BTreeMap<VReg, u32>,
        state: &State,
    ) -> Vec<(Loc, Source)> {
        let mut copies = vec![];
        for candidate in candidates {
            let (value, name) = (candidate.value, candidate.names[at]);
            let dst = match (self.state.reg_of(value), homes.get(&value)) {
                (Some(reg), _) => Loc::Reg(reg),
                (None, Some(_)) if name == value && state.stored.contains(&value) => continue,
                (None, Some(slot)) => Loc::Slot(*slot),
                (None, None) => continue,
            };
            copies.push((dst, source(self.mir, &self.slots, state, name)));
        }
        copies
    }
}

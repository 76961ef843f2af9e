//! Liveness, next uses, live ranges and register hints, in one backward sweep.
//!
//! Positions count two for each block start, instruction and terminator along the
//! layout: an instruction at `p` reads at `p` and writes at `p + 1`.

use std::collections::BTreeMap;

use policyc_base::SecondaryMap;
use policyc_bpf::Reg;

use super::ARGS;
use crate::backend::mir::{Block, BlockData, Inst, Mir, Term, VReg};

/// What the future holds for a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Next {
    /// Position of the next use, as if all blocks in between had been laid out in
    /// a row; [`Next::NEVER`] if there is none.
    pub(super) at: u32,
    /// Whether there is a call that it outlives.
    pub(super) crosses: bool,
}

impl Next {
    pub(super) const NEVER: Self = Self { at: u32::MAX, crosses: false };

    pub(super) fn is_never(self) -> bool {
        self.at == u32::MAX
    }

    fn or(self, other: Self) -> Self {
        Self { at: self.at.min(other.at), crosses: self.crosses || other.crosses }
    }
}

impl Default for Next {
    fn default() -> Self {
        Self::NEVER
    }
}

/// Half-open ranges of positions, ascending and apart.
pub(super) type Ranges = Vec<(u32, u32)>;

/// The result of the sweep. The context is not in it.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Position of each block's start.
    pub(super) start: SecondaryMap<Block, u32>,
    /// What is live where a block starts, its parameters included.
    pub(super) entry: SecondaryMap<Block, BTreeMap<VReg, Next>>,
    /// For each instruction, and last the terminator, the values it mentions and
    /// what comes after it.
    pub(super) after: SecondaryMap<Block, Vec<Vec<(VReg, Next)>>>,
    /// Where a value is live; not for what can be made anew.
    pub(super) ranges: SecondaryMap<VReg, Ranges>,
    /// The register in which a value is wanted in the end.
    pub(super) hints: SecondaryMap<VReg, Option<Reg>>,
    /// What a value turns into where it dies: the result that replaces it, or the
    /// parameter that it is handed to. They would like to share a register.
    pub(super) becomes: SecondaryMap<VReg, Option<VReg>>,
}

/// Sweeps over the function.
pub(super) fn analyse(mir: &Mir) -> Liveness {
    let mut live = Liveness::default();
    let mut at = 0;
    for &block in &mir.layout {
        live.start[block] = at;
        at += 2 * mir.blocks[block].insts.len() as u32 + 4;
    }
    for &block in mir.layout.iter().rev() {
        Sweep::over(mir, &mut live, block);
    }
    live.ranges_in_order(mir);
    live
}

impl Liveness {
    /// Position after a block's terminator.
    fn end(&self, block: Block, data: &BlockData) -> u32 {
        self.start[block] + 2 * data.insts.len() as u32 + 4
    }

    fn ranges_in_order(&mut self, mir: &Mir) {
        mir.vregs.ids().for_each(|value| self.ranges[value].reverse());
    }
}

/// The sweep inside one block.
struct Sweep<'a> {
    mir: &'a Mir,
    live: &'a mut Liveness,
    /// What is live at the current position.
    now: BTreeMap<VReg, Next>,
    /// Where the open range of each live value ends.
    open: BTreeMap<VReg, u32>,
}

impl<'a> Sweep<'a> {
    fn over(mir: &'a Mir, live: &'a mut Liveness, block: Block) {
        let data = &mir.blocks[block];
        let mut sweep = Self { mir, live, now: BTreeMap::new(), open: BTreeMap::new() };
        let (start, end) = (sweep.live.start[block], sweep.live.end(block, data));
        sweep.successors(data, end);
        let mut after = vec![sweep.term(&data.term, end - 2)];
        for (at, inst) in data.insts.iter().enumerate().rev() {
            after.push(sweep.inst(inst, start + 2 + 2 * at as u32));
        }
        after.reverse();
        sweep.close_all(start);
        let Self { now, live, .. } = sweep;
        live.after[block] = after;
        live.entry[block] = now;
    }

    fn successors(&mut self, data: &BlockData, end: u32) {
        for target in data.term.targets() {
            let to = target.block;
            let params = &self.mir.blocks[to].params;
            let shift = |live: &Liveness, next: Next| Next {
                at: next.at.saturating_sub(live.start[to]).saturating_add(end),
                crosses: next.crosses,
            };
            let through: Vec<_> = self.live.entry[to]
                .iter()
                .filter(|(value, _)| !params.contains(value))
                .map(|(value, next)| (*value, shift(self.live, *next)))
                .collect();
            for (value, next) in through {
                self.use_later(value, next, end);
            }
            for (arg, param) in target.args.iter().zip(params) {
                let Some(&next) = self.live.entry[to].get(param) else { continue };
                self.use_later(*arg, shift(self.live, next), end);
                if !self.live.entry[to].contains_key(arg) {
                    self.live.becomes[*arg] = Some(*param);
                }
            }
        }
    }

    fn term(&mut self, term: &Term, at: u32) -> Vec<(VReg, Next)> {
        let uses: Vec<_> = term.uses().collect();
        if let Term::Exit(value) = *term {
            self.live.hints[value] = Some(Reg::R0);
        }
        let after = uses.iter().map(|value| (*value, self.next(*value))).collect();
        uses.iter().for_each(|value| self.use_at(*value, at));
        after
    }

    fn inst(&mut self, inst: &Inst, at: u32) -> Vec<(VReg, Next)> {
        let dst = inst.dst.map(|dst| (dst, self.now.remove(&dst).unwrap_or_default()));
        if let Some((dst, _)) = dst {
            self.close(dst, at + 1);
        }
        let uses = inst.uses.iter().map(|value| (*value, self.next(*value)));
        let after: Vec<_> = uses.chain(dst).collect();
        self.hint(inst);
        if inst.op.is_call() {
            self.now.values_mut().for_each(|next| next.crosses = true);
        }
        inst.uses.iter().for_each(|value| self.use_at(*value, at));
        after
    }

    /// Arguments are wanted in their registers; a left operand turns into the
    /// result. Only for values that die here.
    fn hint(&mut self, inst: &Inst) {
        if inst.op.is_call() {
            for (value, reg) in inst.uses.iter().zip(ARGS) {
                if self.next(*value).is_never() {
                    self.live.hints[*value] = Some(reg);
                }
            }
        } else if let (true, Some(dst), Some(&left)) =
            (inst.op.is_tied(), inst.dst, inst.uses.first())
            && self.next(left).is_never()
        {
            self.live.becomes[left] = Some(dst);
        }
    }

    fn next(&self, value: VReg) -> Next {
        self.now.get(&value).copied().unwrap_or_default()
    }

    fn use_at(&mut self, value: VReg, at: u32) {
        let crosses = self.next(value).crosses;
        self.now.remove(&value);
        self.use_later(value, Next { at, crosses }, at + 1);
    }

    /// A use at `next` of what must be kept until `end`.
    fn use_later(&mut self, value: VReg, next: Next, end: u32) {
        if self.mir.is_context(value) {
            return;
        }
        let known = self.now.entry(value).or_default();
        *known = known.or(next);
        if self.mir.remat(value).is_none() {
            self.open.entry(value).or_insert(end);
        }
    }

    fn close(&mut self, value: VReg, from: u32) {
        let Some(to) = self.open.remove(&value) else { return };
        let ranges = &mut self.live.ranges[value];
        match ranges.last_mut() {
            Some(last) if last.0 == to => last.0 = from,
            _ => ranges.push((from, to)),
        }
    }

    fn close_all(&mut self, from: u32) {
        let open: Vec<_> = self.open.keys().copied().collect();
        open.into_iter().for_each(|value| self.close(value, from));
    }
}

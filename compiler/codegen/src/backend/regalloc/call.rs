//! Calls: arguments in `r1` to `r5`, result in `r0`, and all six lost.

use policyc_bpf::Reg;

use super::live::Next;
use super::moves::Source;
use super::scan::Scan;
use super::{ARGS, Loc, POOL, RegSet, SAVED, Step, is_saved};
use crate::backend::mir::{Inst, VReg};

impl Scan<'_> {
    /// A call: what outlives it is moved to safety, the arguments to their
    /// registers.
    pub(super) fn call(&mut self, at: usize, inst: &Inst, after: &[(VReg, Next)]) {
        let sources: Vec<_> = inst.uses.iter().map(|value| self.source(*value)).collect();
        self.advance(after);
        self.save_survivors(&sources);
        let copies: Vec<_> = ARGS.into_iter().map(Loc::Reg).zip(sources.iter().copied()).collect();
        let keep = SAVED.into_iter().filter(|reg| self.state.at(*reg).is_some()).collect();
        self.copy(&copies, keep);
        POOL.into_iter().filter(|reg| !is_saved(*reg)).for_each(|reg| self.state.set(reg, None));
        if let Some(dst) = inst.dst {
            self.define(dst, Reg::R0);
        }
        let uses = ARGS.into_iter().take(inst.uses.len()).collect();
        self.steps.push(Step::Op { inst: at, dst: inst.dst.map(|_| Reg::R0), uses });
    }

    /// Moves what is live after the call out of `r0` to `r5`; the nearest next use
    /// gets the first choice.
    fn save_survivors(&mut self, sources: &[Source]) {
        let lost = POOL.into_iter().filter(|reg| !is_saved(*reg));
        let mut survivors: Vec<_> = lost
            .filter_map(|reg| self.state.at(reg).map(|value| (self.next[value].at, reg, value)))
            .collect();
        survivors.sort_unstable();
        // Registers that arguments are still to be read from.
        let busy: RegSet = sources
            .iter()
            .filter_map(|source| match source {
                Source::Loc(Loc::Reg(reg)) => Some(*reg),
                _ => None,
            })
            .collect();
        for (_, reg, value) in survivors {
            if self.mir.remat(value).is_some() {
                continue;
            }
            match self.shelter(value, busy) {
                Some(shelter) => {
                    self.steps.push(Step::Move { dst: Loc::Reg(shelter), src: Loc::Reg(reg) });
                    self.state.set(reg, None);
                    self.state.set(shelter, Some(value));
                }
                None => self.store(value, reg),
            }
        }
    }

    /// A register that survives the call for `value`: a free one, or one whose
    /// content is needed later than `value` and costs no store.
    fn shelter(&self, value: VReg, busy: RegSet) -> Option<Reg> {
        let mut usable = SAVED.into_iter().filter(|reg| !busy.contains(*reg));
        let free = usable.clone().find(|reg| self.state.at(*reg).is_none());
        free.or_else(|| {
            usable.find(|reg| {
                self.state.at(*reg).is_some_and(|other| {
                    self.is_cheap(other) && self.next[other].at > self.next[value].at
                })
            })
        })
    }
}

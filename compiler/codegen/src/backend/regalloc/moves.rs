//! Parallel copies as a sequence.
//!
//! All sources are read before any destination is written. Cycles are broken with
//! a register that nobody needs at that point, or with a spill slot of their own.

use policyc_bpf::Reg;

use super::slots::Slots;
use super::{Loc, POOL, RegSet, Step};
use crate::backend::mir::{Mir, Remat, VReg};

/// Where the copied value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Loc(Loc),
    Remat(VReg),
}

/// Slots for what no register is free for; made when first needed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Emergency {
    /// Keeps a register that is lent as scratch.
    lent: Option<u32>,
    /// Keeps one member of a cycle.
    cycle: Option<u32>,
}

/// Orders `copies`, whose destinations are distinct. `keep` are registers that
/// must come through unharmed besides.
pub(super) fn sequence(
    mir: &Mir,
    slots: &mut Slots,
    emergency: &mut Emergency,
    copies: &[(Loc, Source)],
    keep: RegSet,
) -> Vec<Step> {
    let mut resolver = Resolver { slots, emergency, pending: vec![], held: keep, steps: vec![] };
    let mut remats = vec![];
    for &(dst, src) in copies {
        match src {
            Source::Loc(src) if src == dst => resolver.hold(dst),
            Source::Loc(src) => resolver.pending.push((dst, src)),
            Source::Remat(value) => remats.push((dst, value)),
        }
    }
    resolver.copy_all();
    // Slots before registers: a register that is still to be written is scratch.
    remats.sort_by_key(|(dst, _)| (matches!(dst, Loc::Reg(_)), *dst));
    for (dst, value) in remats {
        resolver.remat(mir, dst, value);
    }
    resolver.steps
}

struct Resolver<'a> {
    slots: &'a mut Slots,
    emergency: &'a mut Emergency,
    pending: Vec<(Loc, Loc)>,
    /// Registers whose content is final.
    held: RegSet,
    steps: Vec<Step>,
}

impl Resolver<'_> {
    fn copy_all(&mut self) {
        while !self.pending.is_empty() {
            let is_source = |loc: Loc| self.pending.iter().any(|(_, src)| *src == loc);
            match self.pending.iter().position(|(dst, _)| !is_source(*dst)) {
                Some(at) => {
                    let (dst, src) = self.pending.swap_remove(at);
                    self.copy(dst, src);
                    self.hold(dst);
                }
                None => self.break_cycle(),
            }
        }
    }

    /// Moves one awaited content aside, so that its place can be written.
    fn break_cycle(&mut self) {
        let Some(&(dst, _)) = self.pending.first() else { return };
        let aside = match self.scratch() {
            Some(reg) => Loc::Reg(reg),
            None => {
                let slots = &mut *self.slots;
                Loc::Slot(*self.emergency.cycle.get_or_insert_with(|| slots.add_private()))
            }
        };
        self.copy(aside, dst);
        for (_, src) in self.pending.iter_mut().filter(|(_, src)| *src == dst) {
            *src = aside;
        }
    }

    fn copy(&mut self, dst: Loc, src: Loc) {
        if matches!((dst, src), (Loc::Slot(_), Loc::Slot(_))) {
            self.through_scratch(dst, |scratch| Step::Move { dst: scratch, src });
        } else {
            self.steps.push(Step::Move { dst, src });
        }
    }

    fn remat(&mut self, mir: &Mir, dst: Loc, value: VReg) {
        let fits = matches!(mir.remat(value), Some(Remat::Const(bits))
            if i32::try_from(bits as i64).is_ok());
        match dst {
            Loc::Slot(_) if !fits => {
                self.through_scratch(dst, |dst| Step::Remat { dst, value });
            }
            _ => self.steps.push(Step::Remat { dst, value }),
        }
        self.hold(dst);
    }

    /// `load` into a scratch register and from there to `dst`.
    fn through_scratch(&mut self, dst: Loc, load: impl Fn(Loc) -> Step) {
        if let Some(scratch) = self.scratch() {
            let scratch = Loc::Reg(scratch);
            self.steps.push(load(scratch));
            self.steps.push(Step::Move { dst, src: scratch });
            return;
        }
        let slots = &mut *self.slots;
        let lent = Loc::Slot(*self.emergency.lent.get_or_insert_with(|| slots.add_private()));
        let reg = Loc::Reg(Reg::R0);
        self.steps.push(Step::Move { dst: lent, src: reg });
        self.steps.push(load(reg));
        self.steps.push(Step::Move { dst, src: reg });
        self.steps.push(Step::Move { dst: reg, src: lent });
    }

    /// A register whose content nobody needs.
    fn scratch(&self) -> Option<Reg> {
        let awaited = |reg: Reg| self.pending.iter().any(|(_, src)| *src == Loc::Reg(reg));
        POOL.into_iter().find(|reg| !self.held.contains(*reg) && !awaited(*reg))
    }

    fn hold(&mut self, loc: Loc) {
        if let Loc::Reg(reg) = loc {
            self.held.insert(reg);
        }
    }
}

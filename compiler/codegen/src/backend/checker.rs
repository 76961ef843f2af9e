//! A proof that the allocation does what the virtual code says, after
//! regalloc2's symbolic checker.
//!
//! Walks the allocated code and keeps, for every register and slot, the set of
//! virtual registers whose value it holds. Every operand must be where it is read;
//! every instruction must be there, once and in order. At a join a location holds
//! what it holds on every edge. Shares nothing with the allocator but its result.
//! Does not know: liveness, and whether the code is good.

use std::collections::{BTreeMap, BTreeSet};

use policyc_base::SecondaryMap;
use policyc_bpf::Reg;

use super::mir::{Block, Inst, Mir, Remat, Target, Term, VReg};
use super::regalloc::{Allocation, Loc, Step};

/// What every location holds.
type Held = BTreeMap<Loc, BTreeSet<VReg>>;

/// Why an allocation is wrong, or nothing.
pub(super) fn check(mir: &Mir, allocation: &Allocation) -> Result<(), String> {
    let mut at_entry: SecondaryMap<Block, Option<Held>> = SecondaryMap::default();
    if let Some(entry) = mir.layout.first() {
        at_entry[*entry] = Some(Held::new());
    }
    for &block in &mir.layout {
        let held = at_entry[block].take().ok_or_else(|| format!("{block} has no predecessor"))?;
        let mut checker = Checker { mir, allocation, block, held };
        checker.block().map_err(|error| checker.report(&error))?;
        for (at, target) in mir.blocks[block].term.targets().iter().enumerate() {
            let held = checker.edge(at, target).map_err(|error| checker.report(&error))?;
            let joined = match at_entry[target.block].take() {
                Some(other) => meet(other, &held),
                None => held,
            };
            at_entry[target.block] = Some(joined);
        }
    }
    Ok(())
}

/// What is in a location on both ways.
fn meet(mut a: Held, b: &Held) -> Held {
    a.retain(|loc, values| match b.get(loc) {
        Some(others) => {
            values.retain(|value| others.contains(value));
            !values.is_empty()
        }
        None => false,
    });
    a
}

struct Checker<'a> {
    mir: &'a Mir,
    allocation: &'a Allocation,
    block: Block,
    held: Held,
}

impl Checker<'_> {
    fn block(&mut self) -> Result<(), String> {
        let data = &self.mir.blocks[self.block];
        let mut expected = 0;
        for step in &self.allocation.blocks[self.block] {
            let Step::Op { inst, dst, uses } = step else {
                self.copy(step)?;
                continue;
            };
            if *inst != expected {
                return Err(format!("instruction {inst} stands where {expected} should"));
            }
            expected += 1;
            self.inst(&data.insts[*inst], *dst, uses)
                .map_err(|error| format!("instruction {inst}: {error}"))?;
        }
        if expected != data.insts.len() {
            return Err(format!("only {expected} of {} instructions", data.insts.len()));
        }
        self.term(&data.term)
    }

    fn copy(&mut self, step: &Step) -> Result<(), String> {
        let (dst, values) = match step {
            Step::Move { dst: Loc::Slot(_), src: Loc::Slot(_) } => {
                return Err("a move from slot to slot".into());
            }
            Step::Move { dst, src } => (*dst, self.values(*src)?),
            Step::Remat { dst, value } => {
                let remat = self.mir.remat(*value);
                let Some(remat) = remat else { return Err(format!("{value} cannot be remade")) };
                if matches!(dst, Loc::Slot(_)) && !is_immediate(remat) {
                    return Err(format!("{value} does not fit a store"));
                }
                (*dst, BTreeSet::from([*value]))
            }
            Step::Op { .. } => return Err("an instruction on an edge".into()),
        };
        self.write(dst, values)
    }

    fn inst(&mut self, inst: &Inst, dst: Option<Reg>, uses: &[Reg]) -> Result<(), String> {
        if uses.len() != inst.uses.len() || dst.is_some() != inst.dst.is_some() {
            return Err("operands are missing".into());
        }
        for (value, reg) in inst.uses.iter().zip(uses) {
            self.read(*value, *reg)?;
        }
        if inst.op.is_tied() {
            let swapped = inst.op.is_commutative() && dst == uses.get(1).copied();
            if dst != uses.first().copied() && !swapped {
                return Err("result and left operand are apart".into());
            }
        }
        if inst.op.is_call() {
            if uses.iter().enumerate().any(|(at, reg)| usize::from(reg.number()) != at + 1) {
                return Err("an argument is in the wrong register".into());
            }
            if dst.is_some_and(|dst| dst != Reg::R0) {
                return Err("a result is not in r0".into());
            }
            (0..=5).filter_map(Reg::new).for_each(|reg| {
                self.held.remove(&Loc::Reg(reg));
            });
        }
        match (dst, inst.dst) {
            (Some(reg), Some(value)) => self.write(Loc::Reg(reg), BTreeSet::from([value])),
            _ => Ok(()),
        }
    }

    fn term(&self, term: &Term) -> Result<(), String> {
        let regs = &self.allocation.terms[self.block];
        if regs.len() != term.uses().count() {
            return Err("the terminator's operands are missing".into());
        }
        for (value, reg) in term.uses().zip(regs) {
            self.read(value, *reg).map_err(|error| format!("terminator: {error}"))?;
        }
        match term {
            Term::Exit(_) if regs != &[Reg::R0] => Err("the result is not in r0".into()),
            _ => Ok(()),
        }
    }

    /// What is held where an edge ends, with the arguments under their new names.
    fn edge(&mut self, at: usize, target: &Target) -> Result<Held, String> {
        let before = self.held.clone();
        let steps = self.allocation.edges.get(&(self.block, at)).map_or(&[][..], Vec::as_slice);
        for step in steps {
            self.copy(step).map_err(|error| format!("edge to {}: {error}", target.block))?;
        }
        let mut held = std::mem::replace(&mut self.held, before);
        let params = &self.mir.blocks[target.block].params;
        for values in held.values_mut() {
            let pairs = params.iter().zip(&target.args);
            let new: Vec<_> = pairs.filter(|(_, arg)| values.contains(arg)).collect();
            values.extend(new.into_iter().map(|(param, _)| *param));
        }
        for (param, _) in
            params.iter().zip(&target.args).filter(|(_, arg)| self.mir.is_context(**arg))
        {
            held.entry(Loc::Reg(Reg::R6)).or_default().insert(*param);
        }
        Ok(held)
    }

    fn read(&self, value: VReg, reg: Reg) -> Result<(), String> {
        if self.values(Loc::Reg(reg)).is_ok_and(|values| values.contains(&value)) {
            return Ok(());
        }
        let held = self.held.get(&Loc::Reg(reg));
        Err(format!(
            "{value} is read from {reg}, which holds {:?}",
            held.unwrap_or(&BTreeSet::new())
        ))
    }

    fn values(&self, loc: Loc) -> Result<BTreeSet<VReg>, String> {
        let mut values = self.held.get(&loc).cloned().unwrap_or_default();
        if loc == Loc::Reg(Reg::R6) {
            values.extend(self.mir.vregs.ids().filter(|value| self.mir.is_context(*value)));
        }
        match values.is_empty() {
            true => Err(format!("{loc:?} is copied and holds nothing")),
            false => Ok(values),
        }
    }

    fn write(&mut self, loc: Loc, values: BTreeSet<VReg>) -> Result<(), String> {
        match loc {
            Loc::Reg(reg) if reg == Reg::R6 || reg == Reg::R10 => Err(format!("{reg} is written")),
            Loc::Slot(slot) if slot >= self.allocation.slots => {
                Err(format!("there is no slot {slot}"))
            }
            _ => {
                self.held.insert(loc, values);
                Ok(())
            }
        }
    }

    /// The error with the block around it, virtual and allocated.
    fn report(&self, error: &str) -> String {
        let data = &self.mir.blocks[self.block];
        let uses = data.insts.iter().flat_map(|inst| &inst.uses).copied().chain(data.term.uses());
        let remats: BTreeMap<_, _> =
            uses.filter_map(|value| Some((value, self.mir.remat(value)?))).collect();
        let remats = remats.into_iter().map(|(value, remat)| format!("{value} = {remat:?}"));
        let insts = data.insts.iter().enumerate();
        let insts = insts.map(|(at, Inst { op, dst, uses, .. })| match dst {
            Some(dst) => format!("{at}: {dst} = {op:?} {uses:?}"),
            None => format!("{at}: {op:?} {uses:?}"),
        });
        let term = [format!("{:?}", data.term), "allocated:".to_owned()];
        let steps = self.allocation.blocks[self.block].iter().map(|step| format!("{step:?}"));
        let lines: Vec<_> = remats.chain(insts).chain(term).chain(steps).collect();
        format!("{}: {error}\n  {}", self.block, lines.join("\n  "))
    }
}

fn is_immediate(remat: Remat) -> bool {
    matches!(remat, Remat::Const(bits) if i32::try_from(bits as i64).is_ok())
}

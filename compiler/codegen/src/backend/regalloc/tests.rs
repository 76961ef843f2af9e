//! Parallel copies do what they say, whatever is free, and slots are not shared
//! by values that live together.

use std::collections::BTreeMap;

use policyc_base::{EntityId, PrimaryMap};
use policyc_bpf::Reg;

use super::moves::{Emergency, Source, sequence};
use super::slots::Slots;
use super::{Loc, POOL, RegSet, Step};
use crate::backend::mir::{Mir, Remat, VReg, VRegDef};

fn mir() -> Mir {
    let remats = [Remat::Const(5), Remat::Const(1 << 40)].map(VRegDef::Remat);
    Mir { blocks: PrimaryMap::new(), layout: vec![], vregs: remats.into_iter().collect(), frame: 0 }
}

/// A number for what a location holds, or for a value made anew.
type Content = u32;

fn initial(loc: Loc) -> Content {
    match loc {
        Loc::Reg(reg) => reg.number().into(),
        Loc::Slot(slot) => 100 + slot,
    }
}

fn made(value: VReg) -> Content {
    1000 + value.index() as u32
}

fn run(steps: &[Step]) -> BTreeMap<Loc, Content> {
    let mut held = BTreeMap::new();
    for step in steps {
        let (dst, content) = match step {
            Step::Move { dst: Loc::Slot(_), src: Loc::Slot(_) } => panic!("slot to slot"),
            Step::Move { dst, src } => (dst, *held.get(src).unwrap_or(&initial(*src))),
            Step::Remat { dst, value } => (dst, made(*value)),
            Step::Op { .. } => panic!("an instruction among copies"),
        };
        held.insert(*dst, content);
    }
    held
}

/// Copies and registers to keep; afterwards everything is where it should be.
fn holds(copies: &[(Loc, Source)], keep: &[Reg]) -> Vec<Step> {
    let (mut slots, mut emergency) = (Slots::default(), Emergency::default());
    (0..8).for_each(|_| {
        slots.add_private();
    });
    let keep_set: RegSet = keep.iter().copied().collect();
    let steps = sequence(&mir(), &mut slots, &mut emergency, copies, keep_set);
    let held = run(&steps);
    for (dst, src) in copies {
        let expected = match src {
            Source::Loc(src) => initial(*src),
            Source::Remat(value) => made(*value),
        };
        let found = *held.get(dst).unwrap_or(&initial(*dst));
        assert_eq!(found, expected, "{dst:?} of {copies:?}\n{steps:#?}");
    }
    for reg in keep.iter().filter(|reg| !copies.iter().any(|(dst, _)| *dst == Loc::Reg(**reg))) {
        let found = held.get(&Loc::Reg(*reg)).copied().unwrap_or(reg.number().into());
        assert_eq!(found, Content::from(reg.number()), "{reg} is kept: {copies:?}");
    }
    steps
}

const fn r(reg: Reg) -> Loc {
    Loc::Reg(reg)
}

/// Copies, registers to keep, and how many steps it takes.
type Case<'a> = (Vec<(Loc, Source)>, &'a [Reg], usize);

#[test]
fn copies_are_parallel() {
    let (small, large) = (Source::Remat(VReg::from_index(0)), Source::Remat(VReg::from_index(1)));
    let from = |loc| Source::Loc(loc);
    let (r1, r2, r3) = (r(Reg::R1), r(Reg::R2), r(Reg::R3));
    let (s0, s1) = (Loc::Slot(0), Loc::Slot(1));
    let cases: Vec<Case<'_>> = vec![
        (vec![], &[], 0),
        (vec![(r1, from(r1))], &[], 0),
        (vec![(r1, from(r2)), (r2, from(r3))], &[], 2),
        (vec![(r1, from(r2)), (r2, from(r1))], &[], 3),
        (vec![(r1, from(r2)), (r2, from(r3)), (r3, from(r1))], &[], 4),
        (vec![(r1, from(r2)), (r2, from(r1))], &POOL, 3),
        (vec![(s0, from(s1))], &[], 2),
        (vec![(s0, from(s1))], &POOL, 4),
        (vec![(s0, from(s1)), (s1, from(s0))], &[], 4),
        (vec![(s0, from(s1)), (s1, from(s0))], &POOL, 12),
        (vec![(s0, from(r1)), (r1, from(s0))], &[], 3),
        (vec![(s0, from(r1)), (r1, from(s0))], &POOL, 6),
        (vec![(s0, small)], &POOL, 1),
        (vec![(s0, large)], &[], 2),
        (vec![(s0, large)], &POOL, 4),
        (vec![(r1, large), (r2, from(r1))], &[], 2),
    ];
    for (copies, keep, steps) in cases {
        assert_eq!(holds(&copies, keep).len(), steps, "{copies:?}");
    }
}

#[test]
fn any_copies_are_parallel() {
    let mut seed = 1_u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    let locs: Vec<_> = POOL.into_iter().map(Loc::Reg).chain((0..5).map(Loc::Slot)).collect();
    for _ in 0..4_000 {
        let mut free = locs.clone();
        let mut copies = vec![];
        for _ in 0..below(locs.len() + 1) {
            let dst = free.swap_remove(below(free.len()));
            let src = match below(6) {
                0 => Source::Remat(VReg::from_index(below(2))),
                _ => Source::Loc(locs[below(locs.len())]),
            };
            copies.push((dst, src));
        }
        let is_written = |reg: &Reg| copies.iter().any(|(dst, _)| *dst == Loc::Reg(*reg));
        let keep: Vec<_> =
            POOL.into_iter().filter(|reg| !is_written(reg)).filter(|_| below(3) > 0).collect();
        holds(&copies, &keep);
    }
}

#[test]
fn slots_are_shared_by_values_that_never_meet() {
    let mut slots = Slots::default();
    let value = VReg::from_index;
    assert_eq!(slots.home(value(0), &vec![(0, 10), (20, 30)], None), 0);
    assert_eq!(slots.home(value(1), &vec![(10, 20)], None), 0);
    assert_eq!(slots.home(value(2), &vec![(9, 11)], None), 1);
    assert_eq!(slots.home(value(3), &vec![(30, 31)], Some(1)), 1);
    assert_eq!(slots.home(value(4), &vec![(12, 13)], Some(0)), 1);
    assert_eq!(slots.home(value(0), &vec![(0, 10)], None), 0);
    assert_eq!(slots.len(), 2);
}

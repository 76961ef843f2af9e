//! What the checks must not claim, and what they must survive.

use policyc_bpf::{AluOp, Insn, JmpOp, ProgramKind, Size};

use crate::Release;
use crate::fixtures::*;
use crate::structural::{shape, verify_structural, verify_structural_for};

/// Any slots at all: no panic, and always the same answer.
#[test]
fn arbitrary_slots_are_judged() {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..20_000 {
        let (_, object) = mutant(&mut seed);
        let failures = verify_structural(&object);
        assert_eq!(failures, verify_structural(&object));
        let _ = shape(&object.programs[0]);
    }
}

#[test]
fn extreme_offsets_do_not_overflow() {
    for imm in [i32::MIN, i32::MAX, -1] {
        for op in [AluOp::Add, AluOp::Sub, AluOp::Mul] {
            let asm = Asm::new().value(R7, TestMap::Flat, 0).push([
                Insn::alu64(op, R7, imm),
                Insn::alu64(op, R7, imm),
                Insn::load(Size::B, R0, R7, i16::MIN),
            ]);
            assert_ne!(verify_structural(&asm.ret(0).object(ProgramKind::Tc)), []);
        }
    }
}

#[test]
fn a_newer_floor_allows_more() {
    let object = Asm::new().push([Insn::gotol(0)]).ret(0).object(ProgramKind::Tc);
    assert_eq!(verify_structural(&object).len(), 1);
    assert_eq!(verify_structural_for(&object, Release::new(6, 6)), []);
}

#[test]
fn every_path_is_reported_once() {
    let object = Asm::new()
        .push([
            Insn::load(Size::W, R6, R1, 0),
            Insn::jump(JmpOp::Eq, R6, 0, 2),
            Insn::mov64(R0, R5),
            Insn::exit(),
            Insn::mov64(R0, R4),
            Insn::exit(),
        ])
        .object(ProgramKind::Tc);
    let slots: Vec<_> = verify_structural(&object).iter().map(|f| f.insn).collect();
    assert_eq!(slots, [Some(2), Some(4)]);
}

/// On a diamond the taken branch waits while the other is followed.
#[test]
fn shape_counts_what_waits() {
    let program = Asm::new()
        .push([
            Insn::load(Size::W, R6, R1, 0),
            Insn::jump(JmpOp::Eq, R6, 0, 1),
            Insn::jump(JmpOp::Eq, R6, 1, 0),
        ])
        .ret(0)
        .program(ProgramKind::Tc);
    let shape = shape(&program).unwrap();
    assert_eq!((shape.insns, shape.longest_path, shape.pending_branches), (5, 5, 2));
}

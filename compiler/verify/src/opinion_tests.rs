//! That the second opinion is asked rightly, and kept within its budget.

use policyc_bpf::Size;

use super::*;
use crate::fixtures::{Asm, R0, R1, R4, R5, good};

/// A good program that is refused.
const KNOWN_FALSE_REJECT: &str = "text-in-record";

fn view(object: &Object) -> View {
    second_opinion(object, Duration::from_secs(30)).remove(0).view
}

#[test]
fn agrees_with_good_programs() {
    for (name, object) in good().into_iter().filter(|(name, _)| *name != KNOWN_FALSE_REJECT) {
        assert_eq!(view(&object), View::Agree, "{name}");
    }
}

/// Documented above: an address that a helper reads from with care.
#[test]
fn known_false_reject() {
    let (_, object) = good().into_iter().find(|(name, _)| *name == KNOWN_FALSE_REJECT).unwrap();
    assert!(matches!(view(&object), View::Disagree(_)));
}

#[test]
fn disagrees_where_both_see_the_fault() {
    let unguarded = [Insn::load(Size::W, R1, R1, 76), Insn::load(Size::B, R4, R1, 0)];
    let unwritten = [Insn::load(Size::W, R4, R5, 0)];
    for insns in [unguarded.to_vec(), unwritten.to_vec()] {
        let object = Asm::new().push(insns).ret(0).object(ProgramKind::Tc);
        assert!(matches!(view(&object), View::Disagree(_)), "{:?}", object.programs[0].insns);
    }
}

/// Documented above: a fault that only we see.
#[test]
fn known_false_accept() {
    let dead = Asm::new().ret(0).push([Insn::mov64_imm(R0, 1), Insn::exit()]);
    let object = dead.object(ProgramKind::Tc);
    assert_eq!(view(&object), View::Agree);
    assert_ne!(crate::verify_structural(&object), []);
}

#[test]
fn gives_up_when_the_budget_is_spent() {
    let (_, object) = good().remove(3);
    let opinions = second_opinion(&object, Duration::ZERO);
    assert!(matches!(opinions[0].view, View::NoOpinion(_)));
}

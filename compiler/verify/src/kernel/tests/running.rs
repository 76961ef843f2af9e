//! The kernel that runs here. Skipped, loudly, without privilege; with
//! `POLICYC_REQUIRE_KERNEL=1` that is a failure.

use policyc_bpf::{Insn, ProgramKind, Size};

use crate::fixtures::*;
use crate::kernel::missing_privilege;
use crate::{Outcome, verify_kernel, verify_structural};

fn privileged() -> bool {
    let missing = missing_privilege(&ProgramKind::Tc)
        .or(missing_privilege(&ProgramKind::RawTracepoint("sched_process_exec".into())));
    let Some(missing) = missing else { return true };
    let required = std::env::var("POLICYC_REQUIRE_KERNEL").is_ok_and(|value| value == "1");
    assert!(!required, "kernel tests are required: {missing}");
    eprintln!("SKIPPED: {missing}");
    false
}

#[test]
fn takes_the_good_programs() {
    if !privileged() {
        return;
    }
    for (name, object) in good() {
        let reports = verify_kernel(&object);
        let Outcome::Verified(cost) = &reports[0].outcome else { panic!("{name}: {reports:#?}") };
        assert_ne!(cost.insns_processed, 0, "{name}");
        assert!(reports[0].kernel.contains('.'));
    }
}

#[test]
fn names_the_instruction_at_fault() {
    if !privileged() {
        return;
    }
    let object = Asm::new()
        .mov(R6, 7)
        .push([Insn::load(Size::W, R1, R1, 76), Insn::load(Size::B, R4, R1, 0)])
        .ret(0)
        .object(ProgramKind::Tc);
    let reports = verify_kernel(&object);
    let Outcome::Rejected(rejection) = &reports[0].outcome else { panic!("{reports:#?}") };
    assert_eq!(rejection.insn, Some(2), "{rejection:#?}");
    assert_eq!(rejection.origin, object.programs[0].origins[2]);
    assert!(rejection.message.contains("invalid access to packet"), "{rejection:#?}");
    assert_eq!(rejection.slice.len(), 2, "{rejection:#?}");
}

/// What our checks pass, the kernel takes: programs made by small changes to
/// good ones, of which most are bad.
#[test]
fn our_checks_are_stricter() {
    if !privileged() {
        return;
    }
    let rounds = std::env::var("POLICYC_MUTANTS").ok().and_then(|n| n.parse().ok());
    let (mut passed, mut seed) = (0, 7);
    for round in 0..rounds.unwrap_or(20_000_u64) {
        let (name, object) = mutant(&mut seed);
        if !verify_structural(&object).is_empty() {
            continue;
        }
        passed += 1;
        let reports = verify_kernel(&object);
        assert!(
            reports[0].is_verified(),
            "round {round}, a mutant of {name}: {reports:#?}\n{:#?}",
            object.programs[0].insns
        );
    }
    assert!(passed > 100, "only {passed} mutants passed: nothing was tested");
}

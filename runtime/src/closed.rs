//! What denies everything in place of a generation that could not be restored.
//!
//! It is an artifact like any other, so it goes live, is shown, taken over and removed
//! like any other; it has no tables, so hardly anything can fail.

use policyc_base::PrimaryMap;
use policyc_bpf::{
    Artifact, Direction, Insn, Judges, License, Manifest, Object, Program, ProgramKind, Reg,
    Subject, SubjectKind, Verdict,
};

use crate::bindings::Bindings;
use crate::error::Error;
use crate::gate::verdicts;

/// What the artifact is called.
const NAME: &str = "closed";

/// Denies every packet of everybody who is bound by these bindings.
pub(crate) fn artifact(bindings: &Bindings) -> Result<Artifact, Error> {
    let mut names: Vec<&str> = bindings.bindings.iter().map(|b| b.subject.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let subject = |(row, name): (usize, &str)| Subject {
        name: name.to_owned(),
        kind: SubjectKind::Endpoint,
        row: row as u32,
        addresses: Vec::new(),
        restricts: Vec::new(),
        denies_by_default: Vec::new(),
        attach: None,
        hosts: None,
    };
    let mut manifest = Manifest::new(NAME, "cilium-1.20");
    manifest.subjects = names.into_iter().enumerate().map(subject).collect();
    manifest.unknown_subject = Verdict::Deny;
    let (programs, maps) = (programs(), PrimaryMap::new());
    Artifact::build(manifest, &Object { programs, maps, lines: Vec::new() })
        .map_err(|error| Error::Artifact(error.to_string()))
}

/// One for every hook that packets are judged at, in the order of their names.
fn programs() -> Vec<Program> {
    use Direction::{Egress, Ingress};
    let kinds = [
        ("closed_cg_out", ProgramKind::CgroupSkb(Egress), Judges::Egress),
        ("closed_cg_in", ProgramKind::CgroupSkb(Ingress), Judges::Ingress),
        ("closed_tc_out", ProgramKind::Tc, Judges::Egress),
        ("closed_tc_in", ProgramKind::Tc, Judges::Ingress),
        ("closed_xdp_out", ProgramKind::Xdp, Judges::Egress),
        ("closed_xdp_in", ProgramKind::Xdp, Judges::Ingress),
    ];
    let program = |(name, kind, judges): (&str, ProgramKind, Judges)| {
        let insns = vec![Insn::mov64_imm(Reg::R0, verdicts(&kind).deny), Insn::exit()];
        let (name, license, relocs) = (name.to_owned(), License::Permissive, Vec::new());
        let origins = vec![None; insns.len()];
        Program { name, kind, judges, license, insns, relocs, origins }
    };
    let mut programs: Vec<Program> = kinds.map(program).into();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    programs
}

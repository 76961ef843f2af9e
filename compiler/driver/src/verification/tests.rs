use std::path::Path;

use policyc_base::Origin;
use policyc_bpf::{Artifact, Finding, Insn, Level, Object};
use policyc_target::Profile;
use policyc_verify::{Cost, Outcome, ProgramReport, Rejection};

use crate::pipeline::{self, Input};
use crate::session::Session;
use crate::verification::{record_kernel, verify_here};
use crate::{manifest, render};

const POLICY: &str = "apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: tmp}
spec:
  tracepoints:
  - subsystem: sched
    event: sched_process_exec
    args:
    - {index: 4, type: string}
    selectors:
    - matchArgs:
      - {args: [0], operator: Prefix, values: [/tmp/]}
";

/// An artifact whose object was changed by `change`, and its sessions as `verify`
/// has it: without the texts.
fn artifact(change: impl FnOnce(&mut Object)) -> (Artifact, Session) {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hosts/small.yaml");
    let host = std::fs::read_to_string(host).expect("a small host");
    let mut session = Session::new();
    let file = session.sources.add("tmp.yaml", POLICY);
    let profile = Some(Profile::parse(&host).expect("a profile"));
    let input = Input { policies: vec![file], profile, ..Input::default() };
    let mut built = pipeline::build(&mut session, &input)
        .unwrap_or_else(|| panic!("{:#?}", session.findings()));
    change(&mut built.compiled.object);
    let manifest = manifest::manifest(&session, &built);
    let artifact = Artifact::build(manifest, &built.compiled.object).expect("an artifact");
    let session = Session::of_manifest(artifact.manifest());
    (artifact, session)
}

/// The first slot that a rule is behind.
fn slot_of_a_rule(object: &Object) -> (usize, Origin) {
    let origins = object.programs[0].origins.iter().enumerate();
    origins.filter_map(|(slot, origin)| Some((slot, (*origin)?))).next().expect("a rule")
}

/// `file:line` of the only finding.
fn place(session: &Session) -> String {
    let findings = session.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let at = findings[0].span.and_then(|span| session.sources.location(span)).expect("a place");
    format!("{}:{}", at.file, at.line)
}

#[test]
fn what_is_not_well_formed_is_shown_at_its_line() {
    let mut line = 0;
    let (mut artifact, mut session) = artifact(|object| {
        let (slot, origin) = slot_of_a_rule(object);
        line = object.lines[policyc_base::EntityId::index(origin)].line;
        // r0 = *(u64 *)(r10 +8), which is beyond the stack.
        object.programs[0].insns[slot] = Insn { code: 0x79, dst: 0, src: 10, off: 8, imm: 0 };
    });
    let checks = verify_here(&mut session, &mut artifact, &|_| {});
    assert_eq!(checks.len(), 1, "nobody else is asked");
    assert_eq!(checks[0].lines(), ["rejected: structural"]);
    assert_eq!(place(&session), format!("tmp.yaml:{line}"));
    let evidence = artifact.evidence();
    assert_eq!((evidence.len(), evidence[0].level), (1, Level::Structural));
    assert!(matches!(evidence[0].finding, Finding::Rejected { insn: Some(_), .. }));
}

#[test]
fn what_a_kernel_rejects_is_shown_at_its_line_with_the_path_to_it() {
    let (mut artifact, mut session) = artifact(|_| {});
    let (slot, origin) = slot_of_a_rule(artifact.object());
    let line = artifact.object().lines[policyc_base::EntityId::index(origin)].clone();
    let rejection = Rejection {
        insn: Some(slot as u32),
        origin: Some(origin),
        message: "R1 invalid mem access 'scalar'\nprocessed 12 insns".into(),
        slice: vec!["10: r1 = 0".into(), "11: r2 = *(u8 *)(r1 +0)".into()],
    };
    let report = ProgramReport {
        program: artifact.object().programs[0].name.clone(),
        kernel: "6.1.0".into(),
        outcome: Outcome::Rejected(rejection),
    };
    let check = record_kernel(&mut session, &mut artifact, &[report]);
    assert_eq!(check.lines(), ["rejected: kernel 6.1.0"]);
    assert_eq!(place(&session), format!("tmp.yaml:{}", line.line));
    let text = render::terminal(&session.findings(), &session.sources, false);
    for expected in [line.text.trim(), "R1 invalid mem access", "r2 = *(u8 *)(r1 +0)"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let document = serde_json::to_value(check.document(&artifact)).expect("JSON");
    assert_eq!(document["verdict"], "rejected");
    let at = format!("tmp.yaml:{}:{}", line.line, line.column);
    assert_eq!(document["programs"][0]["at"], at);
}

#[test]
fn what_was_not_asked_is_not_verified() {
    let (mut artifact, mut session) = artifact(|_| {});
    let report =
        |outcome| ProgramReport { program: "event_0".into(), kernel: "6.1".into(), outcome };
    let not_run = report(Outcome::NotRun("needs CAP_BPF: run as root".into()));
    let check = record_kernel(&mut session, &mut artifact, &[not_run]);
    assert_eq!(check.lines(), ["not verified: kernel 6.1 (needs CAP_BPF: run as root)"]);
    assert!(check.is_clean() && artifact.evidence().is_empty());

    let cost = Cost { insns_processed: 99, ..Cost::default() };
    let verified = report(Outcome::Verified(cost));
    let check = record_kernel(&mut session, &mut artifact, &[verified]);
    assert_eq!(check.lines(), ["verified: kernel 6.1 (at most 99 instructions processed)"]);
    assert_eq!(artifact.evidence()[0].processed, Some(99));
    assert!(session.sink.is_empty());
}

//! Artifacts survive the file, and refuse what is not as it was written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;

use common::sample;
use policyc_bpf::manifest::subject_identity;
use policyc_bpf::{
    Artifact, ArtifactError, AttachHint, Cost, Decision, Digest, Direction, Evidence, Finding,
    Level, License, Manifest, Object, Outcome, Reason, Source, Subject, SubjectKind,
};
use proptest::prelude::*;

fn manifest(object: &Object) -> Manifest {
    let mut manifest = Manifest::new("shop", "cilium-1.20");
    manifest.decisions = vec![
        Decision {
            outcome: Outcome::Deny,
            reason: Reason::Arp,
            line: None,
            event: None,
            log: None,
            unless_audited: None,
            answer: None,
        },
        Decision {
            outcome: Outcome::Allow,
            reason: Reason::Rule,
            line: Some(1),
            event: None,
            log: Some("told".into()),
            unless_audited: None,
            answer: None,
        },
    ];
    manifest.subjects = vec![Subject {
        name: "shop/billing".into(),
        kind: SubjectKind::Endpoint,
        row: 1,
        addresses: vec!["10.2.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        restricts: vec![Direction::Egress],
        denies_by_default: vec![Direction::Egress],
        attach: Some(AttachHint::SystemdUnit("billing.service".into())),
        hosts: Some(vec!["node-1".into()]),
    }];
    manifest.sources =
        vec![Source { file: "policies/prüfung.yaml".into(), sha256: Digest::of(&[b"text"]) }];
    manifest.requires = BTreeSet::from(["tcx".into(), "ringbuf".into()]);
    manifest.events_layout = 1;
    manifest.cost = Cost::of(object);
    manifest
}

fn artifact() -> Artifact {
    let mut object = sample();
    // Licences that differ, and roles, are what the ELF file does not carry.
    object.programs[2].license = License::DualMitGpl;
    let manifest = manifest(&object);
    Artifact::build(manifest, &object).unwrap()
}

fn evidence(artifact: &Artifact, program: &str) -> Evidence {
    Evidence {
        content: artifact.hash(),
        program: program.into(),
        level: Level::Kernel,
        engine: "linux".into(),
        engine_version: "0.1.0".into(),
        kernel: Some("6.12.111 x86_64".into()),
        processed: Some(861),
        advisory: false,
        finding: Finding::Accepted,
    }
}

#[test]
fn everything_survives_the_file() {
    let built = artifact();
    let read = Artifact::from_bytes(&built.to_bytes().unwrap()).unwrap();
    assert_eq!(read, built);

    let mut expected = sample();
    expected.programs[2].license = License::DualMitGpl;
    for (_, map) in expected.maps.iter_mut() {
        if map.name == "classes" {
            map.contents.resize(map.value_size as usize, 0);
        }
    }
    assert_eq!(*read.object(), expected);
    let mut given = manifest(&sample());
    given.programs = read.manifest().programs.clone();
    given.maps = read.manifest().maps.clone();
    given.lines = sample().lines;
    assert_eq!(*read.manifest(), given);
    assert_eq!(given.line_of(1), Some(&sample().lines[1]));
    assert_eq!(given.line_of(0), None);
}

#[test]
fn the_same_build_gives_the_same_bytes() {
    assert_eq!(artifact().to_bytes().unwrap(), artifact().to_bytes().unwrap());
    let mut other = sample();
    other.programs[6].insns[2].imm = 4;
    let other = Artifact::build(manifest(&other), &other).unwrap();
    assert_ne!(other.hash(), artifact().hash());
}

#[test]
fn an_attach_hint_has_the_form_of_the_inventory() {
    let json = serde_json::to_string(&artifact().manifest().subjects[0].attach).unwrap();
    assert_eq!(json, r#"{"systemdUnit":"billing.service"}"#);
}

#[test]
fn evidence_does_not_change_the_content() {
    let mut artifact = artifact();
    let hash = artifact.hash();
    let rejected = Finding::Rejected { insn: Some(3), reason: "R1 is no pointer".into() };
    artifact.record(evidence(&artifact, "tc_in")).unwrap();
    artifact.record(evidence(&artifact, "tc_in")).unwrap();
    let second = Evidence { finding: rejected, advisory: true, ..evidence(&artifact, "xdp_in") };
    artifact.record(second.clone()).unwrap();

    let read = Artifact::from_bytes(&artifact.to_bytes().unwrap()).unwrap();
    assert_eq!(read.hash(), hash);
    assert_eq!(read.evidence(), [evidence(&artifact, "tc_in"), second]);
}

#[test]
fn foreign_evidence_is_refused() {
    let mut artifact = artifact();
    let other = Evidence { content: Digest::of(&[b"other"]), ..evidence(&artifact, "tc_in") };
    assert!(matches!(artifact.record(other), Err(ArtifactError::EvidenceForeign { .. })));
    let nobody = evidence(&artifact, "nobody");
    assert!(matches!(artifact.record(nobody), Err(ArtifactError::EvidenceProgram(_))));
}

#[test]
fn inconsistent_manifests_are_not_built() {
    let object = sample();
    let mut broken = manifest(&object);
    broken.decisions[1].line = Some(99);
    let error = Artifact::build(broken, &object).unwrap_err();
    assert!(error.to_string().contains("a decision has no line"), "{error}");
}

/// As small as an artifact gets with a program, a table and evidence.
fn small() -> Vec<u8> {
    let mut object = sample();
    object.programs.retain(|p| p.name == "tc_in");
    let mut artifact = Artifact::build(Manifest::new("small", "cilium-1.20"), &object).unwrap();
    artifact.record(evidence(&artifact, "tc_in")).unwrap();
    artifact.to_bytes().unwrap()
}

#[test]
fn a_cut_off_artifact_is_refused_at_every_length() {
    let bytes = small();
    assert!(Artifact::from_bytes(&bytes).is_ok());
    for len in 0..bytes.len() {
        let error = Artifact::from_bytes(&bytes[..len]).unwrap_err();
        assert!(matches!(error, ArtifactError::Truncated { .. }), "{len}: {error}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(Artifact::from_bytes(&longer), Err(ArtifactError::Trailing(1)));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let bytes = small();
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        assert!(Artifact::from_bytes(&altered).is_err(), "byte {at}");
    }
}

#[test]
fn foreign_and_newer_files_are_named_as_such() {
    assert_eq!(Artifact::from_bytes(b"\x7fELF\x02\x01"), Err(ArtifactError::Foreign));
    let mut newer = small();
    newer[8] = 2;
    let error = Artifact::from_bytes(&newer).unwrap_err();
    assert_eq!(error, ArtifactError::Version(2));
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn the_size_of_everything_is_counted() {
    let object = sample();
    let cost = Cost::of(&object);
    assert_eq!(cost.insns, object.programs.iter().map(|p| p.insns.len() as u64).sum::<u64>());
    assert_eq!((cost.maps["names"], cost.maps["events"]), (1200, 4096));
    assert_eq!(cost.map_bytes, cost.maps.values().sum::<u64>());
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Artifact::from_bytes(&bytes).is_err());
        let with_magic = [&b"\x7fpolicyc\x01\0\0\0"[..], &bytes].concat();
        prop_assert!(Artifact::from_bytes(&with_magic).is_err());
    }
}

/// State that is pinned on hosts is kept by this number: it is the same in every release.
#[test]
fn a_subject_is_known_by_its_name() {
    assert_eq!(subject_identity("shop/web"), 0x9737_5646_b1de_b3d2);
}

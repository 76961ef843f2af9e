//! What is not on this host is not local; what is cannot be missed.

use policyc_bpf::{AttachHint, Manifest, Subject, SubjectKind};
use policyc_runtime::Attach;

use super::from_hints;

fn manifest(hints: Vec<AttachHint>) -> Manifest {
    let mut manifest = Manifest::new("a", "cilium-1.20");
    let subject = |(row, hint): (usize, AttachHint)| Subject {
        name: format!("shop/{row}"),
        kind: SubjectKind::Endpoint,
        row: row as u32,
        addresses: Vec::new(),
        restricts: Vec::new(),
        attach: Some(hint),
    };
    manifest.subjects = hints.into_iter().enumerate().map(subject).collect();
    manifest
}

#[test]
fn what_is_not_here_is_not_local() {
    let hints = vec![
        AttachHint::Interface("pc-nowhere".to_owned()),
        AttachHint::Netns("policyc-nowhere".to_owned()),
        AttachHint::Cgroup("/policyc/nowhere".to_owned()),
        AttachHint::SystemdUnit("policyc-nowhere.service".to_owned()),
        AttachHint::Interface("lo".to_owned()),
    ];
    let hinted = from_hints(&manifest(hints)).expect("the host can be looked at");
    assert_eq!(hinted.not_local, ["shop/0", "shop/1", "shop/2", "shop/3"]);
    let [lo] = hinted.bindings.bindings.as_slice() else { panic!("{hinted:?}") };
    assert!(matches!(&lo.attach, Attach::Tc(port) if port.interface == "lo"));
}

#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let hints = vec![AttachHint::Netns("/proc/self/status".to_owned())];
    let error = from_hints(&manifest(hints)).expect_err("no namespace");
    assert!(error.starts_with("`shop/0`: "), "{error}");
}

//! What is not on this host is not local; what is cannot be missed.

use policyc_bpf::{AttachHint, Direction, Manifest, Subject, SubjectKind};

use policyc_runtime::{Attach, Bindings, Dirs, Host};
use policyc_sys::kernel::RealKernel;

use super::{Hinted, read};

fn from_hints(manifest: &Manifest, node: &str) -> Result<Hinted, String> {
    super::from_hints(&Host { kernel: &RealKernel, dirs: &Dirs::default() }, manifest, node)
}

fn manifest(hints: Vec<AttachHint>) -> Manifest {
    let mut manifest = Manifest::new("a", "cilium-1.20");
    let subject = |(row, hint): (usize, AttachHint)| Subject {
        name: format!("shop/{row}"),
        kind: SubjectKind::Endpoint,
        row: row as u32,
        addresses: Vec::new(),
        restricts: Vec::new(),
        denies_by_default: Vec::new(),
        attach: Some(hint),
        hosts: None,
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
    let hinted = from_hints(&manifest(hints), "here").expect("the host can be looked at");
    assert_eq!(hinted.not_local, ["shop/0", "shop/1", "shop/2", "shop/3"]);
    let [lo] = hinted.bindings.bindings.as_slice() else { panic!("{hinted:?}") };
    assert!(matches!(&lo.attach, Attach::Tc(port) if port.interface == "lo"));
}

#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let hints = vec![AttachHint::Netns("/proc/self/status".to_owned())];
    let error = from_hints(&manifest(hints), "here").expect_err("no namespace");
    assert!(error.starts_with("`shop/0`: "), "{error}");
}

/// A subject of each hint, placed on nodes, and the nodes.
fn placed(hints: Vec<AttachHint>, nodes: &[&str]) -> Manifest {
    let mut manifest = manifest(hints);
    for subject in &mut manifest.subjects {
        subject.hosts = Some(vec!["app-1".to_owned()]);
    }
    manifest.subjects.extend(nodes.iter().map(|name| Subject {
        name: (*name).to_owned(),
        kind: SubjectKind::Node,
        row: 9,
        addresses: Vec::new(),
        restricts: vec![Direction::Ingress],
        denies_by_default: Vec::new(),
        attach: None,
        hosts: None,
    }));
    manifest
}

#[test]
fn what_is_placed_elsewhere_is_not_local() {
    let hints = || {
        vec![
            AttachHint::Interface("lo".to_owned()),
            AttachHint::SystemdUnit("policyc-nowhere.service".to_owned()),
        ]
    };
    let manifest = placed(hints(), &["app-1", "db-1"]);
    let names = |hinted: &Hinted| -> Vec<String> {
        hinted.bindings.bindings.iter().map(|binding| binding.subject.clone()).collect()
    };
    let here = from_hints(&manifest, "app-1").expect("a node");
    // A unit of this host is bound before it was ever started, and so is the host.
    assert_eq!(names(&here), ["shop/0", "shop/1", "app-1"]);
    assert!(here.not_local.is_empty());
    let elsewhere = from_hints(&manifest, "db-1").expect("a node");
    assert_eq!(names(&elsewhere), ["db-1"]);
    let error = from_hints(&manifest, "laptop").expect_err("no node of that name");
    assert!(error.contains("the inventory has no node `laptop`"), "{error}");
    assert!(error.contains("help: say with `--node`"), "{error}");
    // Where nobody is placed, it does not matter who this is.
    let mut anywhere = placed(hints(), &["app-1"]);
    anywhere.subjects.iter_mut().for_each(|subject| subject.hosts = None);
    assert_eq!(names(&from_hints(&anywhere, "laptop").expect("anybody")), ["shop/0"]);
}

const HEAD: &str = "apiVersion: policyc.io/v1alpha1\nkind: Bindings\n";

#[test]
fn every_way_to_attach_is_read() {
    let text = format!(
        "{HEAD}bindings:
- {{subject: a/a, attach: {{tc: {{interface: eth0, netns: /run/netns/a, side: host}}}}}}
- {{subject: a/b, attach: {{clsact: {{interface: eth1}}}}}}
- {{subject: a/c, attach: {{xdp: {{interface: eth2}}}}}}
- {{subject: a/d, attach: {{cgroup: {{path: /a}}}}}}
- {{subject: a/e, attach: {{cgroup: {{path: /a/b, at: /a}}}}}}
- {{subject: a/f, attach: {{unit: {{name: f.service}}}}}}
- {{subject: a/g, attach: {{netns: {{path: /run/netns/g}}}}}}
- {{subject: node, attach: {{host: {{}}}}}}
- {{subject: node, attach: {{host: {{interfaces: [eth0]}}}}}}
unknownSubjects: [{{tc: {{interface: eth3}}}}]
"
    );
    let bindings = read(&text).expect("bindings");
    assert_eq!((bindings.bindings.len(), bindings.unknown_subjects.len()), (9, 1));
    let json = serde_json::to_string(&bindings).expect("JSON");
    assert_eq!(serde_json::from_str::<Bindings>(&json).expect("the same"), bindings);
}

#[test]
fn hostile_documents_are_refused() {
    let deep = format!("{HEAD}bindings: {}", "[".repeat(200_000));
    let nested = format!("{HEAD}bindings: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let mut bomb = format!("{HEAD}a: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", aliases.trim_end_matches(", ")));
    }
    for text in [&deep, &nested, &bomb] {
        let error = read(text).expect_err("refused");
        assert!(error.starts_with("line "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        crate::document::guard(text).expect_err("so is a profile");
    }
    for (text, expected) in [
        ("", "there is nothing in it"),
        ("[]", "a bindings file is a map"),
        ("a: 1\na: 2\n", "line 2: "),
        ("kind: Bindings", "`apiVersion` must be `policyc.io/v1alpha1`"),
        ("a: 1\n---\nb: 2\n", "it holds several documents"),
    ] {
        let error = read(text).expect_err("refused");
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

//! Which flows filters let through.

use policyc_bpf::{Subject, SubjectKind};

use super::*;

/// TCP 10.0.0.1:4000 (shop/web) → 10.0.0.2:80 (other/db), dropped on its way out.
fn record() -> Record {
    let mut head = vec![0; 54];
    head[12] = 8;
    head[14] = 0x45;
    head[23] = 6;
    head[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    head[34..38].copy_from_slice(&[0x0f, 0xa0, 0, 80]);
    Record::Verdict(Verdict {
        generation: 1,
        time: 0,
        attach: 1,
        decision: 0,
        forwarded: false,
        audited: false,
        egress: true,
        from_network_header: false,
        length: 54,
        head,
    })
}

fn manifest() -> Manifest {
    let mut manifest = Manifest::new("test", "cilium-1.20");
    let subject = |name: &str, address: &str| Subject {
        name: name.to_owned(),
        kind: SubjectKind::Endpoint,
        row: 0,
        addresses: vec![address.parse().expect("an address")],
        restricts: Vec::new(),
        denies_by_default: Vec::new(),
        attach: None,
        hosts: None,
    };
    manifest.subjects = vec![subject("shop/web", "10.0.0.1"), subject("other/db", "10.0.0.2")];
    manifest
}

fn filter(kind: &'static str, question: Result<Question, String>) -> Filter {
    Filter { kind, is_not: false, question: question.expect("a filter") }
}

fn shown(filters: &[Filter]) -> bool {
    Filters(filters.to_vec()).show(&record(), Some(&manifest()))
}

#[test]
fn each_filter_asks_its_question() {
    let namespace = |end, name: &str| Ok(Question::Namespace(end, name.to_owned()));
    let cases = [
        (pod("shop/web", End::From), true),
        (pod("shop/w", End::From), true),
        (pod("shop/web", End::To), false),
        (pod("shop/web", End::Any), true),
        // Without a namespace: `default`.
        (pod("web", End::Any), false),
        (namespace(End::To, "other"), true),
        (namespace(End::To, "othe"), false),
        (address("10.0.0.2", End::To), true),
        (address("10.0.0.2", End::From), false),
        (address("10.0.0.0/8", End::From), true),
        (address("::/0", End::Any), false),
        (port("80", End::To), true),
        (port("80", End::From), false),
        (port("3999-4001", End::From), true),
        (protocols("tcp"), true),
        (protocols("6"), true),
        (protocols("icmp"), false),
        (verdict("dropped"), true),
        (verdict("AUDIT"), false),
        (direction("egress"), true),
        (direction("ingress"), false),
    ];
    for (question, expected) in cases {
        let filter = filter("x", question);
        assert_eq!(shown(std::slice::from_ref(&filter)), expected, "{filter:?}");
        assert_eq!(shown(&[Filter { is_not: true, ..filter.clone() }]), !expected, "{filter:?}");
    }
}

#[test]
fn kinds_are_all_asked_and_one_of_a_kind_is_enough() {
    let to = |number: &str| filter("to-port", port(number, End::To));
    let from = |text: &str| filter("from-ip", address(text, End::From));
    assert!(shown(&[to("80"), to("443")]));
    assert!(!shown(&[to("81"), to("443")]));
    assert!(!shown(&[to("80"), from("10.9.0.0/16")]));
    assert!(shown(&[to("80"), from("10.9.0.0/16"), from("10.0.0.0/16")]));
    let not = |filter| Filter { is_not: true, ..filter };
    assert!(!shown(&[to("80"), not(from("10.0.0.0/16"))]));
}

#[test]
fn what_has_no_flow_is_shown_without_filters_only() {
    let unknown = Record::Unknown(Some(9), 8);
    let filters = Filters(vec![filter("to-port", port("80", End::To))]);
    assert!(filters.show(&unknown, None));
    let Record::Verdict(verdict) = record() else { panic!("a verdict") };
    let cut = Record::Verdict(Verdict { head: Vec::new(), ..verdict });
    assert!(!filters.show(&cut, None));
    assert!(Filters::default().show(&cut, None));
}

//! Findings about the policies of administrators, by table.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::{load_texts, show};
use policyc_policy::network::Dialect;

fn check(cases: &[(String, &[&str])]) {
    let mut wrong = false;
    for (text, expected) in cases {
        let loaded = load_texts(text, "", Dialect::Cilium120);
        let sorted = loaded.sink.clone().into_sorted();
        let found: Vec<_> = sorted.iter().map(|d| show(d, &loaded.sources)).collect();
        if found != *expected {
            println!("{text}");
            found.iter().for_each(|line| println!("  found    {line}"));
            expected.iter().for_each(|line| println!("  expected {line}"));
            wrong = true;
        }
    }
    assert!(!wrong);
}

/// A ClusterNetworkPolicy with these fields of `spec` on line 4.
fn cluster(spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
         metadata: {{name: p}}\nspec: {{{spec}}}\n"
    )
}

/// An AdminNetworkPolicy likewise.
fn admin(spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\n\
         metadata: {{name: p}}\nspec: {{priority: 1, subject: {{namespaces: {{}}}}, {spec}}}\n"
    )
}

#[test]
fn policies_of_administrators() {
    let of = |rest: &str| {
        cluster(&format!("tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, {rest}"))
    };
    let ports = |ports: &str| {
        of(&format!(
            "ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], protocols: [{ports}]}}]"
        ))
    };
    let admin_ports = |ports: &str| {
        admin(&format!(
            "ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], ports: [{ports}]}}]"
        ))
    };
    let cases: Vec<(String, &[&str])> = vec![
        (
            cluster(""),
            &[
                "P0206 4:7 `spec` needs `tier`",
                "P0206 4:7 `spec` needs `priority`",
                "P0206 4:7 `spec` needs `subject`",
            ],
        ),
        (
            cluster("tier: admin, priority: 1001, subject: {}"),
            &[
                "P0340 4:14 `admin` is no tier | did you mean `Admin`?",
                "P0208 4:31 `priority` must be from 0 to 1000, not 1001",
                "P0342 4:46 `subject` needs exactly one of `namespaces` and `pods`",
            ],
        ),
        (of("ingress: [{from: [{namespaces: {}}]}]"), &["P0206 4:71 a rule needs `action`"]),
        (
            of("ingress: [{action: Log, from: [{namespaces: {}, pods: {podSelector: {}}}]}]"),
            &[
                "P0341 4:80 `Log` is no action here | write one of Accept, Deny, Pass",
                "P0323 4:92 a peer is named in exactly one way | write an element for each",
            ],
        ),
        (
            of("ingress: [{action: Accept, from: [{networks: [10.0.0.0/8]}]}]"),
            &[
                "P0530 4:95 warning a peer that names nobody may be one of a newer release: it matches nobody | name the peer, or leave the element out",
                "P0205 4:96 a peer has no field `networks`",
            ],
        ),
        (
            of(
                "egress: [{action: Accept, to: [{nodes: {}}, {domainNames: [a.example]}, {networks: [10.0.0.0]}]}]",
            ),
            &[
                "P0220 4:106 `domainNames` is not supported yet",
                "P0315 4:145 the prefix `10.0.0.0` has no length | write `10.0.0.0/32`",
            ],
        ),
        (
            ports("{tcp: {destinationPort: {number: 0}}}"),
            &["P0208 4:157 `number` must be from 1 to 65535, not 0"],
        ),
        (
            ports("{tcp: {destinationPort: {range: {start: 80, end: 80}}}}"),
            &["P0310 4:173 a range from 80 to 80 is none | the start must be less than the end"],
        ),
        (
            ports("{tcp: {destinationPort: {}}}"),
            &["P0342 4:148 `destinationPort` needs exactly one of `number` and `range`"],
        ),
        (
            ports("{tcp: {}, udp: {}}"),
            &[
                "P0342 4:124 a protocol needs exactly one of `tcp`, `udp`, `sctp` and `destinationNamedPort`",
            ],
        ),
        (ports("{destinationNamedPort: http}"), &[]),
        (ports("{tcp: {destinationPort: null}}"), &[]),
        (
            admin("ingress: [{action: Accept, from: []}]"),
            &[
                "P0341 4:67 `Accept` is no action here | write one of Allow, Deny, Pass",
                "P0206 4:75 a rule needs at least one peer",
            ],
        ),
        (
            admin_ports("{portNumber: {protocol: ICMP, port: 8}}"),
            &["P0309 4:131 `ICMP` is no protocol with ports | write one of TCP, UDP, SCTP"],
        ),
        (
            admin_ports("{portRange: {start: 80}}, {namedPort: http}"),
            &["P0206 4:119 `portRange` needs `end`"],
        ),
        (
            admin_ports("{}"),
            &["P0342 4:107 a port needs exactly one of `portNumber`, `portRange` and `namedPort`"],
        ),
    ];
    check(&cases);
}

/// Two policies of one priority are only told of if they can disagree.
#[test]
fn priorities() {
    let of = |name: &str, priority: u32, subject: &str, rule: &str| {
        format!(
            "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: \
             {{name: {name}}}, spec: {{tier: Admin, priority: {priority}, subject: {subject}, ingress: [{rule}]}}}}\n---\n"
        )
    };
    let (all, red) = ("{namespaces: {}}", "{namespaces: {matchLabels: {team: red}}}");
    let blue = "{namespaces: {matchLabels: {team: blue}}}";
    let accept = "{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {}}]}";
    let deny = "{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 22}}}]}";
    let udp = "{action: Deny, from: [{namespaces: {}}], protocols: [{udp: {}}]}";
    let first = of("one", 1, red, accept);
    let warning: &[&str] = &[
        "P0532 3:106 warning `two` and `one` both have priority 1 and may disagree | give them different priorities: the lower one is asked first",
    ];
    let cases: Vec<(String, &[&str])> = vec![
        (format!("{first}{}", of("two", 1, all, deny)), warning),
        (format!("{first}{}", of("two", 1, all, accept)), &[]),
        (format!("{first}{}", of("two", 2, all, deny)), &[]),
        (format!("{first}{}", of("two", 1, blue, deny)), &[]),
        (format!("{first}{}", of("two", 1, all, udp)), &[]),
    ];
    check(&cases);
}

#[test]
fn annotations() {
    let of = |annotations: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,\n\
             metadata: {{name: p, annotations: {{{annotations}}}}}, spec: {{podSelector: {{}}}}}}"
        )
    };
    let tracing = "{apiVersion: cilium.io/v1alpha1, kind: TracingPolicy, metadata: {name: p, annotations: {policyc.io/audit: \"true\"}}, spec: {tracepoints: []}}";
    let cases: Vec<(String, &[&str])> = vec![
        (of("a: b, policyc.io/audit: 'false', policyc.io/deny-response: drop"), &[]),
        (
            of("policyc.io/audit: true"),
            &[
                "P0207 2:53 `policyc.io/audit` must be a string, not the boolean `true` | write `\"true\"`",
            ],
        ),
        (
            of("policyc.io/Audit: x, policyc.io/mode: x"),
            &[
                "P0246 2:35 `policyc.io/Audit` is no annotation of this kind | did you mean `policyc.io/audit`?",
                "P0246 2:56 `policyc.io/mode` is no annotation of this kind | did you mean `policyc.io/audit`?",
            ],
        ),
        (
            of("policyc.io/deny-response: rst"),
            &["P0247 2:61 the annotation must be `drop`, `reset` or `unreachable`, not `rst`"],
        ),
        (of("policyc.io/deny-response: reset"), &[]),
        (of("policyc.io/deny-response: unreachable"), &[]),
        (tracing.to_owned(), &["P0246 1:89 `policyc.io/audit` is no annotation of this kind"]),
    ];
    check(&cases);
}

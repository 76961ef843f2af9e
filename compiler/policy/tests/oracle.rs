//! The oracle by table: verdicts and who gave them, where the corpus has no case.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod common;

use std::net::IpAddr;

use common::{Loaded, load_texts};
use policyc_base::{OriginInfo, OriginTable};
use policyc_policy::inventory::Identity;
use policyc_policy::labels::LabelSelector;
use policyc_policy::network::{
    Dialect, Direction, DirectionVerdict, Entity, Entry, EntryVerdict, Flow, Peer, Peers,
    PerDirection, Ports, Reason, Rule, Subject, Tier, eval, protocol,
};

const WHO: &str = r#"
apiVersion: v1
kind: NodeList
items:
- {metadata: {name: n1, labels: {role: edge}}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
- {metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
apiVersion: v1
kind: PodList
items:
- {metadata: {name: web, namespace: a, labels: {app: web}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}
- {metadata: {name: db, namespace: a, labels: {app: db}}, spec: {nodeName: n2}, status: {podIP: 10.0.0.2}}
"#;

fn address(end: &str, loaded: &Loaded) -> IpAddr {
    match loaded.inventory.lookup(end) {
        Some(Identity::Workload(id)) => loaded.inventory.workloads[id].addresses[0],
        _ => end.parse().unwrap(),
    }
}

fn reason(verdict: DirectionVerdict, origins: &OriginTable) -> String {
    let rule = |origin| origins.get(origin).map_or("?", |info: &OriginInfo| &info.rule).to_owned();
    let word = if verdict.allowed { "allowed" } else { "denied" };
    match verdict.reason {
        Reason::Entry(origin) => format!("{word} by {}", rule(origin)),
        Reason::DefaultDeny(origin) => format!("{word} by default of {}", rule(origin)),
        Reason::FromHost => format!("{word} from host"),
        Reason::ToHost => format!("{word} to host"),
        Reason::NoPolicy => format!("{word} without policy"),
        Reason::NotASubject => format!("{word}, not a subject"),
    }
}

/// "egress; ingress" of TCP port 80 between two ends.
fn judge(policy: &str, dialect: Dialect, from: &str, to: &str) -> String {
    let loaded = load_texts(policy, WHO, dialect);
    assert!(!loaded.sink.has_errors(), "{:?}", loaded.sink);
    let (source, destination) = (address(from, &loaded), address(to, &loaded));
    let flow = Flow { source, destination, protocol: protocol::TCP, port: 80 };
    let verdict = eval(&loaded.policies.network, &loaded.inventory, dialect, &flow);
    let show = |v| reason(v, &loaded.origins);
    format!("{}; {}", show(verdict.egress), show(verdict.ingress))
}

#[test]
fn cilium() {
    let namespaced = |spec: &str| {
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: p, namespace: a}}, spec: {spec}}}"
        )
    };
    let cluster = |spec: &str| {
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {{name: p}}, spec: {spec}}}"
        )
    };
    let web = "endpointSelector: {matchLabels: {app: web}}";
    let closed = namespaced(&format!("{{{web}, ingress: [{{}}]}}"));
    let no_host = namespaced(&format!("{{{web}, ingressDeny: [{{fromEntities: [host]}}]}}"));
    let pod_by_cidr = namespaced(&format!("{{{web}, ingress: [{{fromCIDR: [10.0.0.2/32]}}]}}"));
    let remote = namespaced(&format!("{{{web}, ingress: [{{fromEntities: [remote-node]}}]}}"));
    let edge = "nodeSelector: {matchLabels: {role: edge}}";
    let nodes = cluster(&format!("{{{edge}, ingress: [{{fromEntities: [cluster]}}]}}"));
    for (policy, from, to, expected) in [
        (&closed, "a/db", "a/web", "allowed without policy; denied by default of spec"),
        (&closed, "a/web", "a/web", "allowed without policy; denied by default of spec"),
        (&closed, "192.0.2.1", "a/web", "allowed without policy; allowed from host"),
        (&closed, "192.0.2.2", "a/web", "allowed without policy; denied by default of spec"),
        (&closed, "198.51.100.1", "a/web", "allowed, not a subject; denied by default of spec"),
        (&closed, "::ffff:10.0.0.2", "a/web", "allowed, not a subject; denied by default of spec"),
        (&closed, "a/web", "198.51.100.1", "allowed without policy; allowed, not a subject"),
        (&no_host, "192.0.2.1", "a/web", "allowed without policy; denied by spec.ingressDeny[0]"),
        (&pod_by_cidr, "a/db", "a/web", "allowed without policy; denied by default of spec"),
        (&remote, "192.0.2.2", "a/web", "allowed without policy; allowed by spec.ingress[0]"),
        (&nodes, "a/db", "192.0.2.1", "allowed without policy; allowed by spec.ingress[0]"),
        (&nodes, "198.51.100.1", "192.0.2.1", "allowed, not a subject; denied by default of spec"),
        (&nodes, "198.51.100.1", "192.0.2.2", "allowed, not a subject; allowed without policy"),
        (&nodes, "198.51.100.1", "a/web", "allowed, not a subject; allowed without policy"),
    ] {
        assert_eq!(judge(policy, Dialect::Cilium120, from, to), expected, "{policy} {from} {to}");
    }
}

#[test]
fn kubernetes() {
    let of = |spec: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: a}}, spec: {spec}}}"
        )
    };
    let by_block = of("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/31}}]}]}");
    let outside = of(
        "{podSelector: {}, policyTypes: [Ingress], egress: [{to: [{ipBlock: {cidr: 10.9.0.0/16}}]}]}",
    );
    let isolated = of("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let (kubernetes, cilium) = (Dialect::Kubernetes, Dialect::Cilium120);
    for (policy, dialect, from, to, expected) in [
        (&isolated, kubernetes, "a/web", "192.0.2.1", "allowed to host; allowed without policy"),
        (&isolated, kubernetes, "192.0.2.1", "a/web", "allowed without policy; allowed from host"),
        (
            &isolated,
            kubernetes,
            "a/web",
            "192.0.2.2",
            "denied by default of spec; allowed without policy",
        ),
        (
            &isolated,
            cilium,
            "a/web",
            "192.0.2.1",
            "denied by default of spec; allowed without policy",
        ),
        (
            &by_block,
            kubernetes,
            "a/web",
            "a/db",
            "allowed without policy; allowed by spec.ingress[0]",
        ),
        (&by_block, cilium, "a/web", "a/db", "allowed without policy; denied by default of spec"),
        (&by_block, kubernetes, "a/db", "a/db", "allowed without policy; allowed without policy"),
        (
            &outside,
            kubernetes,
            "a/web",
            "198.51.100.1",
            "allowed without policy; allowed, not a subject",
        ),
        (
            &outside,
            cilium,
            "a/web",
            "198.51.100.1",
            "denied by default of spec; allowed, not a subject",
        ),
    ] {
        assert_eq!(judge(policy, dialect, from, to), expected, "{policy} {from} {to}");
    }
}

/// Tiers and priorities have no policy kind yet that sets them.
#[test]
fn the_first_tier_and_priority_that_does_not_pass_decides() {
    use EntryVerdict::{Allow, Deny, Pass};
    type Written<'a> = &'a [(Tier, u32, EntryVerdict)];
    let cases: &[(Written<'_>, Option<bool>)] = &[
        (&[(Tier::NORMAL, 0, Allow), (Tier::NORMAL, 0, Deny)], Some(false)),
        (&[(Tier::NORMAL, 0, Deny), (Tier::ADMIN, 9, Allow)], Some(true)),
        (&[(Tier::NORMAL, 2, Deny), (Tier::NORMAL, 1, Allow)], Some(true)),
        (&[(Tier::ADMIN, 1, Pass), (Tier::ADMIN, 2, Deny), (Tier::NORMAL, 0, Allow)], Some(true)),
        (&[(Tier::ADMIN, 1, Pass), (Tier::ADMIN, 1, Deny)], Some(false)),
        (&[(Tier::ADMIN, 1, Pass)], None),
        (&[], None),
    ];
    let loaded = load_texts("", WHO, Dialect::Cilium120);
    let (source, destination) = (address("a/db", &loaded), address("a/web", &loaded));
    let flow = Flow { source, destination, protocol: protocol::TCP, port: 80 };
    let mut origins = OriginTable::new();
    let info = OriginInfo { policy: "p".into(), rule: "r".into(), span: None };
    let origin = origins.push(info);
    for (entries, expected) in cases {
        let entry = |(tier, priority, verdict): &(Tier, u32, EntryVerdict)| Entry {
            direction: Direction::Ingress,
            tier: *tier,
            priority: *priority,
            verdict: *verdict,
            peers: Peers::OneOf(vec![Peer::Entity(Entity::Cluster)]),
            ports: Ports::Any,
            audit: false,
            origin,
        };
        for default_deny in [false, true] {
            let rule = Rule {
                subject: Subject::Endpoints(LabelSelector::default()),
                default_deny: PerDirection { ingress: default_deny, egress: false },
                entries: entries.iter().map(entry).collect(),
                manner: Default::default(),
                origin,
            };
            let verdict = eval(&[rule], &loaded.inventory, Dialect::Cilium120, &flow);
            assert_eq!(verdict.allowed(), expected.unwrap_or(!default_deny), "{entries:?}");
        }
    }
}

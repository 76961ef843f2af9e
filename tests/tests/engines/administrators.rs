//! Random policies of administrators: tiers, priorities with ties, and passes, over
//! the same small world as other policies.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::policies::{list, maybe, object, selector};
use crate::universe::{NAMESPACES, PORTS, PREFIXES};

/// What a baseline policy is called.
pub(crate) const BASELINE_NAME: &str = "default";

/// Which of the kinds, and in which tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Cluster(&'static str),
    Admin,
    Baseline,
}

impl Kind {
    const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Cluster(_) => &["Accept", "Deny", "Pass"],
            Self::Admin => &["Allow", "Deny", "Pass"],
            Self::Baseline => &["Allow", "Deny"],
        }
    }
}

/// A policy of any of the kinds.
pub(crate) fn policy() -> BoxedStrategy<Value> {
    let kinds = [Kind::Cluster("Admin"), Kind::Cluster("Baseline"), Kind::Admin, Kind::Baseline];
    select(kinds.to_vec()).prop_flat_map(of_kind).boxed()
}

fn of_kind(kind: Kind) -> BoxedStrategy<Value> {
    let subject = prop_oneof![
        namespaces().prop_map(|namespaces| json!({"namespaces": namespaces})),
        pods().prop_map(|pods| json!({"pods": pods})),
    ];
    let spec = object(vec![
        ("subject", subject.prop_map(Some).boxed()),
        ("ingress", maybe(0.7, list(rule(kind, "from"), 0..5))),
        ("egress", maybe(0.7, list(rule(kind, "to"), 0..5))),
    ]);
    // Few priorities, so that there are ties.
    let policy = (spec, 0..3u32).prop_map(move |(mut spec, priority)| {
        if kind != Kind::Baseline {
            spec["priority"] = json!(priority);
        }
        if let Kind::Cluster(tier) = kind {
            spec["tier"] = json!(tier);
        }
        let (version, kind, name) = match kind {
            Kind::Cluster(_) => ("v1alpha2", "ClusterNetworkPolicy", ""),
            Kind::Admin => ("v1alpha1", "AdminNetworkPolicy", ""),
            Kind::Baseline => ("v1alpha1", "BaselineAdminNetworkPolicy", BASELINE_NAME),
        };
        json!({"apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": kind,
            "metadata": {"name": name}, "spec": spec})
    });
    policy.boxed()
}

/// Which namespaces: all, or by their labels.
fn namespaces() -> BoxedStrategy<Value> {
    let team = select(NAMESPACES.map(|(_, team)| team).to_vec());
    let by_team = team.prop_map(|team| json!({"matchLabels": {"team": team}}));
    prop_oneof![1 => Just(json!({})), 2 => by_team].boxed()
}

fn pods() -> BoxedStrategy<Value> {
    object(vec![
        ("namespaceSelector", maybe(0.8, namespaces())),
        ("podSelector", selector().prop_map(Some).boxed()),
    ])
}

fn rule(kind: Kind, direction: &'static str) -> BoxedStrategy<Value> {
    let action = select(kind.actions()).prop_map(|action| json!(action));
    let least = usize::from(!matches!(kind, Kind::Cluster(_)));
    let ports = match kind {
        Kind::Cluster(_) => ("protocols", maybe(0.6, list(protocol(), 1..3))),
        Kind::Admin | Kind::Baseline => ("ports", maybe(0.6, list(port(), 1..3))),
    };
    let peers = list(peer(direction), least..3);
    object(vec![
        ("action", action.prop_map(Some).boxed()),
        (direction, peers.prop_map(Some).boxed()),
        ports,
    ])
}

fn peer(direction: &'static str) -> BoxedStrategy<Value> {
    let inside = prop_oneof![
        6 => namespaces().prop_map(|namespaces| json!({"namespaces": namespaces})),
        6 => pods().prop_map(|pods| json!({"pods": pods})),
        1 => Just(json!({})),
    ];
    if direction == "from" {
        return inside.boxed();
    }
    let nets = subsequence(PREFIXES.to_vec(), 1..=2).prop_map(|nets| json!({"networks": nets}));
    prop_oneof![2 => inside, 1 => nets].boxed()
}

/// One or two ports in order.
fn numbers() -> impl Strategy<Value = Vec<u16>> {
    subsequence(PORTS[1..].to_vec(), 1..=2)
}

/// `{tcp: {destinationPort: …}}`
fn protocol() -> BoxedStrategy<Value> {
    let port = prop::option::weighted(0.8, numbers());
    let protocol = (select(vec!["tcp", "udp", "sctp"]), port).prop_map(|(name, numbers)| {
        let Some(numbers) = numbers else { return json!({name: {}}) };
        let port = match numbers[..] {
            [start, end] => json!({"range": {"start": start, "end": end}}),
            _ => json!({"number": numbers[0]}),
        };
        json!({name: {"destinationPort": port}})
    });
    protocol.boxed()
}

/// `{portNumber: …}`
fn port() -> BoxedStrategy<Value> {
    let protocol = select(vec!["TCP", "UDP", "SCTP"]);
    let port = (protocol, numbers()).prop_map(|(protocol, numbers)| match numbers[..] {
        [start, end] => json!({"portRange": {"protocol": protocol, "start": start, "end": end}}),
        _ => json!({"portNumber": {"protocol": protocol, "port": numbers[0]}}),
    });
    port.boxed()
}

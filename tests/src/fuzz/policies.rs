//! Policies from bytes: every construct of the language, in combinations that are
//! mostly accepted.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Map, Value, json};

use super::choices::Choices;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Up to three policies as one YAML text.
pub(super) fn text(choices: &mut Choices<'_>) -> String {
    let count = 1 + choices.below(3);
    let documents = (0..count).map(|number| match choices.below(4) {
        0 | 1 => cilium(choices, number, "CiliumNetworkPolicy"),
        2 => cilium(choices, number, "CiliumClusterwideNetworkPolicy"),
        _ => kubernetes(choices, number),
    });
    documents.map(|document| format!("{document}\n---\n")).collect()
}

fn metadata(choices: &mut Choices<'_>, number: usize, kind: &str) -> Value {
    let name = format!("policy{number}");
    match kind {
        "CiliumClusterwideNetworkPolicy" => json!({"name": name}),
        _ => json!({"name": name, "namespace": choices.pick(&["a", "b"])}),
    }
}

fn cilium(choices: &mut Choices<'_>, number: usize, kind: &str) -> Value {
    let metadata = metadata(choices, number, kind);
    let of_nodes = kind == "CiliumClusterwideNetworkPolicy" && choices.one_in(3);
    let rules = 1 + choices.below(2);
    let rules = (0..rules).map(|_| cilium_rule(choices, of_nodes)).collect::<Vec<_>>();
    let document = |field: &str, value: Value| json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata, field: value});
    match rules.as_slice() {
        [rule] => document("spec", rule.clone()),
        _ => document("specs", rules.into()),
    }
}

fn cilium_rule(choices: &mut Choices<'_>, of_nodes: bool) -> Value {
    let mut spec = Map::new();
    let subject = if of_nodes { "nodeSelector" } else { "endpointSelector" };
    spec.insert(subject.to_owned(), selector(choices));
    for (section, direction) in
        [("ingress", "from"), ("egress", "to"), ("ingressDeny", "from"), ("egressDeny", "to")]
    {
        if choices.one_in(2) {
            let entries = choices.some(3, |choices| cilium_entry(choices, direction));
            spec.insert(section.to_owned(), entries.into());
        }
    }
    if choices.one_in(4) {
        let sides = json!({"ingress": choices.one_in(2), "egress": choices.one_in(2)});
        spec.insert("enableDefaultDeny".to_owned(), sides);
    }
    spec.into()
}

fn cilium_entry(choices: &mut Choices<'_>, direction: &str) -> Value {
    let mut entry = Map::new();
    let (kind, peers) = match choices.below(6) {
        0 => ("", Vec::new()),
        1 => ("Endpoints", choices.some(3, peer_selector)),
        2 | 3 => ("CIDR", choices.some(4, |choices| json!(net(choices).to_string()))),
        4 => ("CIDRSet", choices.some(3, block)),
        _ => ("Entities", choices.some(2, entity)),
    };
    if !kind.is_empty() {
        entry.insert(format!("{direction}{kind}"), peers.into());
    }
    match choices.below(4) {
        0 => {}
        1 | 2 => {
            let ports = choices.some(3, cilium_port);
            entry.insert("toPorts".to_owned(), json!([{"ports": ports}]));
        }
        _ => {
            let fields = choices.some(3, |choices| {
                json!({"family": choices.pick(&["IPv4", "IPv6"]), "type": choices.byte()})
            });
            entry.insert("icmps".to_owned(), json!([{"fields": fields}]));
        }
    }
    entry.into()
}

fn selector(choices: &mut Choices<'_>) -> Value {
    let (app, env) = (choices.pick(&["web", "db", "api"]), choices.pick(&["dev", "prod"]));
    match choices.below(6) {
        0 | 1 => json!({}),
        2 => json!({"matchLabels": {"app": app}}),
        3 => json!({"matchLabels": {"app": app, "env": env}}),
        4 => {
            let operator = choices.pick(&["In", "NotIn"]);
            json!({"matchExpressions": [{"key": "app", "operator": operator, "values": [app, "db"]}]})
        }
        _ => {
            let operator = choices.pick(&["Exists", "DoesNotExist"]);
            json!({"matchExpressions": [{"key": "env", "operator": operator}]})
        }
    }
}

fn peer_selector(choices: &mut Choices<'_>) -> Value {
    match choices.below(5) {
        0..=2 => selector(choices),
        3 => {
            let namespace = choices.pick(&["a", "b"]);
            json!({"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace}})
        }
        _ => {
            let name = choices.pick(&["host", "remote-node", "world", "world-ipv4", "world-ipv6"]);
            json!({"matchLabels": {format!("reserved:{name}"): ""}})
        }
    }
}

fn entity(choices: &mut Choices<'_>) -> Value {
    json!(choices.pick(&[
        "all",
        "world",
        "world-ipv4",
        "world-ipv6",
        "cluster",
        "host",
        "remote-node",
        "none"
    ]))
}

/// Any prefix, often one near the inventory.
fn net(choices: &mut Choices<'_>) -> IpNet {
    let length = choices.byte();
    match choices.below(4) {
        0 => v4(u32::from(choices.half()) << 16 | u32::from(choices.half()), length),
        1 => v4(0x0a00_0000 | u32::from(choices.byte() % 8), length),
        2 => v6(u128::from(choices.number()) << 64 | u128::from(choices.number()), length),
        _ => v6(0xfd00 << 112 | u128::from(choices.byte() % 8), length),
    }
}

fn v4(address: u32, length: u8) -> IpNet {
    let net = Ipv4Net::new_assert(Ipv4Addr::from_bits(address), length % 33);
    net.trunc().into()
}

fn v6(address: u128, length: u8) -> IpNet {
    let net = Ipv6Net::new_assert(Ipv6Addr::from_bits(address), length % 129);
    net.trunc().into()
}

/// A prefix with holes in it.
fn block(choices: &mut Choices<'_>) -> Value {
    let net = net(choices);
    let holes = choices.some(3, |choices| hole(choices, net));
    let holes: Vec<_> =
        holes.into_iter().filter(|hole| *hole != net).map(|hole| hole.to_string()).collect();
    json!({"cidr": net.to_string(), "except": holes})
}

fn hole(choices: &mut Choices<'_>, net: IpNet) -> IpNet {
    let longer = net.prefix_len().saturating_add(1 + choices.byte() % 16).min(net.max_prefix_len());
    match net {
        IpNet::V4(net) => {
            let inside = u32::from(choices.half()) << 16 | u32::from(choices.half());
            v4(net.network().to_bits() | inside & net.hostmask().to_bits(), longer)
        }
        IpNet::V6(net) => {
            let inside = u128::from(choices.number()) << 64 | u128::from(choices.number());
            v6(net.network().to_bits() | inside & net.hostmask().to_bits(), longer)
        }
    }
}

fn port_range(choices: &mut Choices<'_>) -> (u16, Option<u16>) {
    let first = choices.half().max(1);
    let last = choices.one_in(3).then(|| first.saturating_add(choices.half()));
    (first, last)
}

fn cilium_port(choices: &mut Choices<'_>) -> Value {
    let protocol = choices.pick(&["TCP", "UDP", "SCTP", "ANY"]);
    match (choices.one_in(8), port_range(choices)) {
        (true, _) => json!({"port": "0", "protocol": protocol}),
        (false, (first, None)) => json!({"port": first.to_string(), "protocol": protocol}),
        (false, (first, Some(last))) => {
            json!({"port": first.to_string(), "endPort": last, "protocol": protocol})
        }
    }
}

fn kubernetes(choices: &mut Choices<'_>, number: usize) -> Value {
    let metadata = metadata(choices, number, "NetworkPolicy");
    let mut spec = Map::new();
    spec.insert("podSelector".to_owned(), selector(choices));
    for (section, direction) in [("ingress", "from"), ("egress", "to")] {
        if choices.one_in(2) {
            let rules = choices.some(3, |choices| kubernetes_rule(choices, direction));
            spec.insert(section.to_owned(), rules.into());
        }
    }
    if choices.one_in(2) {
        let types = choices.pick(&[&["Ingress"][..], &["Egress"][..], &["Ingress", "Egress"][..]]);
        spec.insert("policyTypes".to_owned(), json!(types));
    }
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
}

fn kubernetes_rule(choices: &mut Choices<'_>, direction: &str) -> Value {
    let mut rule = Map::new();
    if choices.one_in(2) {
        let peers = choices.some(3, |choices| match choices.below(3) {
            0 => json!({"podSelector": selector(choices)}),
            1 => json!({"ipBlock": block(choices)}),
            _ => {
                let team = choices.pick(&["red", "blue"]);
                json!({"podSelector": selector(choices),
                    "namespaceSelector": {"matchLabels": {"team": team}}})
            }
        });
        rule.insert(direction.to_owned(), peers.into());
    }
    if choices.one_in(2) {
        let ports = choices.some(3, |choices| {
            let protocol = choices.pick(&PROTOCOLS);
            match port_range(choices) {
                (first, None) => json!({"port": first, "protocol": protocol}),
                (first, Some(last)) => {
                    json!({"port": first, "endPort": last, "protocol": protocol})
                }
            }
        });
        rule.insert("ports".to_owned(), ports.into());
    }
    rule.into()
}

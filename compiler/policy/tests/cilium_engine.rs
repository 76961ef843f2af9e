//! The oracle against verdicts of Cilium's own engine.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::{Loaded, corpus, load_texts, show};
use policyc_base::Severity;
use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::{Dialect, Flow, eval, protocol};
use serde_json::{Value, json};

const HOST: [&str; 2] = ["192.168.255.1", "fd00:ffff::1"];
const REMOTE: [&str; 2] = ["192.168.255.2", "fd00:ffff::2"];

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The case's pods on one node, beside another node.
fn inventory_of(case: &Value) -> String {
    let mut documents = Vec::new();
    for (name, labels) in case["namespaces"].as_object().into_iter().flatten() {
        let metadata = json!({"name": name, "labels": labels});
        documents.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    for (name, addresses) in [("here", HOST), ("there", REMOTE)] {
        let addresses = addresses.map(|a| json!({"type": "InternalIP", "address": a}));
        documents.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": addresses}}));
    }
    for pod in case["pods"].as_array().unwrap() {
        let ips: Vec<_> =
            pod["ips"].as_array().unwrap().iter().map(|ip| json!({"ip": ip})).collect();
        documents.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]},
            "spec": {"nodeName": "here", "containers": [{"ports": pod["ports"]}]},
            "status": {"phase": "Running", "podIPs": ips},
        }));
    }
    documents.extend(case["cidrGroups"].as_array().into_iter().flatten().cloned());
    yaml(&documents)
}

fn yaml(documents: &[Value]) -> String {
    documents.iter().map(|d| format!("---\n{d}\n")).collect()
}

/// The addresses of one end, IPv4 and IPv6; `None` for whom an inventory cannot name.
fn addresses(end: &str, inventory: &Inventory) -> Option<Vec<IpAddr>> {
    let parse = |all: [&str; 2]| all.iter().map(|a| a.parse().unwrap()).collect();
    match end {
        "reserved:host" => Some(parse(HOST)),
        "reserved:remote-node" => Some(parse(REMOTE)),
        _ if end.starts_with("reserved:") => None,
        _ => match inventory.lookup(end) {
            Some(Identity::Workload(id)) => Some(inventory.workloads[id].addresses.clone()),
            _ => Some(vec![end.parse().unwrap()]),
        },
    }
}

/// The flow in every family that both ends have.
fn flows(flow: &Value, inventory: &Inventory) -> Option<Vec<Flow>> {
    let sources = addresses(text(flow, "from"), inventory)?;
    let destinations = addresses(text(flow, "to"), inventory)?;
    let protocol = match text(flow, "proto") {
        "TCP" => protocol::TCP,
        "UDP" => protocol::UDP,
        "SCTP" => protocol::SCTP,
        "ICMP" => protocol::ICMP,
        "ICMPv6" => protocol::ICMPV6,
        other => panic!("protocol {other}"),
    };
    let port = u16::try_from(flow["port"].as_u64().unwrap()).unwrap();
    let mut result = Vec::new();
    for source in &sources {
        for destination in &destinations {
            let wrong_family = match protocol {
                protocol::ICMP => source.is_ipv6(),
                protocol::ICMPV6 => source.is_ipv4(),
                _ => false,
            };
            if source.is_ipv4() == destination.is_ipv4() && !wrong_family {
                let (source, destination) = (*source, *destination);
                result.push(Flow { source, destination, protocol, port });
            }
        }
    }
    Some(result)
}

#[derive(Default, Debug)]
struct Tally {
    cases: usize,
    flows: usize,
    unnamable: usize,
    rejected: BTreeMap<String, usize>,
    disagreements: Vec<String>,
}

impl Tally {
    fn print(&self, name: &str) {
        println!(
            "{name}: {} cases and {} flows compared, {} flows with ends no inventory names, \
             rejected: {:?}, disagreements: {}",
            self.cases,
            self.flows,
            self.unnamable,
            self.rejected,
            self.disagreements.len()
        );
        for line in &self.disagreements {
            println!("  {line}");
        }
    }

    fn compare(&mut self, case: &Value) {
        let id = text(case, "id");
        let policies = yaml(case["policies"].as_array().unwrap());
        let loaded = load_texts(&policies, &inventory_of(case), Dialect::Cilium120);
        if loaded.sink.has_errors() {
            self.reject(&loaded);
            return;
        }
        // The engine fails open on these; the test of all engines says how.
        if ["toServices", "toGroups", "fromGroups"].iter().any(|field| policies.contains(field)) {
            return;
        }
        self.cases += 1;
        for flow in case["flows"].as_array().unwrap() {
            let Some(all) = flows(flow, &loaded.inventory) else {
                self.unnamable += 1;
                continue;
            };
            for one in all {
                self.flows += 1;
                let verdict =
                    eval(&loaded.policies.network, &loaded.inventory, Dialect::Cilium120, &one);
                // The cases were made without the host firewall: nodes are no subjects.
                let is_node = |a| matches!(loaded.inventory.identify(a), Identity::Node(_));
                let allowed = (verdict.egress.allowed || is_node(one.source))
                    && (verdict.ingress.allowed || is_node(one.destination));
                if Some(allowed) != flow["allowed"].as_bool() {
                    self.disagreements.push(format!("{id}: {flow}: {verdict:?}"));
                }
            }
        }
    }

    fn reject(&mut self, loaded: &Loaded) {
        let errors = loaded.sink.iter().filter(|d| d.severity == Severity::Error);
        let mut codes: Vec<_> = errors.map(|d| d.code.to_string()).collect();
        codes.sort();
        codes.dedup();
        *self.rejected.entry(codes.join("+")).or_default() += 1;
    }
}

#[test]
fn every_flow_of_the_first_set_agrees() {
    let Some(path) = corpus("netpol/cilium-engine/cases.json") else { return };
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut tally = Tally::default();
    cases.as_array().unwrap().iter().for_each(|case| tally.compare(case));
    tally.print("cases.json");
    assert_eq!((tally.cases, tally.disagreements.len()), (200, 0));
}

#[test]
fn every_flow_inside_the_slice_of_the_second_set_agrees() {
    let Some(path) = corpus("netpol/cilium-engine/cases2.json") else { return };
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut disagreements = 0;
    for group in ["cnp", "ccnp", "knp", "icmp", "cidrgroup", "kcnp"] {
        let mut tally = Tally::default();
        let of_group = cases.as_array().unwrap().iter().filter(|c| text(c, "group") == group);
        of_group.filter(|c| c.get("flows").is_some()).for_each(|case| tally.compare(case));
        tally.print(group);
        disagreements += tally.disagreements.len();
    }
    assert_eq!(disagreements, 0);
}

/// What Cilium rejects, policyc rejects.
#[test]
fn what_cilium_rejects_is_rejected() {
    let Some(path) = corpus("netpol/cilium-engine/cases2.json") else { return };
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut accepted = Vec::new();
    for case in cases.as_array().unwrap() {
        let refused = case.get("rejected").is_some() || case.get("schema").is_some();
        // The engine knows these two entities, its schema does not; policyc takes them.
        let world = case["schema"].to_string().contains("Unsupported value: \\\"world-ipv");
        // What agent options switch on is accepted: see docs/coverage.md.
        let option = case["rejected"].to_string().contains("node-selector-labels");
        let option = option || case["rejected"].to_string().contains("node selector labels");
        let refused = refused && !world && !option;
        let policies = yaml(case["policies"].as_array().unwrap());
        let loaded = load_texts(&policies, "", Dialect::Cilium120);
        if refused && !loaded.sink.has_errors() {
            let found: Vec<_> = loaded.sink.iter().map(|d| show(d, &loaded.sources)).collect();
            accepted.push(format!(
                "{}: {} {} {found:?}",
                text(case, "id"),
                case["rejected"],
                case["schema"]
            ));
        }
    }
    accepted.iter().for_each(|line| println!("{line}"));
    assert!(accepted.is_empty(), "{} accepted", accepted.len());
}

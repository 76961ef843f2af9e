//! Cases whose verdicts Cilium's own engine gave.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_policy::network::{Dialect, Flow, protocol};
use serde_json::{Value, json};

use crate::case::{self, Case, Claim, text, yaml};
use crate::say::corpus;

/// The node of all pods, and another one, in both families.
const NODES: [(&str, [&str; 2]); 2] =
    [("here", ["192.168.255.1", "fd00:ffff::1"]), ("there", ["192.168.255.2", "fd00:ffff::2"])];

/// The cases of a file that have verdicts; of all groups, or of these.
pub(crate) fn cases(file: &str, groups: &[&str]) -> Option<Vec<Case>> {
    let path = corpus(&format!("netpol/cilium-engine/{file}"))?;
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let of_groups = all.as_array().unwrap().iter();
    let of_groups = of_groups.filter(|c| groups.is_empty() || groups.contains(&text(c, "group")));
    Some(of_groups.filter(|c| c.get("flows").is_some()).map(read).collect())
}

fn read(case: &Value) -> Case {
    let mut who: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    let mut documents = case::namespaces(&case["namespaces"]);
    for (entity, (name, addresses)) in ["reserved:host", "reserved:remote-node"].iter().zip(NODES) {
        who.insert((*entity).to_owned(), addresses.map(|a| a.parse().unwrap()).to_vec());
        let addresses = addresses.map(|a| json!({"type": "InternalIP", "address": a}));
        documents.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": addresses}}));
    }
    for pod in case["pods"].as_array().unwrap() {
        let ips: Vec<&str> =
            pod["ips"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap()).collect();
        let name = format!("{}/{}", text(pod, "ns"), text(pod, "name"));
        who.insert(name, ips.iter().map(|ip| ip.parse().unwrap()).collect());
        let ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        documents.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]},
            "spec": {"nodeName": "here"},
            "status": {"phase": "Running", "podIPs": ips},
        }));
    }
    let claims = case["flows"].as_array().unwrap().iter().flat_map(|flow| claims(flow, &who));
    Case {
        id: text(case, "id").to_owned(),
        policies: yaml(case["policies"].as_array().unwrap()),
        inventory: yaml(&documents),
        dialect: Dialect::Cilium120,
        nodes_are_subjects: false,
        claims: claims.collect(),
    }
}

/// A flow in every family that both ends and the protocol have; nothing for an end
/// that no inventory names.
fn claims(flow: &Value, who: &BTreeMap<String, Vec<IpAddr>>) -> Vec<Claim> {
    let addresses = |end: &str| match who.get(end) {
        Some(addresses) => addresses.clone(),
        None if end.starts_with("reserved:") => Vec::new(),
        None => vec![end.parse().unwrap()],
    };
    let (sources, destinations) = (addresses(text(flow, "from")), addresses(text(flow, "to")));
    let (protocol, port) = (case::protocol(text(flow, "proto")), case::port(flow));
    let usable = |address: &IpAddr| match protocol {
        protocol::ICMP => address.is_ipv4(),
        protocol::ICMPV6 => address.is_ipv6(),
        _ => true,
    };
    let allowed = flow["allowed"].as_bool().unwrap();
    let mut claims = Vec::new();
    for source in sources.into_iter().filter(usable) {
        for destination in destinations.iter().filter(|d| d.is_ipv4() == source.is_ipv4()) {
            let flow = Flow { source, destination: *destination, protocol, port };
            claims.push(Claim { flow, allowed });
        }
    }
    claims
}

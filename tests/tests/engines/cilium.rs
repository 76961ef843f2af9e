//! Cases whose verdicts Cilium's own engine gave.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_policy::network::{Dialect, Flow, protocol};
use serde_json::{Value, json};

use crate::case::{self, Case, Claim, text, yaml};
use crate::say::corpus;

/// The node of all pods, another one, and one with the API server, in both families.
const NODES: [(&str, &str, [&str; 2]); 3] = [
    ("reserved:host", "here", ["192.168.255.1", "fd00:ffff::1"]),
    ("reserved:remote-node", "there", ["192.168.255.2", "fd00:ffff::2"]),
    ("reserved:kube-apiserver", "control", ["192.168.255.3", "fd00:ffff::3"]),
];
/// Whom an engine reserves an identity for.
const RESERVED: [(&str, [&str; 2]); 4] = [
    ("health", ["192.168.254.1", "fd00:fffe::1"]),
    ("ingress", ["192.168.254.2", "fd00:fffe::2"]),
    ("init", ["192.168.254.3", "fd00:fffe::3"]),
    ("unmanaged", ["192.168.254.4", "fd00:fffe::4"]),
];

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
    documents.extend(others(&mut who));
    for pod in case["pods"].as_array().unwrap() {
        let ips: Vec<&str> =
            pod["ips"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap()).collect();
        let name = format!("{}/{}", text(pod, "ns"), text(pod, "name"));
        who.insert(name, ips.iter().map(|ip| ip.parse().unwrap()).collect());
        let ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        documents.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]},
            "spec": {"nodeName": "here", "containers": [{"ports": pod["ports"]}]},
            "status": {"phase": "Running", "podIPs": ips},
        }));
    }
    documents.extend(case["cidrGroups"].as_array().into_iter().flatten().cloned());
    let claims = case["flows"].as_array().unwrap().iter().flat_map(|flow| claims(flow, &who));
    let mut policies = case["policies"].as_array().unwrap().clone();
    policies.iter_mut().for_each(as_the_schema_wants);
    Case {
        id: text(case, "id").to_owned(),
        policies: yaml(&policies),
        opened: yaml(&case::opened(&policies)),
        inventory: yaml(&documents),
        dialect: Dialect::Cilium120,
        all_are_subjects: false,
        claims: claims.collect(),
    }
}

/// Writes as an API server's schema takes it what Cilium's engine reads all the same: a
/// protocol in lower case, an address without a length.
fn as_the_schema_wants(policy: &mut Value) {
    match policy {
        Value::Array(items) => items.iter_mut().for_each(as_the_schema_wants),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match name.as_str() {
            "protocol" => upper_case(value),
            "fromCIDR" | "toCIDR" => {
                value.as_array_mut().into_iter().flatten().for_each(with_length);
            }
            _ => as_the_schema_wants(value),
        }),
        _ => {}
    }
}

fn upper_case(protocol: &mut Value) {
    let known = ["tcp", "udp", "sctp", "any"];
    if let Some(text) = protocol.as_str().filter(|text| known.contains(text)) {
        *protocol = json!(text.to_uppercase());
    }
}

fn with_length(prefix: &mut Value) {
    let address = prefix.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    if let Some(address) = address {
        *prefix = json!(ipnet::IpNet::from(address).to_string());
    }
}

/// Nodes and reserved identities.
fn others(who: &mut BTreeMap<String, Vec<IpAddr>>) -> Vec<Value> {
    let mut add = |end: String, addresses: [&str; 2]| {
        who.insert(end, addresses.map(|address| address.parse().unwrap()).to_vec());
    };
    let mut documents = Vec::new();
    for (end, name, addresses) in NODES {
        add(end.to_owned(), addresses);
        let addresses = addresses.map(|a| json!({"type": "InternalIP", "address": a}));
        documents.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": addresses}}));
    }
    for (name, addresses) in RESERVED {
        add(format!("reserved:{name}"), addresses);
        documents.push(json!({"apiVersion": "policyc.io/v1alpha1", "kind": "Workload",
            "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"addresses": addresses, "reserved": name}}));
    }
    let (_, _, control) = NODES[2];
    documents.push(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": [{"addresses": control}]}));
    documents
}

/// A flow in every family that both ends and the protocol have.
fn claims(flow: &Value, who: &BTreeMap<String, Vec<IpAddr>>) -> Vec<Claim> {
    let addresses = |end: &str| match who.get(end) {
        Some(addresses) => addresses.clone(),
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

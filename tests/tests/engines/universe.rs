//! The small world that random policies are about: few names and addresses, so
//! that policies, peers and flows meet.

use std::net::IpAddr;

use policyc_policy::network::{Flow, protocol};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

pub(crate) const NAMESPACES: [(&str, &str); 2] = [("a", "red"), ("b", "blue")];
pub(crate) const NODES: [(&str, [&str; 2]); 2] =
    [("n1", ["192.168.255.1", "fd00:ffff::1"]), ("n2", ["192.168.255.2", "fd00:ffff::2"])];
/// Labels that workloads may have, and selectors ask for.
pub(crate) const LABELS: [(&str, &[&str]); 2] =
    [("app", &["web", "db", "api"]), ("env", &["dev", "prod"])];
/// Prefixes, nested and beside each other, around pods, nodes and the world.
pub(crate) const PREFIXES: [&str; 16] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/30",
    "10.0.0.2/32",
    "128.0.0.0/1",
    "192.168.255.0/30",
    "203.0.113.0/24",
    "203.0.113.64/26",
    "203.0.113.255/32",
    "::/0",
    "2001:db8::/32",
    "2001:db8:0:1::/64",
    "2001:db8::8000:0:0:0/65",
    "2001:db8::1/128",
    "8000::/1",
    "fd00::/64",
];
/// Addresses in, at the edge of and outside of them.
const WORLD: [&str; 24] = [
    "10.96.0.1",
    "10.96.0.2",
    "fd00:96::1",
    "fd00:96::2",
    "0.0.0.0",
    "10.0.0.200",
    "127.255.255.255",
    "128.0.0.0",
    "198.51.100.7",
    "203.0.112.255",
    "203.0.113.0",
    "203.0.113.63",
    "203.0.113.64",
    "203.0.113.127",
    "203.0.113.255",
    "255.255.255.255",
    "::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::1",
    "2001:db8:0:1::",
    "2001:db8:0:0:8000::",
    "2001:db8:ffff::9",
    "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];
/// Ports that policies name and flows have, with neighbours.
pub(crate) const PORTS: [u16; 10] = [0, 1, 53, 79, 80, 81, 443, 8080, 30080, 65535];
/// Names that ports of workloads may have.
pub(crate) const PORT_NAMES: [&str; 2] = ["http", "dns"];
/// CIDR groups with a label and their prefixes, nested and beside each other.
pub(crate) const GROUPS: [(&str, &str, &[&str]); 3] = [
    ("inner", "db", &["203.0.113.64/26", "2001:db8:0:1::/64"]),
    ("outer", "web", &["203.0.113.0/24", "2001:db8::/32"]),
    ("none", "db", &[]),
];
/// Services of namespace `a` with what they select there, and their addresses.
pub(crate) const SERVICES: [(&str, &str, [&str; 2]); 2] =
    [("web", "web", ["10.96.0.1", "fd00:96::1"]), ("db", "db", ["10.96.0.2", "fd00:96::2"])];
/// ICMP types likewise.
pub(crate) const TYPES: [u16; 5] = [0, 3, 8, 128, 255];

/// Labels of a workload.
fn labels() -> impl Strategy<Value = Value> {
    let [(app, apps), (env, envs)] = LABELS;
    let label = |values: &'static [&str]| prop::option::weighted(0.8, select(values));
    (label(apps), label(envs)).prop_map(move |(a, e)| {
        let labels = [a.map(|a| (app, a)), e.map(|e| (env, e))];
        labels.into_iter().flatten().map(|(k, v)| (k.to_owned(), json!(v))).collect()
    })
}

/// Namespaces, nodes and up to five pods as kubectl prints them, with the addresses
/// of the pods.
pub(crate) fn inventory() -> impl Strategy<Value = (Vec<Value>, Vec<IpAddr>)> {
    let named = select(vec![53, 80, 81, 8080]);
    let named = (select(&PORT_NAMES[..]), named, select(vec!["TCP", "UDP"]));
    let named = named.prop_map(
        |(name, port, protocol)| json!({"name": name, "containerPort": port, "protocol": protocol}),
    );
    let named = prop::collection::vec(named, 0..3);
    let pod = (select(&NAMESPACES[..]), labels(), 0..3usize, 0..3u8, named);
    prop::collection::vec(pod, 1..6).prop_map(|pods| {
        let mut documents = standing();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (number, ((namespace, _), labels, node, families, named)) in (1..).zip(pods) {
            let own = [format!("10.0.0.{number}"), format!("fd00::{number}")];
            let own: &[String] = match families {
                0 => &own[..1],
                1 => &own[1..],
                _ => &own,
            };
            addresses.extend(own.iter().map(|a| a.parse::<IpAddr>().unwrap()));
            let ips: Vec<Value> = own.iter().map(|ip| json!({"ip": ip})).collect();
            let mut spec = json!({"containers": [{"ports": named}]});
            if let Some((node, _)) = NODES.get(node) {
                spec["nodeName"] = json!(node);
            }
            documents.push(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("p{number}"), "namespace": namespace, "labels": labels},
                "spec": spec,
                "status": {"phase": "Running", "podIPs": ips},
            }));
        }
        (documents, addresses)
    })
}

/// What is in every inventory: namespaces and nodes.
fn standing() -> Vec<Value> {
    let namespaces = NAMESPACES.map(|(name, team)| {
        let metadata = json!({"name": name, "labels": {"team": team}});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    });
    let nodes = NODES.map(|(name, addresses)| {
        let metadata = json!({"name": name, "labels": {"role": name}});
        let addresses = addresses.map(|a| json!({"type": "InternalIP", "address": a}));
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata,
            "status": {"addresses": addresses}})
    });
    let groups = GROUPS.map(|(name, role, nets)| {
        let metadata = json!({"name": name, "labels": {"role": role}});
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup", "metadata": metadata,
            "spec": {"externalCIDRs": nets}})
    });
    let services = SERVICES.map(|(name, app, addresses)| {
        let metadata = json!({"name": name, "namespace": "a", "labels": {"tier": name}});
        let ports = json!([
            {"name": "by-name", "port": 80, "targetPort": "http", "nodePort": 30080},
            {"name": "by-number", "port": 443, "targetPort": 8080},
            {"name": "names", "port": 53, "targetPort": "dns", "protocol": "UDP"},
        ]);
        let ports = if name == "web" { ports } else { json!([{"port": 80, "targetPort": 81}]) };
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"clusterIPs": addresses, "selector": {"app": app}, "ports": ports}})
    });
    let outside = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "outside", "namespace": "a"}, "spec": {"ports": [{"port": 443}]}});
    let slice = |service: &str, namespace: &str, address: &str| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{service}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service}},
            "ports": [{"port": 443}], "endpoints": [{"addresses": [address]}]})
    };
    let outer = [
        outside,
        slice("outside", "a", "203.0.113.64"),
        slice("kubernetes", "default", NODES[1].1[0]),
    ];
    let standing = namespaces.into_iter().chain(nodes).chain(groups).chain(services);
    standing.chain(outer).collect()
}

/// A flow that is not yet between anybody: [`meet`] says who.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    ends: [Index; 2],
    protocol: u8,
    port: Index,
}

/// Sketches of flows.
pub(crate) fn sketches(count: usize) -> impl Strategy<Value = Vec<Sketch>> {
    let protocols = [
        protocol::TCP,
        protocol::TCP,
        protocol::UDP,
        protocol::SCTP,
        protocol::ICMP,
        protocol::ICMPV6,
        47,
        255,
    ];
    let sketch = (any::<[Index; 2]>(), select(protocols.to_vec()), any::<Index>());
    let sketch = sketch.prop_map(|(ends, protocol, port)| Sketch { ends, protocol, port });
    prop::collection::vec(sketch, count)
}

/// The flows between pods, nodes and the world that sketches stand for. One end is
/// a subject: nothing is judged of a flow that has none.
pub(crate) fn meet(sketches: &[Sketch], pods: &[IpAddr]) -> Vec<Flow> {
    let nodes = NODES.iter().flat_map(|(_, addresses)| addresses);
    let subjects = pods.iter().chain(pods).chain(pods).copied();
    let subjects: Vec<IpAddr> = subjects.chain(nodes.map(|a| a.parse().unwrap())).collect();
    let world = WORLD.iter().map(|a| a.parse().unwrap());
    let everybody: Vec<IpAddr> = subjects.iter().copied().chain(world).collect();
    let flow = |(number, sketch): (usize, &Sketch)| {
        let subject = *sketch.ends[0].get(&subjects);
        let alike: Vec<_> =
            everybody.iter().filter(|a| a.is_ipv4() == subject.is_ipv4()).copied().collect();
        let peer = *sketch.ends[1].get(&alike);
        let ends = [subject, peer];
        let [source, destination] = [ends[number % 2], ends[(number + 1) % 2]];
        let protocol = match sketch.protocol {
            protocol::ICMP | protocol::ICMPV6 if subject.is_ipv4() => protocol::ICMP,
            protocol::ICMP | protocol::ICMPV6 => protocol::ICMPV6,
            other => other,
        };
        let port = match protocol {
            protocol::TCP | protocol::UDP | protocol::SCTP => *sketch.port.get(&PORTS),
            protocol::ICMP | protocol::ICMPV6 => *sketch.port.get(&TYPES),
            _ => 0,
        };
        Flow { source, destination, protocol, port }
    };
    sketches.iter().enumerate().map(flow).collect()
}

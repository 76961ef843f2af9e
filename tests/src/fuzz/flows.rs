//! A small world for policies, and the flows at the edges of what they name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use policyc::pipeline::{self, Built, Input, Policy};
use policyc::session::Session;
use policyc_base::{Sink, SourceMap};
use policyc_policy::inventory::{self as inventories, Inventory};
use policyc_policy::network::{Dialect, Entry, Flow, Peer, Peers, PortMatch, protocol};

use super::hosts::host;

/// Who there is: namespaces, nodes, pods of one and of both IP versions.
pub(super) const INVENTORY: &str = include_str!("inventory.yaml");

const SMALL: &str = r"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: fuzz, namespace: a}
spec:
  endpointSelector: {}
  ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]
---
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: fuzz}
spec:
  tracepoints:
  - subsystem: sched
    event: sched_process_exec
    args: [{index: 4, type: string, label: binary}, {index: 5, type: int32}]
";

/// The inventory of a text that is right.
pub(super) fn inventory(text: &str) -> Inventory {
    let mut sources = SourceMap::new();
    let file = sources.add("inventory.yaml", text);
    inventories::load(&sources, &[file], &mut Sink::new())
}

/// A session with policies and the small world in it.
pub(super) fn session(text: &str, dialect: Dialect) -> (Session, Input) {
    let mut session = Session::new();
    let policies = vec![session.sources.add("policy.yaml", text)];
    let inventory = vec![session.sources.add("inventory.yaml", INVENTORY)];
    let profile = Some(host().clone());
    (session, Input { policies, inventory, dialect, profile, ..Input::default() })
}

/// A build with verdicts and events.
pub(super) fn build_with_events() -> Option<(Session, Built)> {
    let (mut session, input) = session(SMALL, Dialect::default());
    let built = pipeline::build(&mut session, &input)?;
    Some((session, built))
}

/// Flows between subjects, peers and the first and last addresses and ports that
/// the rules name, with their neighbours; at most `most` of them, spread evenly.
pub(super) fn at_the_edges(policy: &Policy, most: usize) -> Vec<Flow> {
    let entries = || policy.network.iter().flat_map(|rule| &rule.entries);
    let subjects = subjects(&policy.inventory);
    let mut peers = subjects.clone();
    peers.extend(entries().flat_map(addresses));
    let mut targets: Vec<(u8, u16)> = entries().flat_map(targets).collect();
    targets.extend([(protocol::TCP, 80), (protocol::ICMP, 8), (protocol::ICMPV6, 128), (47, 0)]);
    targets.sort_unstable();
    targets.dedup();
    let mut flows = Vec::new();
    for subject in &subjects {
        for peer in peers.iter().filter(|peer| peer.is_ipv4() == subject.is_ipv4()) {
            let here = targets.iter().filter(|target| is_of_version(target.0, subject));
            flows.extend(here.flat_map(|(protocol, port)| {
                [(*subject, *peer), (*peer, *subject)].map(|(source, destination)| Flow {
                    source,
                    destination,
                    protocol: *protocol,
                    port: *port,
                })
            }));
        }
    }
    let step = flows.len().div_ceil(most.max(1)) | 1;
    flows.into_iter().step_by(step).collect()
}

fn subjects(inventory: &Inventory) -> Vec<IpAddr> {
    let workloads = inventory.workloads.values().flat_map(|workload| &workload.addresses);
    let nodes = inventory.nodes.values().flat_map(|node| &node.addresses);
    workloads.chain(nodes).copied().collect()
}

fn is_of_version(number: u8, address: &IpAddr) -> bool {
    match number {
        protocol::ICMP => address.is_ipv4(),
        protocol::ICMPV6 => address.is_ipv6(),
        _ => true,
    }
}

fn addresses(entry: &Entry) -> Vec<IpAddr> {
    let Peers::OneOf(peers) = &entry.peers else { return Vec::new() };
    let nets = peers.iter().flat_map(|peer| match peer {
        Peer::Cidr { net, except } => [&[*net], &except[..]].concat(),
        Peer::CidrGroups { except, .. } => except.clone(),
        Peer::Endpoints(_) | Peer::Entity(_) | Peer::Nodes { .. } | Peer::Services(_) => Vec::new(),
    });
    nets.flat_map(edges).collect()
}

/// The first and last address of a prefix, and what lies beside them.
fn edges(net: IpNet) -> [IpAddr; 4] {
    let (first, last) = (net.network(), net.broadcast());
    [beside(first, -1), first, last, beside(last, 1)]
}

fn beside(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits().wrapping_add_signed(by.into())).into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits().wrapping_add_signed(by.into())).into(),
    }
}

fn targets(entry: &Entry) -> Vec<(u8, u16)> {
    let ports = entry.ports.numbers();
    let around = |of: &PortMatch| {
        let is_icmp = matches!(of.protocol, protocol::ICMP | protocol::ICMPV6);
        let most = if is_icmp { 255 } else { u16::MAX };
        let ports = [of.first.saturating_sub(1), of.first, of.last, of.last.saturating_add(1)];
        ports.map(|port| (of.protocol, port.min(most)))
    };
    ports.iter().flat_map(around).collect()
}

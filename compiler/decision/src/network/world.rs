//! The world of an inventory: who is a subject, and who is a peer of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use indexmap::IndexSet;
use policyc_base::EntityId;
use policyc_policy::inventory::{ByLabel, Identity, Inventory, NodeId, WorkloadId};
use policyc_policy::labels::{self, Label, LabelSelector, Labels, Operator};
use policyc_policy::network::eval::{own_host, peers_match, selects};
use policyc_policy::network::runtime_set::fixed_backends;
use policyc_policy::network::{
    Dialect, Direction, Entity, Peer, Peers, PerDirection, PortName, Rule, RuntimeSet, Subject,
};

use super::build::{Viewpoint, World, WorldSubject, build};
use super::{NetworkDecision, SetMembers, SubjectKind};

/// The tables of a rule set for everybody in an inventory.
///
/// A subject that no rule selects has a behaviour too: everything is allowed.
pub fn decide(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
    unknown_subject_allowed: bool,
) -> NetworkDecision {
    let mut viewpoints = Viewpoints::default();
    let subjects = subjects(rules, inventory, &mut viewpoints);
    let seen_from = viewpoints.identities;
    let matches = |viewpoint: Viewpoint, peers: &Peers, address: IpAddr| {
        let identity = inventory.identify(address);
        peers_match(peers, seen_from[viewpoint], identity, address, inventory, dialect)
    };
    let by_label = ByLabel::new(inventory);
    let candidates = |peers: &Peers| candidates(peers, &by_label, inventory);
    let varies_at = |address| matches!(inventory.identify(address), Identity::Node(_));
    let group_labels = |address: IpAddr| inventory.groups_at(address);
    let moving: Vec<WorkloadId> =
        inventory.workloads.iter().filter(|(_, w)| w.dynamic).map(|(id, _)| id).collect();
    let sets = runtime_sets(rules, inventory, &moving);
    let workload_matches = |viewpoint: Viewpoint, peers: &Peers, workload: usize| {
        let identity = Identity::Workload(moving[workload]);
        // Whatever its address: prefixes do not select it.
        let address = IpAddr::from([0, 0, 0, 0]);
        peers_match(peers, seen_from[viewpoint], identity, address, inventory, dialect)
    };
    let workload_port = |workload: usize, name: &PortName| {
        inventory.port_of_identity(Identity::Workload(moving[workload]), name)
    };
    let workload_at = |address: IpAddr| match inventory.identify(address) {
        Identity::Workload(id) => moving.iter().position(|moving| *moving == id),
        _ => None,
    };
    let set_of = |peer: &Peer| {
        let set = RuntimeSet::of(peer, &inventory.groups)?;
        sets.iter().position(|members| members.set == set)
    };
    let frontends = inventory.services.frontends();
    let services = frontends
        .map(|(address, protocol, port, backends)| ((address, protocol, port), backends.to_vec()));
    let world = World {
        subjects,
        named_ports: named_ports(rules, inventory, dialect),
        services: services.collect(),
        group_nets: inventory.groups.fixed_nets().collect(),
        sets: sets.clone(),
        workloads: moving.len(),
        workload_matches: &workload_matches,
        workload_port: &workload_port,
        workload_at: &workload_at,
        set_of: &set_of,
        group_labels: &group_labels,
        viewpoints: seen_from.len(),
        known: known_addresses(inventory),
        matches: &matches,
        candidates: &candidates,
        varies: &varies,
        varies_at: &varies_at,
        own_host: PerDirection {
            ingress: own_host(Direction::Ingress, dialect),
            egress: own_host(Direction::Egress, dialect),
        },
        reaches_itself: dialect == Dialect::Kubernetes,
        unknown_subject_allowed,
    };
    build(rules, &world)
}

/// The run-time sets that rules name, in order, and then the workloads that change.
fn runtime_sets(rules: &[Rule], inventory: &Inventory, moving: &[WorkloadId]) -> Vec<SetMembers> {
    let groups = &inventory.groups;
    let entries = || rules.iter().flat_map(|rule| &rule.entries);
    let sent = entries().filter(|entry| entry.direction == Direction::Egress);
    let sent: BTreeSet<_> = sent.flat_map(|entry| RuntimeSet::all(entry, groups)).collect();
    let all: BTreeSet<_> = entries().flat_map(|entry| RuntimeSet::all(entry, groups)).collect();
    let workloads = moving.iter().map(|id| inventory.workloads[*id].name.clone());
    let workloads = workloads.map(RuntimeSet::Workload);
    let is_needed = !sent.is_empty() || !moving.is_empty();
    let backends = if is_needed { fixed_backends(inventory) } else { Vec::new() };
    let of = |set: RuntimeSet| {
        let is_sent = matches!(set, RuntimeSet::Workload(_)) || sent.contains(&set);
        let barred = if is_sent { backends.clone() } else { Vec::new() };
        SetMembers { members: set.members(inventory).unwrap_or_default(), barred, set }
    };
    all.into_iter().chain(workloads).map(of).collect()
}

/// The addresses of the workloads that peers may match, if only workloads can be.
fn candidates(peers: &Peers, by_label: &ByLabel<'_>, inventory: &Inventory) -> Option<Vec<IpAddr>> {
    let Peers::OneOf(peers) = peers else { return None };
    let mut addresses = Vec::new();
    for peer in peers {
        let Peer::Endpoints(selector) = peer else { return None };
        // Nobody but a workload has what Kubernetes gives.
        let needs_workload = selector.requirements.iter().any(|requirement| {
            let is_there = matches!(requirement.operator, Operator::In(_) | Operator::Exists);
            requirement.source == labels::K8S && is_there
        });
        if !needs_workload {
            return None;
        }
        for id in by_label.candidates(selector) {
            addresses.extend(&inventory.workloads[id].addresses);
        }
    }
    Some(addresses)
}

/// Whether it matters to peers which node is the subject's own.
fn varies(peers: &Peers) -> bool {
    let Peers::OneOf(peers) = peers else { return false };
    let reserved = |name: &str| -> Labels { [Label::reserved(name)].into_iter().collect() };
    let with_apiserver = |labels: &Labels| -> Labels {
        labels.iter().cloned().chain([Label::reserved("kube-apiserver")]).collect()
    };
    let (host, remote) = (reserved("host"), reserved("remote-node"));
    let differs = |selector: &LabelSelector, host: &Labels, remote: &Labels| {
        selector.matches(host) != selector.matches(remote)
    };
    peers.iter().any(|peer| match peer {
        Peer::Endpoints(selector) => {
            differs(selector, &host, &remote)
                || differs(selector, &with_apiserver(&host), &with_apiserver(&remote))
        }
        Peer::Entity(entity) => matches!(entity, Entity::Host | Entity::RemoteNode),
        Peer::Nodes { own, .. } => !own,
        Peer::Cidr { .. } | Peer::CidrGroups { .. } | Peer::Services(_) => false,
    })
}

fn subjects(
    rules: &[Rule],
    inventory: &Inventory,
    viewpoints: &mut Viewpoints,
) -> Vec<WorldSubject> {
    let selecting = |identity: Identity| {
        let selected = rules.iter().enumerate();
        let selected = selected.filter(|(_, r)| selects(&r.subject, identity, inventory));
        selected.map(|(i, _)| i).collect()
    };
    let names = names(rules, Direction::Ingress);
    let of_workloads = rules_of_workloads(rules, inventory);
    let workloads = inventory.workloads.iter().zip(of_workloads);
    let workloads = workloads.map(|((id, workload), rules)| WorldSubject {
        name: workload.name.clone(),
        kind: SubjectKind::Workload,
        addresses: workload.addresses.clone(),
        ports: own_ports(&names, Identity::Workload(id), inventory),
        rules,
        viewpoint: viewpoints.of(&workload.nodes, Identity::Workload(id)),
    });
    let mut subjects: Vec<_> = workloads.collect();
    subjects.extend(inventory.nodes.iter().map(|(id, node)| {
        let identity = Identity::Node(id);
        WorldSubject {
            name: node.name.clone(),
            kind: SubjectKind::Node,
            addresses: node.addresses.clone(),
            ports: BTreeMap::new(),
            rules: selecting(identity),
            viewpoint: viewpoints.of(&[id], identity),
        }
    }));
    subjects
}

/// For each workload the indices of the rules that select it, ascending.
fn rules_of_workloads(rules: &[Rule], inventory: &Inventory) -> Vec<Vec<usize>> {
    let by_label = ByLabel::new(inventory);
    let mut selecting = vec![Vec::new(); inventory.workloads.len()];
    for (index, rule) in rules.iter().enumerate() {
        let Subject::Endpoints(selector) = &rule.subject else { continue };
        for id in by_label.candidates(selector) {
            // INVARIANT: the index has nobody but workloads of the inventory.
            let rules = &mut selecting[id.index()];
            let is_new = rules.last() != Some(&index);
            if is_new && selects(&rule.subject, Identity::Workload(id), inventory) {
                rules.push(index);
            }
        }
    }
    selecting
}

/// The names of ports that rules of a direction use.
fn names(rules: &[Rule], direction: Direction) -> BTreeSet<&PortName> {
    let entries = rules.iter().flat_map(|rule| &rule.entries);
    entries
        .filter(|e| e.direction == direction)
        .flat_map(|e| e.ports.names())
        .map(|n| &n.port)
        .collect()
}

/// What names mean at a subject: its own ports.
fn own_ports(
    names: &BTreeSet<&PortName>,
    identity: Identity,
    inventory: &Inventory,
) -> BTreeMap<PortName, u16> {
    let number = |name: &&PortName| Some(((*name).clone(), inventory.own_port(identity, name)?));
    names.iter().filter_map(number).collect()
}

/// What names mean at destinations, by address.
fn named_ports(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
) -> BTreeMap<PortName, BTreeMap<IpAddr, u16>> {
    let mut named = BTreeMap::new();
    for name in names(rules, Direction::Egress) {
        let numbers: &mut BTreeMap<_, _> = named.entry(name.clone()).or_default();
        for (id, workload) in inventory.workloads.iter() {
            let identity = Identity::Workload(id);
            let number = match dialect {
                Dialect::Kubernetes => inventory.own_port(identity, name),
                Dialect::Cilium119 | Dialect::Cilium120 => {
                    inventory.port_of_identity(identity, name)
                }
            };
            let Some(number) = number else { continue };
            numbers.extend(workload.addresses.iter().map(|address| (*address, number)));
        }
    }
    named
}

fn known_addresses(inventory: &Inventory) -> Vec<IpAddr> {
    let workloads = inventory.workloads.values().flat_map(|w| &w.addresses);
    let nodes = inventory.nodes.values().flat_map(|n| &n.addresses);
    let services = inventory.services.iter().flat_map(|service| service.backends());
    let frontends = inventory.services.frontends().map(|(address, ..)| address);
    let known = workloads.chain(nodes).chain(&inventory.apiservers).copied();
    let known = known.chain(services).chain(frontends);
    known.filter(|address| !moves(*address, inventory)).collect()
}

/// Whether an address is a workload's now whose addresses change.
fn moves(address: IpAddr, inventory: &Inventory) -> bool {
    match inventory.identify(address) {
        Identity::Workload(id) => inventory.workloads[id].dynamic,
        _ => false,
    }
}

/// Subjects on the same nodes see their peers alike; the first of them stands for
/// all.
#[derive(Default)]
struct Viewpoints {
    nodes: IndexSet<Vec<NodeId>>,
    identities: Vec<Identity>,
}

impl Viewpoints {
    fn of(&mut self, nodes: &[NodeId], identity: Identity) -> Viewpoint {
        let (viewpoint, is_new) = self.nodes.insert_full(nodes.to_vec());
        if is_new {
            self.identities.push(identity);
        }
        viewpoint
    }
}

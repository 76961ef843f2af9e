//! The oracle: what the rules say about one flow, in the plainest way.
//!
//! Never optimised; every other engine is held against it.
//! Source: `pkg/policy/testutils/simulate.go`, `pkg/policy/repository.go`.

use std::borrow::Cow;
use std::net::IpAddr;

use super::types::{
    Dialect, Direction, DirectionVerdict, Entity, Entry, EntryVerdict, Flow, Peer, Peers, Ports,
    Reason, Rule, Subject, Verdict,
};
use crate::inventory::{Identity, Inventory};
use crate::labels::{Label, Labels};

/// The verdict on a flow: egress of the source and ingress of the destination.
pub fn eval(rules: &[Rule], inventory: &Inventory, dialect: Dialect, flow: &Flow) -> Verdict {
    let judge = |direction| judge(rules, inventory, dialect, flow, direction);
    Verdict { egress: judge(Direction::Egress), ingress: judge(Direction::Ingress) }
}

fn judge(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
    flow: &Flow,
    direction: Direction,
) -> DirectionVerdict {
    let (own, other) = match direction {
        Direction::Egress => (flow.source, flow.destination),
        Direction::Ingress => (flow.destination, flow.source),
    };
    let (subject, peer) = (inventory.identify(own), inventory.identify(other));
    if subject == Identity::World {
        return allowed(Reason::NotASubject);
    }
    // A pod cannot block itself in Kubernetes.
    if dialect == Dialect::Kubernetes && subject == peer {
        return allowed(Reason::NoPolicy);
    }
    let selecting: Vec<&Rule> =
        rules.iter().filter(|rule| selects(&rule.subject, subject, inventory)).collect();
    let mut matching: Vec<(&Rule, &Entry)> = selecting
        .iter()
        .flat_map(|rule| rule.entries.iter().map(|entry| (*rule, entry)))
        .filter(|(_, entry)| entry.direction == direction)
        .filter(|(_, entry)| ports_match(&entry.ports, flow.protocol, flow.port))
        .filter(|(_, entry)| peers_match(&entry.peers, subject, peer, other, inventory, dialect))
        .collect();
    matching.sort_by_key(|(_, entry)| (entry.tier, entry.priority, entry.verdict));
    let from_host = direction == Direction::Ingress && is_host(peer, subject, inventory);
    let outcome = |enforces: fn(&Rule) -> bool| {
        let default = selecting.iter().find(|r| *r.default_deny.get(direction) && enforces(r));
        decide(&matching, enforces).unwrap_or(match default {
            None => allowed(Reason::NoPolicy),
            Some(_) if from_host => allowed(Reason::FromHost),
            Some(rule) => denied(Reason::DefaultDeny(rule.origin)),
        })
    };
    // An audited policy denies nothing; what it would have denied is told.
    let verdict = outcome(|rule| !rule.manner.audit);
    let enforced = outcome(|_| true);
    let audited = (verdict.allowed && !enforced.allowed).then_some(enforced.reason);
    DirectionVerdict { audited, ..verdict }
}

const fn allowed(reason: Reason) -> DirectionVerdict {
    DirectionVerdict { allowed: true, reason, audited: None }
}

const fn denied(reason: Reason) -> DirectionVerdict {
    DirectionVerdict { allowed: false, reason, audited: None }
}

/// The first entry decides; a pass takes the rest of its tier away. A deny counts
/// only if its policy is enforced.
fn decide(sorted: &[(&Rule, &Entry)], enforces: fn(&Rule) -> bool) -> Option<DirectionVerdict> {
    let mut passed = None;
    for (rule, entry) in sorted {
        if passed == Some(entry.tier) {
            continue;
        }
        let reason = Reason::Entry(entry.origin);
        match entry.verdict {
            EntryVerdict::Deny if !enforces(rule) => {}
            EntryVerdict::Deny => return Some(denied(reason)),
            EntryVerdict::Allow => return Some(allowed(reason)),
            EntryVerdict::Pass => passed = Some(entry.tier),
        }
    }
    None
}

/// Whether a rule with this subject is about `identity`.
pub fn selects(subject: &Subject, identity: Identity, inventory: &Inventory) -> bool {
    match (subject, identity) {
        (Subject::Endpoints(selector), Identity::Workload(id)) => {
            selector.matches(&inventory.workloads[id].labels)
        }
        (Subject::Nodes(selector), Identity::Node(id)) => {
            selector.matches(&inventory.nodes[id].labels)
        }
        _ => false,
    }
}

/// Whether one of the peers is `identity` at `address`, seen from `subject`.
pub fn peers_match(
    peers: &Peers,
    subject: Identity,
    identity: Identity,
    address: IpAddr,
    inventory: &Inventory,
    dialect: Dialect,
) -> bool {
    match peers {
        Peers::Any => true,
        Peers::OneOf(peers) => {
            peers.iter().any(|p| peer_matches(p, subject, identity, address, inventory, dialect))
        }
    }
}

/// Whether the peer is `identity` at `address`, seen from `subject`: the node
/// that a workload is on is its host, any other node is a remote one.
pub fn peer_matches(
    peer: &Peer,
    subject: Identity,
    identity: Identity,
    address: IpAddr,
    inventory: &Inventory,
    dialect: Dialect,
) -> bool {
    match peer {
        Peer::Endpoints(selector) => {
            selector.matches(&labels_of(identity, subject, address, inventory))
        }
        Peer::Cidr { net, except } => {
            // In Cilium a prefix selects addresses that nobody in the cluster has.
            let selectable = dialect == Dialect::Kubernetes || identity == Identity::World;
            selectable
                && net.contains(&address)
                && !except.iter().any(|hole| hole.contains(&address))
        }
        Peer::Entity(entity) => entity_matches(*entity, subject, identity, address, inventory),
    }
}

fn entity_matches(
    entity: Entity,
    subject: Identity,
    identity: Identity,
    address: IpAddr,
    inventory: &Inventory,
) -> bool {
    let world = identity == Identity::World;
    match entity {
        Entity::All => true,
        Entity::World => world,
        Entity::WorldIpv4 => world && address.is_ipv4(),
        Entity::WorldIpv6 => world && address.is_ipv6(),
        Entity::Cluster => !world,
        Entity::Host => is_host(identity, subject, inventory),
        Entity::RemoteNode => {
            matches!(identity, Identity::Node(_)) && !is_host(identity, subject, inventory)
        }
        // Nobody that an inventory knows.
        Entity::KubeApiserver
        | Entity::Init
        | Entity::Ingress
        | Entity::Health
        | Entity::Unmanaged
        | Entity::None => false,
    }
}

/// Whether `identity` is the host that `subject` is on.
pub fn is_host(identity: Identity, subject: Identity, inventory: &Inventory) -> bool {
    matches!(identity, Identity::Node(node) if inventory.is_host_of(node, subject))
}

/// The labels that an engine gives to an identity. Nodes have no labels of their
/// own here: node labels are not part of a node's identity by default.
fn labels_of(
    identity: Identity,
    subject: Identity,
    address: IpAddr,
    inventory: &Inventory,
) -> Cow<'_, Labels> {
    let reserved = |name: &str| Cow::Owned([Label::reserved(name)].into_iter().collect());
    match identity {
        Identity::Workload(id) => Cow::Borrowed(&inventory.workloads[id].labels),
        Identity::Node(_) if is_host(identity, subject, inventory) => reserved("host"),
        Identity::Node(_) => reserved("remote-node"),
        Identity::World if address.is_ipv4() => reserved("world-ipv4"),
        Identity::World => reserved("world-ipv6"),
    }
}

/// Whether the ports of an entry include this protocol and port or type.
pub fn ports_match(ports: &Ports, protocol: u8, port: u16) -> bool {
    match ports {
        Ports::Any => true,
        Ports::OneOf(matches) => {
            matches.iter().any(|m| m.protocol == protocol && (m.first..=m.last).contains(&port))
        }
    }
}

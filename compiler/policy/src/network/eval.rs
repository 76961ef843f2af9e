//! The oracle: what the rules say about one flow, in the plainest way.
//!
//! Never optimised; every other engine is held against it.
//! Source: `pkg/policy/testutils/simulate.go`, `pkg/policy/repository.go`.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::service;
use super::types::{
    DenyResponse, Dialect, Direction, DirectionVerdict, Entity, Entry, EntryVerdict, Flow,
    NamedRange, Peer, Peers, PortMatch, PortName, Ports, Reason, Rule, Subject, Verdict,
};
use crate::inventory::{Identity, Inventory};
use crate::labels::{Label, LabelSelector, Labels, RESERVED};

/// The verdict on a flow: egress of the source and ingress of the destination. A flow
/// to a service is judged by all of its backends: see [`super::service`].
pub fn eval(rules: &[Rule], inventory: &Inventory, dialect: Dialect, flow: &Flow) -> Verdict {
    let egress = service::departures(flow, inventory);
    let ingress = service::arrivals(flow, inventory, dialect);
    let judge = |flow: &Flow, direction| judge(rules, inventory, dialect, flow, direction);
    let egress = egress.iter().map(|flow| judge(flow, Direction::Egress));
    let ingress = ingress.iter().map(|flow| judge(flow, Direction::Ingress));
    Verdict { egress: all(egress), ingress: all(ingress) }
}

/// What all verdicts come to: the first of the worst decides.
fn all(verdicts: impl Iterator<Item = DirectionVerdict>) -> DirectionVerdict {
    let verdicts = verdicts.filter(|verdict| verdict.reason != Reason::NotASubject);
    let worst = verdicts.reduce(|worst, next| {
        let harm = |verdict: &DirectionVerdict| (!verdict.allowed, verdict.audited.is_some());
        if harm(&next) > harm(&worst) { next } else { worst }
    });
    worst.unwrap_or(allowed(Reason::NotASubject))
}

pub(super) fn judge(
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
        .filter(|(_, entry)| {
            let number =
                |name: &PortName| named(direction, subject, peer, name, inventory, dialect);
            ports_match(&entry.ports, flow.protocol, flow.port, number)
        })
        .filter(|(_, entry)| peers_match(&entry.peers, subject, peer, other, inventory, dialect))
        .collect();
    matching.sort_by_key(|(_, entry)| (entry.tier, entry.priority, entry.verdict));
    let own_host =
        own_host(direction, dialect).filter(|_| is_host(peer, subject, inventory)).map(allowed);
    let outcome = |enforced: bool| {
        let denies = |rule: &Rule| *rule.default_deny.get(direction);
        let default = selecting.iter().find(|r| denies(r) && (enforced || !r.manner.audit));
        decide(&matching, enforced).unwrap_or(match default {
            None => allowed(Reason::NoPolicy),
            Some(rule) => own_host.unwrap_or(denied(Reason::DefaultDeny(rule.origin), rule)),
        })
    };
    // An audited rule denies nothing; what it would have denied is told.
    let verdict = outcome(false);
    let enforced = outcome(true);
    let audited = (verdict.allowed && !enforced.allowed).then_some(enforced.reason);
    DirectionVerdict { audited, ..verdict }
}

/// Why no default keeps a subject and its own host apart in a direction; `None` if one
/// may. Kubernetes: "traffic to and from the node where a Pod is running is always
/// allowed".
pub const fn own_host(direction: Direction, dialect: Dialect) -> Option<Reason> {
    match (direction, dialect) {
        (Direction::Ingress, _) => Some(Reason::FromHost),
        (Direction::Egress, Dialect::Kubernetes) => Some(Reason::ToHost),
        (Direction::Egress, Dialect::Cilium119 | Dialect::Cilium120) => None,
    }
}

const fn allowed(reason: Reason) -> DirectionVerdict {
    DirectionVerdict { allowed: true, reason, audited: None, response: DenyResponse::Drop }
}

const fn denied(reason: Reason, rule: &Rule) -> DirectionVerdict {
    let response = rule.manner.response;
    DirectionVerdict { allowed: false, reason, audited: None, response }
}

/// The first entry decides; a pass takes the rest of its tier away. A deny counts
/// only if it is not audited, or `enforced` all the same.
fn decide(sorted: &[(&Rule, &Entry)], enforced: bool) -> Option<DirectionVerdict> {
    let mut passed = None;
    for (rule, entry) in sorted {
        if passed == Some(entry.tier) {
            continue;
        }
        let reason = Reason::Entry(entry.origin);
        match entry.verdict {
            EntryVerdict::Deny if entry.audit && !enforced => {}
            EntryVerdict::Deny => return Some(denied(reason, rule)),
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
            prefixes_select(identity, dialect)
                && net.contains(&address)
                && !except.iter().any(|hole| hole.contains(&address))
        }
        Peer::Entity(entity) => entity_matches(*entity, subject, identity, address, inventory),
        Peer::Nodes { selector, own } => match identity {
            Identity::Node(id) => {
                (*own || !is_host(identity, subject, inventory))
                    && selector.matches(&inventory.nodes[id].labels)
            }
            _ => false,
        },
        Peer::CidrGroups { selector, except } => {
            // Whom prefixes cannot select has no labels of theirs, which no exception
            // takes away.
            if !prefixes_select(identity, dialect) {
                return selector.matches(&Labels::default());
            }
            in_groups(selector, except, address, &inventory.groups_at(address))
        }
        Peer::Services(services) => {
            let found = inventory.services_named(services);
            found.into_iter().any(|service| match &service.selector {
                Some(pods) => pods.matches(&labels_of(identity, subject, address, inventory)),
                // Its backends are prefixes of one address.
                None => {
                    prefixes_select(identity, dialect)
                        && service.backends().any(|backend| backend == address)
                }
            })
        }
    }
}

/// In Cilium a prefix selects addresses that nobody in the cluster has.
fn prefixes_select(identity: Identity, dialect: Dialect) -> bool {
    dialect == Dialect::Kubernetes || identity == Identity::World
}

/// Whether an address with these labels of CIDR groups is meant.
pub fn in_groups(
    selector: &LabelSelector,
    except: &[IpNet],
    address: IpAddr,
    labels: &Labels,
) -> bool {
    selector.matches(labels) && !except.iter().any(|hole| hole.contains(&address))
}

fn entity_matches(
    entity: Entity,
    subject: Identity,
    identity: Identity,
    address: IpAddr,
    inventory: &Inventory,
) -> bool {
    let world = identity == Identity::World;
    let reserved = |name| labels_of(identity, subject, address, inventory).has(RESERVED, name);
    match entity {
        Entity::All => true,
        Entity::World => world,
        Entity::WorldIpv4 => world && address.is_ipv4(),
        Entity::WorldIpv6 => world && address.is_ipv6(),
        // An inventory is about one cluster.
        Entity::Cluster | Entity::ClusterMesh => !world || reserved("kube-apiserver"),
        Entity::Host => is_host(identity, subject, inventory),
        Entity::RemoteNode => {
            matches!(identity, Identity::Node(_)) && !is_host(identity, subject, inventory)
        }
        Entity::KubeApiserver => reserved("kube-apiserver"),
        Entity::Init => reserved("init"),
        Entity::Ingress => reserved("ingress"),
        Entity::Health => reserved("health"),
        Entity::Unmanaged => reserved("unmanaged"),
        Entity::None => false,
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
    let name = match identity {
        Identity::Workload(id) => return Cow::Borrowed(&inventory.workloads[id].labels),
        Identity::Node(_) if is_host(identity, subject, inventory) => "host",
        Identity::Node(_) => "remote-node",
        Identity::World if address.is_ipv4() => "world-ipv4",
        Identity::World => "world-ipv6",
    };
    let apiserver = inventory.is_apiserver(address).then_some("kube-apiserver");
    Cow::Owned([name].into_iter().chain(apiserver).map(Label::reserved).collect())
}

/// What a port's name means between a subject and a peer: the destination says.
fn named(
    direction: Direction,
    subject: Identity,
    peer: Identity,
    name: &PortName,
    inventory: &Inventory,
    dialect: Dialect,
) -> Option<u16> {
    match direction {
        Direction::Ingress => inventory.own_port(subject, name),
        Direction::Egress if dialect == Dialect::Kubernetes => inventory.own_port(peer, name),
        Direction::Egress => inventory.port_of_identity(peer, name),
    }
}

/// Whether the ports of an entry include this protocol and port or type; `number`
/// says what names mean.
pub fn ports_match(
    ports: &Ports,
    protocol: u8,
    port: u16,
    number: impl Fn(&PortName) -> Option<u16>,
) -> bool {
    let includes = |m: &PortMatch| m.protocol == protocol && (m.first..=m.last).contains(&port);
    let named = |range: &NamedRange| number(&range.port).is_some_and(|n| includes(&range.from(n)));
    *ports == Ports::Any || ports.numbers().iter().any(includes) || ports.names().iter().any(named)
}

//! Whether one part of a rule includes another, whoever there is: what is said here
//! holds in every inventory. Where that cannot be told, the answer is no.

use ipnet::IpNet;

use crate::labels::{K8S, LabelSelector, Operator, Requirement};
use crate::network::types::{Dialect, Entity, NamedRange, Peer, Peers, PortMatch, Ports, Subject};

/// Whether everybody whom `b` is about is someone whom `a` is about.
pub(super) fn subject(a: &Subject, b: &Subject) -> bool {
    match (a, b) {
        (Subject::Endpoints(a), Subject::Endpoints(b)) | (Subject::Nodes(a), Subject::Nodes(b)) => {
            selector(a, b)
        }
        _ => false,
    }
}

/// Whether every port of `b` is one of `a`.
pub(super) fn ports(a: &Ports, b: &Ports) -> bool {
    let inside = |a: &PortMatch, b: &PortMatch| {
        a.protocol == b.protocol && a.first <= b.first && b.last <= a.last
    };
    match (a, b) {
        (Ports::Any, _) => true,
        (_, Ports::Any) => false,
        _ => {
            // Whatever a name stands for, every port of its protocol includes it.
            let every = |name: &NamedRange| PortMatch {
                protocol: name.port.protocol,
                first: 0,
                last: u16::MAX,
            };
            let has = |b: &PortMatch| a.numbers().iter().any(|a| inside(a, b));
            b.numbers().iter().all(has)
                && b.names().iter().all(|name| a.names().contains(name) || has(&every(name)))
        }
    }
}

/// Whether every peer of `b` is one of `a`.
pub(super) fn peers(a: &Peers, b: &Peers, dialect: Dialect) -> bool {
    match (a, b) {
        (Peers::Any, _) => true,
        (Peers::OneOf(a), Peers::Any) => a.contains(&Peer::Entity(Entity::All)),
        (Peers::OneOf(a), Peers::OneOf(b)) => {
            b.iter().all(|b| a.iter().any(|a| peer(a, b, dialect)))
        }
    }
}

fn peer(a: &Peer, b: &Peer, dialect: Dialect) -> bool {
    match (a, b) {
        (Peer::Entity(Entity::All), _) => true,
        (Peer::Entity(Entity::World), Peer::Entity(Entity::WorldIpv4 | Entity::WorldIpv6)) => true,
        // In Kubernetes a prefix may select pods.
        (Peer::Entity(Entity::World), Peer::Cidr { .. }) => dialect != Dialect::Kubernetes,
        (
            Peer::Entity(Entity::Cluster),
            Peer::Entity(Entity::Host | Entity::RemoteNode | Entity::Cluster),
        ) => true,
        (Peer::Entity(Entity::Cluster), Peer::Endpoints(b)) => is_of_workloads(b),
        (Peer::Endpoints(a), Peer::Endpoints(b)) => selector(a, b),
        (Peer::Cidr { net: a, except: holes }, Peer::Cidr { net: b, except }) => {
            a.contains(b) && holes.iter().all(|hole| is_left_out(hole, b, except))
        }
        _ => a == b,
    }
}

/// Whether nothing of `hole` is among the addresses of a prefix with exceptions.
fn is_left_out(hole: &IpNet, net: &IpNet, except: &[IpNet]) -> bool {
    let meet = hole.contains(net) || net.contains(hole);
    !meet || except.iter().any(|other| other.contains(hole) || other.contains(net))
}

/// Whether only workloads can have what the selector asks for.
fn is_of_workloads(selector: &LabelSelector) -> bool {
    selector.requirements.iter().any(|requirement| {
        let is_there = matches!(requirement.operator, Operator::In(_) | Operator::Exists);
        requirement.source == K8S && is_there
    })
}

/// Whether whoever `b` selects, `a` selects too.
fn selector(a: &LabelSelector, b: &LabelSelector) -> bool {
    a.requirements.iter().all(|a| b.requirements.iter().any(|b| implies(b, a)))
}

/// Whether whoever satisfies `given` satisfies `wanted`.
fn implies(given: &Requirement, wanted: &Requirement) -> bool {
    if given.key != wanted.key || given.source != wanted.source {
        return false;
    }
    let subset = |a: &[String], b: &[String]| a.iter().all(|value| b.contains(value));
    match (&given.operator, &wanted.operator) {
        (Operator::In(given), Operator::In(wanted)) => subset(given, wanted),
        (Operator::In(_) | Operator::Exists, Operator::Exists)
        | (Operator::DoesNotExist, Operator::DoesNotExist | Operator::NotIn(_)) => true,
        (Operator::NotIn(given), Operator::NotIn(wanted)) => subset(wanted, given),
        _ => false,
    }
}

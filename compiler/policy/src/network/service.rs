//! Flows to services: a packet to a service's address and port reaches one of the
//! service's ready backends, whichever kube-proxy chooses.
//!
//! What a workload sends is seen before that choice, so it may be sent only if it may
//! be sent to every backend; what arrives has the backend's address already. A port
//! that no service has, and a service without a ready backend, is an address like any
//! other.

use super::eval;
use super::types::{Dialect, Direction, Flow, Rule};
use crate::inventory::{Backend, Identity, Inventory, Service};

/// The flows that the source's verdict is made of.
pub fn departures(flow: &Flow, inventory: &Inventory) -> Vec<Flow> {
    let flows: Vec<_> = translated(flow, inventory).collect();
    if flows.is_empty() { vec![*flow] } else { flows }
}

/// The flows that destinations see. A node sees a packet to one of its ports before it
/// is translated; what a pod sends to itself through a service nobody sees in
/// Kubernetes.
pub fn arrivals(flow: &Flow, inventory: &Inventory, dialect: Dialect) -> Vec<Flow> {
    let mut flows: Vec<_> = translated(flow, inventory).collect();
    if flows.is_empty() {
        return vec![*flow];
    }
    if dialect == Dialect::Kubernetes {
        let source = inventory.identify(flow.source);
        flows.retain(|flow| inventory.identify(flow.destination) != source);
    }
    if inventory.identify(flow.destination) != Identity::World {
        flows.insert(0, *flow);
    }
    flows
}

/// The flow to each backend.
fn translated(flow: &Flow, inventory: &Inventory) -> impl Iterator<Item = Flow> {
    let (address, protocol) = (flow.destination, flow.protocol);
    let found = inventory.services.behind(address, protocol, flow.port);
    let backends = found.map_or(&[][..], |(_, backends)| backends);
    let to = |b: &Backend| Flow { destination: b.address, port: b.port, ..*flow };
    backends.iter().map(to)
}

/// The service that a flow is to, with the backend that decides: the first that the
/// flow is denied to, else the first.
pub fn through<'a>(
    rules: &[Rule],
    inventory: &'a Inventory,
    dialect: Dialect,
    flow: &Flow,
) -> Option<(&'a Service, Backend)> {
    let (service, backends) =
        inventory.services.behind(flow.destination, flow.protocol, flow.port)?;
    let is_denied = |backend: &&Backend| {
        let flow = Flow { destination: backend.address, port: backend.port, ..*flow };
        let judge = |direction| eval::judge(rules, inventory, dialect, &flow, direction);
        Direction::BOTH.into_iter().any(|direction| !judge(direction).allowed)
    };
    let deciding = backends.iter().find(is_denied).or(backends.first())?;
    Some((service, *deciding))
}

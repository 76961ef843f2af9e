//! Ports with a name and several numbers. Such a name matches nothing, in Cilium too.

use std::collections::BTreeMap;

use crate::inventory::{Identity, Inventory, WorkloadId};
use crate::network::eval::{peers_match, selects};
use crate::network::types::{Dialect, Direction, Entry, PortName, Rule};

/// Where names of ports have several numbers.
pub(super) struct Several<'a> {
    inventory: &'a Inventory,
    dialect: Dialect,
    /// Workloads of which the name stands for none of their own ports.
    own: BTreeMap<PortName, Vec<WorkloadId>>,
    /// Workloads whose labels are those of others with another number.
    of_labels: BTreeMap<PortName, Vec<WorkloadId>>,
}

impl<'a> Several<'a> {
    pub(super) fn new(inventory: &'a Inventory, dialect: Dialect) -> Self {
        let (mut own, mut of_labels) = (BTreeMap::new(), BTreeMap::new());
        for (id, workload) in inventory.workloads.iter() {
            let identity = Identity::Workload(id);
            for port in &workload.ports {
                let name = port.name.to_ascii_lowercase();
                let name = PortName { protocol: port.protocol, name };
                let add = |to: &mut BTreeMap<PortName, Vec<_>>, name: &PortName| {
                    to.entry(name.clone()).or_default().push(id);
                };
                if inventory.own_port(identity, &name).is_none() {
                    add(&mut own, &name);
                }
                if inventory.port_of_identity(identity, &name).is_none() {
                    add(&mut of_labels, &name);
                }
            }
        }
        Self { inventory, dialect, own, of_labels }
    }

    /// The first name of an entry that means nothing at one of its destinations, and the
    /// destination.
    pub(super) fn first(&self, rule: &Rule, entry: &Entry) -> Option<(&str, &str)> {
        let table = match (entry.direction, self.dialect) {
            (Direction::Ingress, _) | (Direction::Egress, Dialect::Kubernetes) => &self.own,
            (Direction::Egress, Dialect::Cilium119 | Dialect::Cilium120) => &self.of_labels,
        };
        let is_meant = |id: &&WorkloadId| match entry.direction {
            Direction::Ingress => selects(&rule.subject, Identity::Workload(**id), self.inventory),
            Direction::Egress => self.is_peer(entry, **id),
        };
        entry.ports.names().iter().find_map(|range| {
            let (name, workloads) = table.get_key_value(&range.port)?;
            let found = workloads.iter().find(is_meant)?;
            Some((name.name.as_str(), self.inventory.workloads[*found].name.as_str()))
        })
    }

    fn is_peer(&self, entry: &Entry, id: WorkloadId) -> bool {
        let (inventory, peer) = (self.inventory, Identity::Workload(id));
        let mut addresses = inventory.workloads[id].addresses.iter();
        addresses.any(|address| {
            peers_match(&entry.peers, Identity::World, peer, *address, inventory, self.dialect)
        })
    }
}

//! What the names of ports mean.

use std::collections::BTreeMap;

use policyc_base::PrimaryMap;

use super::{NamedPort, Workload, WorkloadId};
use crate::labels::Labels;
use crate::network::PortName;

/// For each set of labels the ports of everybody who has them; `None` for a name that
/// is not the same number everywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PortNames(BTreeMap<Labels, BTreeMap<PortName, Option<u16>>>);

impl PortNames {
    pub(super) fn new(workloads: &PrimaryMap<WorkloadId, Workload>) -> Self {
        let mut all: BTreeMap<Labels, BTreeMap<PortName, Option<u16>>> = BTreeMap::new();
        for workload in workloads.values().filter(|workload| !workload.ports.is_empty()) {
            let names = all.entry(workload.labels.clone()).or_default();
            for NamedPort { name, port, protocol } in &workload.ports {
                let name = PortName { protocol: *protocol, name: name.to_ascii_lowercase() };
                let number = names.entry(name).or_insert(Some(*port));
                *number = number.filter(|known| known == port);
            }
        }
        Self(all)
    }

    pub(super) fn number(&self, labels: &Labels, name: &PortName) -> Option<u16> {
        self.0.get(labels)?.get(name).copied()?
    }
}

/// The number of ports that all have one.
pub(super) fn the_only<'a>(ports: impl Iterator<Item = &'a NamedPort>) -> Option<u16> {
    let mut numbers = ports.map(|port| port.port);
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

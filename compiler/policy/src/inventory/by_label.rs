//! Workloads by label, so that a selector need not look at all of them.

use std::collections::BTreeMap;

use super::{Inventory, WorkloadId};
use crate::labels::{LabelSelector, Operator};

/// The workloads of an inventory by key and value of their labels, whatever the
/// label's source.
#[derive(Clone, Debug)]
pub struct ByLabel<'a> {
    all: Vec<WorkloadId>,
    labelled: BTreeMap<(&'a str, &'a str), Vec<WorkloadId>>,
}

impl<'a> ByLabel<'a> {
    /// The index of an inventory.
    pub fn new(inventory: &'a Inventory) -> Self {
        let mut labelled: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, workload) in inventory.workloads.iter() {
            for label in workload.labels.iter() {
                labelled.entry((label.key.as_str(), label.value.as_str())).or_default().push(id);
            }
        }
        Self { all: inventory.workloads.ids().collect(), labelled }
    }

    /// Workloads among which is everyone that the selector matches, and few others if
    /// it asks for values; in no order, some perhaps twice.
    pub fn candidates(&self, selector: &LabelSelector) -> Vec<WorkloadId> {
        let wanted = selector.requirements.iter().filter_map(|requirement| {
            let Operator::In(values) = &requirement.operator else { return None };
            let key = requirement.key.as_str();
            let lists = values.iter().filter_map(|value| self.labelled.get(&(key, value.as_str())));
            Some(lists.collect::<Vec<_>>())
        });
        let fewest = wanted.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>());
        fewest.map_or_else(
            || self.all.clone(),
            |lists| lists.into_iter().flatten().copied().collect(),
        )
    }
}

#[cfg(test)]
mod tests;

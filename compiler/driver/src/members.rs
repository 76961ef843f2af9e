//! Who the members of groups and of workloads whose addresses change are, by the documents
//! that say so.
//!
//! Does not know: what holds now, or how members reach a program.

use std::collections::BTreeSet;

use ipnet::IpNet;
use policyc_bpf::manifest::SetKind;
use policyc_bpf::sets::Prefix;
use policyc_codegen::lower::set_tables::prefixes;
use policyc_policy::inventory::Inventory;
use policyc_policy::network::RuntimeSet;
use policyc_runtime::{Group, Members};

use crate::manifest::labels_number;

/// A workload is not what it was when policy was built: the tables say what its labels
/// and ports mean.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has other labels or ports than when policy was built")]
pub struct OtherLabels(pub String);

/// The members of those groups and workloads that are given.
///
/// # Errors
/// A workload has other labels.
pub fn of<'a>(
    groups: impl Iterator<Item = (u64, &'a Group)>,
    given: &Inventory,
) -> Result<Vec<Members>, OtherLabels> {
    let mut all = Vec::new();
    for (id, group) in groups {
        let members = match group.kind {
            SetKind::Group => of_group(&group.name, given),
            SetKind::Workload { labels } => of_workload(&group.name, labels, given)?,
        };
        all.extend(members.map(|prefixes| Members { id, prefixes }));
    }
    Ok(all)
}

fn of_group(name: &str, given: &Inventory) -> Option<Vec<Prefix>> {
    let set = RuntimeSet::Group { name: name.to_owned(), except: Vec::new() };
    Some(prefixes(&set.members(given)?))
}

/// Whoever has the workload's labels and ports is one of it.
fn of_workload(
    name: &str,
    labels: u64,
    given: &Inventory,
) -> Result<Option<Vec<Prefix>>, OtherLabels> {
    match labels_number(given, name) {
        None => return Ok(None),
        Some(number) if number != labels => return Err(OtherLabels(name.to_owned())),
        Some(_) => {}
    }
    let alike = given.workloads.values().filter(|workload| {
        let is_another = workload.dynamic && workload.name != name;
        !is_another && labels_number(given, &workload.name) == Some(labels)
    });
    let addresses = alike.flat_map(|workload| &workload.addresses);
    let addresses: BTreeSet<IpNet> = addresses.map(|address| IpNet::from(*address)).collect();
    Ok(Some(prefixes(&addresses.into_iter().collect::<Vec<_>>())))
}

//! Run-time sets: peers whose addresses change while policy is live.
//!
//! What changes is a group that says so; what a rule means is what the oracle says of
//! the group's prefixes at that time. A run-time set is an identity and stands for one
//! reference: the group, but for the exceptions made there.
//!
//! Guarantees: of rules that were checked, every reference to such a group is a set, and
//! what they say about anybody else does not depend on its prefixes.
//! Does not know: how members reach a program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use policyc_base::{Diagnostic, Origin, OriginTable, Sink, Span};

use super::types::{Dialect, Direction, Entry, Peer, Peers, Rule};
use crate::codes;
use crate::inventory::{CidrGroup, Groups, Identity, Inventory};
use crate::labels::{LabelSelector, Operator};

/// What a run-time set stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuntimeSet {
    /// A reference to a group that changes.
    Group {
        /// Its name.
        name: String,
        /// Prefixes that are left out; ascending.
        except: Vec<IpNet>,
    },
    /// A workload whose addresses change.
    Workload(String),
}

impl RuntimeSet {
    /// The set that a peer stands for, if it is one.
    pub fn of(peer: &Peer, groups: &Groups) -> Option<Self> {
        let Peer::CidrGroups { selector, except } = peer else { return None };
        let group = named(selector, groups)?;
        let mut except = except.clone();
        except.sort();
        except.dedup();
        Some(Self::Group { name: group.name.clone(), except })
    }

    /// The sets that an entry names.
    pub fn all<'a>(entry: &'a Entry, groups: &'a Groups) -> impl Iterator<Item = Self> + 'a {
        let peers: &[Peer] = match &entry.peers {
            Peers::Any => &[],
            Peers::OneOf(peers) => peers,
        };
        peers.iter().filter_map(|peer| Self::of(peer, groups))
    }

    /// The name of the group or workload.
    pub fn name(&self) -> &str {
        match self {
            Self::Group { name, .. } | Self::Workload(name) => name,
        }
    }

    /// What is left out of the group.
    pub fn except(&self) -> &[IpNet] {
        match self {
            Self::Group { except, .. } => except,
            Self::Workload(_) => &[],
        }
    }

    /// The same without exceptions.
    #[must_use]
    pub fn whole(&self) -> Self {
        match self {
            Self::Group { name, .. } => Self::Group { name: name.clone(), except: Vec::new() },
            Self::Workload(name) => Self::Workload(name.clone()),
        }
    }

    /// Its members in an inventory: apart from each other, ascending, and as few as can
    /// be. `None` if the group or workload is not in it.
    pub fn members(&self, inventory: &Inventory) -> Option<Vec<IpNet>> {
        match self {
            Self::Group { name, except } => {
                Some(members(&inventory.groups.get(name)?.nets, except))
            }
            Self::Workload(name) => match inventory.lookup(name)? {
                Identity::Workload(id) => {
                    let addresses = inventory.workloads[id].addresses.iter();
                    Some(addresses.map(|address| IpNet::from(*address)).collect())
                }
                _ => None,
            },
        }
    }
}

/// The addresses of prefixes but for the exceptions.
fn members(nets: &[IpNet], except: &[IpNet]) -> Vec<IpNet> {
    let family = |is_v4: bool| {
        let of = |nets: &[IpNet]| -> Vec<(u128, u128)> {
            nets.iter().filter(|net| net.addr().is_ipv4() == is_v4).map(range).collect()
        };
        let inside = without(merged(of(nets)), &merged(of(except)));
        inside.into_iter().flat_map(move |range| prefixes(range, is_v4))
    };
    family(true).chain(family(false)).collect()
}

/// The group that a selector asks for by its name alone, if it is one that changes.
fn named<'a>(selector: &LabelSelector, groups: &'a Groups) -> Option<&'a CidrGroup> {
    match &selector.requirements[..] {
        [only] if only.operator == Operator::Exists => groups.dynamic(&only.key),
        _ => None,
    }
}

/// Backends of services that no inventory knows otherwise: what a workload sends to such
/// a service is decided by what the rules say of these addresses when policy is built.
pub fn fixed_backends(inventory: &Inventory) -> Vec<IpAddr> {
    let backends = inventory.services.frontends().flat_map(|(.., backends)| backends);
    let addresses = backends.map(|backend| backend.address);
    let mut outside: Vec<IpAddr> =
        addresses.filter(|address| inventory.identify(*address) == Identity::World).collect();
    outside.sort();
    outside.dedup();
    outside
}

/// Reports what rules say of groups that change and programs could not follow.
pub fn check(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
    origins: &OriginTable,
    sink: &mut Sink,
) {
    workloads(inventory, dialect, sink);
    let dynamic: Vec<&CidrGroup> = inventory.groups.iter().filter(|group| group.dynamic).collect();
    if dynamic.is_empty() {
        return;
    }
    let check = Check { inventory, dialect, dynamic };
    let mut report = |(message, help): (String, &str), origin: Origin| {
        let Some(span) = origins.get(origin).and_then(|info| info.span) else { return };
        let place = Span { end: span.start, ..span };
        sink.push(Diagnostic::error(codes::GROUP_DYNAMIC, place, message).with_help(help));
    };
    let entries = rules.iter().flat_map(|rule| &rule.entries);
    for entry in entries.clone() {
        let Peers::OneOf(peers) = &entry.peers else { continue };
        if let Some(finding) = peers.iter().find_map(|peer| check.reference(peer)) {
            report(finding, entry.origin);
        }
    }
    for entry in entries.filter(|entry| entry.direction == Direction::Egress) {
        if let Some(finding) = check.backends(entry) {
            report(finding, entry.origin);
        }
    }
}

/// Reports workloads that change and programs could not follow.
fn workloads(inventory: &Inventory, dialect: Dialect, sink: &mut Sink) {
    let dynamic = inventory.workloads.values().filter(|workload| workload.dynamic);
    for workload in dynamic.filter(|_| dialect == Dialect::Kubernetes) {
        let message = format!(
            "the addresses of `{}` change, and prefixes may select pods here",
            workload.name
        );
        let finding = Diagnostic::error(codes::GROUP_DYNAMIC, workload.span, message);
        sink.push(finding.with_help("build with a dialect of Cilium"));
    }
}

type Finding = (String, &'static str);

struct Check<'a> {
    inventory: &'a Inventory,
    dialect: Dialect,
    dynamic: Vec<&'a CidrGroup>,
}

impl Check<'_> {
    fn reference(&self, peer: &Peer) -> Option<Finding> {
        let Peer::CidrGroups { selector, .. } = peer else { return None };
        if let Some(group) = named(selector, &self.inventory.groups) {
            let message =
                format!("the group `{}` changes, and prefixes may select pods here", group.name);
            let help = "build with a dialect of Cilium, or leave the group's annotation out";
            return (self.dialect == Dialect::Kubernetes).then_some((message, help));
        }
        let sees = |group: &&&CidrGroup| {
            let keys = selector.requirements.iter().map(|requirement| &requirement.key);
            keys.into_iter().any(|key| group.labels.iter().any(|label| label.key == *key))
        };
        let group = self.dynamic.iter().find(sees)?;
        let message =
            format!("a selector asks for labels of the group `{}`, which changes", group.name);
        Some((message, "refer to the group by its name"))
    }

    fn backends(&self, entry: &Entry) -> Option<Finding> {
        let backends = fixed_backends(self.inventory);
        RuntimeSet::all(entry, &self.inventory.groups).find_map(|set| {
            let members = set.members(self.inventory)?;
            let inside = |address: &&IpAddr| members.iter().any(|net| net.contains(*address));
            let address = backends.iter().find(inside)?;
            let message = format!(
                "`{address}` of the group `{}`, which changes, is the backend of a service",
                set.name()
            );
            Some((message, "except the address, and name the service with `toServices`"))
        })
    }
}

/// First and last address of a prefix, as numbers.
fn range(net: &IpNet) -> (u128, u128) {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => u128::from(v6),
    };
    (number(net.network()), number(net.broadcast()))
}

/// The same addresses as ranges apart from each other, ascending.
fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if end.checked_add(1).is_none_or(|next| first <= next) => {
                *end = last.max(*end);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// What is left of ranges without the holes; both apart and ascending.
fn without(ranges: Vec<(u128, u128)>, holes: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut left = Vec::new();
    for (first, last) in ranges {
        let mut next = Some(first);
        for (hole_first, hole_last) in holes {
            let Some(at) = next.filter(|at| at <= hole_last && *hole_first <= last) else {
                continue;
            };
            if at < *hole_first {
                left.push((at, hole_first - 1));
            }
            next = hole_last.checked_add(1);
        }
        left.extend(next.filter(|at| *at <= last).map(|at| (at, last)));
    }
    left
}

/// The fewest prefixes that make up a range, ascending.
fn prefixes((first, last): (u128, u128), is_v4: bool) -> Vec<IpNet> {
    let width: u32 = if is_v4 { 32 } else { 128 };
    let mut prefixes = Vec::new();
    let mut next = Some(first);
    while let Some(at) = next.filter(|at| *at <= last) {
        // As many bits as the first address has zeros, and as the range has room for.
        let room = (last - at).checked_add(1).map_or(128, u128::ilog2);
        let bits = at.trailing_zeros().min(room).min(width);
        let address = if is_v4 {
            // INVARIANT: ends of IPv4 ranges are below 2^32.
            IpAddr::V4(Ipv4Addr::from(at as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(at))
        };
        prefixes.extend(IpNet::new(address, (width - bits) as u8).ok());
        next = 1u128.checked_shl(bits).and_then(|size| at.checked_add(size));
    }
    prefixes
}

#[cfg(test)]
mod tests;

//! Addresses that no rule can tell apart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexSet;
use ipnet::IpNet;
use policyc_base::EntityId;
use policyc_policy::labels::LabelSelector;
use policyc_policy::network::eval::in_groups;
use policyc_policy::network::{Peer, Peers};

use super::PerFamily;
use super::bits::Bits;
use super::build::{PeerPredicate, World};
use super::resolve::Predicate;
use crate::bitset::BitSet;
use crate::intervals::{Cuts, Family, number};
use crate::sweep::Sweep;
use crate::tables::{AddressClass, IntervalTable};

/// The classes, and for each which predicates match it.
pub(super) struct AddressClasses {
    /// Address → class.
    pub(super) intervals: Intervals,
    /// For each class, which of the predicates match.
    pub(super) signatures: Vec<BitSet>,
    /// The class of each workload whose addresses change.
    pub(super) workloads: Vec<AddressClass>,
}

/// The first address of each interval with its class, ascending; neighbours may be of
/// one class. Every known address is an interval.
pub(super) struct Intervals(PerFamily<Vec<(u128, AddressClass)>>);

impl Intervals {
    /// The class of an address.
    pub(super) fn class(&self, address: IpAddr) -> AddressClass {
        let intervals = self.0.get(Family::of(address));
        let next = intervals.partition_point(|(start, _)| *start <= number(address));
        // INVARIANT: the first interval starts at 0.
        intervals[next.saturating_sub(1)].1
    }

    /// Changes the class of a known address.
    pub(super) fn set(&mut self, family: Family, address: u128, class: AddressClass) {
        let intervals = match family {
            Family::V4 => &mut self.0.v4,
            Family::V6 => &mut self.0.v6,
        };
        if let Ok(index) = intervals.binary_search_by_key(&address, |(start, _)| *start) {
            // INVARIANT: the search found it.
            intervals[index].1 = class;
        }
    }

    /// The tables.
    pub(super) fn tables(self) -> PerFamily<IntervalTable> {
        PerFamily {
            v4: IntervalTable::new(Family::V4, self.0.v4),
            v6: IntervalTable::new(Family::V6, self.0.v6),
        }
    }
}

/// The classes of the predicates, whose answers have the places that `bits` says.
/// Between two cuts made by the prefixes in `peers` and the known addresses, no
/// predicate changes its answer.
///
/// A prefix matches an address that it contains, if prefixes may select the address
/// at all. So one sweep knows what prefixes say, and the world is asked about the
/// rest: for each known address about the predicates that may match it, and once for
/// all strangers of a family. Of a stranger a CIDR group says what the groups around it
/// say.
pub(super) fn classify(peers: &[&PeerPredicate], bits: &Bits, world: &World<'_>) -> AddressClasses {
    let mut signatures = IndexSet::new();
    let predicates: Vec<Parts<'_>> = peers.iter().map(|peers| Parts::new(peers)).collect();
    let mut asked = Asked { everybody: Vec::new(), known: BTreeMap::new() };
    for address in &world.known {
        asked.known.insert(address.to_canonical(), Vec::new());
    }
    for (predicate, parts) in predicates.iter().enumerate() {
        asked.add(predicate, parts.candidates(world));
    }
    let has_groups = predicates.iter().any(|parts| !parts.groups.is_empty());
    let mut intervals = |family: Family| {
        let predicates = &predicates[..];
        let family = InFamily { family, predicates, has_groups, bits, asked: &asked, world };
        family.intervals(&mut signatures)
    };
    let intervals = Intervals(PerFamily { v4: intervals(Family::V4), v6: intervals(Family::V6) });
    let workloads = (0..world.workloads).map(|workload| {
        let signature = of_workload(workload, peers, bits, world);
        AddressClass::from_index(signatures.insert_full(signature).0)
    });
    let workloads = workloads.collect();
    AddressClasses { intervals, signatures: signatures.into_iter().collect(), workloads }
}

/// The predicates that match a workload, wherever it is. It is no node, so it looks the
/// same from every viewpoint.
fn of_workload(
    workload: usize,
    peers: &[&PeerPredicate],
    bits: &Bits,
    world: &World<'_>,
) -> BitSet {
    let mut signature = BitSet::new(bits.bound());
    for (index, predicate) in peers.iter().enumerate() {
        let has_port = predicate
            .with_port
            .as_ref()
            .is_none_or(|(name, number)| (world.workload_port)(workload, name) == Some(*number));
        let matches = world.viewpoints > 0
            && has_port
            && (world.workload_matches)(0, &predicate.peers, workload);
        if matches {
            bits.all(index).for_each(|bit| signature.insert(bit));
        }
    }
    signature
}

/// One predicate, taken apart by how it is asked.
struct Parts<'a> {
    predicate: &'a PeerPredicate,
    /// What a known address is asked for beside prefixes.
    of_known: Peers,
    /// What strangers are asked for: neither prefixes nor groups.
    of_strangers: Peers,
    /// Its CIDR groups with their exceptions.
    groups: Vec<(&'a LabelSelector, &'a [IpNet])>,
}

impl<'a> Parts<'a> {
    fn new(predicate: &'a PeerPredicate) -> Self {
        let peers = &predicate.peers;
        if predicate.with_port.is_some() {
            // No stranger has a named port, so all is asked of those who are known.
            let (of_known, of_strangers) = (peers.clone(), Peers::OneOf(Vec::new()));
            return Self { predicate, of_known, of_strangers, groups: Vec::new() };
        }
        let groups = list(peers).iter().filter_map(|peer| match peer {
            Peer::CidrGroups { selector, except } => Some((selector, except.as_slice())),
            _ => None,
        });
        let is_prefix = |peer: &Peer| matches!(peer, Peer::Cidr { .. });
        let is_group = |peer: &Peer| matches!(peer, Peer::CidrGroups { .. });
        Self {
            predicate,
            of_known: without(peers, is_prefix),
            of_strangers: without(peers, |peer| is_prefix(peer) || is_group(peer)),
            groups: groups.collect(),
        }
    }

    /// The known addresses that it may match for another reason than a prefix, and no
    /// other address does; `None` if anybody may be matched.
    fn candidates(&self, world: &World<'_>) -> Option<Vec<IpAddr>> {
        let Some((name, number)) = &self.predicate.with_port else {
            return (world.candidates)(&self.of_known);
        };
        let at = world.named_ports.get(name).into_iter().flatten();
        Some(at.filter(|(_, at)| *at == number).map(|(address, _)| *address).collect())
    }

    /// Every prefix it names, with the holes in it.
    fn prefixes(&self) -> impl Iterator<Item = (IpNet, &'a [IpNet])> {
        let prefixes = list(&self.predicate.peers).iter().filter_map(|peer| match peer {
            Peer::Cidr { net, except } => Some((*net, except.as_slice())),
            _ => None,
        });
        prefixes.filter(|_| self.predicate.with_port.is_none())
    }
}

/// Whom the world is asked about.
struct Asked {
    /// The predicates that may match anybody.
    everybody: Vec<Predicate>,
    /// Every known address, with the other predicates that may match it.
    known: BTreeMap<IpAddr, Vec<Predicate>>,
}

impl Asked {
    fn add(&mut self, predicate: Predicate, candidates: Option<Vec<IpAddr>>) {
        let Some(candidates) = candidates else { return self.everybody.push(predicate) };
        for address in candidates {
            let Some(asked) = self.known.get_mut(&address.to_canonical()) else { continue };
            if asked.last() != Some(&predicate) {
                asked.push(predicate);
            }
        }
    }
}

/// The predicates of one family.
struct InFamily<'a> {
    family: Family,
    predicates: &'a [Parts<'a>],
    /// Whether any of them is about CIDR groups.
    has_groups: bool,
    bits: &'a Bits,
    asked: &'a Asked,
    world: &'a World<'a>,
}

/// What is said of an address without looking at its bits.
#[derive(Clone)]
struct Answers {
    /// The predicates that match for another reason than a prefix.
    others: BitSet,
    /// Whether prefixes may select it.
    is_selectable: bool,
}

impl InFamily<'_> {
    /// Each interval with its class.
    fn intervals(&self, signatures: &mut IndexSet<BitSet>) -> Vec<(u128, AddressClass)> {
        let sweep = self.sweep();
        let mut strangers = None;
        let mut prefixes = BitSet::new(self.bits.bound());
        let cuts = self.cuts();
        let intervals = cuts.starts().map(|start| {
            for changed in sweep.changes_at(start) {
                self.bits.all(*changed).for_each(|bit| prefixes.flip(bit));
            }
            let address = self.family.address(start);
            let known = self.asked.known.get(&address.to_canonical());
            let answers = match known {
                Some(asked) => &self.answers(address, asked, |parts| &parts.of_known),
                None => strangers
                    .get_or_insert_with(|| self.answers(address, &[], |parts| &parts.of_strangers)),
            };
            let mut signature = if answers.is_selectable {
                answers.others.with(&prefixes)
            } else {
                answers.others.clone()
            };
            if known.is_none() && self.has_groups {
                self.add_groups(address, &mut signature);
            }
            (start, AddressClass::from_index(signatures.insert_full(signature).0))
        });
        intervals.collect()
    }

    /// What is said of an address by the predicates that may match anybody, and by
    /// those `asked` of it. Only a node can look different from two viewpoints.
    fn answers(
        &self,
        address: IpAddr,
        asked: &[Predicate],
        part: for<'p> fn(&'p Parts<'_>) -> &'p Peers,
    ) -> Answers {
        let mut others = BitSet::new(self.bits.bound());
        let varies = (self.world.varies_at)(address);
        // Where there is no subject, there is nowhere to look from.
        let matches = |viewpoint, peers: &Peers| {
            viewpoint < self.world.viewpoints && (self.world.matches)(viewpoint, peers, address)
        };
        for predicate in self.asked.everybody.iter().chain(asked).copied() {
            // INVARIANT: predicates are indices of this list.
            let peers = part(&self.predicates[predicate]);
            if varies && self.bits.varies(predicate) {
                let seen =
                    (0..self.world.viewpoints).filter(|viewpoint| matches(*viewpoint, peers));
                seen.for_each(|viewpoint| others.insert(self.bits.bit(viewpoint, predicate)));
            } else if matches(0, peers) {
                self.bits.all(predicate).for_each(|bit| others.insert(bit));
            }
        }
        Answers { others, is_selectable: matches(0, &anything(self.family)) }
    }

    /// What the groups around a stranger say.
    fn add_groups(&self, address: IpAddr, signature: &mut BitSet) {
        let labels = (self.world.group_labels)(address);
        for (predicate, parts) in self.predicates.iter().enumerate() {
            let matches = |(selector, except): &(&LabelSelector, &[IpNet])| {
                in_groups(selector, except, address, &labels)
            };
            if parts.groups.iter().any(matches) {
                self.bits.all(predicate).for_each(|bit| signature.insert(bit));
            }
        }
    }

    fn sweep(&self) -> Sweep {
        let mut sweep = Sweep::default();
        for (index, parts) in self.predicates.iter().enumerate() {
            let prefixes = parts.prefixes().filter(|(net, _)| self.has(*net));
            sweep.add(index, prefixes.flat_map(|(net, holes)| ranges(net, holes)).collect());
        }
        sweep
    }

    fn cuts(&self) -> Cuts {
        let mut cuts = Cuts::new(self.family);
        self.world.known.iter().for_each(|address| cuts.address(*address));
        for (net, holes) in self.predicates.iter().flat_map(Parts::prefixes) {
            cuts.net(net);
            holes.iter().for_each(|hole| cuts.net(*hole));
        }
        for (_, except) in self.predicates.iter().flat_map(|parts| &parts.groups) {
            except.iter().for_each(|hole| cuts.net(*hole));
        }
        if self.has_groups {
            self.world.group_nets.iter().for_each(|net| cuts.net(*net));
        }
        cuts
    }

    fn has(&self, net: IpNet) -> bool {
        Family::of(net.addr()) == self.family
    }
}

fn list(peers: &Peers) -> &[Peer] {
    match peers {
        Peers::Any => &[],
        Peers::OneOf(list) => list,
    }
}

fn without(peers: &Peers, gone: impl Fn(&Peer) -> bool) -> Peers {
    match peers {
        Peers::Any => Peers::Any,
        Peers::OneOf(list) => Peers::OneOf(list.iter().filter(|p| !gone(p)).cloned().collect()),
    }
}

/// The prefix that contains every address of a family.
fn anything(family: Family) -> Peers {
    let net = IpNet::new_assert(family.address(0), 0);
    Peers::OneOf(vec![Peer::Cidr { net, except: Vec::new() }])
}

/// The addresses of a prefix outside its holes, as ranges with inclusive ends.
fn ranges(net: IpNet, holes: &[IpNet]) -> Vec<(u128, u128)> {
    let ends = |net: IpNet| (number(net.network()), number(net.broadcast()));
    let (first, last) = ends(net);
    let mut holes: Vec<_> = holes.iter().map(|hole| ends(*hole)).collect();
    holes.sort_unstable();
    let mut ranges = Vec::new();
    // The first address that no hole so far reaches, if there is one.
    let mut next = Some(first);
    for (hole_first, hole_last) in holes {
        let Some(at) = next.filter(|at| *at <= last) else { break };
        if at < hole_first && at <= last {
            ranges.push((at, last.min(hole_first - 1)));
        }
        next = hole_last.checked_add(1).map(|behind| behind.max(at));
    }
    ranges.extend(next.filter(|at| *at <= last).map(|at| (at, last)));
    ranges
}

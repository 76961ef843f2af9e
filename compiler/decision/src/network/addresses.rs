//! Addresses that no rule can tell apart.

use std::collections::BTreeSet;
use std::net::IpAddr;

use indexmap::IndexSet;
use ipnet::IpNet;
use policyc_base::EntityId;
use policyc_policy::network::{Peer, Peers};

use super::PerFamily;
use super::build::World;
use crate::bitset::BitSet;
use crate::intervals::{Cuts, Family, number};
use crate::sweep::Sweep;
use crate::tables::{AddressClass, IntervalTable};

/// The tables, and for each class which predicates match it.
pub(super) struct AddressClasses {
    /// Address → class.
    pub(super) tables: PerFamily<IntervalTable>,
    /// For each class, which of the predicates match.
    pub(super) signatures: Vec<BitSet>,
}

/// The classes of the predicates (viewpoint, peers), numbered viewpoint by
/// viewpoint. Between two cuts made by the prefixes in `peers` and the known
/// addresses, no predicate changes its answer.
///
/// A prefix matches an address that it contains, if prefixes may select the address
/// at all. So one sweep knows what prefixes say, and the world is asked about the
/// rest, once for each known address and once for all strangers of a family.
pub(super) fn classify(peers: &[&Peers], world: &World<'_>) -> AddressClasses {
    let mut signatures = IndexSet::new();
    let others: Vec<Peers> = peers.iter().map(|peers| without_prefixes(peers)).collect();
    let known = world.known.iter().map(IpAddr::to_canonical).collect();
    let mut table = |family: Family| {
        let family = InFamily { family, peers, others: &others, known: &known, world };
        IntervalTable::new(family.family, family.intervals(&mut signatures))
    };
    let tables = PerFamily { v4: table(Family::V4), v6: table(Family::V6) };
    AddressClasses { tables, signatures: signatures.into_iter().collect() }
}

/// The predicates of one family.
struct InFamily<'a> {
    family: Family,
    peers: &'a [&'a Peers],
    /// The peers without their prefixes.
    others: &'a [Peers],
    known: &'a BTreeSet<IpAddr>,
    world: &'a World<'a>,
}

/// What is said of an address without looking at its bits.
#[derive(Clone)]
struct Answers {
    /// The predicates that match for another reason than a prefix.
    others: BitSet,
    /// The predicates whose prefixes may select it.
    selectable: BitSet,
}

impl InFamily<'_> {
    /// Each interval with its class.
    fn intervals(&self, signatures: &mut IndexSet<BitSet>) -> Vec<(u128, AddressClass)> {
        let sweep = self.sweep();
        let mut strangers = None;
        let mut prefixes = self.empty();
        let cuts = self.cuts();
        let intervals = cuts.starts().map(|start| {
            for changed in sweep.changes_at(start) {
                for viewpoint in 0..self.world.viewpoints {
                    prefixes.flip(viewpoint * self.peers.len() + changed);
                }
            }
            let address = self.family.address(start);
            let answers = if self.known.contains(&address.to_canonical()) {
                &self.answers(address)
            } else {
                strangers.get_or_insert_with(|| self.answers(address))
            };
            let signature = answers.others.with_masked(&prefixes, &answers.selectable);
            (start, AddressClass::from_index(signatures.insert_full(signature).0))
        });
        intervals.collect()
    }

    fn empty(&self) -> BitSet {
        BitSet::new(self.peers.len() * self.world.viewpoints)
    }

    fn answers(&self, address: IpAddr) -> Answers {
        let mut answers = Answers { others: self.empty(), selectable: self.empty() };
        let anything = anything(self.family);
        for viewpoint in 0..self.world.viewpoints {
            let is_selectable = (self.world.matches)(viewpoint, &anything, address);
            for (index, others) in self.others.iter().enumerate() {
                let predicate = viewpoint * self.others.len() + index;
                if (self.world.matches)(viewpoint, others, address) {
                    answers.others.insert(predicate);
                }
                if is_selectable {
                    answers.selectable.insert(predicate);
                }
            }
        }
        answers
    }

    fn sweep(&self) -> Sweep {
        let mut sweep = Sweep::default();
        for (index, peers) in self.peers.iter().enumerate() {
            let prefixes = prefixes(peers).filter(|(net, _)| self.has(*net));
            sweep.add(index, prefixes.flat_map(|(net, holes)| ranges(net, holes)).collect());
        }
        sweep
    }

    fn cuts(&self) -> Cuts {
        let mut cuts = Cuts::new(self.family);
        self.world.known.iter().for_each(|address| cuts.address(*address));
        for (net, holes) in self.peers.iter().flat_map(|peers| prefixes(peers)) {
            cuts.net(net);
            holes.iter().for_each(|hole| cuts.net(*hole));
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

/// Every prefix that a predicate names, with the holes in it.
fn prefixes(peers: &Peers) -> impl Iterator<Item = (IpNet, &[IpNet])> {
    list(peers).iter().filter_map(|peer| match peer {
        Peer::Cidr { net, except } => Some((*net, except.as_slice())),
        Peer::Endpoints(_) | Peer::Entity(_) => None,
    })
}

fn without_prefixes(peers: &Peers) -> Peers {
    match peers {
        Peers::Any => Peers::Any,
        Peers::OneOf(list) => {
            let others = list.iter().filter(|peer| !matches!(peer, Peer::Cidr { .. }));
            Peers::OneOf(others.cloned().collect())
        }
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

//! Addresses that no rule can tell apart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexSet;
use ipnet::IpNet;
use policyc_base::EntityId;
use policyc_policy::network::{Peer, Peers};

use super::PerFamily;
use super::bits::Bits;
use super::build::World;
use super::resolve::Predicate;
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

/// The classes of the predicates, whose answers have the places that `bits` says.
/// Between two cuts made by the prefixes in `peers` and the known addresses, no
/// predicate changes its answer.
///
/// A prefix matches an address that it contains, if prefixes may select the address
/// at all. So one sweep knows what prefixes say, and the world is asked about the
/// rest: for each known address about the predicates that may match it, and once for
/// all strangers of a family.
pub(super) fn classify(peers: &[&Peers], bits: &Bits, world: &World<'_>) -> AddressClasses {
    let mut signatures = IndexSet::new();
    let others: Vec<Peers> = peers.iter().map(|peers| without_prefixes(peers)).collect();
    let mut asked = Asked { everybody: Vec::new(), known: BTreeMap::new() };
    for address in &world.known {
        asked.known.insert(address.to_canonical(), Vec::new());
    }
    for (predicate, others) in others.iter().enumerate() {
        asked.add(predicate, (world.candidates)(others));
    }
    let mut table = |family: Family| {
        let family = InFamily { family, peers, others: &others, bits, asked: &asked, world };
        IntervalTable::new(family.family, family.intervals(&mut signatures))
    };
    let tables = PerFamily { v4: table(Family::V4), v6: table(Family::V6) };
    AddressClasses { tables, signatures: signatures.into_iter().collect() }
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
    peers: &'a [&'a Peers],
    /// The peers without their prefixes.
    others: &'a [Peers],
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
            let answers = match self.asked.known.get(&address.to_canonical()) {
                Some(asked) => &self.answers(address, asked),
                None => strangers.get_or_insert_with(|| self.answers(address, &[])),
            };
            let signature = if answers.is_selectable {
                answers.others.with(&prefixes)
            } else {
                answers.others.clone()
            };
            (start, AddressClass::from_index(signatures.insert_full(signature).0))
        });
        intervals.collect()
    }

    /// What is said of an address by the predicates that may match anybody, and by
    /// those `asked` of it. Only a node can look different from two viewpoints.
    fn answers(&self, address: IpAddr, asked: &[Predicate]) -> Answers {
        let mut others = BitSet::new(self.bits.bound());
        let varies = (self.world.varies_at)(address);
        // Where there is no subject, there is nowhere to look from.
        let matches = |viewpoint, peers: &Peers| {
            viewpoint < self.world.viewpoints && (self.world.matches)(viewpoint, peers, address)
        };
        for predicate in self.asked.everybody.iter().chain(asked).copied() {
            // INVARIANT: predicates are indices of this list.
            let peers = &self.others[predicate];
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

//! Addresses that no rule can tell apart.

use indexmap::IndexSet;
use ipnet::IpNet;
use policyc_base::EntityId;
use policyc_policy::network::{Peer, Peers};
use std::net::IpAddr;

use super::PerFamily;
use crate::bitset::BitSet;
use crate::intervals::{Cuts, Family};
use crate::tables::{AddressClass, IntervalTable};

/// The tables, and for each class which predicates match it.
pub(super) struct AddressClasses {
    /// Address → class.
    pub(super) tables: PerFamily<IntervalTable>,
    /// For each class, which of the predicates match.
    pub(super) signatures: Vec<BitSet>,
}

/// The classes of the predicates `0..count`. Between two cuts made by the prefixes
/// in `peers` and the `known` addresses, no predicate changes its answer.
pub(super) fn classify(
    peers: &[&Peers],
    known: &[IpAddr],
    count: usize,
    matches: impl Fn(usize, IpAddr) -> bool,
) -> AddressClasses {
    let mut signatures = IndexSet::new();
    let mut table = |family: Family| {
        let cuts = cuts(family, peers, known);
        let intervals = cuts.starts().map(|start| {
            let address = family.address(start);
            let mut signature = BitSet::new(count);
            (0..count).filter(|p| matches(*p, address)).for_each(|p| signature.insert(p));
            (start, AddressClass::from_index(signatures.insert_full(signature).0))
        });
        IntervalTable::new(family, intervals)
    };
    let tables = PerFamily { v4: table(Family::V4), v6: table(Family::V6) };
    AddressClasses { tables, signatures: signatures.into_iter().collect() }
}

fn cuts(family: Family, peers: &[&Peers], known: &[IpAddr]) -> Cuts {
    let mut cuts = Cuts::new(family);
    known.iter().for_each(|address| cuts.address(*address));
    peers.iter().flat_map(|p| prefixes(p)).for_each(|net| cuts.net(net));
    cuts
}

/// Every prefix that a predicate names.
fn prefixes(peers: &Peers) -> impl Iterator<Item = IpNet> + '_ {
    let list = match peers {
        Peers::Any => &[][..],
        Peers::OneOf(list) => list,
    };
    list.iter().flat_map(|peer| match peer {
        Peer::Cidr { net, except } => {
            std::iter::once(*net).chain(except.iter().copied()).collect::<Vec<_>>()
        }
        Peer::Endpoints(_) | Peer::Entity(_) => Vec::new(),
    })
}

//! Protocols and ports that no rule can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use policyc_base::EntityId;
use policyc_policy::network::{Ports, protocol};

use crate::bitset::BitSet;
use crate::sweep::Sweep;
use crate::tables::{PortClass, PortSlice, PortTable};

/// The protocols that have ports or types, each with the bits of its port that exist.
const NAMED: [(u8, u16); 5] = [
    (protocol::ICMP, 0xff),
    (protocol::TCP, 0xffff),
    (protocol::UDP, 0xffff),
    (protocol::ICMPV6, 0xff),
    (protocol::SCTP, 0xffff),
];

/// The table, and for each class which predicates match it.
pub(super) struct PortClasses {
    /// (Protocol, port) → class.
    pub(super) table: PortTable,
    /// For each class, which of the predicates match.
    pub(super) signatures: Vec<BitSet>,
}

/// The classes of a list of distinct predicates.
pub(super) fn classify(predicates: &[Ports]) -> PortClasses {
    let mut builder = Builder::default();
    // A protocol that no entry names: only port-less entries match it.
    let unnamed = builder.class(signature(predicates, |p| matches!(p, Ports::Any)));
    let shared = builder.slice(vec![unnamed], 0);
    let mut protocols = vec![shared; 256];
    for (number, mask) in NAMED {
        let classes = protocol_classes(&mut builder, predicates, number, mask);
        protocols[usize::from(number)] = builder.slice(classes, mask);
    }
    // Protocols without ports that some entry names.
    let named = predicates.iter().flat_map(Ports::numbers).map(|m| m.protocol);
    for number in named.filter(|number| NAMED.iter().all(|(known, _)| known != number)) {
        let classes = protocol_classes(&mut builder, predicates, number, 0);
        protocols[usize::from(number)] = builder.slice(classes, 0);
    }
    let count = builder.signatures.len();
    let signatures = builder.signatures.into_keys().collect();
    PortClasses { table: PortTable { protocols, classes: builder.classes, count }, signatures }
}

/// The class of every port of one protocol.
fn protocol_classes(
    builder: &mut Builder,
    predicates: &[Ports],
    number: u8,
    mask: u16,
) -> Vec<PortClass> {
    let mut cuts = BTreeSet::from([0u32]);
    for m in predicates.iter().flat_map(Ports::numbers).filter(|m| m.protocol == number) {
        cuts.insert(u32::from(m.first));
        cuts.insert(u32::from(m.last) + 1);
    }
    let end = u32::from(mask) + 1;
    let starts: Vec<u32> = cuts.into_iter().filter(|c| *c < end).collect();
    let sweep = sweep(predicates, number);
    let mut matching = signature(predicates, |p| matches!(p, Ports::Any));
    let mut classes = Vec::with_capacity(end as usize);
    for (i, start) in starts.iter().enumerate() {
        let next = starts.get(i + 1).copied().unwrap_or(end);
        sweep.changes_at(u128::from(*start)).iter().for_each(|p| matching.flip(*p));
        let class = builder.class(matching.clone());
        classes.extend(std::iter::repeat_n(class, (next - start) as usize));
    }
    classes
}

/// Where the predicates that name ports of a protocol match.
fn sweep(predicates: &[Ports], number: u8) -> Sweep {
    let mut sweep = Sweep::default();
    for (index, predicate) in predicates.iter().enumerate() {
        let own = predicate.numbers().iter().filter(|m| m.protocol == number);
        sweep.add(index, own.map(|m| (m.first.into(), m.last.into())).collect());
    }
    sweep
}

fn signature(predicates: &[Ports], matches: impl Fn(&Ports) -> bool) -> BitSet {
    let mut set = BitSet::new(predicates.len());
    for (i, predicate) in predicates.iter().enumerate() {
        if matches(predicate) {
            set.insert(i);
        }
    }
    set
}

#[derive(Default)]
struct Builder {
    signatures: IndexMap<BitSet, ()>,
    classes: Vec<PortClass>,
    slices: BTreeMap<Vec<PortClass>, PortSlice>,
}

impl Builder {
    fn class(&mut self, signature: BitSet) -> PortClass {
        PortClass::from_index(self.signatures.insert_full(signature, ()).0)
    }

    /// The place of a protocol's classes, shared with equal ones and shrunk to one
    /// class where the port makes no difference.
    fn slice(&mut self, mut classes: Vec<PortClass>, mask: u16) -> PortSlice {
        let uniform = classes.windows(2).all(|w| w[0] == w[1]);
        let mask = if uniform { 0 } else { mask };
        if uniform {
            classes.truncate(1);
        }
        if let Some(slice) = self.slices.get(&classes) {
            return *slice;
        }
        // INVARIANT: at most five slices of 2^16 classes, and 251 of one.
        let slice = PortSlice { base: self.classes.len() as u32, mask };
        self.classes.extend_from_slice(&classes);
        self.slices.insert(classes, slice);
        slice
    }
}

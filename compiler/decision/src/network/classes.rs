//! Which entries speak about which class.
//!
//! The work is what classes and entries have in common, not their product.

use std::collections::HashMap;

use super::bits::Bits;
use super::build::{Predicates, Viewpoint};
use super::ports::PortClasses;
use super::resolve::DirectionRules;
use crate::bitset::BitSet;

/// The classes of addresses and of ports, as rows are made of them.
pub(super) struct Classes<'a> {
    /// Where the answers of predicates about peers stand.
    pub(super) bits: &'a Bits,
    /// For each class of addresses the bits that are set, ascending.
    pub(super) of_addresses: Vec<Vec<usize>>,
    /// For each bit the classes of addresses in which it is set.
    pub(super) of_bits: Vec<Vec<usize>>,
    /// For each predicate about ports the classes that it matches.
    pub(super) of_ports: Vec<Vec<usize>>,
    /// Number of classes of ports.
    pub(super) port_classes: usize,
}

impl<'a> Classes<'a> {
    pub(super) fn new(
        bits: &'a Bits,
        addresses: &[BitSet],
        predicates: &Predicates,
        ports: &PortClasses,
    ) -> Self {
        let of_addresses = addresses.iter().map(|class| class.iter().collect());
        let of_addresses: Vec<Vec<usize>> = of_addresses.collect();
        let count = of_addresses.iter().flatten().max().map_or(0, |last| last + 1);
        let mut of_bits = vec![Vec::new(); count];
        for (class, bits) in of_addresses.iter().enumerate() {
            bits.iter().for_each(|bit| of_bits[*bit].push(class));
        }
        let mut of_ports = vec![Vec::new(); predicates.ports.len()];
        for (class, signature) in ports.signatures.iter().enumerate() {
            // INVARIANT: signatures are sets of predicates.
            signature.iter().for_each(|predicate| of_ports[predicate].push(class));
        }
        Self { bits, of_addresses, of_bits, of_ports, port_classes: ports.signatures.len() }
    }
}

/// The entries of one direction's rules by the bit that their peers have.
pub(super) struct Speaking {
    by_bit: HashMap<usize, Vec<usize>>,
}

impl Speaking {
    pub(super) fn new(rules: &DirectionRules, viewpoint: Viewpoint, classes: &Classes<'_>) -> Self {
        let mut by_bit: HashMap<_, Vec<_>> = HashMap::new();
        for (at, entry) in rules.entries.iter().enumerate() {
            by_bit.entry(classes.bits.bit(viewpoint, entry.peers)).or_default().push(at);
        }
        Self { by_bit }
    }

    /// For each class of addresses whether any entry speaks about it.
    pub(super) fn classes(&self, classes: &Classes<'_>) -> Vec<bool> {
        let mut spoken_of = vec![false; classes.of_addresses.len()];
        let lists = self.by_bit.keys().filter_map(|bit| classes.of_bits.get(*bit));
        // INVARIANT: the lists hold classes.
        lists.flatten().for_each(|class| spoken_of[*class] = true);
        spoken_of
    }

    /// The entries that speak about a class, in the order they are asked; `class` is
    /// the bits of its signature that are set, ascending.
    pub(super) fn about(&self, class: &[usize]) -> Vec<usize> {
        let mut about: Vec<usize> = if self.by_bit.len() < class.len() {
            let matching = self.by_bit.iter().filter(|(bit, _)| class.binary_search(bit).is_ok());
            matching.flat_map(|(_, entries)| entries).copied().collect()
        } else {
            let matching = class.iter().filter_map(|bit| self.by_bit.get(bit));
            matching.flatten().copied().collect()
        };
        about.sort_unstable();
        about
    }
}

//! The rules that may include another one, so that not every rule has to be held against
//! every other.
//!
//! A rule can only include another if its subject asks for nothing that the other's does
//! not ask for, and, where its peers are prefixes, if one of these contains the other's
//! first. So each rule stands under one thing that its subject asks for and under its
//! prefixes, and is looked for there.
//!
//! Guarantees: whatever [`super::cover`] says of two rules, the broader is among the
//! candidates of the narrower.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;

use super::shadow::Placed;
use crate::labels::{LabelSelector, Operator, Requirement};
use crate::network::types::{Peer, Peers, Subject};

/// One thing that a subject asks for: the kind of subject, the label's source and key,
/// and its value if it must have exactly this one.
type Wanted<'a> = (bool, &'a str, &'a str, Option<&'a str>);

/// What a rule is found by: nothing if its subject is everybody, or its peers are not
/// all prefixes.
type Key<'a> = (Option<Wanted<'a>>, Option<IpNet>);

/// Rules by what they are found by.
pub(super) struct Candidates<'a> {
    by_key: HashMap<Key<'a>, Vec<usize>>,
    /// The lengths of all prefixes, so that no others are asked for.
    lengths: BTreeSet<u8>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(all: &[Placed<'a>]) -> Self {
        let mut counts: BTreeMap<Wanted<'a>, usize> = BTreeMap::new();
        for placed in all {
            wanted(&placed.rule.subject).for_each(|w| *counts.entry(w).or_default() += 1);
        }
        let mut found = Self { by_key: HashMap::new(), lengths: BTreeSet::new() };
        for (index, placed) in all.iter().enumerate() {
            // Few others ask for the rarest.
            let rarest = wanted(&placed.rule.subject).min_by_key(|w| (w.3.is_none(), counts[w]));
            for net in nets(&placed.entry.peers) {
                found.lengths.extend(net.map(|net| net.prefix_len()));
                found.by_key.entry((rarest, net)).or_default().push(index);
            }
        }
        found
    }

    /// Lists of the rules that may include this one, each in their order.
    pub(super) fn of(&self, narrow: &Placed<'a>) -> impl Iterator<Item = &[usize]> {
        let wanted: BTreeSet<_> = wanted(&narrow.rule.subject)
            .flat_map(|w| [w, (w.0, w.1, w.2, None)])
            .map(Some)
            .chain([None])
            .collect();
        let nets: Vec<_> = [None].into_iter().chain(self.around(&narrow.entry.peers)).collect();
        let keys =
            wanted.into_iter().flat_map(move |w| nets.clone().into_iter().map(move |n| (w, n)));
        keys.filter_map(|key| self.by_key.get(&key).map(Vec::as_slice))
    }

    /// The prefixes that contain the first peer, if that is one.
    fn around(&self, peers: &Peers) -> Vec<Option<IpNet>> {
        let Peers::OneOf(list) = peers else { return Vec::new() };
        let Some(Peer::Cidr { net, .. }) = list.first() else { return Vec::new() };
        let lengths = self.lengths.iter().filter(|length| **length <= net.prefix_len());
        let around = lengths.filter_map(|length| IpNet::new(net.addr(), *length).ok());
        around.map(|net| Some(net.trunc())).collect()
    }
}

/// What a subject asks for. Two that are alike say the same of others.
fn wanted(subject: &Subject) -> impl Iterator<Item = Wanted<'_>> {
    let (nodes, selector): (bool, &LabelSelector) = match subject {
        Subject::Endpoints(selector) => (false, selector),
        Subject::Nodes(selector) => (true, selector),
    };
    selector.requirements.iter().map(move |Requirement { source, key, operator }| {
        let value = match operator {
            Operator::In(values) => {
                let first = values.first().filter(|first| values.iter().all(|v| v == *first));
                first.map(String::as_str)
            }
            _ => None,
        };
        (nodes, source.as_str(), key.as_str(), value)
    })
}

/// The prefixes that peers are; nothing, once, where they are not only prefixes.
fn nets(peers: &Peers) -> BTreeSet<Option<IpNet>> {
    let Peers::OneOf(list) = peers else { return BTreeSet::from([None]) };
    let net = |peer: &Peer| match peer {
        Peer::Cidr { net, .. } => Some(*net),
        _ => None,
    };
    let nets: BTreeSet<_> = list.iter().map(net).collect();
    if nets.contains(&None) { BTreeSet::from([None]) } else { nets }
}

#[cfg(test)]
mod tests;

//! Rules that decide nothing for anybody there is, though no single rule decides all
//! that they match: several do together, or whoever they are about is spoken of by
//! another name as well.

use std::collections::BTreeSet;

use policyc_base::{Code, Diagnostic, Origin, OriginTable, Sink, Span};

use super::shadows;
use crate::codes;
use crate::inventory::Inventory;
use crate::labels::Labels;
use crate::network::types::{Dialect, Entry, Peer, Peers, Rule};

/// Findings that say already why a rule decides nothing.
const TOLD: &[Code] = &[
    codes::LIST_EMPTY,
    codes::SELECTS_NOBODY,
    codes::ENTITY_NOBODY,
    codes::RULE_EMPTY,
    codes::WORLD_BY_LABEL,
    codes::PORT_NAME_NOBODY,
    codes::CIDR_OF_SOMEBODY,
    codes::PORT_NAME_SEVERAL,
    codes::PEER_EMPTY,
    codes::SHADOWED,
    codes::USELESS,
];

/// Warns of the entries that are not among `deciding`, those which decide something in
/// the tables of a complete inventory; but not of what another finding tells already,
/// of what another policy says as well, nor of peers who have no address yet.
pub fn idle(
    rules: &[Rule],
    deciding: &BTreeSet<Origin>,
    inventory: &Inventory,
    dialect: Dialect,
    origins: &OriginTable,
    sink: &mut Sink,
) {
    let shadowed: BTreeSet<Origin> =
        shadows(rules, dialect).into_iter().map(|(_, narrow)| narrow).collect();
    let told = places(sink);
    let workloads = inventory.workloads.values();
    let absent = workloads.filter(|w| w.addresses.is_empty()).map(|w| &w.labels);
    let absent: Vec<&Labels> = absent.collect();
    let mut findings = Vec::new();
    for entry in rules.iter().flat_map(|rule| &rule.entries) {
        if deciding.contains(&entry.origin) || shadowed.contains(&entry.origin) {
            continue;
        }
        if may_be_absent(entry, &absent) {
            continue;
        }
        let Some(span) = origins.get(entry.origin).and_then(|info| info.span) else { continue };
        let in_entry = Span { end: span.start, ..span }..=Span { start: span.end, ..span };
        if told.range(in_entry).next().is_some() {
            continue;
        }
        let message = "the rule decides nothing: others decide all that it matches here";
        let place = Span { end: span.start, ..span };
        let finding = Diagnostic::warning(codes::IDLE, place, message);
        findings.push(finding.with_help("narrow the others, or leave this one out"));
    }
    findings.into_iter().for_each(|finding| sink.push(finding));
}

/// Whether a peer may be among workloads without addresses, such as those of a
/// Deployment, which are not in the tables, or is somebody else tomorrow.
fn may_be_absent(entry: &Entry, absent: &[&Labels]) -> bool {
    let Peers::OneOf(peers) = &entry.peers else { return false };
    peers.iter().any(|peer| match peer {
        Peer::Endpoints(selector) => absent.iter().any(|labels| selector.matches(labels)),
        Peer::Entity(_) | Peer::Services(_) => !absent.is_empty(),
        // Who is in a group changes, and the policy does not.
        Peer::CidrGroups { .. } => true,
        Peer::Cidr { .. } | Peer::Nodes { .. } => false,
    })
}

/// Where it is told already, labels among it.
fn places(sink: &Sink) -> BTreeSet<Span> {
    let told = sink.iter().filter(|finding| TOLD.contains(&finding.code));
    told.flat_map(|finding| {
        finding.span.into_iter().chain(finding.labels.iter().map(|label| label.span))
    })
    .collect()
}

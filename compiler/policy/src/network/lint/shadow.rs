//! Rules that decide nothing because other rules decide all that they match.
//!
//! What is reported is so in every inventory. A rule that only happens to be idle
//! among those who are there now is not reported: it may be needed tomorrow.

use std::collections::BTreeMap;

use policyc_base::{Diagnostic, Origin, OriginTable, Severity, Sink, Span};

use super::candidates::Candidates;
use super::cover;
use crate::codes;
use crate::network::types::{Dialect, Direction, Entry, EntryVerdict, Peers, Ports, Rule, Tier};

/// Most pairs of rules that are looked at, so that the work stays bounded. Beyond
/// them nothing more is found, and P0544 says so.
const PAIRS: usize = 4_000_000;

/// Most narrower rules that are pointed to.
const SHOWN: usize = 3;

/// An entry with the rule it is of.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) rule: &'a Rule,
    pub(super) entry: &'a Entry,
}

/// A rule that decides nothing, and the one that decides in its stead.
#[derive(Clone, Copy)]
struct Shadow<'a> {
    broad: Placed<'a>,
    narrow: Placed<'a>,
}

/// What was found.
#[derive(Default)]
struct Found<'a> {
    shadows: Vec<Shadow<'a>>,
    /// The first rule that was not held against the others, and how many were not.
    left: Option<(Placed<'a>, usize)>,
}

/// The rules that decide nothing: the origin of each, behind that of the rule which
/// decides in its stead. Without any of them no verdict is another, whoever there is.
pub fn shadows(rules: &[Rule], dialect: Dialect) -> Vec<(Origin, Origin)> {
    let found = find(rules, dialect, PAIRS).shadows;
    found.iter().map(|s| (s.broad.entry.origin, s.narrow.entry.origin)).collect()
}

/// Warns of rules that decide nothing: of those whose flows other rules decide
/// otherwise (P0540), and of those that a broader rule of the same kind makes useless
/// (P0541).
pub fn shadowed(rules: &[Rule], dialect: Dialect, origins: &OriginTable, sink: &mut Sink) {
    shadowed_within(PAIRS, rules, dialect, origins, sink);
}

/// The same, looking at no more than so many pairs of rules.
pub fn shadowed_within(
    pairs: usize,
    rules: &[Rule],
    dialect: Dialect,
    origins: &OriginTable,
    sink: &mut Sink,
) {
    let mut useless: BTreeMap<Origin, Vec<Shadow<'_>>> = BTreeMap::new();
    let found = find(rules, dialect, pairs);
    for shadow in found.shadows {
        let Shadow { broad, narrow } = shadow;
        if broad.entry.verdict != narrow.entry.verdict {
            report_shadow(&narrow, &broad, origins, sink);
        } else if is_worth_telling(&broad, &narrow, dialect) {
            useless.entry(broad.entry.origin).or_default().push(shadow);
        }
    }
    useless.values().for_each(|of_one| report_useless(of_one, origins, sink));
    if let Some((first, count)) = found.left {
        report_left(&first, count, origins, sink);
    }
}

fn find(rules: &[Rule], dialect: Dialect, most: usize) -> Found<'_> {
    let mut found = Found::default();
    let mut pairs = 0;
    for direction in Direction::BOTH {
        let all: Vec<Placed<'_>> = rules
            .iter()
            .flat_map(|rule| rule.entries.iter().map(move |entry| Placed { rule, entry }))
            .filter(|placed| placed.entry.direction == direction && !is_empty(placed.entry))
            .collect();
        let passes = passes(&all);
        let candidates = Candidates::new(&all);
        for (at, narrow) in all.iter().enumerate() {
            if pairs >= most {
                let (first, count) = found.left.unwrap_or((*narrow, 0));
                found.left = Some((first, count + all.len() - at));
                break;
            }
            let mut decides = |broad: &&usize| {
                pairs += 1;
                let broad = &all[**broad];
                includes(broad, narrow, dialect) && comes_first(broad, narrow, &passes)
            };
            let firsts = candidates.of(narrow).filter_map(|list| list.iter().find(&mut decides));
            let first = firsts.min().map(|at| all[*at]);
            found.shadows.extend(first.map(|broad| Shadow { broad, narrow: *narrow }));
        }
    }
    found
}

fn is_empty(entry: &Entry) -> bool {
    matches!(&entry.peers, Peers::OneOf(list) if list.is_empty())
        || matches!(&entry.ports, Ports::OneOf(list) if list.is_empty())
}

/// Where something is passed on: tier, and the first priority that does.
fn passes(all: &[Placed<'_>]) -> Vec<(Tier, u32)> {
    let passes = all.iter().filter(|placed| placed.entry.verdict == EntryVerdict::Pass);
    passes.map(|placed| (placed.entry.tier, placed.entry.priority)).collect()
}

fn includes(broad: &Placed<'_>, narrow: &Placed<'_>, dialect: Dialect) -> bool {
    !std::ptr::eq(broad.entry, narrow.entry)
        && cover::ports(&broad.entry.ports, &narrow.entry.ports)
        && cover::peers(&broad.entry.peers, &narrow.entry.peers, dialect)
        && cover::subject(&broad.rule.subject, &narrow.rule.subject)
}

/// Whether the broader of two entries is asked before the other for every flow of it,
/// and speaks for it then.
fn comes_first(broad: &Placed<'_>, narrow: &Placed<'_>, passes: &[(Tier, u32)]) -> bool {
    let (a, b) = (broad.entry, narrow.entry);
    // What an audited rule denies goes on to the next.
    if a.verdict == EntryVerdict::Deny && a.audit {
        return false;
    }
    if a.verdict == EntryVerdict::Pass && a.tier != b.tier {
        return false;
    }
    // A pass before it may take the flow out of its tier.
    let may_be_passed = |at: &(Tier, u32)| at.0 == a.tier && at.1 < a.priority;
    if a.tier != b.tier && passes.iter().any(may_be_passed) {
        return false;
    }
    let order = |entry: &Entry| (entry.tier, entry.priority, entry.verdict);
    match order(a).cmp(&order(b)) {
        std::cmp::Ordering::Less => true,
        // Of two that say the same, the broader makes the other useless; of two that
        // include each other, the first.
        std::cmp::Ordering::Equal => a.origin < b.origin || !is_included_by(a, b),
        std::cmp::Ordering::Greater => false,
    }
}

fn is_included_by(a: &Entry, b: &Entry) -> bool {
    a.peers == b.peers && a.ports == b.ports
}

/// Two policies of different owners may well say the same. What is worth telling is
/// that one policy repeats itself, or that a broader rule cancels what a narrower one
/// is there for: its peers or its ports.
fn is_worth_telling(broad: &Placed<'_>, narrow: &Placed<'_>, dialect: Dialect) -> bool {
    if broad.rule.manner.policy == narrow.rule.manner.policy {
        return true;
    }
    let is_narrower = !cover::ports(&narrow.entry.ports, &broad.entry.ports)
        || !cover::peers(&narrow.entry.peers, &broad.entry.peers, dialect);
    narrow.entry.verdict == EntryVerdict::Allow && is_narrower
}

fn start(placed: &Placed<'_>, origins: &OriginTable) -> Option<Span> {
    let span = origins.get(placed.entry.origin)?.span?;
    Some(Span { end: span.start, ..span })
}

fn name(placed: &Placed<'_>, origins: &OriginTable) -> String {
    let info = origins.get(placed.entry.origin);
    info.map_or_else(String::new, |info| format!("{} {}", info.policy, info.rule))
}

fn report_shadow(narrow: &Placed<'_>, broad: &Placed<'_>, origins: &OriginTable, sink: &mut Sink) {
    let (Some(here), Some(there)) = (start(narrow, origins), start(broad, origins)) else { return };
    let does = match broad.entry.verdict {
        EntryVerdict::Deny => "denies",
        EntryVerdict::Allow => "allows",
        EntryVerdict::Pass => "passes on",
    };
    let message = format!("the rule decides nothing: `{}` {does} all of it", name(broad, origins));
    let finding = Diagnostic::warning(codes::SHADOWED, here, message);
    let finding = finding.with_label(there, "this rule is asked first");
    sink.push(finding.with_help("narrow the other rule, or leave this one out"));
}

fn report_left(first: &Placed<'_>, count: usize, origins: &OriginTable, sink: &mut Sink) {
    let Some(here) = start(first, origins) else { return };
    let message = format!("{count} rules, this one first, were not held against all others");
    let finding = Diagnostic::warning(codes::NOT_COMPARED, here, message);
    let finding = finding.with_severity(Severity::Note);
    sink.push(finding.with_help("check fewer policies at once to find those that decide nothing"));
}

/// Reports a broad rule once, with all that it makes useless.
fn report_useless(shadows: &[Shadow<'_>], origins: &OriginTable, sink: &mut Sink) {
    let Some(Shadow { broad, narrow }) = shadows.first() else { return };
    let Some(here) = start(broad, origins) else { return };
    let first = name(narrow, origins);
    let message = match shadows.len() {
        1 => format!("the rule includes `{first}`, which adds nothing to it"),
        n => format!("the rule includes `{first}` and {} more, which add nothing to it", n - 1),
    };
    let mut finding = Diagnostic::warning(codes::USELESS, here, message);
    for shadow in shadows.iter().take(SHOWN) {
        if let Some(there) = start(&shadow.narrow, origins) {
            finding = finding.with_label(there, "this rule adds nothing");
        }
    }
    sink.push(finding.with_help("narrow this rule, or leave the other out"));
}

//! Two policies of one tier and priority that may disagree about a flow: which of
//! them is asked first is left to the implementation, and here depends on the index
//! of the rule.

use std::collections::BTreeMap;

use policyc_base::{Diagnostic, OriginTable, Severity, Sink, Span};

use crate::codes;
use crate::labels::{LabelSelector, Operator};
use crate::network::types::{Entry, PortMatch, Ports, Rule, Subject, Tier};

/// Most earlier policies of the same priority that one is held against, so that the
/// work stays bounded. Where there are more and none of these disagrees, P0544 says so.
const COMPARED: usize = 64;

/// Warns of policies of administrators that have a tier and a priority in common and
/// may disagree: once for each policy, at the later one.
pub fn contradictions(rules: &[Rule], origins: &OriginTable, sink: &mut Sink) {
    let mut seen: BTreeMap<(Tier, u32), Vec<&Rule>> = BTreeMap::new();
    let mut left: Vec<&Rule> = Vec::new();
    for rule in rules {
        let Some(first) = rule.entries.iter().min_by_key(|entry| entry.priority) else { continue };
        if first.tier == Tier::NORMAL {
            continue;
        }
        let earlier = seen.entry((first.tier, first.priority)).or_default();
        let recent = earlier.iter().rev().take(COMPARED);
        if let Some(other) = recent.into_iter().find(|other| may_disagree(rule, other)) {
            report(rule, other, first.priority / 100, origins, sink);
        } else if earlier.len() > COMPARED {
            left.push(rule);
        }
        earlier.push(rule);
    }
    if let Some(here) = left.first().and_then(|rule| start(rule, origins)) {
        let count = left.len();
        let message = format!(
            "{count} policies, this one first, were not held against all of their priority"
        );
        let finding = Diagnostic::warning(codes::NOT_COMPARED, here, message);
        let finding = finding.with_severity(Severity::Note);
        sink.push(
            finding.with_help("give them different priorities: the lower one is asked first"),
        );
    }
}

fn start(rule: &Rule, origins: &OriginTable) -> Option<Span> {
    let span = origins.get(rule.origin)?.span?;
    Some(Span { end: span.start, ..span })
}

fn report(rule: &Rule, other: &Rule, priority: u32, origins: &OriginTable, sink: &mut Sink) {
    let name = |rule: &Rule| origins.get(rule.origin).map_or("?", |info| info.policy.as_str());
    let (Some(here), Some(there)) = (start(rule, origins), start(other, origins)) else { return };
    let message = format!(
        "`{}` and `{}` both have priority {priority} and may disagree",
        name(rule),
        name(other)
    );
    let finding = Diagnostic::warning(codes::PRIORITY_TWICE, here, message);
    let finding = finding.with_label(there, "the other policy");
    sink.push(finding.with_help("give them different priorities: the lower one is asked first"));
}

fn may_disagree(a: &Rule, b: &Rule) -> bool {
    let contradicts = |a: &Entry, b: &Entry| {
        a.direction == b.direction && a.verdict != b.verdict && ports_meet(&a.ports, &b.ports)
    };
    subjects_may_meet(&a.subject, &b.subject)
        && a.entries.iter().any(|x| b.entries.iter().any(|y| contradicts(x, y)))
}

fn ports_meet(a: &Ports, b: &Ports) -> bool {
    let (Ports::OneOf(a), Ports::OneOf(b)) = (a, b) else { return true };
    let meet = |a: &PortMatch, b: &PortMatch| {
        a.protocol == b.protocol && a.first <= b.last && b.first <= a.last
    };
    a.iter().any(|x| b.iter().any(|y| meet(x, y)))
}

pub(super) fn subjects_may_meet(a: &Subject, b: &Subject) -> bool {
    match (a, b) {
        (Subject::Endpoints(a), Subject::Endpoints(b)) | (Subject::Nodes(a), Subject::Nodes(b)) => {
            selectors_may_meet(a, b)
        }
        _ => false,
    }
}

/// Whether somebody could have what both ask for, as far as single requirements tell.
fn selectors_may_meet(a: &LabelSelector, b: &LabelSelector) -> bool {
    let excludes = |a: &Operator, b: &Operator| match (a, b) {
        (Operator::In(a), Operator::In(b)) => !a.iter().any(|value| b.contains(value)),
        (Operator::In(_) | Operator::Exists, Operator::DoesNotExist)
        | (Operator::DoesNotExist, Operator::In(_) | Operator::Exists) => true,
        _ => false,
    };
    !a.requirements.iter().any(|x| {
        let same = b.requirements.iter().filter(|y| x.key == y.key && x.source == y.source);
        same.into_iter().any(|y| excludes(&x.operator, &y.operator))
    })
}

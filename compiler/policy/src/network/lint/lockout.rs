//! Policies about hosts that would lock out whoever administers them.

use policyc_base::{Diagnostic, OriginTable, Sink, Span};

use super::priority::subjects_may_meet;
use crate::codes;
use crate::network::eval::ports_match;
use crate::network::types::{Direction, Entry, EntryVerdict, Peers, Rule, Subject, protocol};

/// The port of SSH.
const SSH: u16 = 22;

/// Warns of a policy that denies hosts everything by default while no rule lets
/// anybody in to SSH. Once in a run: one rule is enough to mend it.
pub fn lockout(rules: &[Rule], origins: &OriginTable, sink: &mut Sink) {
    let denying = rules.iter().filter(|rule| matches!(rule.subject, Subject::Nodes(_)));
    let denying = denying.filter(|rule| rule.default_deny.ingress && !rule.manner.audit);
    let lets_in = |rule: &Rule| {
        rules
            .iter()
            .filter(|other| subjects_may_meet(&rule.subject, &other.subject))
            .any(|other| other.entries.iter().any(lets_ssh_in))
    };
    let Some(rule) = denying.into_iter().find(|rule| !lets_in(rule)) else { return };
    let message = "hosts deny by default, and no rule lets anybody in to SSH (22/TCP)";
    let help =
        "allow it from where you administer the hosts, or `enableDefaultDeny: {ingress: false}`";
    report(rule, message.to_owned(), help, origins, sink);
}

fn lets_ssh_in(entry: &Entry) -> bool {
    let somebody = !matches!(&entry.peers, Peers::OneOf(list) if list.is_empty());
    entry.direction == Direction::Ingress
        && entry.verdict == EntryVerdict::Allow
        && somebody
        // A host has no ports with names.
        && ports_match(&entry.ports, protocol::TCP, SSH, |_| None)
}

fn report(rule: &Rule, message: String, help: &str, origins: &OriginTable, sink: &mut Sink) {
    let Some(span) = origins.get(rule.origin).and_then(|info| info.span) else { return };
    let place = Span { end: span.start, ..span };
    sink.push(Diagnostic::warning(codes::LOCKOUT, place, message).with_help(help));
}

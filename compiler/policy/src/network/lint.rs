//! What is accepted and probably not meant: what only all policies together, or an
//! inventory, can tell.

mod candidates;
mod cover;
mod idle;
mod lockout;
mod management;
mod priority;
mod shadow;

use std::collections::BTreeSet;

use policyc_base::{Diagnostic, Origin, OriginTable, Severity, Sink, Span};

use super::eval::selects;
use super::types::{Peer, Peers, Rule, Subject};
use crate::codes;
use crate::inventory::{ByLabel, Identity, Inventory};
use crate::labels::{LabelSelector, Operator, RESERVED, SERVICE_ACCOUNT};
use crate::yaml::closest;

pub use idle::idle;
pub use lockout::lockout;
pub use management::management;
pub use priority::contradictions;
pub use shadow::{shadowed, shadowed_within, shadows};

/// Reports every selector of the rules that matches nobody: as an error if the
/// inventory is complete, else as a warning.
pub fn unmatched(rules: &[Rule], inventory: &Inventory, origins: &OriginTable, sink: &mut Sink) {
    let mut lint = Lint { inventory, workloads: ByLabel::new(inventory), origins, sink };
    for rule in rules {
        lint.subject(rule);
        for entry in &rule.entries {
            let Peers::OneOf(peers) = &entry.peers else { continue };
            for peer in peers {
                lint.peer(peer, entry.origin);
            }
        }
    }
}

/// The name in `namespace/name`.
fn name(full: &str) -> &str {
    full.split_once('/').map_or(full, |(_, name)| name)
}

struct Lint<'a> {
    inventory: &'a Inventory,
    workloads: ByLabel<'a>,
    origins: &'a OriginTable,
    sink: &'a mut Sink,
}

impl Lint<'_> {
    fn subject(&mut self, rule: &Rule) {
        let inventory = self.inventory;
        let (found, selector) = match &rule.subject {
            Subject::Endpoints(selector) => (self.is_somebody(selector), selector),
            Subject::Nodes(selector) => {
                let mut all = inventory.nodes.ids().map(Identity::Node);
                (all.any(|i| selects(&rule.subject, i, inventory)), selector)
            }
        };
        if !found {
            self.report("the policy is about nobody", selector, rule.origin);
        }
    }

    fn peer(&mut self, peer: &Peer, origin: Origin) {
        let Peer::Endpoints(selector) = peer else { return };
        let reserved = selector.requirements.iter().any(|r| r.source == RESERVED);
        if !reserved && !self.is_somebody(selector) {
            self.report("a peer is nobody", selector, origin);
        }
    }

    /// Whether a workload has what the selector asks for.
    fn is_somebody(&self, selector: &LabelSelector) -> bool {
        let candidates = self.workloads.candidates(selector);
        candidates.into_iter().any(|id| selector.matches(&self.inventory.workloads[id].labels))
    }

    fn report(&mut self, what: &str, selector: &LabelSelector, origin: Origin) {
        let Some(span) = self.origins.get(origin).and_then(|info| info.span) else { return };
        let place = Span { end: span.start, ..span };
        let message = format!("{what}: no workload or node has `{selector}`");
        let mut finding = Diagnostic::warning(codes::SELECTS_NOBODY, place, message);
        if self.inventory.complete {
            finding = finding.with_severity(Severity::Error);
        }
        if let Some(help) = self.account(selector) {
            finding = finding.with_help(help);
        }
        self.sink.push(finding);
    }

    /// What to say of a service account that is not there.
    fn account(&self, selector: &LabelSelector) -> Option<String> {
        let known: BTreeSet<&str> =
            self.inventory.service_accounts.iter().map(|account| name(account)).collect();
        let mut requirements = selector.requirements.iter();
        let wanted = requirements.find(|r| r.is_about(SERVICE_ACCOUNT) && !known.is_empty())?;
        let Operator::In(values) = &wanted.operator else { return None };
        let missing = values.iter().find(|value| !known.contains(value.as_str()))?;
        let near = closest(missing, known.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Some(format!("no service account is called `{missing}`{near}"))
    }
}

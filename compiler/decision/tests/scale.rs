//! Ten thousand policies at once: everything is read, linted and decided, nothing is
//! given up, and the tables grow with what the policies say and not with how many say
//! it. Nothing is asserted about time; `examples/scale` tells that.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../examples/scale/cases.rs"]
mod cases;

use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_decision::network::{NetworkDecision, decide};
use policyc_policy::inventory;
use policyc_policy::network::{Dialect, lint, unknown};

/// What becomes of policies and an inventory, and the codes of what is found.
fn all(policy: String, who: String) -> (NetworkDecision, u32, Vec<String>) {
    let mut sources = SourceMap::new();
    let files = [sources.add("policy.yaml", policy), sources.add("inventory.yaml", who)];
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let dialect = Dialect::Cilium120;
    let policies = policyc_policy::load(&sources, &files[..1], dialect, &mut origins, &mut sink);
    let inventory = inventory::load(&sources, &files[1..], &mut sink);
    lint::unmatched(&policies.network, &inventory, &origins, &mut sink);
    unknown::unknown(&policies.network, &inventory, dialect, &origins, &mut sink);
    let decision = decide(&policies.network, &inventory, dialect, false);
    lint::idle(&policies.network, &decision.deciding(), &inventory, dialect, &origins, &mut sink);
    (decision, policies.documents, sink.iter().map(|d| d.code.to_string()).collect())
}

#[test]
fn ten_thousand_policies_by_label() {
    let who = cases::workloads(10_000, 1_000);
    let (decision, documents, found) = all(cases::by_labels(10_000), who);
    assert_eq!((documents, found), (10_000, Vec::new()));
    // A thousand applications, the world, and 53 ports beside all others.
    assert_eq!(decision.behaviours.len(), 1_000);
    assert_eq!((decision.rows.address_classes, decision.ports.count), (1_001, 54));
    assert!(decision.cells.rows.len() <= 2 * 1_000 + 1, "{} rows", decision.cells.rows.len());
}

#[test]
fn ten_thousand_policies_of_administrators() {
    let who = cases::workloads(10_000, 100);
    let (decision, documents, found) = all(cases::administrators(10_000), who);
    // All that the later ones say, the first one of their application says already.
    let only = ["P0540", "P0541", "P0543"];
    assert!(found.iter().all(|code| only.contains(&code.as_str())), "{found:?}");
    assert_eq!(documents, 10_000);
    assert_eq!((decision.behaviours.len(), decision.rows.address_classes), (100, 101));
    assert!(decision.cells.rows.len() <= 2 * 100 + 1, "{} rows", decision.cells.rows.len());
}

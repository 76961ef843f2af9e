//! How long large rule sets take, stage by stage: what to run before and after a
//! change that is about speed.
//!
//! ```sh
//! cargo run -p policyc-decision --example scale [CASE]
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

mod cases;

use std::time::Instant;

use cases::{
    administrators, by_labels, by_labels_of, denies, egress_by_labels, node_ports, prefixes,
    workloads,
};
use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_decision::network::decide;
use policyc_policy::inventory;
use policyc_policy::network::{Dialect, lint};

/// A name, and policies with an inventory.
type Case = (&'static str, fn() -> (String, String));

const CASES: [Case; 7] = [
    ("16000-rules-of-one-prefix", || (prefixes(16_000), workloads(1, 1))),
    ("16000-denies-of-one-prefix", || (denies(16_000), workloads(1, 1))),
    ("1000-policies-10000-pods", || (by_labels(1_000), workloads(10_000, 1_000))),
    ("10000-policies-1000-apps", || (by_labels(10_000), workloads(10_000, 1_000))),
    ("1000-behaviours-1000-node-ports", || {
        (egress_by_labels(1_000), workloads(1_000, 1_000) + &node_ports(1_000))
    }),
    ("3000-behaviours-3000-classes", || (by_labels_of(3_000), workloads(3_000, 3_000))),
    ("10000-policies-by-administrators", || (administrators(10_000), workloads(10_000, 100))),
];

fn main() {
    let wanted = std::env::args().nth(1);
    for (name, make) in CASES {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let (policy, who) = make();
        let mut sources = SourceMap::new();
        let files = [sources.add("policy.yaml", policy), sources.add("inventory.yaml", who)];
        let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
        let dialect = Dialect::Cilium120;
        let mut begin = Instant::now();
        let mut lap = move || std::mem::replace(&mut begin, Instant::now()).elapsed().as_millis();
        let rules = policyc_policy::load(&sources, &files[..1], dialect, &mut origins, &mut sink);
        let read = lap();
        let inventory = inventory::load(&sources, &files[1..], &mut sink);
        let inventory_read = lap();
        lint::unmatched(&rules.network, &inventory, &origins, &mut sink);
        let linted = lap();
        let decision = decide(&rules.network, &inventory, dialect, false);
        let decided = lap();
        println!(
            "{name}: policies {read} ms, inventory {inventory_read} ms, lint {linted} ms, \
             decision {decided} ms; {} findings, {} behaviours, {} address classes, {} port \
             classes, {} rows, {} decisions; rows take {} KiB, cells {} KiB",
            sink.iter().count(),
            decision.behaviours.len(),
            decision.rows.address_classes,
            decision.ports.count,
            decision.cells.rows.len(),
            decision.decisions.len(),
            (decision.rows.rows.len() * 4) >> 10,
            (decision.cells.rows.len() * decision.ports.count * 8) >> 10,
        );
    }
}

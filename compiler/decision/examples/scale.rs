//! How long large rule sets take, stage by stage: what to run before and after a
//! change that is about speed.
//!
//! ```sh
//! cargo run -p policyc-decision --example scale [CASE]
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

use std::fmt::Write as _;
use std::time::Instant;

use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_decision::network::decide;
use policyc_policy::inventory;
use policyc_policy::network::{Dialect, lint};

/// A name, and policies with an inventory.
type Case = (&'static str, fn() -> (String, String));

const CASES: [Case; 5] = [
    ("16000-rules-of-one-prefix", || (prefixes(16_000), workloads(1, 1))),
    ("16000-denies-of-one-prefix", || (denies(16_000), workloads(1, 1))),
    ("1000-policies-10000-pods", || (by_labels(1_000), workloads(10_000, 1_000))),
    ("10000-policies-1000-apps", || (by_labels(10_000), workloads(10_000, 1_000))),
    ("10000-policies-by-administrators", || (administrators(10_000), workloads(10_000, 100))),
];

/// Applications that policies by label are about.
const APPS: usize = 1_000;

fn cilium(name: &str, app: &str, rules: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{app: {app}}}}}\n{rules}---\n"
    )
}

/// One policy with a rule for each of many prefixes.
fn prefixes(count: usize) -> String {
    let mut rules = String::from("  ingress:\n");
    for i in 0..count {
        let (a, b) = (i / 256, i % 256);
        let _ = writeln!(rules, "  - {{fromCIDR: [198.{a}.{b}.0/25]}}");
    }
    cilium("prefixes", "a0", &rules)
}

/// The same, denied by one policy and allowed by another.
fn denies(count: usize) -> String {
    let deny = prefixes(count).replace("ingress:", "ingressDeny:");
    let ports = "  ingress:\n  - {fromEntities: [all], toPorts: [{ports: [{port: \"443\"}]}]}\n";
    deny + &cilium("open", "a0", ports)
}

/// Policies that allow one application to another.
fn by_labels(count: usize) -> String {
    let policy = |i: usize| {
        let rule = format!(
            "  ingress:\n  - fromEndpoints: [{{matchLabels: {{app: a{}}}}}]\n    \
             toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]\n",
            (i + 1) % APPS,
            8000 + i % 53
        );
        cilium(&format!("p{i}"), &format!("a{}", i % APPS), &rule)
    };
    (0..count).map(policy).collect()
}

/// Policies of administrators, ten for each priority, each about one application.
fn administrators(count: usize) -> String {
    let policy = |i: usize| {
        format!(
            "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
             metadata: {{name: p{i}}}\nspec:\n  tier: Admin\n  priority: {}\n  \
             subject: {{pods: {{podSelector: {{matchLabels: {{app: a{}}}}}}}}}\n  \
             ingress:\n  - {{action: Pass, from: [{{pods: {{podSelector: {{matchLabels: {{app: a{}}}}}}}}}]}}\n  \
             - {{action: Deny, from: [{{namespaces: {{}}}}]}}\n---\n",
            i / 10,
            i % 100,
            (i + 1) % 100
        )
    };
    (0..count).map(policy).collect()
}

/// Pods that share so many applications.
fn workloads(count: usize, apps: usize) -> String {
    let workload = |i: usize| {
        format!(
            "apiVersion: policyc.io/v1alpha1\nkind: Workload\n\
             metadata: {{name: w{i}, namespace: shop, labels: {{app: a{}}}}}\n\
             spec: {{addresses: [10.{}.{}.{}]}}\n---\n",
            i % apps,
            i / 65_536,
            i / 256 % 256,
            i % 256
        )
    };
    (0..count).map(workload).collect()
}

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
             classes, {} rows, {} decisions",
            sink.iter().count(),
            decision.behaviours.len(),
            decision.rows.address_classes,
            decision.ports.count,
            decision.cells.rows.len(),
            decision.decisions.len(),
        );
    }
}

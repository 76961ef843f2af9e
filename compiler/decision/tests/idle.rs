//! Rules that decide nothing for anybody there is, and those that only seem to.

#![allow(clippy::unwrap_used, reason = "a test")]

use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_decision::network::decide;
use policyc_policy::inventory;
use policyc_policy::network::{Dialect, lint};

const WHO: &str = "
{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true}
---
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: a, labels: {app: web, team: red}}
spec: {addresses: [10.0.0.1]}
---
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: api, namespace: a, labels: {app: api, team: red}}
spec: {addresses: [10.0.0.2]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: later, namespace: a}
spec: {template: {metadata: {labels: {app: later, team: red}}}}
";

/// The lines of the rules, from 0, that are idle among these of one policy.
fn idle(rules: &str) -> Vec<u32> {
    let head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
                metadata: {name: p, namespace: a}\nspec:\n  \
                endpointSelector: {matchLabels: {app: web}}\n  ingress:\n";
    let mut sources = SourceMap::new();
    let files = [sources.add("p.yaml", format!("{head}{rules}")), sources.add("i.yaml", WHO)];
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let dialect = Dialect::Cilium120;
    let policies = policyc_policy::load(&sources, &files[..1], dialect, &mut origins, &mut sink);
    let inventory = inventory::load(&sources, &files[1..], &mut sink);
    let decision = decide(&policies.network, &inventory, dialect, false);
    lint::idle(&policies.network, &decision.deciding(), &inventory, dialect, &origins, &mut sink);
    let found = sink.iter().filter(|finding| finding.code.0 == "P0543");
    found.map(|finding| sources.location(finding.span.unwrap()).unwrap().line - 7).collect()
}

#[test]
fn several_rules_together_leave_one_nothing() {
    let rules = "  - {fromCIDR: [198.51.100.0/24]}\n  ingressDeny:\n  \
                 - {fromCIDR: [198.51.100.0/25]}\n  - {fromCIDR: [198.51.100.128/25]}\n";
    assert_eq!(idle(rules), [0]);
    assert_eq!(idle(&rules.replace("128/25", "128/26")), [] as [u32; 0]);
}

#[test]
fn whoever_has_two_names_is_spoken_of_once() {
    let rules = "  - {fromEndpoints: [{matchLabels: {app: api}}, {matchLabels: {app: web}}]}\n  \
                 - {fromEndpoints: [{matchLabels: {team: red, app: api}}]}\n  \
                 - {fromEndpoints: [{matchExpressions: [{key: app, operator: NotIn, values: \
                 [later]}]}]}\n";
    // The second is included by the first, which is told of by another code.
    assert_eq!(idle(rules), [2]);
}

/// A Deployment has no addresses yet: a rule about its pods is for them.
#[test]
fn who_has_no_address_yet_is_waited_for() {
    let rules = "  - {fromEndpoints: [{matchLabels: {app: later}}]}\n  \
                 - {fromEndpoints: [{matchLabels: {app: api}}, {matchLabels: {app: web}}]}\n  \
                 - {fromEndpoints: [{matchLabels: {team: red}}]}\n";
    assert_eq!(idle(rules), [] as [u32; 0]);
}

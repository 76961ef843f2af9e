//! Groups that change: what rules may say of them, and what they mean at a time.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::{load_texts, show};
use policyc_base::Severity;
use policyc_policy::network::{Dialect, Flow, eval, protocol, runtime_set};

const WHO: &str = "
apiVersion: v1
kind: PodList
items:
- {metadata: {name: web, namespace: shop, labels: {app: web}}, status: {podIPs: [{ip: 10.0.0.1}]}}
- {metadata: {name: db, namespace: shop, labels: {app: db}}, status: {podIPs: [{ip: 10.0.0.2}]}}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {clusterIPs: [10.96.0.1], ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-1, namespace: shop, labels: {kubernetes.io/service-name: outside}}
addressType: IPv4
ports: [{port: 443, protocol: TCP}]
endpoints: [{addresses: [203.0.113.9], conditions: {ready: true}}]
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: partners, labels: {trust: high}, annotations: {policyc.io/dynamic: 'true'}}
spec: {externalCIDRs: [203.0.113.0/24]}
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: fixed, labels: {kind: fixed}}
spec: {externalCIDRs: [198.51.100.0/24]}
---
apiVersion: policyc.io/v1alpha1
kind: Groups
groups:
- {aws: {securityGroupsIds: [sg-1]}, cidrs: [192.0.2.0/24], dynamic: true}
";

fn policy(name: &str, annotations: &str, app: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{app: {app}}}}}\n{rules}\n"
    )
}

fn findings(policy: &str, dialect: Dialect) -> Vec<String> {
    let mut loaded = load_texts(policy, WHO, dialect);
    let (rules, inventory) = (&loaded.policies.network, &loaded.inventory);
    let (origins, sink) = (&loaded.origins, &mut loaded.sink);
    runtime_set::check(rules, inventory, dialect, origins, sink);
    let sorted = loaded.sink.clone().into_sorted();
    // What is accepted and probably not meant is another test's.
    let errors = sorted.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| show(finding, &loaded.sources)).collect()
}

const BY_NAME: &str = "  ingress: [{fromCIDRSet: [{cidrGroupRef: partners}]}]";
const SENDS: &str = "  egress: [{toCIDRSet: [{cidrGroupRef: partners}]}]";

#[test]
fn what_cannot_be_followed_is_refused() {
    let one = |rules: &str| policy("p", "", "web", rules);
    let selects = |labels: &str| {
        one(&format!("  ingress: [{{fromCIDRSet: [{{cidrGroupSelector: {labels}}}]}}]"))
    };
    let audited = |app: &str, rules: &str| {
        [one(BY_NAME), policy("q", "policyc.io/audit: 'true'", app, rules)].concat()
    };
    let by_label = "a selector asks for labels of the group `partners`, which changes | refer to \
                    the group by its name";
    let by_label = |at: &str| vec![format!("P0420 {at} {by_label}")];
    let prefixes = "P0420 7:13 the group `partners` changes, and prefixes may select pods here | \
                    build with a dialect of Cilium, or leave the group's annotation out";
    let backend = "P0420 7:12 `203.0.113.9` of the group `partners`, which changes, is the backend \
                   of a service | except the address, and name the service with `toServices`";
    let cilium = Dialect::Cilium120;
    let excepted =
        one("  egress: [{toCIDRSet: [{cidrGroupRef: partners, except: [203.0.113.8/29]}]}]");
    let aws = one("  egress: [{toGroups: [{aws: {securityGroupsIds: [sg-1]}}]}]");
    let none = Vec::new();
    let cases: Vec<(String, Dialect, Vec<String>)> = vec![
        (one(BY_NAME), cilium, none.clone()),
        (one(BY_NAME), Dialect::Cilium119, none.clone()),
        (one(BY_NAME), Dialect::Kubernetes, vec![prefixes.to_owned()]),
        (selects("{matchLabels: {kind: fixed}}"), cilium, none.clone()),
        (selects("{matchLabels: {trust: high}}"), cilium, by_label("7:13")),
        (
            selects("{matchExpressions: [{key: trust, operator: DoesNotExist}]}"),
            cilium,
            by_label("7:13"),
        ),
        (audited("web", BY_NAME), cilium, none.clone()),
        (audited("web", "  ingress: [{}]"), cilium, none.clone()),
        (one(SENDS), cilium, vec![backend.to_owned()]),
        (excepted, cilium, none.clone()),
        (aws, cilium, none),
    ];
    for (policy, dialect, expected) in cases {
        assert_eq!(findings(&policy, dialect), expected, "{dialect:?} {policy}");
    }
}

#[test]
fn a_flow_is_judged_by_what_the_group_has_then() {
    let rules = "  ingress: [{fromCIDRSet: [{cidrGroupRef: partners, except: [203.0.113.7/32]}]}]";
    let mut loaded = load_texts(&policy("p", "", "web", rules), WHO, Dialect::Cilium120);
    let source = |text: &str| Flow {
        source: text.parse().unwrap(),
        destination: "10.0.0.1".parse().unwrap(),
        protocol: protocol::TCP,
        port: 443,
    };
    // Each membership with who is allowed.
    let times: [(&[&str], &[&str]); 4] = [
        (&["203.0.113.0/24"], &["203.0.113.8"]),
        (&[], &[]),
        (&["203.0.0.0/16", "10.0.0.0/8"], &["203.0.113.8", "203.0.0.1"]),
        (&["192.0.2.0/24"], &["192.0.2.1"]),
    ];
    for (nets, allowed) in times {
        let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
        loaded.inventory.groups.set("partners", nets);
        // The last is a pod, which no prefix selects.
        for from in ["203.0.113.8", "203.0.113.7", "203.0.0.1", "192.0.2.1", "10.0.0.2"] {
            let (rules, inventory) = (&loaded.policies.network, &loaded.inventory);
            let verdict = eval(rules, inventory, Dialect::Cilium120, &source(from));
            assert_eq!(
                verdict.allowed(),
                allowed.contains(&from),
                "{from} {nets:?}",
                nets = allowed
            );
        }
    }
}

#[test]
fn annotations_of_groups_are_checked() {
    let group = |annotations: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\n\
             metadata: {{name: g, annotations: {{{annotations}}}}}\nspec: {{externalCIDRs: []}}\n"
        )
    };
    let findings = |annotations: &str| {
        let loaded = load_texts("", &group(annotations), Dialect::Cilium120);
        let sorted = loaded.sink.clone().into_sorted();
        sorted.iter().map(|finding| show(finding, &loaded.sources)).collect::<Vec<_>>()
    };
    assert_eq!(findings("policyc.io/dynamic: 'false', other.io/x: y"), [""; 0]);
    let value = "P0247 3:55 the annotation must be `\"true\"` or `\"false\"`, not `yes`";
    assert_eq!(findings("policyc.io/dynamic: 'yes'"), [value]);
    let unknown = "P0246 3:35 `policyc.io/dynamc` is no annotation of this kind | did you mean \
                   `policyc.io/dynamic`?";
    assert_eq!(findings("policyc.io/dynamc: 'true'"), [unknown]);
}

#[test]
fn workloads_that_change_are_checked() {
    let who = "apiVersion: policyc.io/v1alpha1\nkind: Workload\nmetadata: {name: web, namespace: \
               shop, labels: {app: web}, annotations: {policyc.io/dynamic: 'true'}}\nspec: {}\n";
    let findings = |annotations: &str, dialect: Dialect| {
        let mut loaded =
            load_texts(&policy("p", annotations, "web", "  ingress: [{}]"), who, dialect);
        let (rules, inventory) = (&loaded.policies.network, &loaded.inventory);
        runtime_set::check(rules, inventory, dialect, &loaded.origins, &mut loaded.sink);
        let sorted = loaded.sink.clone().into_sorted();
        let errors = sorted.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| show(finding, &loaded.sources)).collect::<Vec<_>>()
    };
    assert_eq!(findings("", Dialect::Cilium120), [""; 0]);
    let change = "P0420 3:18 the addresses of `shop/web` change, and";
    let dialect =
        format!("{change} prefixes may select pods here | build with a dialect of Cilium");
    assert_eq!(findings("", Dialect::Kubernetes), [dialect]);
    assert_eq!(findings("policyc.io/audit: 'true'", Dialect::Cilium120), [""; 0]);
}

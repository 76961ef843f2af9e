//! Rule sets and inventories of any size.

use std::fmt::Write as _;

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
pub(crate) fn prefixes(count: usize) -> String {
    let mut rules = String::from("  ingress:\n");
    for i in 0..count {
        let (a, b) = (i / 256, i % 256);
        let _ = writeln!(rules, "  - {{fromCIDR: [198.{a}.{b}.0/25]}}");
    }
    cilium("prefixes", "a0", &rules)
}

/// The same, denied by one policy and allowed by another.
pub(crate) fn denies(count: usize) -> String {
    let deny = prefixes(count).replace("ingress:", "ingressDeny:");
    let ports = "  ingress:\n  - {fromEntities: [all], toPorts: [{ports: [{port: \"443\"}]}]}\n";
    deny + &cilium("open", "a0", ports)
}

/// Policies that allow one application to another.
pub(crate) fn by_labels(count: usize) -> String {
    by_labels_among(count, APPS)
}

/// As many policies, each about another application.
pub(crate) fn by_labels_of(count: usize) -> String {
    by_labels_among(count, count)
}

fn by_labels_among(count: usize, apps: usize) -> String {
    let policy = |i: usize| {
        let rule = format!(
            "  ingress:\n  - fromEndpoints: [{{matchLabels: {{app: a{}}}}}]\n    \
             toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]\n",
            (i + 1) % apps,
            8000 + i % 53
        );
        cilium(&format!("p{i}"), &format!("a{}", i % apps), &rule)
    };
    (0..count).map(policy).collect()
}

/// Policies of administrators, ten for each priority, each about one application.
pub(crate) fn administrators(count: usize) -> String {
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
pub(crate) fn workloads(count: usize, apps: usize) -> String {
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

/// Ten nodes, and as many services with a node port each, of as many applications: as
/// many addresses and ports at which something stands for something else.
pub(crate) fn node_ports(count: usize) -> String {
    let node = |i: usize| {
        format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n{i}}}, status: {{addresses: \
             [{{type: InternalIP, address: 192.0.2.{i}}}]}}}}\n---\n"
        )
    };
    let service = |i: usize| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}, namespace: shop}}\n\
             spec: {{clusterIP: 10.96.{}.{}, selector: {{app: a{i}}}, \
             ports: [{{port: 80, nodePort: {}}}]}}\n---\n",
            i / 256,
            i % 256,
            30_000 + i
        )
    };
    (0..10).map(node).chain((0..count).map(service)).collect()
}

/// A policy for each application that lets it send to some others only.
pub(crate) fn egress_by_labels(count: usize) -> String {
    by_labels(count).replace("ingress:", "egress:").replace("fromEndpoints", "toEndpoints")
}

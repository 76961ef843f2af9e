//! Who administers the hosts can still reach them, or is told.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::{load_texts, show};
use policyc_policy::network::{Dialect, lint};

/// A node, and the field `management`.
fn who(management: &str) -> String {
    format!(
        "{{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true, management: {management}}}\n---\n\
         {{apiVersion: v1, kind: Node, metadata: {{name: n1, labels: {{role: edge}}}}, \
         status: {{addresses: [{{type: InternalIP, address: 192.0.2.1}}]}}}}\n"
    )
}

fn hosts(annotations: &str, rules: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n\
         metadata: {{name: hosts, annotations: {{{annotations}}}}}\n\
         spec:\n  nodeSelector: {{matchLabels: {{role: edge}}}}\n{rules}"
    )
}

fn findings(policy: &str, who: &str) -> Vec<String> {
    let mut loaded = load_texts(policy, who, Dialect::Cilium120);
    let (rules, inventory) = (&loaded.policies.network, &loaded.inventory);
    let (origins, sink) = (&loaded.origins, &mut loaded.sink);
    lint::management(rules, inventory, Dialect::Cilium120, origins, sink);
    let sorted = loaded.sink.clone().into_sorted();
    sorted.iter().map(|finding| show(finding, &loaded.sources)).collect()
}

#[test]
fn management_addresses() {
    let ssh = |peers: &str| {
        format!(
            "  ingress:\n  - {peers}\n    toPorts: [{{ports: [{{port: \"22\", protocol: TCP}}]}}]\n"
        )
    };
    let (world, half) = (ssh("fromEntities: [world]"), ssh("fromCIDR: [203.0.113.0/25]"));
    let hole = ssh("fromCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.9/32]}]");
    let deny = format!("{world}  ingressDeny:\n  - fromCIDR: [203.0.113.64/26]\n");
    let (network, one) = (who("{from: [203.0.113.0/24]}"), who("{from: [203.0.113.9], port: 22}"));
    let other = who("{from: [203.0.113.9], port: 2222}");
    let refused = |source: &str, port: u16, at: &str| {
        format!(
            "P0542 {at} `{source}` administers the hosts and could not reach port {port} of `n1` \
             any more | allow it, or take the address out of `management` in the inventory"
        )
    };
    let audit = "policyc.io/audit: \"true\"";
    let cases: Vec<(String, &str, Vec<String>)> = vec![
        (hosts("", &world), &network, vec![]),
        (hosts("", &half), &network, vec![refused("203.0.113.128", 22, "5:3")]),
        (hosts("", &half), &one, vec![]),
        (hosts("", &hole), &network, vec![refused("203.0.113.9", 22, "5:3")]),
        (hosts("", &deny), &network, vec![refused("203.0.113.64", 22, "10:5")]),
        (hosts(audit, &deny), &network, vec![]),
        (hosts("", &world), &other, vec![refused("203.0.113.9", 2222, "5:3")]),
    ];
    for (policy, who, expected) in &cases {
        assert_eq!(&findings(policy, who), expected, "{policy}\n{who}");
    }
    let wrong = findings("", &who("{from: [here, 10.0.0.0/8], port: 0}"));
    assert_eq!(
        wrong,
        [
            "P0403 1:88 `here` is no address and no prefix",
            "P0208 1:113 `port` must be from 1 to 65535, not 0",
        ]
    );
}

/// Without such an address: hosts that nobody can reach over SSH.
#[test]
fn nobody_is_let_in() {
    let found = |rules: &str| findings(&hosts("", rules), "").join(" ");
    assert!(found("  ingress: [{}]\n").contains("P0542"));
    assert!(
        found("  ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: \"80\"}]}]}]\n")
            .contains("P0542")
    );
    assert!(!found("  ingress: [{fromEntities: [cluster]}]\n").contains("P0542"));
    assert!(!found("  egress: [{}]\n").contains("P0542"));
    assert!(!found("  ingress: [{}]\n  enableDefaultDeny: {ingress: false}\n").contains("P0542"));
}

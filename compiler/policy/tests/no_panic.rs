//! Whatever is written, the readers answer with findings.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::load_texts;
use policyc_policy::network::{Dialect, Flow, eval, lint};
use proptest::prelude::*;

const POLICY: &str = r#"apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: größe, namespace: a}
specs:
- &rule
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchExpressions: [{key: "k8s:env", operator: In, values: [a, b]}]}]
    toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]
  - fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]
    icmps: [{fields: [{type: 8, family: IPv4}]}]
  egressDeny:
  - toEntities: [world, cluster]
  enableDefaultDeny: {ingress: true, egress: false}
- <<: *rule
  description: |
    merged
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {}, podSelector: {}}], ports: [{port: 80}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: p}
spec:
  tier: Admin
  priority: 5
  subject: {pods: {namespaceSelector: {}, podSelector: {}}}
  egress:
  - action: Pass
    to: [{networks: [10.0.0.0/8]}, {namespaces: {}}]
    protocols: [{tcp: {destinationPort: {range: {start: 1, end: 9}}}}]
"#;

const INVENTORY: &str = r#"apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: w, namespace: a, labels: {app: web}}
spec: {addresses: [10.0.0.1], hosts: {matchLabels: {r: x}}, attach: {netns: /x}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a, labels: {app: web}}
spec: {nodeName: node-1, containers: [{ports: [{name: h, containerPort: 8}]}]}
status: {podIPs: [{ip: 10.0.0.2}]}
"#;

fn read_everything(policy: &str, who: &str) {
    for dialect in [Dialect::Cilium120, Dialect::Kubernetes] {
        let mut loaded = load_texts(policy, who, dialect);
        let rules = &loaded.policies.network;
        lint::unmatched(rules, &loaded.inventory, &loaded.origins, &mut loaded.sink);
        let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let flow = Flow { source, destination, protocol: 6, port: 80 };
        eval(rules, &loaded.inventory, dialect, &flow);
        for finding in loaded.sink.iter() {
            assert!(!finding.message.contains('\n'), "{finding:?}");
            common::show(finding, &loaded.sources);
        }
    }
}

/// Replaces `length` characters at `at` by `with`.
fn mutate(text: &str, at: usize, length: usize, with: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at % characters.len();
    let end = (at + length).min(characters.len());
    characters[..at]
        .iter()
        .chain(with.chars().collect::<Vec<_>>().iter())
        .chain(&characters[end..])
        .collect()
}

#[test]
fn the_untouched_texts_are_fine() {
    let loaded = load_texts(POLICY, INVENTORY, Dialect::Cilium120);
    // A rule is merged into another, so one of the two adds nothing.
    assert!(loaded.sink.iter().all(|finding| finding.code.0 == "P0541"), "{:?}", loaded.sink);
    assert_eq!(loaded.policies.network.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_is_read(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&text, &text);
        let text = String::from_utf8_lossy(&bytes);
        read_everything(&text, &text);
    }

    #[test]
    fn changed_texts_are_read(
        edits in proptest::collection::vec(
            (any::<usize>(), 0_usize..12, "[-\\[\\]{}:,&*!|>'\"#%@`~?<=0-9a-zäß\n ]{0,6}"), 1..5),
    ) {
        let (mut policy, mut who) = (POLICY.to_owned(), INVENTORY.to_owned());
        for (at, length, with) in &edits {
            policy = mutate(&policy, *at, *length, with);
            who = mutate(&who, *at, *length, with);
        }
        read_everything(&policy, &who);
    }

    #[test]
    fn values_of_other_types_are_read(
        at in any::<usize>(),
        value in prop_oneof![
            Just("null"), Just("[]"), Just("{}"), Just("[[]]"), Just("-1"), Just("1e9"), Just("yes"),
            Just("99999999999999999999999999999999999999999"), Just("{a: {b: c}}"), Just("''"),
        ],
    ) {
        let replace = |text: &str| {
            let colons: Vec<_> = text.match_indices(": ").map(|(i, _)| i).collect();
            let colon = colons[at % colons.len()] + 2;
            let end = text[colon..].find([',', '}', ']', '\n']).map_or(text.len(), |i| colon + i);
            format!("{}{value}{}", &text[..colon], &text[end..])
        };
        read_everything(&replace(POLICY), &replace(INVENTORY));
    }
}

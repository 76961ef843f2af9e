//! Manifests of small policies.

use policyc_bpf::{Direction, Manifest};
use policyc_codegen::lower::set_tables::prefixes;

use super::manifest;
use crate::pipeline::{self, Built, Input};
use crate::session::Session;

const INVENTORY: &str = "
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.0.0.1]}
";

fn built(inventory: &str, rules: &str) -> (Built, Manifest) {
    let policy = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: p, namespace: shop}}\nspec:\n  endpointSelector: {{}}\n{rules}"
    );
    let mut session = Session::new();
    let input = Input {
        policies: vec![session.sources.add("policy.yaml", policy.as_str())],
        inventory: vec![session.sources.add("inventory.yaml", inventory)],
        ..Input::default()
    };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{:?}", session.findings()));
    let manifest = manifest(&session, &built);
    (built, manifest)
}

fn restricts(rules: &str) -> Vec<Direction> {
    built(INVENTORY, rules).1.subjects[0].restricts.clone()
}

#[test]
fn what_a_subject_is_restricted_in_is_said() {
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    assert_eq!(restricts("  egress: [{}]"), [egress], "an empty rule allows nobody");
    assert_eq!(restricts("  egress: [{toEntities: [all]}]"), []);
    assert_eq!(restricts("  ingress: [{fromEntities: [world]}]"), [ingress]);
    let rules = "  enableDefaultDeny: {ingress: false, egress: false}\n  ingressDeny: \
                 [{fromCIDR: [192.0.2.0/24]}]\n  egressDeny: [{toEntities: [world]}]";
    assert_eq!(restricts(rules), [ingress, egress]);
}

#[test]
fn of_a_group_with_exceptions_the_runtime_leaves_out_what_the_oracle_does() {
    let group = "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata:\n  name: friends\n  \
                 annotations: {policyc.io/dynamic: \"true\"}\nspec:\n  externalCIDRs: \
                 [10.0.0.0/9, 10.128.0.0/9, 192.0.2.0/24, '2001:db8::/32']\n";
    let rules = "  ingress:\n  - fromCIDRSet:\n    - {cidrGroupRef: friends}\n    \
                 - {cidrGroupRef: friends, except: [10.127.0.0/16, 192.0.2.0/25, 192.0.2.128/25]}\n    \
                 - {cidrGroupRef: friends, except: ['2001:db8:1::/48', 0.0.0.0/0]}\n";
    let (built, manifest) = built(&[INVENTORY, group].concat(), rules);
    let decided = built.decided.network.and_then(|network| network.sets);
    let decided = decided.expect("sets").sets;
    assert_eq!((manifest.sets.len(), decided.len()), (3, 3));
    for (set, decided) in manifest.sets.iter().zip(&decided) {
        assert_eq!((set.id, set.members.len()), (manifest.sets[0].id, 3), "one group");
        let mut parts: Vec<_> =
            set.members.iter().flat_map(|prefix| set.part_of(*prefix)).collect();
        parts.sort();
        assert_eq!(parts, prefixes(&decided.members), "{:?}", set.except);
    }
}

//! Manifests of small policies.

use policyc_bpf::Direction;

use super::manifest;
use crate::pipeline::{self, Input};
use crate::session::Session;

const INVENTORY: &str = "
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.0.0.1]}
";

fn restricts(rules: &str) -> Vec<Direction> {
    let policy = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: p, namespace: shop}}\nspec:\n  endpointSelector: {{}}\n{rules}"
    );
    let mut session = Session::new();
    let input = Input {
        policies: vec![session.sources.add("policy.yaml", policy.as_str())],
        inventory: vec![session.sources.add("inventory.yaml", INVENTORY)],
        ..Input::default()
    };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{:?}", session.findings()));
    manifest(&session, &built).subjects[0].restricts.clone()
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

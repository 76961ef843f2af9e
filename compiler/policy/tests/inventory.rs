//! Who is who, by what kubectl prints.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::load_texts;
use policyc_base::EntityId;
use policyc_policy::inventory::{Identity, Inventory, NodeId, WorkloadId};
use policyc_policy::network::Dialect;

const CLUSTER: &str = r#"
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: web-1
    namespace: shop
    uid: 6f1c
    labels: {app: web}
    managedFields: [{manager: kubelet, operation: Update}]
  spec:
    nodeName: node-1
    serviceAccountName: web
    containers:
    - name: c
      image: web:1
      ports: [{name: http, containerPort: 8080, protocol: TCP}, {containerPort: 9}]
  status:
    phase: Running
    podIP: 10.0.0.1
    podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
- apiVersion: v1
  kind: Pod
  metadata: {name: job-1, namespace: shop, labels: {app: job}}
  status: {phase: Succeeded, podIP: 10.0.0.9}
- apiVersion: v1
  kind: Pod
  metadata: {name: agent, namespace: kube-system}
  spec: {nodeName: node-1, hostNetwork: true}
  status: {phase: Running, podIP: 192.0.2.1}
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop, labels: {team: blue}}
- apiVersion: v1
  kind: Node
  metadata: {name: node-1, labels: {role: app}}
  status:
    addresses:
    - {type: InternalIP, address: 192.0.2.1}
    - {type: Hostname, address: node-1}
- {apiVersion: v1, kind: Service, metadata: {name: web}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-x}}
- {apiVersion: v1, kind: Service, metadata: {name: api}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: web}}
---
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: billing, namespace: shop, labels: {app: billing}}
spec:
  addresses: [10.2.0.7, "fd00::7"]
  ports: [{name: http, port: 8080, protocol: TCP}]
  serviceAccount: billing
  hosts: {matchLabels: {role: app}}
  attach: {systemdUnit: billing.service}
---
apiVersion: v1
kind: PodList
items:
- metadata: {name: alone, namespace: other}
  status: {podIP: 10.0.0.4}
"#;

fn cluster() -> Inventory {
    let loaded = load_texts("", CLUSTER, Dialect::Cilium120);
    assert!(loaded.sink.is_empty(), "{:?}", loaded.sink);
    loaded.inventory
}

#[test]
fn addresses_have_one_owner() {
    let inventory = cluster();
    let workload = |index| Identity::Workload(WorkloadId::from_index(index));
    let cases = [
        ("10.0.0.1", workload(0)),
        ("fd00::1", workload(0)),
        // A packet of IPv6 with such an address is not the workload's.
        ("::ffff:10.0.0.1", Identity::World),
        ("10.0.0.9", Identity::World),
        ("192.0.2.1", Identity::Node(NodeId::from_index(0))),
        ("10.0.0.4", workload(2)),
        ("fd00::7", workload(3)),
        ("198.51.100.1", Identity::World),
    ];
    for (address, expected) in cases {
        assert_eq!(inventory.identify(address.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn names_find_their_owner() {
    let inventory = cluster();
    let node = Identity::Node(NodeId::from_index(0));
    assert_eq!(inventory.lookup("kube-system/agent"), Some(node));
    assert_eq!(inventory.lookup("shop/nobody"), None);
    let Some(Identity::Workload(web)) = inventory.lookup("shop/web-1") else { panic!("web-1") };
    assert!(inventory.is_host_of(NodeId::from_index(0), Identity::Workload(web)));
    let names: Vec<_> = inventory.workloads.values().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["shop/web-1", "shop/job-1", "other/alone", "shop/billing"]);
    assert_eq!(inventory.workloads[web].ports.len(), 1);
}

#[test]
fn labels_are_derived_from_all_that_is_known() {
    let inventory = cluster();
    let shown = |name: &str| -> Vec<String> {
        let Some(Identity::Workload(id)) = inventory.lookup(name) else { panic!("{name}") };
        inventory.workloads[id].labels.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        shown("shop/web-1"),
        [
            "k8s:app=web",
            "k8s:io.cilium.k8s.namespace.labels.team=blue",
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=web",
            "k8s:io.kubernetes.pod.namespace=shop",
        ]
    );
    assert!(shown("other/alone").contains(
        &"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=other".to_owned()
    ));
}

#[test]
fn kinds_that_do_not_matter_are_counted() {
    let skipped: Vec<_> = cluster().skipped.into_iter().collect();
    assert_eq!(skipped, [("ConfigMap", 1)]);
}

#[test]
fn a_pod_on_the_hosts_network_tells_of_its_node() {
    let who = "{apiVersion: v1, kind: Pod, metadata: {name: agent}, \
               spec: {nodeName: n1, hostNetwork: true}, status: {podIP: 192.0.2.1}}\n\
               ---\n{apiVersion: v1, kind: Pod, metadata: {name: later}, spec: {hostNetwork: true}}\n\
               ---\n{apiVersion: v1, kind: Pod, metadata: {name: proxy}, \
               spec: {nodeName: n1, hostNetwork: true}, status: {podIP: 192.0.2.1}}\n";
    let loaded = load_texts("", who, Dialect::Cilium120);
    assert!(loaded.sink.is_empty(), "{:?}", loaded.sink);
    let inventory = loaded.inventory;
    let node = Identity::Node(NodeId::from_index(0));
    assert_eq!(inventory.identify("192.0.2.1".parse().unwrap()), node);
    assert_eq!(inventory.lookup("default/agent"), Some(node));
    assert_eq!(inventory.lookup("default/proxy"), Some(node));
    assert_eq!(inventory.lookup("default/later"), None);
    assert_eq!(inventory.nodes.values().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["n1"]);
}

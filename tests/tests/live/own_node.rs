//! A pod that policy isolates and its own node: the kubelet's probes come in, and in the
//! dialect `kubernetes` the pod's packets to the node go out.

use std::net::{Ipv4Addr, SocketAddrV4};

use policyc::pipeline::Input;
use policyc_policy::network::Dialect;
use policyc_policy::network::protocol::{TCP, UDP};

use crate::build;
use crate::pods::{NODE, Pod, Pods};

const POD: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 3);

/// Every pod is isolated, in both directions.
const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolated, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

fn inventory() -> String {
    let pod = |name: &str, address: Ipv4Addr| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec: {{nodeName: node}}
status: {{phase: Running, podIP: {address}}}
"
        )
    };
    let node = format!(
        "---
apiVersion: v1
kind: Node
metadata: {{name: node}}
status: {{addresses: [{{type: InternalIP, address: {NODE}}}]}}
"
    );
    [node, pod("pod", POD), pod("other", OTHER)].concat()
}

#[test]
fn is_always_reached_and_reaches() {
    const TEST: &str = "own_node::is_always_reached_and_reaches";
    let names = [("pod", POD), ("other", OTHER)];
    let pods: Vec<_> = names.map(|(name, address)| (format!("shop/{name}"), address)).into();
    let Some(pods) = Pods::new(TEST, &pods) else { return };
    let [pod, other] = &pods.pods[..] else { panic!("two pods") };
    let node = Pod { name: "node".into(), address: NODE, netns: pods.node.clone() };
    let _servers = [pod, other, &node].map(|end| end.serve(TCP, 8080));
    let _echo = node.serve(UDP, 5353);
    for dialect in [Dialect::Kubernetes, Dialect::Cilium120] {
        let input = Input { dialect, ..Input::default() };
        pods.apply(&build::artifact_with("own-node", POLICY, &inventory(), input));
        let (to_pod, to_node) = (SocketAddrV4::new(POD, 8080), SocketAddrV4::new(NODE, 8080));
        let may_leave = dialect == Dialect::Kubernetes;
        assert!(pods.node_reaches(to_pod, true), "{dialect:?}: a probe");
        assert_eq!(pod.reaches(to_node, TCP, may_leave), may_leave, "{dialect:?}: TCP");
        let to_node = SocketAddrV4::new(NODE, 5353);
        assert_eq!(pod.reaches(to_node, UDP, may_leave), may_leave, "{dialect:?}: UDP");
        assert!(!other.reaches(to_pod, TCP, false), "{dialect:?}: a pod");
    }
}

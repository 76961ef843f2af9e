//! Services end to end: the node translates a service's address as kube-proxy does,
//! behind the place where policy sees it, and the verdict is that of the backend.

use std::net::{Ipv4Addr, SocketAddrV4};

use policyc_policy::network::protocol::TCP;

use crate::build;
use crate::lab::must;
use crate::pods::{NODE, Pods, has_tool};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);
const API: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 3);
const DB: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 4);
const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const DB_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);

/// The client may ask the API, on the port that its pods listen on, and nobody else.
const POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: client, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
  - toEndpoints: [{matchLabels: {app: api}}]
    toPorts: [{ports: [{port: \"8080\", protocol: TCP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: \"8080\", protocol: TCP}]}]
";

fn inventory() -> String {
    let pod = |app: &str, address: Ipv4Addr| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {app}, namespace: shop, labels: {{app: {app}}}}}
spec: {{nodeName: node}}
status: {{phase: Running, podIP: {address}}}
"
        )
    };
    let service = |app: &str, address: Ipv4Addr, backend: Ipv4Addr| {
        format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: {app}, namespace: shop}}
spec:
  clusterIP: {address}
  selector: {{app: {app}}}
  ports: [{{name: http, port: 80, targetPort: 8080, protocol: TCP}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {app}-1, namespace: shop, labels: {{kubernetes.io/service-name: {app}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080, protocol: TCP}}]
endpoints: [{{addresses: [{backend}], conditions: {{ready: true}}}}]
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
    [
        node,
        pod("client", CLIENT),
        pod("api", API),
        pod("db", DB),
        service("api", API_SERVICE, API),
        service("db", DB_SERVICE, DB),
    ]
    .concat()
}

#[test]
fn are_judged_by_their_backends() {
    const TEST: &str = "services::are_judged_by_their_backends";
    let names = [("client", CLIENT), ("api", API), ("db", DB)];
    let pods: Vec<_> = names.map(|(name, address)| (format!("shop/{name}"), address)).into();
    if !has_tool(TEST, "nft") {
        return;
    }
    let Some(pods) = Pods::new(TEST, &pods) else { return };
    translate(&pods, &[(API_SERVICE, API), (DB_SERVICE, DB)]);
    let [client, api, db] = &pods.pods[..] else { panic!("three pods") };
    let _servers = [api, db].map(|pod| pod.serve(TCP, 8080));
    let tries =
        [(API_SERVICE, 80, true), (DB_SERVICE, 80, false), (API, 8080, true), (DB, 8080, false)];
    for (address, port, _) in tries {
        assert!(client.reaches(SocketAddrV4::new(address, port), TCP, true), "before: {address}");
    }
    pods.apply(&build::artifact("services", POLICY, &inventory()));
    for (address, port, allowed) in tries {
        let reached = client.reaches(SocketAddrV4::new(address, port), TCP, allowed);
        assert_eq!(reached, allowed, "{address}:{port}");
    }
    // Another pod may not ask it, by whichever name; the node's probes may.
    let service = SocketAddrV4::new(API_SERVICE, 80);
    assert!(!db.reaches(service, TCP, false), "the database asks the API");
    assert!(pods.node_reaches(SocketAddrV4::new(API, 8080), true), "a probe");
}

/// What kube-proxy does: a service's address and port become those of a backend.
fn translate(pods: &Pods, services: &[(Ipv4Addr, Ipv4Addr)]) {
    let rules = services.iter().map(|(service, backend)| {
        format!("ip daddr {service} tcp dport 80 dnat to {backend}:8080;\n")
    });
    let rules: String = rules.collect();
    let hook = "type nat hook prerouting priority dstnat;";
    let table = format!("table ip services {{\nchain prerouting {{\n{hook}\n{rules}}}\n}}\n");
    must(&format!("ip netns exec {} nft '{table}'", pods.node));
}

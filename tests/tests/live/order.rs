//! When `apply` has returned, no packet is judged by the old rules.

use crate::build::{bind, example, ping_artifact};
use crate::lab::Lab;

const ROUNDS: u64 = 20;

const DENY_PORT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny-port, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  enableDefaultDeny: {ingress: false, egress: false}
  ingressDeny:
  - toPorts: [{ports: [{port: '7003', protocol: UDP}]}]
";

fn the_next_packet_is_judged_anew(test: &str, bindings: &str) {
    let Some(lab) = Lab::new(test) else { return };
    let allow = ping_artifact("allow", &example("ping/allow-all.yaml"));
    let deny = ping_artifact("deny", DENY_PORT);
    let to = bind(&lab, bindings);
    let (sender, receiver) = lab.udp(7003);
    let mut arrived = Vec::new();
    for round in 0..ROUNDS {
        for (artifact, number) in [(&deny, 2 * round), (&allow, 2 * round + 1)] {
            lab.apply(artifact, &to).unwrap_or_else(|error| panic!("{error:?}"));
            // A sender may be told that its packet was dropped.
            let _ = sender.send(&number.to_be_bytes());
        }
        let mut buffer = [0; 8];
        receiver.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
        receiver.recv(&mut buffer).expect("what is allowed arrives");
        arrived.push(u64::from_be_bytes(buffer));
    }
    let allowed: Vec<u64> = (0..ROUNDS).map(|round| 2 * round + 1).collect();
    assert_eq!(arrived, allowed, "exactly what was sent while it was allowed");
}

#[test]
fn on_tcx() {
    let bindings = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
    the_next_packet_is_judged_anew("order::on_tcx", bindings);
}

#[test]
fn on_xdp() {
    let bindings = "- subject: demo/right
  attach: {xdp: {interface: veth-right, netns: RIGHT}}
";
    the_next_packet_is_judged_anew("order::on_xdp", bindings);
}

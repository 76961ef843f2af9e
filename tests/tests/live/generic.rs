//! XDP where the driver has none: the network stack runs it, and judges the same.

use std::fs;

use crate::build::{bindings_text, example, ping_artifact, save};
use crate::lab::{Lab, run};

/// Nobody gets an answer from the right end, itself included.
const HEARS_NOT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: hears-not, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  enableDefaultDeny: {ingress: false, egress: false}
  ingressDeny: [{fromEntities: [all], icmps: [{fields: [{type: EchoRequest}]}]}]
";

/// The loopback's driver has no XDP.
#[test]
fn on_the_loopback() {
    let Some(lab) = Lab::new("generic::on_the_loopback") else { return };
    lab.without_ipv6();
    let to = lab.file("bindings.yaml");
    let lo = "- subject: demo/right\n  attach: {xdp: {interface: lo, netns: RIGHT}}\n";
    fs::write(&to, bindings_text(&lab, lo)).expect("a file");
    let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.right);
    for (policy, passes) in [(HEARS_NOT, false), (&*example("ping/allow-all.yaml"), true)] {
        let file = lab.file("a.policyc");
        save(&ping_artifact("a", policy), &file);
        lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
        assert_eq!(run(&ping).status.success(), passes);
        let status = lab.says(["status"]);
        let line = format!("xdp of lo in {} (generic): ", Lab::netns(&lab.right).display());
        assert!(status.contains(&line), "{status}");
        let json = lab.says(["status", "-o", "json"]);
        assert!(json.contains("\"generic_xdp\": true"), "{json}");
    }
    lab.says(["remove", "--all"]);
    assert!(run(&ping).status.success());
}

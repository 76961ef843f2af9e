//! XDP where the driver has none: the network stack runs it, and judges the same.

use crate::build::{allow_all, apply, deny_echo};
use crate::lab::{Lab, ping};

/// The loopback's driver has no XDP.
#[test]
fn on_the_loopback() {
    let Some(lab) = Lab::new("generic::on_the_loopback") else { return };
    lab.without_ipv6();
    let lo = "- subject: demo/right\n  attach: {xdp: {interface: lo, netns: RIGHT}}\n";
    let passes = || ping(&lab.right, "10.77.0.2");
    for (artifact, expected) in [(deny_echo(), false), (allow_all(), true)] {
        apply(&lab, &artifact, lo);
        assert_eq!(passes(), expected);
        let status = lab.says(["status"]);
        let line = format!("xdp of lo in {} (generic): ", Lab::netns(&lab.right).display());
        assert!(status.contains(&line), "{status}");
        let json = lab.says(["status", "-o", "json"]);
        assert!(json.contains("\"generic_xdp\": true"), "{json}");
    }
    lab.says(["remove", "--all"]);
    assert!(passes());
}

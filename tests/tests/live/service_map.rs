//! `policyc map` of what `policyc observe` writes about real packets.

use serde_json::{Value, json};

use crate::build::{apply_with, ping_artifact};
use crate::connections::{both_ways, policy, ports};
use crate::lab::{Lab, run};
use crate::tool;

#[test]
fn a_map_is_drawn_of_what_was_observed() {
    let Some(lab) = Lab::new("service_map::a_map_is_drawn_of_what_was_observed") else { return };
    lab.without_ipv6();
    let artifact = ping_artifact("ct", &policy("ct", "right", &ports("TCP", &[7002]), ""));
    let right = "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";
    for format in ["json", "jsonpb"] {
        apply_with(&lab, &artifact, right, &["--report-forwarded"]);
        let mut ends = lab.tcp(7002);
        assert!(both_ways(&mut ends.0, &mut ends.1));
        let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.left);
        assert!(!run(&ping).status.success());
        let observed = lab.says(["observe", "-o", format]);
        let mut map = tool::policyc(["map", "-", "-o", "json"]);
        let map = tool::run_with_input(&mut map, observed.as_bytes());
        assert_eq!((map.status, map.err.as_str()), (Some(0), ""), "{observed}");
        let map: Value = serde_json::from_str(&map.out).expect("JSON");
        // Replies are of the connection that the left end opened.
        let [ping, tcp] = &map["edges"].as_array().expect("a list")[..] else { panic!("{map}") };
        assert_eq!((&ping["protocol"], &ping["port"]), (&"ICMPv4".into(), &8.into()), "{map}");
        assert_eq!((&ping["dropped"], &ping["forwarded"]), (&2.into(), &0.into()));
        assert_eq!((&tcp["protocol"], &tcp["port"]), (&"TCP".into(), &7002.into()));
        assert!(tcp["forwarded"].as_u64() > Some(3) && tcp["dropped"] == 0, "{tcp}");
        for edge in [ping, tcp] {
            assert_eq!((&edge["from"], &edge["to"]), (&"demo/left".into(), &"demo/right".into()));
            assert_eq!(edge["policies"], json!(["demo/ct"]));
        }
    }
}

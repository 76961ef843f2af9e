//! XDP with a companion on tc: what is received is judged in front of the network stack,
//! and answers to what is sent pass there, because both know the same connections.

use policyc_codegen::lower::maps::Room;

use crate::build::bind;
use crate::connections::{ECHO, apply, at_right, build, policy, ports};
use crate::count::Counter;
use crate::lab::{Lab, must, run};
use policyc_sys::bpf::Direction;

const XDP: &str = "- {subject: demo/right, attach: {xdp: {interface: veth-right, netns: RIGHT}}}\n";
const TC: &str = "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";

#[test]
fn replies_pass_and_default_deny_holds() {
    let Some(lab) = Lab::new("companion::replies_pass_and_default_deny_holds") else { return };
    let both = bind(&lab, &format!("{XDP}{TC}"));
    let rules = |port| format!("{ECHO}\n{}", ports("TCP", &[port]));
    let (ingress, egress) = (ports("TCP", &[7002]), rules(7003));
    let artifacts = ["one", "two"]
        .map(|name| build(name, &policy(name, "right", &ingress, &egress), Room::default()));
    // By itself XDP does not know what is sent: nothing would stop it, and answers to it
    // would be strangers.
    let open = policy("open", "right", &ingress, "toEntities: [all]");
    let open = build("open", &open, Room::default());
    for (artifact, expected) in [
        (&artifacts[0], "judges no egress of `demo/right`, which its policy restricts"),
        (&open, "sees no egress of `demo/right`, whose policy denies by default"),
    ] {
        let refused = lab.apply(artifact, &bind(&lab, XDP)).expect_err("is refused");
        assert!(refused.to_string().contains(expected), "{refused}");
    }

    // Whatever comes behind XDP was passed by it.
    let behind = Counter::attach(&lab.right, lab.wire.right, Direction::Ingress);
    apply(&lab, &artifacts[0], &both);
    let addresses = [lab.address(1).to_string(), format!("{}1", lab.wire.net6)];
    let ping = |from: &str, to: &str, size: u32| {
        let ping = format!("ping -q -c 3 -i 0.02 -W 1 -s {size} {to}");
        run(&format!("ip netns exec {from} {ping}")).status.success()
    };
    for address in &addresses {
        for size in [56, 4000] {
            assert!(ping(&lab.right, address, size), "answers pass: {address}, {size} bytes");
        }
        let before = behind.packets();
        let own = address.trim_end_matches('1').to_owned() + "2";
        assert!(!ping(&lab.left, &own, 56), "nobody may ask: {own}");
        assert_eq!(behind.packets(), before, "and nothing of it gets behind XDP");
    }
    // Who may ask is answered, and who is asked answers, through swaps.
    let (mut client, mut server) = lab.tcp(7002);
    let (mut back_client, mut back_server) = lab.tcp_back(7003);
    for artifact in artifacts.iter().cycle().take(6) {
        assert!(crate::connections::both_ways(&mut client, &mut server));
        assert!(crate::connections::both_ways(&mut back_client, &mut back_server));
        apply(&lab, artifact, &both);
    }
    // Without the companion's rule the connection that it opened is cut at both.
    let closed = build("closed", &policy("closed", "right", &ingress, ECHO), Room::default());
    apply(&lab, &closed, &both);
    assert!(crate::connections::both_ways(&mut client, &mut server));
    assert!(!crate::connections::arrives(
        &mut back_client,
        &mut back_server,
        crate::connections::SILENCE
    ));
    // And tc alone goes on with what both knew.
    apply(&lab, &closed, &at_right(&lab));
    assert!(crate::connections::both_ways(&mut client, &mut server));
    must(&format!("ip netns exec {} ping -q -c 1 -W 2 {}", lab.right, addresses[0]));
}

//! A stranger who knows both ends of a connection, and not its numbers, resets it: neither
//! end believes that, and the subject's right to replies does not end with it either.

use std::net::TcpStream;

use policyc_codegen::lower::maps::Room;
use policyc_policy::network::Direction;
use policyc_sys::net::{PacketSocket, in_netns, interface_by_name};
use serde_json::Value;

use crate::beyond::Beyond;
use crate::build::bind;
use crate::connections::{apply, arrives, both_ways, build, policy, ports};
use crate::frames::packet::Way;
use crate::lab::{Lab, PATIENCE, must, wait_for};

const RESET: u8 = 4;

/// In how many seconds the connection of a port is forgotten; it has to be established.
fn expires(lab: &Lab, port: u16) -> u64 {
    let port = port.to_string();
    let said = lab.says(["conntrack", "list", "-o", "json", "--port", &port]);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    let [known] = &document["connections"].as_array().expect("a list")[..] else {
        panic!("{said}")
    };
    assert_eq!(known["stage"], "established", "{said}");
    known["expires_seconds"].as_u64().expect("a number")
}

/// From a third namespace, with the left end's address on it, to the right end.
fn reset(lab: &Lab, stranger: &PacketSocket, from: u16, to: u16) {
    let (own, peer) = (lab.address(2), lab.address(1));
    let way = Way { direction: Direction::Ingress, own, peer, number: from };
    stranger.send(&way.segment(from, to, RESET).bytes()).expect("sends");
}

#[test]
fn a_blind_reset_ends_no_connection() {
    let Some(lab) = Lab::new("blind_reset::a_blind_reset_ends_no_connection") else { return };
    lab.without_ipv6();
    let beyond = Beyond::new(&lab);
    must(&format!("ip -n {} link set beyond address 02:00:00:00:00:02", lab.right));
    let back = || PacketSocket::open(interface_by_name("back")?.index, 0x88b5);
    let stranger = in_netns(Some(&Lab::netns(&beyond.name)), back).expect("a packet socket");
    // Wherever it comes in, it is judged.
    let to = bind(&lab, "- {subject: demo/right, attach: {netns: {path: RIGHT}}}\n");
    let rules = policy("reset", "right", &ports("TCP", &[7002]), &ports("TCP", &[7003]));
    apply(&lab, &build("reset", &rules, Room::default()), &to);

    // One that the subject was asked for, and one that it asked for.
    let (asked_for, asked) = (lab.tcp(7002), lab.tcp_back(7003));
    let port_of = |end: &TcpStream| end.local_addr().expect("bound").port();
    let cases = [(asked_for, 7002), (asked, 7003)];
    for ((mut client, mut server), port) in cases {
        assert!(both_ways(&mut client, &mut server));
        assert!(expires(&lab, port) > 7000);
        // Seen from the left end: which of its ports, and to which.
        match port {
            7002 => reset(&lab, &stranger, port_of(&client), port),
            _ => reset(&lab, &stranger, port, port_of(&client)),
        }
        wait_for("the reset to be judged", || (expires(&lab, port) <= 180).then_some(()));
        assert!(arrives(&mut server, &mut client, PATIENCE), "{port}: a reply, first of all");
        assert!(both_ways(&mut client, &mut server), "{port}");
        let is_again = || (expires(&lab, port) > 7000).then_some(());
        wait_for("the opener's word to count", is_again);
    }
}

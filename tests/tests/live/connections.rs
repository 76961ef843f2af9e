//! Connections of real sockets: replies under default deny, rules that are taken away
//! and come back, floods, full tables, errors, fragments, neighbours.
//!
//! Whoever is the subject denies everything by default, in both directions, but for what
//! a test allows.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use policyc::pipeline::Input;
use policyc_bpf::Artifact;
use policyc_codegen::lower::maps::Room;
use policyc_runtime::Bindings;

use crate::build::{artifact_with, bind, example};
use crate::lab::{Lab, must, run};
use crate::traffic::within;

/// How long something that must not come is waited for.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// A policy of one end: what it may receive and send, as rules.
pub(crate) fn policy(name: &str, subject: &str, ingress: &str, egress: &str) -> String {
    // Nobody is there: a rule that only denies by default.
    let rules = |rules: &str, nobody: &str| match rules {
        "" => format!("  - {nobody}: [192.0.2.7/32]"),
        rules => rules.lines().map(|rule| format!("  - {rule}\n")).collect(),
    };
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: {name}, namespace: demo}}\nspec:\n\
         \x20 endpointSelector: {{matchLabels: {{app: {subject}}}}}\n\
         \x20 ingress:\n{}\n  egress:\n{}\n",
        rules(ingress, "fromCIDR"),
        rules(egress, "toCIDR")
    )
}

pub(crate) fn ports(protocol: &str, ports: &[u16]) -> String {
    let ports = ports.iter().map(|port| format!("{{port: '{port}', protocol: {protocol}}}"));
    format!("toPorts: [{{ports: [{}]}}]", ports.collect::<Vec<_>>().join(", "))
}

pub(crate) const ECHO: &str =
    "icmps: [{fields: [{family: IPv4, type: 8}, {family: IPv6, type: 128}]}]";

pub(crate) fn build(name: &str, policy: &str, room: Room) -> Artifact {
    let options = Input { room, ..Input::default() };
    artifact_with(name, policy, &example("ping/inventory.yaml"), options)
}

pub(crate) fn at_right(lab: &Lab) -> Bindings {
    bind(lab, "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n")
}

pub(crate) fn at_left(lab: &Lab) -> Bindings {
    bind(lab, "- {subject: demo/left, attach: {tc: {interface: veth-left, netns: LEFT}}}\n")
}

pub(crate) fn apply(lab: &Lab, artifact: &Artifact, to: &Bindings) {
    lab.apply(artifact, to).unwrap_or_else(|error| panic!("{error:?}"));
}

/// Whether a word from one end arrives at the other.
pub(crate) fn arrives(from: &mut TcpStream, to: &mut TcpStream, patience: Duration) -> bool {
    to.set_read_timeout(Some(patience)).expect("a timeout");
    from.write_all(b"word").expect("the socket takes it");
    let mut word = [0; 4];
    to.read_exact(&mut word).is_ok() && word == *b"word"
}

pub(crate) fn both_ways(client: &mut TcpStream, server: &mut TcpStream) -> bool {
    let patience = crate::lab::PATIENCE;
    arrives(client, server, patience) && arrives(server, client, patience)
}

#[test]
fn a_rule_that_goes_cuts_its_connections_and_no_others() {
    let test = "connections::a_rule_that_goes_cuts_its_connections_and_no_others";
    let Some(lab) = Lab::new(test) else { return };
    let to = at_right(&lab);
    let room = Room::default();
    let two =
        |name: &str| build(name, &policy(name, "right", &ports("TCP", &[7002, 7003]), ""), room);
    apply(&lab, &two("one"), &to);
    // Neither the answers to a SYN nor anything else that the right sends has a rule.
    let (mut client, mut server) = lab.tcp(7002);
    let (mut other_client, mut other_server) = lab.tcp(7003);
    assert!(both_ways(&mut client, &mut server));
    assert!(both_ways(&mut other_client, &mut other_server));
    apply(&lab, &two("two"), &to);
    assert!(both_ways(&mut client, &mut server), "it goes on through a swap");
    let fewer = build("fewer", &policy("fewer", "right", &ports("TCP", &[7003]), ""), room);
    apply(&lab, &fewer, &to);
    assert!(both_ways(&mut other_client, &mut other_server), "its rule is unchanged");
    assert!(!arrives(&mut client, &mut server, SILENCE), "cut");
    assert!(!arrives(&mut server, &mut client, SILENCE), "the other way too");
    apply(&lab, &two("three"), &to);
    // What was lost is sent again.
    client.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
    server.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
    let mut word = [0; 4];
    server.read_exact(&mut word).expect("its rule is back");
    client.read_exact(&mut word).expect("its rule is back");
}

/// One answer to one question by UDP.
fn answered(lab: &Lab, port: u16, end: &str) -> bool {
    let at = |number: u8| -> IpAddr {
        match end {
            "4" => lab.address(number),
            _ => format!("{}{number}", lab.wire.net6).parse().expect("an address"),
        }
    };
    let server = within(&lab.right, || UdpSocket::bind((at(2), port)));
    let client = within(&lab.left, || UdpSocket::bind((at(1), 0)));
    server.set_read_timeout(Some(SILENCE)).expect("a timeout");
    client.set_read_timeout(Some(SILENCE)).expect("a timeout");
    // Longer than the wire is wide: it comes in fragments.
    client.send_to(&[7; 4000], (at(2), port)).expect("sends");
    let mut bytes = [0; 4096];
    let Ok((4000, from)) = server.recv_from(&mut bytes) else { return false };
    server.send_to(&[8; 4000], from).expect("sends");
    client.recv_from(&mut bytes).is_ok_and(|(length, _)| length == 4000)
}

#[test]
fn datagrams_and_pings_are_answered_in_fragments_too() {
    let test = "connections::datagrams_and_pings_are_answered_in_fragments_too";
    let Some(lab) = Lab::new(test) else { return };
    let ingress = format!("{}\n{ECHO}", ports("UDP", &[7001]));
    let artifact = build("udp", &policy("udp", "right", &ingress, ""), Room::default());
    apply(&lab, &artifact, &at_right(&lab));
    for (family, address) in
        [("4", lab.address(2).to_string()), ("6", format!("{}2", lab.wire.net6))]
    {
        assert!(answered(&lab, 7001, family), "IPv{family}");
        assert!(!answered(&lab, 7009, family), "no rule for it, IPv{family}");
        for size in [56, 4000] {
            let ping = format!("ping -{family} -q -c 3 -i 0.02 -W 2 -s {size} {address}");
            must(&format!("ip netns exec {} {ping}", lab.left));
            // Who is asked may not ask.
            let other = format!("{}1", address.trim_end_matches('2'));
            let ping = format!("ping -{family} -q -c 1 -W 1 -s {size} {other}");
            assert!(!run(&format!("ip netns exec {} {ping}", lab.right)).status.success());
        }
    }
}

#[test]
fn errors_about_a_connection_arrive() {
    let test = "connections::errors_about_a_connection_arrive";
    let Some(lab) = Lab::new(test) else { return };
    let egress = format!("{}\n{ECHO}", ports("UDP", &[7009]));
    let artifact = build("errors", &policy("errors", "left", "", &egress), Room::default());
    apply(&lab, &artifact, &at_left(&lab));
    // Nobody listens there.
    let (left, right) = (lab.address(1), lab.address(2));
    let socket = within(&lab.left, || UdpSocket::bind((left, 0)));
    socket.connect((right, 7009)).expect("connects");
    socket.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
    socket.send(b"?").expect("sends");
    let refused = socket.recv(&mut [0; 8]).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// A router on the way says that a packet is too big: not the end that is talked to.
#[test]
fn the_way_tells_how_wide_it_is() {
    let test = "connections::the_way_tells_how_wide_it_is";
    let Some(lab) = Lab::new(test) else { return };
    let (left, right) = (&lab.left, &lab.right);
    // Behind the right end there is a narrower wire.
    for command in [
        format!("ip -n {right} link add narrow mtu 1300 type veth peer name far mtu 1300"),
        format!("ip -n {right} link set narrow up"),
        format!("ip -n {right} link set far up"),
        format!("ip -n {right} route add 10.79.0.0/24 dev narrow"),
        format!("ip -n {right} -6 route add fd79::/64 dev narrow"),
        format!("ip -n {left} route add 10.79.0.0/24 via {}", lab.address(2)),
        format!("ip -n {left} -6 route add fd79::/64 via {}2", lab.wire.net6),
        format!("ip netns exec {right} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"),
        format!("ip netns exec {right} sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'"),
    ] {
        must(&command);
    }
    let artifact = build("width", &policy("width", "left", "", ECHO), Room::default());
    apply(&lab, &artifact, &at_left(&lab));
    for (family, to) in [("4", "10.79.0.9"), ("6", "fd79::9")] {
        let ping = format!("ping -{family} -M do -s 1400 -c 2 -i 0.1 -W 1 {to}");
        let said = run(&format!("ip netns exec {left} {ping}"));
        let said = String::from_utf8_lossy(&said.stdout).into_owned()
            + &String::from_utf8_lossy(&said.stderr);
        assert!(said.contains("1300"), "IPv{family}: {said}");
    }
}

/// Datagrams to as many ports: each is a connection that nobody answers.
fn flood(lab: &Lab, from: IpAddr, to: IpAddr) {
    let socket = within(&lab.left, || UdpSocket::bind((from, 0)));
    for port in 10_000..20_000u16 {
        // The other end's refusals come back as errors of later sends.
        let _ = socket.send_to(b"?", (to, port));
    }
}

#[test]
fn a_flood_ends_no_connection() {
    let test = "connections::a_flood_ends_no_connection";
    let Some(lab) = Lab::new(test) else { return };
    let egress = "toEntities: [all]";
    let room = Room { established: 16, half_open: 256 };
    let artifact = build("flood", &policy("flood", "left", "", egress), room);
    apply(&lab, &artifact, &at_left(&lab));
    let (mut client, mut server) = lab.tcp(7002);
    assert!(both_ways(&mut client, &mut server));
    flood(&lab, lab.address(1), lab.address(2));
    assert!(both_ways(&mut client, &mut server), "it was not forgotten");
    let (mut client, mut server) = lab.tcp(7003);
    assert!(both_ways(&mut client, &mut server), "there is room for new ones");
}

#[test]
fn what_there_is_no_room_for_is_dropped() {
    let test = "connections::what_there_is_no_room_for_is_dropped";
    let Some(lab) = Lab::new(test) else { return };
    let room = Room { established: 4, half_open: 1024 };
    let artifact = build("room", &policy("room", "right", &ports("TCP", &[7002]), ""), room);
    apply(&lab, &artifact, &at_right(&lab));
    let right = SocketAddr::from((lab.address(2), 7002));
    let listener = within(&lab.right, || TcpListener::bind(right));
    // Four, and one that is of the subject's share.
    let mut fit: Vec<_> = (0..5).map(|_| lab.tcp_to(&listener)).collect();
    // The last word of the handshake is dropped: nobody is accepted.
    let client = within(&lab.left, || TcpStream::connect_timeout(&right, crate::lab::PATIENCE));
    listener.set_nonblocking(true).expect("does not block");
    std::thread::sleep(SILENCE);
    assert!(listener.accept().is_err(), "there is no room");
    drop(client);
    for (client, server) in &mut fit {
        assert!(both_ways(client, server), "what is there goes on");
    }
    let status = lab.says(["status"]);
    assert!(status.contains("deny (conntrack full)"), "{status}");
    // One ends by a reset, and ten seconds later there would be room: not waited for.
    drop(listener);
}

/// One subject that has all of the room leaves the others theirs.
#[test]
fn a_flood_that_is_answered_leaves_others_their_share() {
    let test = "connections::a_flood_that_is_answered_leaves_others_their_share";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    // Both ends, in one set of tables.
    let rules = |name, subject| policy(name, subject, "fromEntities: [all]", "toEntities: [all]");
    let policies = format!("{}---\n{}", rules("left", "left"), rules("right", "right"));
    let room = Room { established: 64, half_open: 1024 };
    let artifact = build("share", &policies, room);
    let mut alone = at_left(&lab);
    apply(&lab, &artifact, &alone);
    // Every question twice, to somebody who answers.
    let echo = within(&lab.right, || UdpSocket::bind((lab.address(2), 7001)));
    echo.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let mut answered = 0;
    for _ in 0..150 {
        let client = within(&lab.left, || UdpSocket::bind((lab.address(1), 0)));
        for _ in 0..2 {
            client.send_to(b"?", (lab.address(2), 7001)).expect("sends");
            let Ok((_, from)) = echo.recv_from(&mut [0; 8]) else { continue };
            echo.send_to(b"!", from).expect("answers");
            answered += 1;
        }
    }
    assert!(answered > 2 * 32, "{answered}");
    let status = lab.says(["status"]);
    assert!(status.contains("deny (conntrack full)"), "{status}");
    alone.bindings.extend(at_right(&lab).bindings);
    apply(&lab, &artifact, &alone);
    // The other subject is asked by somebody who is not judged any more.
    apply(&lab, &artifact, &at_right(&lab));
    let (mut client, mut server) = lab.tcp(7002);
    assert!(both_ways(&mut client, &mut server), "its own share");
}

#[test]
fn neighbours_are_found_under_default_deny() {
    let test = "connections::neighbours_are_found_under_default_deny";
    let Some(lab) = Lab::new(test) else { return };
    let artifact = build("near", &policy("near", "right", ECHO, ""), Room::default());
    apply(&lab, &artifact, &at_right(&lab));
    for (netns, dev) in [(&lab.left, lab.wire.left), (&lab.right, lab.wire.right)] {
        must(&format!("ip -n {netns} neigh flush nud permanent dev {dev}"));
        let left = must(&format!("ip -n {netns} neigh show dev {dev}"));
        assert!(!left.contains("PERMANENT"), "{left}");
    }
    for address in [lab.address(2).to_string(), format!("{}2", lab.wire.net6)] {
        must(&format!("ip netns exec {} ping -q -c 3 -i 0.1 -W 2 {address}", lab.left));
    }
}

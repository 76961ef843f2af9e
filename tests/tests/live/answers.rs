//! Who is denied is told so: real sockets at both ends of a wire learn of it at once,
//! at the hook where packets come and at that where they go, and what they are told
//! has right checksums.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use policyc_codegen::lower::maps::Room;

use crate::build::{self, artifact, bind};
use crate::connections::{SILENCE, apply, build, policy};
use crate::lab::{Lab, PATIENCE, must, wait_for};
use crate::pods::has_tool;
use crate::subjects::{HOST, apply_in};
use crate::tools::Tool;
use crate::traffic::within;

/// `EHOSTUNREACH`
const NO_ROUTE: i32 = 113;
/// `EACCES`
const PROHIBITED: i32 = 13;

/// A policy of the right end that allows nothing, and answers.
fn denies(response: &str) -> policyc_bpf::Artifact {
    let annotation = format!("annotations: {{policyc.io/deny-response: {response}}}, name");
    let text = policy(response, "right", "", "").replacen("name", &annotation, 1);
    build(response, &text, Room::default())
}

/// Who asks whom: from a namespace, an address of the other.
fn questions(lab: &Lab) -> Vec<(&str, IpAddr)> {
    let v6 = |end: u8| format!("{}{end}", lab.wire.net6).parse().expect("an address");
    let (left, right) = (lab.left.as_str(), lab.right.as_str());
    vec![(left, lab.address(2)), (left, v6(2)), (right, lab.address(1)), (right, v6(1))]
}

fn connect(netns: &str, to: IpAddr, patience: Duration) -> io::Error {
    let to = SocketAddr::new(to, 7009);
    let connected = within(netns, || Ok(TcpStream::connect_timeout(&to, patience)));
    connected.expect_err("it is denied")
}

/// What a datagram comes to.
fn send(netns: &str, to: IpAddr, patience: Duration) -> io::Error {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = within(netns, || UdpSocket::bind((any, 0)));
    socket.connect((to, 7009)).expect("no packet yet");
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    socket.send(b"word").expect("it is sent");
    socket.recv(&mut [0; 16]).expect_err("it is denied")
}

fn at(place: &str) -> String {
    let place = format!("{{{place}: {{interface: veth-right, netns: RIGHT}}}}");
    format!("- {{subject: demo/right, attach: {place}}}\n")
}

/// The answers at one kind of hook.
fn are_given(test: &str, place: &str) {
    let Some(lab) = Lab::new(test) else { return };
    let to = bind(&lab, &at(place));
    apply(&lab, &denies("reset"), &to);
    for (netns, address) in questions(&lab) {
        let error = connect(netns, address, PATIENCE);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{netns} to {address}");
        let error = send(netns, address, SILENCE);
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "no TCP: {netns} to {address}: {error}");
    }
    apply(&lab, &denies("unreachable"), &to);
    for (netns, address) in questions(&lab) {
        // ICMP type 3 code 13; ICMPv6 type 1 code 1 (`icmpv6_err_convert`).
        let told = if address.is_ipv4() { NO_ROUTE } else { PROHIBITED };
        let error = send(netns, address, PATIENCE);
        assert_eq!(error.raw_os_error(), Some(told), "UDP, {netns} to {address}: {error}");
        let error = connect(netns, address, PATIENCE);
        assert_eq!(error.raw_os_error(), Some(told), "TCP, {netns} to {address}: {error}");
    }
    let silent = build("silent", &policy("silent", "right", "", ""), Room::default());
    apply(&lab, &silent, &to);
    for (netns, address) in questions(&lab) {
        let error = connect(netns, address, SILENCE);
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{netns} to {address}: {error}");
    }
}

#[test]
fn are_given_on_tcx() {
    are_given("answers::are_given_on_tcx", "tc");
}

#[test]
fn are_given_on_clsact() {
    are_given("answers::are_given_on_clsact", "clsact");
}

/// What a switch floods is heard by stations that it is not for.
#[test]
fn are_not_given_in_the_name_of_another_station() {
    let Some(lab) = Lab::new("answers::are_not_given_in_the_name_of_another_station") else {
        return;
    };
    apply(&lab, &denies("reset"), &bind(&lab, &at("tc")));
    let asks = |patience| connect(&lab.left, lab.address(2), patience).kind();
    assert_eq!(asks(PATIENCE), ErrorKind::ConnectionRefused);
    let neighbour = |mac| {
        let to = format!("{}.2 dev veth-left lladdr {mac}", lab.wire.net4);
        must(&format!("ip -n {} neigh replace {to}", lab.left));
    };
    neighbour("02:00:00:00:00:99");
    assert_eq!(asks(SILENCE), ErrorKind::TimedOut, "it is for another station");
    neighbour("02:00:00:00:00:02");
    assert_eq!(asks(PATIENCE), ErrorKind::ConnectionRefused);
}

#[test]
fn that_cannot_be_given_are_announced() {
    let Some(lab) = Lab::new("answers::that_cannot_be_given_are_announced") else { return };
    let xdp = "- {subject: demo/right, attach: {xdp: {interface: veth-right, netns: RIGHT}}}\n";
    let said = build::apply(&lab, &denies("reset"), &(at("tc") + xdp));
    let silent: Vec<_> = said.lines().filter(|line| line.contains("nothing is answered")).collect();
    assert!(matches!(silent[..], [line] if line.contains("xdp")), "{said}");
    let error = connect(&lab.right, lab.address(1), PATIENCE);
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "XDP in the driver sees no answer");
    let status = lab.says(["status"]);
    assert!(status.contains(", answered: reset"), "{status}");
}

/// A policy of the left end that allows nothing, and answers.
fn locks_left_up() -> policyc_bpf::Artifact {
    let annotation = "annotations: {policyc.io/deny-response: reset}, name";
    let text = policy("left", "left", "", "").replacen("name", annotation, 1);
    build("left", &text, Room::default())
}

/// At the host's end of a pair both directions are answered; at a port of a bridge only
/// what the workload there sends, because what it would receive may be for others.
#[test]
fn at_a_port_of_a_bridge_are_for_its_own_workload_alone() {
    let test = "answers::at_a_port_of_a_bridge_are_for_its_own_workload_alone";
    let Some(lab) = Lab::new(test) else { return };
    let (left, right) = (lab.address(1), lab.address(2));
    let to = "- subject: demo/left\n  \
              attach: {tc: {interface: veth-right, netns: RIGHT, side: host}}\n";
    let to = bind(&lab, to);
    apply(&lab, &locks_left_up(), &to);
    let sent = |patience| connect(&lab.left, right, patience).kind();
    let received = |patience| connect(&lab.right, left, patience).kind();
    assert_eq!(sent(PATIENCE), ErrorKind::ConnectionRefused, "it sends");
    assert_eq!(received(PATIENCE), ErrorKind::ConnectionRefused, "it would receive");
    for command in [
        "link add br0 address 02:00:00:00:00:02 type bridge",
        "addr flush dev veth-right",
        "link set veth-right master br0",
        "link set br0 up",
        "addr add 10.77.0.2/24 dev br0",
        "neigh add 10.77.0.1 dev br0 lladdr 02:00:00:00:00:01",
    ] {
        must(&format!("ip -n {} {command}", lab.right));
    }
    apply(&lab, &locks_left_up(), &to);
    // A bridge that has just come up carries nothing for a moment.
    let refused = || (sent(SILENCE) == ErrorKind::ConnectionRefused).then_some(());
    wait_for("an answer to what it sends", refused);
    assert_eq!(received(SILENCE), ErrorKind::TimedOut, "it may be for others");
}

/// The host's own gates let pass what came in, so what it answers bears no mark there.
#[test]
fn are_the_hosts_too() {
    let Some(lab) = Lab::new("answers::are_the_hosts_too") else { return };
    lab.without_ipv6();
    let policy = "
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: host, annotations: {policyc.io/deny-response: reset}}
spec:
  nodeSelector: {matchLabels: {role: gateway}}
  ingress: [{fromCIDR: [192.0.2.7/32]}]
  egress: [{toCIDR: [192.0.2.7/32]}]
";
    let host = "- subject: gateway\n  attach: {host: {interfaces: [veth-right]}}\n";
    let ended = apply_in(&lab, &artifact("host", policy, HOST), host);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    for (netns, to) in [(&lab.left, lab.address(2)), (&lab.right, lab.address(1))] {
        let error = connect(netns, to, PATIENCE);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{netns} to {to}");
    }
}

/// A socket's segment leaves its checksum to the device, and what comes back in its
/// place has a right one all the same: as the program made it, and where the stack
/// finishes what the device does not.
#[test]
fn have_right_checksums_where_the_question_had_none() {
    const TEST: &str = "answers::have_right_checksums_where_the_question_had_none";
    if !has_tool(TEST, "tcpdump") || !has_tool(TEST, "ethtool") {
        return;
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let to = bind(&lab, &at("tc"));
    let dump = "tcpdump -l -n -vv -Q in --immediate-mode -i veth-left";
    let filter = "'tcp or icmp or icmp6 or ip6 proto 6'";
    let dump = Tool::start(&lab.left, &format!("{dump} {filter}"));
    dump.hear_of("listening on");
    for offload in ["on", "off"] {
        must(&format!("ip netns exec {} ethtool -K veth-right tx {offload}", lab.right));
        for (response, what, right) in
            [("reset", "Flags [R.]", "(correct)"), ("unreachable", "unreachable", "prohibited")]
        {
            apply(&lab, &denies(response), &to);
            for (netns, address) in questions(&lab).into_iter().take(2) {
                connect(netns, address, PATIENCE);
                let line = heard(&dump, what);
                assert!(line.contains(right), "tx {offload}, {address}: {line}");
            }
        }
    }
}

/// The line with this in it; none before it is of a wrong checksum.
fn heard(dump: &Tool, what: &str) -> String {
    loop {
        let line = dump.hear();
        let wrong = ["incorrect", "wrong icmp", "bad icmp6"];
        assert!(!wrong.iter().any(|wrong| line.contains(wrong)), "{line}");
        if line.contains(what) {
            return line;
        }
    }
}

//! Connections that are older than the policy: without being adopted they lose their
//! replies, adopted they go on; by sockets, by what the kernel tracks, at every kind of
//! place.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::sockopt::set_ipv6_v6only;
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};

use crate::build::{bindings_text, ping_artifact, save};
use crate::connections::{SILENCE, arrives, both_ways, policy, ports};
use crate::lab::{Lab, PATIENCE, must, run, wait_for};
use crate::traffic::within;

const AT_RIGHT: &str =
    "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";
const AT_LEFT: &str = "- {subject: demo/left, attach: {tc: {interface: veth-left, netns: LEFT}}}\n";
/// The left end is met at the other end of its pair.
const LEFT_AT_HOST: &str =
    "- {subject: demo/left, attach: {tc: {interface: veth-right, netns: RIGHT, side: host}}}\n";

/// Applies a policy by the command, and returns what that says.
fn apply(lab: &Lab, policy: &str, bindings: &str, more: &[&str]) -> String {
    let (file, to) = (lab.file("adopt.policyc"), lab.file("adopt.yaml"));
    save(&ping_artifact("adopt", policy), &file);
    std::fs::write(&to, bindings_text(lab, bindings)).expect("a file");
    let args = ["apply".into(), file.into(), "--bindings".into(), to.into_os_string()];
    lab.says(args.into_iter().chain(more.iter().map(OsString::from)))
}

/// What the right end may do: be asked at one port, and nothing else.
fn right_serves(port: u16) -> String {
    policy("serves", "right", &ports("TCP", &[port]), "")
}

/// What the left end may do: ask at one port, and nothing else.
fn left_asks(protocol: &str, port: u16) -> String {
    policy("asks", "left", "", &ports(protocol, &[port]))
}

/// A connection that is open before anything is judged; somebody listens on.
fn before(lab: &Lab, port: u16) -> (TcpListener, TcpStream, TcpStream) {
    let right = SocketAddr::from((lab.address(2), port));
    let listener = within(&lab.right, || TcpListener::bind(right));
    let (mut client, mut server) = lab.tcp_to(&listener);
    assert!(both_ways(&mut client, &mut server));
    (listener, client, server)
}

#[test]
fn what_is_not_adopted_is_cut() {
    let Some(lab) = Lab::new("adopt::what_is_not_adopted_is_cut") else { return };
    let (_listener, mut client, mut server) = before(&lab, 7022);
    let said = apply(&lab, &right_serves(7022), AT_RIGHT, &[]);
    assert!(!said.contains("adopted"), "{said}");
    assert!(!arrives(&mut server, &mut client, SILENCE), "its words are no replies");
}

#[test]
fn what_is_adopted_goes_on() {
    let Some(lab) = Lab::new("adopt::what_is_adopted_goes_on") else { return };
    // Another one, that policy does not allow.
    let (_listener, mut client, mut server) = before(&lab, 7022);
    let (_other, mut denied_client, mut denied_server) = before(&lab, 7023);
    let said = apply(&lab, &right_serves(7022), AT_RIGHT, &["--adopt"]);
    assert!(said.contains("adopted 2 connections"), "{said}");
    assert!(arrives(&mut server, &mut client, PATIENCE), "who was asked speaks first");
    assert!(both_ways(&mut client, &mut server));
    let listed = lab.says(["conntrack", "list", "--port", "7022"]);
    assert!(listed.contains("peer       established"), "{listed}");
    assert!(!arrives(&mut denied_client, &mut denied_server, SILENCE), "policy is asked");
    assert!(!arrives(&mut denied_server, &mut denied_client, SILENCE), "which cut it");
    let again = apply(&lab, &right_serves(7022), AT_RIGHT, &["--adopt"]);
    assert!(again.contains("adopted 0 connections"), "what is known stays: {again}");
    assert!(both_ways(&mut client, &mut server));
}

#[test]
fn who_asks_is_adopted_as_the_one_who_asks() {
    let test = "adopt::who_asks_is_adopted_as_the_one_who_asks";
    for bindings in
        [AT_LEFT, LEFT_AT_HOST, "- {subject: demo/left, attach: {netns: {path: LEFT}}}\n"]
    {
        let Some(lab) = Lab::new(test) else { return };
        let (_listener, mut client, mut server) = before(&lab, 7022);
        let said = apply(&lab, &left_asks("TCP", 7022), bindings, &["--adopt"]);
        assert!(said.contains("adopted 1 connection\n"), "{bindings}{said}");
        assert!(arrives(&mut server, &mut client, PATIENCE), "{bindings}");
        assert!(both_ways(&mut client, &mut server), "{bindings}");
    }
}

#[test]
fn sockets_of_a_cgroup() {
    let Some(mut lab) = Lab::new("adopt::sockets_of_a_cgroup") else { return };
    let cgroup = lab.cgroup();
    let right = SocketAddr::from((lab.address(2), 7022));
    let listener = within(&lab.right, || TcpListener::bind(right));
    let join = format!("echo $$ > {}/cgroup.procs", cgroup.display());
    let ask = format!("exec ip netns exec {} ncat {} 7022", lab.left, lab.address(2));
    let mut client = Command::new("sh")
        .args(["-c", &format!("{join} && {ask}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ncat");
    let (mut server, _) = listener.accept().expect("accepts");
    // Not of the cgroup, and not its subject's.
    let (_other, mut outside, mut outside_server) = before(&lab, 7023);
    let bindings =
        format!("- {{subject: demo/left, attach: {{cgroup: {{path: {}}}}}}}\n", cgroup.display());
    let said = apply(&lab, &left_asks("TCP", 7022), &bindings, &["--adopt"]);
    assert!(said.contains("adopted 1 connection\n"), "{said}");
    server.write_all(b"word").expect("the socket takes it");
    let mut word = [0; 4];
    let mut out = client.stdout.take().expect("its output");
    out.read_exact(&mut word).expect("it arrives");
    assert_eq!(&word, b"word");
    assert!(both_ways(&mut outside, &mut outside_server));
    let _ = client.kill();
    let _ = client.wait();
    drop(out);
    wait_for("the cgroup to be empty", || {
        let members = std::fs::read_to_string(cgroup.join("cgroup.procs")).expect("members");
        members.is_empty().then_some(())
    });
}

/// Nothing leads to the left namespace any more; its sockets keep it.
fn hide_left(lab: &Lab) {
    must(&format!("ip netns del {}", lab.left));
}

#[test]
fn what_cannot_be_seen_is_said() {
    let Some(lab) = Lab::new("adopt::what_cannot_be_seen_is_said") else { return };
    if Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists() {
        println!("the kernel tracks connections here, so nothing is missed");
        return;
    }
    let (_listener, _client, _server) = before(&lab, 7022);
    hide_left(&lab);
    let said = apply(&lab, &left_asks("TCP", 7022), LEFT_AT_HOST, &["--adopt"]);
    assert!(said.contains("not adopted: connections of `demo/left`: nothing leads to"), "{said}");
}

#[test]
fn what_the_kernel_tracks() {
    let Some(lab) = Lab::new("adopt::what_the_kernel_tracks") else { return };
    let table = "table inet seen { chain in { type filter hook input priority 0; ct state \
                 established accept; }; chain out { type filter hook output priority 0; ct state \
                 established accept; }; }";
    let tracks = run(&format!("ip netns exec {} nft '{table}'", lab.right));
    if !tracks.status.success() {
        let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
        let why = String::from_utf8_lossy(&tracks.stderr).into_owned();
        assert!(!required, "{why}");
        eprintln!("SKIPPED adopt::what_the_kernel_tracks: {why}");
        return;
    }
    let (_listener, mut client, mut server) = before(&lab, 7022);
    let right = SocketAddr::from((lab.address(2), 7022));
    let receiver: UdpSocket = within(&lab.right, || UdpSocket::bind(right));
    let sender = lab.udp_to(&receiver);
    let mut bytes = [0; 8];
    sender.send(b"?").expect("sends");
    let (_, from) = receiver.recv_from(&mut bytes).expect("receives");
    receiver.send_to(b"!", from).expect("answers");
    sender.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    sender.recv(&mut bytes).expect("an answer");
    hide_left(&lab);
    let rules = format!("{}\n{}", ports("TCP", &[7022]), ports("UDP", &[7022]));
    let said = apply(&lab, &policy("asks", "left", "", &rules), LEFT_AT_HOST, &["--adopt"]);
    assert!(said.contains("adopted 2 connections"), "{said}");
    assert!(!said.contains("not adopted"), "{said}");
    assert!(arrives(&mut server, &mut client, PATIENCE));
    assert!(both_ways(&mut client, &mut server));
    receiver.send_to(b"!", from).expect("answers");
    sender.recv(&mut bytes).expect("an answer to what was asked before");
}

#[test]
fn what_is_attached_later_is_adopted_too() {
    let test = "adopt::what_is_attached_later_is_adopted_too";
    let Some(lab) = Lab::new(test) else { return };
    let (_listener, mut client, mut server) = before(&lab, 7022);
    // It judges at the left end first, where everything passes.
    apply(&lab, &right_serves(7022), AT_LEFT, &[]);
    let netns = Lab::netns(&lab.right).display().to_string();
    let said = lab.says(["attach", "--netns", &netns, "--subject", "demo/right", "--adopt"]);
    assert!(said.contains("adopted 1 connection\n"), "{said}");
    assert!(arrives(&mut server, &mut client, PATIENCE));
    assert!(both_ways(&mut client, &mut server));
}

#[test]
fn where_it_is_judged_already_is_adopted_too() {
    let test = "adopt::where_it_is_judged_already_is_adopted_too";
    let Some(lab) = Lab::new(test) else { return };
    let (_listener, mut client, mut server) = before(&lab, 7022);
    apply(&lab, &right_serves(7022), AT_RIGHT, &[]);
    let netns = Lab::netns(&lab.right).display().to_string();
    let said = lab.says(["attach", "--netns", &netns, "--adopt"]);
    let expected = "generation 1 judges there already\n  adopted 1 connection\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(arrives(&mut server, &mut client, PATIENCE), "who was asked speaks first");
    assert!(both_ways(&mut client, &mut server));
}

#[test]
fn what_goes_back_takes_back_what_it_adopted() {
    let test = "adopt::what_goes_back_takes_back_what_it_adopted";
    let Some(lab) = Lab::new(test) else { return };
    let (listener, mut client, mut server) = before(&lab, 7022);
    apply(&lab, &right_serves(7022), AT_RIGHT, &[]);
    // One that programs know by themselves.
    let (mut new_client, mut new_server) = lab.tcp_to(&listener);
    assert!(both_ways(&mut new_client, &mut new_server));
    let said = apply(&lab, &right_serves(7022), AT_RIGHT, &["--adopt", "--confirm", "10m"]);
    assert!(said.contains("adopted 1 connection\n"), "{said}");
    assert!(both_ways(&mut client, &mut server));
    lab.says(["rollback"]);
    assert!(!arrives(&mut server, &mut client, SILENCE), "as before");
    assert!(both_ways(&mut new_client, &mut new_server), "the other goes on");
}

/// A socket of IPv6 that hears nothing of IPv4 is not who was asked.
#[test]
fn who_listens_for_ipv6_alone_asked() {
    let Some(lab) = Lab::new("adopt::who_listens_for_ipv6_alone_asked") else { return };
    let right = SocketAddr::from((lab.address(2), 7022));
    let listener = within(&lab.right, || TcpListener::bind(right));
    let stream = |family| Ok(socket(family, SocketType::STREAM, None)?);
    let hears = within(&lab.left, || stream(AddressFamily::INET6));
    set_ipv6_v6only(&hears, true).expect("IPv6 alone");
    bind(&hears, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7023))).expect("binds");
    listen(&hears, 1).expect("listens");
    let asks = within(&lab.left, || stream(AddressFamily::INET));
    bind(&asks, &SocketAddr::from((lab.address(1), 7023))).expect("binds");
    connect(&asks, &right).expect("connects");
    let mut client = TcpStream::from(asks);
    let (mut server, _) = listener.accept().expect("accepts");
    assert!(both_ways(&mut client, &mut server));
    let said = apply(&lab, &left_asks("TCP", 7022), AT_LEFT, &["--adopt"]);
    assert!(said.contains("adopted 1 connection\n"), "{said}");
    let listed = lab.says(["conntrack", "list", "--port", "7022"]);
    assert!(listed.contains("subject    established"), "{listed}");
    assert!(arrives(&mut server, &mut client, PATIENCE));
    assert!(both_ways(&mut client, &mut server));
}

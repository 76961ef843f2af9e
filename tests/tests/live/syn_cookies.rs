//! SYN cookies: the answer to a SYN has no socket, so the gate of a cgroup does not see it,
//! and the connection is established all the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use crate::build::{bind, ping_artifact};
use crate::connections::{policy, ports};
use crate::lab::{Lab, PATIENCE, must, run, wait_for};
use crate::traffic::within;

/// How many SYNs a namespace has answered by a cookie.
fn cookies(netns: &str) -> u64 {
    let text = must(&format!("ip netns exec {netns} cat /proc/net/netstat"));
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut found = names.split(' ').zip(values.split(' '));
    let (_, value) = found.find(|(name, _)| *name == "SyncookiesSent").expect("a counter");
    value.parse().expect("a number")
}

#[test]
fn a_server_behind_the_gate_of_a_cgroup() {
    let test = "syn_cookies::a_server_behind_the_gate_of_a_cgroup";
    let Some(mut lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let setting = "/proc/sys/net/ipv4/tcp_syncookies";
    // Always, not only where too many wait.
    if !run(&format!("ip netns exec {} sh -c 'echo 2 > {setting}'", lab.right)).status.success() {
        let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
        assert!(!required, "{test}: no SYN cookies in this kernel");
        eprintln!("SKIPPED {test}: no SYN cookies in this kernel");
        return;
    }
    let cgroup = lab.cgroup();
    let join = format!("echo $$ > {}/cgroup.procs", cgroup.display());
    let serve = format!("exec ip netns exec {} ncat -l {} 7002", lab.right, lab.address(2));
    let mut server = Command::new("sh")
        .args(["-c", &format!("{join} && {serve}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ncat");
    wait_for("a listener", || {
        let listens = must(&format!("ip netns exec {} ss -Hltn sport = :7002", lab.right));
        (!listens.is_empty()).then_some(())
    });
    let place =
        format!("- {{subject: demo/right, attach: {{cgroup: {{path: {}}}}}}}\n", cgroup.display());
    // It may be asked, and asks nobody.
    let artifact =
        ping_artifact("cookies", &policy("cookies", "right", &ports("TCP", &[7002]), ""));
    lab.apply(&artifact, &bind(&lab, &place)).expect("applies");

    let right = SocketAddr::from((lab.address(2), 7002));
    let mut client = within(&lab.left, || TcpStream::connect_timeout(&right, PATIENCE));
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(cookies(&lab.right), 1, "its SYN was answered by a cookie");
    let mut input = server.stdin.take().expect("its input");
    let output = BufReader::new(server.stdout.take().expect("its output"));
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
    });
    for round in 0..3 {
        client.write_all(b"asks\n").expect("the socket takes it");
        assert_eq!(heard.recv_timeout(PATIENCE).as_deref(), Ok("asks"), "round {round}");
        input.write_all(b"says\n").and_then(|()| input.flush()).expect("it listens");
        let mut word = [0; 5];
        client.read_exact(&mut word).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(&word, b"says\n");
    }
    let listed = lab.says(["conntrack", "list", "--port", "7002"]);
    assert!(listed.contains("peer       established"), "{listed}");
    drop(client);
    let _ = server.kill();
    let _ = server.wait();
    wait_for("the cgroup to be empty", || {
        let members = std::fs::read_to_string(cgroup.join("cgroup.procs")).expect("members");
        members.is_empty().then_some(())
    });
}

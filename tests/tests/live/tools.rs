//! End to end with the tools that people have: ncat, ping, tcpdump, through swaps and
//! routers, in both families.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use policyc_codegen::lower::maps::Room;

use crate::beyond::{BEYOND4, BEYOND6, Beyond};
use crate::connections::{ECHO, apply, at_left, at_right, build, policy, ports};
use crate::lab::{Lab, PATIENCE, must, run, wait_for};
use crate::pods::has_tool;

/// A tool that runs until the value is gone, and what it says, line by line.
pub(crate) struct Tool {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Tool {
    pub(crate) fn start(netns: &str, command: &str) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", netns, "sh", "-c", &format!("exec {command} 2>&1")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let (tell, lines) = channel();
        let output = child.stdout.take().expect("its output");
        std::thread::spawn(move || {
            for line in BufReader::<ChildStdout>::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("it listens");
    }

    /// The next line, which is waited for.
    pub(crate) fn hear(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }

    /// Waits for a line that has this in it.
    pub(crate) fn hear_of(&self, what: &str) {
        while !self.hear().contains(what) {}
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The right end's addresses.
fn right(lab: &Lab) -> [String; 2] {
    [lab.address(2).to_string(), format!("{}2", lab.wire.net6)]
}

/// Waits until somebody listens on a port of TCP.
fn listens(netns: &str, port: u16) {
    wait_for("a listener", || {
        let listeners = must(&format!("ip netns exec {netns} ss -Hltn sport = :{port}"));
        (!listeners.is_empty()).then_some(())
    });
}

/// Connections and a stream of datagrams of both families live through swaps, between
/// two rules that allow them, under default deny in both directions.
#[test]
fn ncat_talks_on_through_swaps() {
    const TEST: &str = "tools::ncat_talks_on_through_swaps";
    if !has_tool(TEST, "ncat") {
        return;
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let to = at_right(&lab);
    let rules = format!("{}\n{}", ports("TCP", &[7002]), ports("UDP", &[7003]));
    let artifacts =
        ["one", "two"].map(|name| build(name, &policy(name, "right", &rules, ""), Room::default()));
    apply(&lab, &artifacts[0], &to);
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for (family, address) in right(&lab).iter().enumerate() {
        // Each family has a listener of its own.
        let family = [4, 6][family];
        for (kind, port) in [("", 7002), ("-u", 7003)] {
            let server = format!("ncat -{family} {kind} -l {address} {port} --exec /bin/cat");
            servers.push(Tool::start(&lab.right, &server));
            wait_for("a listener", || {
                let kind = if kind.is_empty() { "t" } else { "u" };
                let sockets = format!("ss -Hln{kind} src [{address}]:{port}");
                let said = must(&format!("ip netns exec {} {sockets}", lab.right));
                (!said.is_empty()).then_some(())
            });
            clients
                .push(Tool::start(&lab.left, &format!("ncat -{family} {kind} {address} {port}")));
        }
    }
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            let word = format!("round {round} of client {number}");
            client.say(&word);
            assert_eq!(client.hear(), word);
        }
        if round == 0 {
            let status = lab.says(["status"]);
            assert!(status.contains("allow (established)"), "{status}");
        }
        apply(&lab, &artifacts[(round + 1) % 2], &to);
    }
}

/// Of routers on the way, under default deny: no rule speaks about them.
#[test]
fn ping_hears_of_errors_on_the_way() {
    let Some(lab) = Lab::new("tools::ping_hears_of_errors_on_the_way") else { return };
    let _beyond = Beyond::new(&lab).with_ipv6(&lab);
    for command in ["route add unreachable 10.80.0.0/24", "-6 route add unreachable fd80::/64"] {
        must(&format!("ip -n {} {command}", lab.right));
    }
    for command in ["route add 10.80.0.0/24 via 10.77.0.2", "-6 route add fd80::/64 via fd77::2"] {
        must(&format!("ip -n {} {command}", lab.left));
    }
    let artifact = build("errors", &policy("errors", "left", "", ECHO), Room::default());
    apply(&lab, &artifact, &at_left(&lab));
    for (ping, expected) in [
        (format!("-4 {BEYOND4}"), " 0% packet loss"),
        (format!("-6 {BEYOND6}"), " 0% packet loss"),
        (format!("-4 -t 1 {BEYOND4}"), "Time to live exceeded"),
        (format!("-6 -t 1 {BEYOND6}"), "Time exceeded: Hop limit"),
        ("-4 10.80.0.9".to_owned(), "Destination Host Unreachable"),
        ("-6 fd80::9".to_owned(), "Destination unreachable: "),
    ] {
        let said = run(&format!("ip netns exec {} ping -c 2 -i 0.1 -W 2 {ping}", lab.left));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(expected), "{ping}: {said}");
    }
    let status = lab.says(["status"]);
    assert!(status.contains("allow (related)"), "{status}");
}

/// A transfer through a router behind which the way is narrower, as neither end can
/// know: what it sends has to become smaller on the router's word alone.
#[test]
fn a_transfer_learns_how_wide_the_way_is() {
    const TEST: &str = "tools::a_transfer_learns_how_wide_the_way_is";
    if !has_tool(TEST, "ncat") {
        return;
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let beyond = Beyond::new(&lab).with_ipv6(&lab);
    // Only what the router sends is narrow: who listens says that there is room for more.
    must(&format!("ip -n {} link set beyond mtu 1300", lab.right));
    let egress = ports("TCP", &[7002, 7003]);
    let artifact = build("width", &policy("width", "left", "", &egress), Room::default());
    apply(&lab, &artifact, &at_left(&lab));
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let (sent, received) = (lab.file("sent"), lab.file("received"));
    fs::write(&sent, &bytes).expect("a file");
    for (family, address, port) in [(4, BEYOND4, 7002), (6, BEYOND6, 7003)] {
        let server = format!("ncat -{family} -l {address} {port} --recv-only");
        let mut server =
            Tool::start(&beyond.name, &format!("sh -c '{server} > {}'", received.display()));
        listens(&beyond.name, port);
        let client = format!("ncat -{family} --send-only {address} {port} < {}", sent.display());
        must(&format!("ip netns exec {} sh -c '{client}'", lab.left));
        wait_for("the transfer", || server.child.try_wait().expect("a child"));
        assert!(fs::read(&received).expect("a file") == bytes, "IPv{family}");
        let route = must(&format!("ip -n {} -{family} route get {address}", lab.left));
        assert!(route.contains("mtu 1300"), "IPv{family}: {route}");
    }
    let status = lab.says(["status"]);
    assert!(status.contains("allow (related)"), "{status}");
}

/// What is denied on its way out is on no wire.
#[test]
fn tcpdump_sees_nothing_of_what_is_denied() {
    const TEST: &str = "tools::tcpdump_sees_nothing_of_what_is_denied";
    if !has_tool(TEST, "tcpdump") {
        return;
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let echo4 = "icmps: [{fields: [{family: IPv4, type: 8}]}]";
    let artifact = build("dump", &policy("dump", "right", "", echo4), Room::default());
    apply(&lab, &artifact, &at_right(&lab));
    let filter = "'icmp or icmp6'";
    let dump =
        Tool::start(&lab.left, &format!("tcpdump -l -n --immediate-mode -i veth-left {filter}"));
    dump.hear_of("listening on");
    let ping = |to: &str| {
        run(&format!("ip netns exec {} ping -q -c 2 -i 0.05 -W 1 {to}", lab.right)).status.success()
    };
    assert!(!ping("fd77::1"), "denied");
    assert!(ping("10.77.0.1"), "allowed");
    for word in ["request", "reply", "request", "reply"] {
        let line = dump.hear();
        assert!(line.contains("10.77.0.") && line.contains(word), "{line}");
    }
}

//! `policyc conntrack`: connections of real sockets are listed, and forgotten while
//! programs run.

use policyc_codegen::lower::maps::Room;
use serde_json::Value;

use crate::build::{bind, ping_artifact};
use crate::connections::{SILENCE, arrives, both_ways, build, policy, ports};
use crate::lab::{Lab, run};
use crate::tool::{self, binary, words};
use crate::traffic::Conversation;

/// What `list` says with more arguments.
fn list(lab: &Lab, more: &str) -> Vec<Value> {
    let said = lab.says(words(&format!("conntrack list -o json {more}")));
    let document: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(document["version"], 1);
    document["connections"].as_array().expect("a list").clone()
}

fn at_right(lab: &Lab) -> policyc_runtime::Bindings {
    bind(lab, "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n")
}

#[test]
fn connections_are_listed_and_forgotten() {
    let test = "conntrack::connections_are_listed_and_forgotten";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let artifact = ping_artifact("ct", &policy("ct", "right", &ports("TCP", &[7002, 7003]), ""));
    lab.apply(&artifact, &at_right(&lab)).expect("applies");
    assert_eq!(lab.says(["conntrack", "list"]), "no connections\n");

    let (mut client, mut server) = lab.tcp(7002);
    assert!(both_ways(&mut client, &mut server));
    let port = client.local_addr().expect("bound").port();
    let other = Conversation::start(&lab, 7003);
    let text = lab.says(["conntrack", "list", "--port", "7002"]);
    let line = text.lines().nth(1).expect("a connection");
    let cells: Vec<_> = line.split_whitespace().collect();
    let (own, peer) = (format!("{}:7002", lab.address(2)), format!("{}:{port}", lab.address(1)));
    assert_eq!(cells[..6], ["demo/right", "TCP", &own, &peer, "peer", "established"], "{text}");

    let [known] = &list(&lab, &format!("--port {port}"))[..] else { panic!("one") };
    assert_eq!((&known["subject"], &known["stage"]), (&"demo/right".into(), &"established".into()));
    assert_eq!((&known["own"]["port"], &known["peer"]["port"]), (&7002.into(), &port.into()));
    assert_eq!((&known["opened_by"], &known["replied"]), (&"peer".into(), &true.into()));
    let expires = known["expires_seconds"].as_u64().expect("a number");
    assert!((7000..=8000).contains(&expires), "{known}");

    let number = known["subject_number"].as_str().expect("a number").to_owned();
    for (filter, count) in [
        ("--subject demo/right", 2),
        (&format!("--subject #{number}"), 2),
        ("--subject demo/left", 0),
        ("--ip 10.77.0.1 --protocol tcp", 2),
        ("--ip 10.77.0.0/24 --protocol 6 --port 7003", 1),
        ("--ip 10.77.1.0/24", 0),
        ("--ip ::/0", 0),
        ("--protocol UDP", 0),
        ("--stage established", 2),
        ("--stage half-open", 0),
    ] {
        assert_eq!(list(&lab, filter).len(), count, "{filter}");
    }

    let flush = |more: &str| lab.says(words(&format!("conntrack flush {more}")));
    assert_eq!(flush("--protocol UDP"), "forgot 0 connections\n");
    assert!(both_ways(&mut client, &mut server), "it was not meant");
    assert_eq!(flush(&format!("--subject demo/right --port {port}")), "forgot 1 connection\n");
    assert!(!arrives(&mut server, &mut client, SILENCE), "a reply of nothing");
    assert_eq!(list(&lab, "").len(), 1);
    assert!(other.end() > 0, "the other goes on");
    // Its opener's words are allowed one by one, and open nothing.
    assert!(arrives(&mut client, &mut server, crate::lab::PATIENCE));
    assert!(!arrives(&mut server, &mut client, SILENCE), "still no reply");
    assert_eq!(list(&lab, "--stage established").len(), 0, "the other one ended");
    let all = list(&lab, "").len();
    assert_eq!(flush("-o json"), format!("{{\n  \"forgotten\": {all},\n  \"version\": 1\n}}\n"));
    assert_eq!(lab.says(["conntrack", "list"]), "no connections\n");
    let (mut client, mut server) = lab.tcp(7002);
    assert!(both_ways(&mut client, &mut server), "and new ones are opened");
}

#[test]
fn stages_and_pings_are_told_apart() {
    let Some(lab) = Lab::new("conntrack::stages_and_pings_are_told_apart") else { return };
    let allowed = format!("{}\n{}", ports("TCP", &[7002]), crate::connections::ECHO);
    let artifact = ping_artifact("ct", &policy("ct", "right", &allowed, ""));
    lab.apply(&artifact, &at_right(&lab)).expect("applies");
    for to in ["10.77.0.2", "fd77::2"] {
        let ping = run(&format!("ip netns exec {} ping -q -c 1 -W 2 {to}", lab.left));
        assert!(ping.status.success());
    }
    let pings = list(&lab, "--protocol icmp");
    assert_eq!(pings.len(), 1, "{pings:?}");
    assert_eq!((&pings[0]["icmp"]["type"], &pings[0]["stage"]), (&8.into(), &"half-open".into()));
    assert_eq!(pings[0]["own"], serde_json::json!({"address": "10.77.0.2", "port": null}));
    let [six] = &list(&lab, "--ip fd77::/64 --protocol icmpv6")[..] else { panic!("one") };
    assert_eq!(six["icmp"]["type"], 128);
    let (client, server) = lab.tcp(7002);
    drop((client, server));
    crate::lab::wait_for("both to finish", || {
        (list(&lab, "--protocol TCP --stage closing").len() == 1).then_some(())
    });
    // What was allowed is denied: its opener's next packet cuts it.
    let mut end = lab.tcp(7002);
    let deny = ping_artifact("deny", &policy("deny", "right", crate::connections::ECHO, ""));
    lab.apply(&deny, &at_right(&lab)).expect("applies");
    assert!(!arrives(&mut end.0, &mut end.1, SILENCE));
    assert_eq!(list(&lab, "--stage cut").len(), 1);
}

#[test]
fn what_is_missing_is_said() {
    let Some(lab) = Lab::new("conntrack::what_is_missing_is_said") else { return };
    for command in ["list", "flush"] {
        let refused = lab.refuses(["conntrack", command]);
        assert!(
            refused.err.contains("no connections are kept: nothing is live"),
            "{}",
            refused.err
        );
        assert!(refused.err.contains("help: apply an artifact"), "{}", refused.err);
    }
    let artifact = ping_artifact("ct", &policy("ct", "right", &ports("TCP", &[7002]), ""));
    lab.apply(&artifact, &at_right(&lab)).expect("applies");
    for command in ["list", "flush"] {
        let refused = lab.refuses(["conntrack", command, "--subject", "demo/rihgt"]);
        assert!(refused.err.contains("has no subject `demo/rihgt`"), "{}", refused.err);
        let mut unable = std::process::Command::new("setpriv");
        unable
            .args(["--bounding-set", "-bpf,-sys_admin"])
            .arg(binary())
            .args(["conntrack", command]);
        unable.arg("--pins").arg(lab.dirs.pins()).arg("--state").arg(&lab.dirs.state);
        let ended = tool::run(&mut unable);
        assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
        assert!(ended.err.contains("missing privilege: CAP_BPF"), "{}", ended.err);
        assert!(ended.err.contains("help: run as root"), "{}", ended.err);
    }
}

#[test]
fn tables_of_another_size_are_refused() {
    let Some(lab) = Lab::new("conntrack::tables_of_another_size_are_refused") else { return };
    let rules = policy("ct", "right", &ports("TCP", &[7002]), "");
    let sized = |established| build("ct", &rules, Room::for_established(established));
    lab.apply(&sized(2048), &at_right(&lab)).expect("applies");
    let (mut client, mut server) = lab.tcp(7002);
    let error = lab.apply(&sized(5000), &at_right(&lab)).expect_err("another size");
    let said = error.to_string();
    assert!(said.contains("its number of entries is 2560, and the artifact wants 10240"), "{said}");
    assert!(
        error.help().contains("`policyc remove`, after which nothing is judged, and apply"),
        "{}",
        error.help()
    );
    assert!(both_ways(&mut client, &mut server), "what is live stays");
    lab.says(["status"]);
    lab.apply(&sized(1500), &at_right(&lab)).expect("the same, rounded");
    lab.says(["remove"]);
    lab.apply(&sized(5000), &at_right(&lab)).expect("made anew");
}

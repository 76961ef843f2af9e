use serde_json::{Value, json as value};

use super::{Node, ServiceMap, Skip, Verdict, dot, flow, html, json};

/// Two lines of `policyc observe -o json`: a question and its answer.
pub(super) fn ours() -> [String; 2] {
    let line = |verdict: &str, reason: &str, from: Value, to: Value| {
        let flow = value!({"source": from, "destination": to, "protocol": "TCP",
                           "icmp_type": null, "tcp_flags": "SYN"});
        let by = value!({"policy": "shop/web", "rule": "spec.ingress[0]", "file": "a.yaml"});
        value!({"time": "2026-03-01T12:30:45.000Z", "verdict": verdict, "direction": "ingress",
                "flow": flow, "reason": reason, "by": by})
        .to_string()
    };
    let web = || value!({"address": "10.1.0.2", "name": "shop/web", "port": 8080});
    let peer = || value!({"address": "203.0.113.9", "name": null, "port": 50123});
    [line("FORWARDED", "rule", peer(), web()), line("FORWARDED", "established", web(), peer())]
}

pub(super) fn map_of(lines: &[String]) -> ServiceMap {
    let mut map = ServiceMap::default();
    for line in lines {
        map.add(flow(line).unwrap());
    }
    map
}

#[test]
fn replies_are_turned_round() {
    let map = map_of(&ours());
    let document = json(&map);
    let edges = value!([{"from": "world", "to": "shop/web", "protocol": "TCP", "port": 8080,
        "forwarded": 2, "dropped": 0, "audit": 0, "policies": ["shop/web"]}]);
    assert_eq!(document["edges"], edges);
    let world = value!({"name": "world", "kind": "entity", "addresses": ["203.0.113.9"]});
    assert_eq!(document["nodes"][0], world);
}

#[test]
fn hubbles_flows_are_understood() {
    let line = value!({"flow": {
        "verdict": "DROPPED", "IP": {"source": "10.0.0.7", "destination": "1.1.1.1"},
        "l4": {"UDP": {"source_port": 4000, "destination_port": 53}},
        "source": {"namespace": "shop", "pod_name": "web-7d9-x", "labels": ["k8s:app=web"],
                   "workloads": [{"name": "web", "kind": "Deployment"}]},
        "destination": {"identity": 2, "labels": ["reserved:world"]},
        "destination_names": ["one.one.one.one"],
        "egress_denied_by": [{"name": "no-dns", "namespace": "shop"}],
    }, "node_name": "n1"});
    let seen = flow(&line.to_string()).unwrap();
    assert_eq!(seen.from.node, Node::Named("shop/web".to_owned()));
    assert_eq!(seen.to.node, Node::Named("one.one.one.one".to_owned()));
    assert_eq!((seen.service.text().as_str(), seen.verdict), ("53/UDP", Verdict::Dropped));
    assert_eq!(seen.policies, ["shop/no-dns"]);
    // The flow alone, as Hubble wrote it once; a reply, of ICMP.
    let line = value!({"verdict": "FORWARDED", "is_reply": true,
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.7"}, "l4": {"ICMPv4": {"type": 0}},
        "source": {"identity": 1, "labels": ["reserved:host"]},
        "destination": {"namespace": "shop", "pod_name": "db-0"}});
    let seen = flow(&line.to_string()).unwrap();
    assert_eq!(seen.to.node, Node::Entity("host".to_owned()));
    assert_eq!(seen.from.node, Node::Named("shop/db-0".to_owned()));
    assert_eq!(seen.service.text(), "8/ICMPv4", "what was asked");
}

#[test]
fn what_is_no_flow_is_said() {
    let cases = [
        ("", Skip::NoJson),
        ("{", Skip::NoJson),
        ("[1]", Skip::NoFlow),
        ("null", Skip::NoFlow),
        (r#"{"flow": null, "verdict": "DROPPED"}"#, Skip::NoFlow),
        (r#"{"event": "sched/sched_process_exec"}"#, Skip::NoFlow),
        (r#"{"flow": {"IP": {"source": "a"}}}"#, Skip::NoFlow),
        (
            r#"{"flow": {"verdict": "TRACED", "IP": {"source": "a", "destination": "b"}}}"#,
            Skip::NoVerdict,
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(flow(line), Err(expected), "{line}");
    }
}

#[test]
fn orders_of_flows_do_not_matter() {
    let [first, second] = ours();
    let (one, other) = (map_of(&[first.clone(), second.clone()]), map_of(&[second, first]));
    assert_eq!(one, other);
    assert_eq!(html(&one, ""), html(&other, ""));
    assert_eq!(dot(&one), dot(&other));
}

/// What a pod could be called if nobody had looked.
const HOSTILE: [&str; 6] = [
    "</title></svg><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onload='alert(1)",
    "a/\u{0}\u{1b}[31m\\",
    "</script><script>alert(1)//",
    "\"];x [label=<b>\\",
];

fn hostile() -> ServiceMap {
    let lines: Vec<_> = HOSTILE
        .iter()
        .map(|name| {
            let end = value!({"address": name, "name": name, "port": 1});
            let flow = value!({"source": end, "destination": end, "protocol": name});
            value!({"verdict": "DROPPED", "flow": flow, "by": {"policy": name}}).to_string()
        })
        .collect();
    map_of(&lines)
}

#[test]
fn hostile_names_are_text() {
    let map = hostile();
    let page = html(&map, HOSTILE[0]);
    assert_eq!(page.matches("<script>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<img") && !page.contains("onload='"), "{page}");
    assert!(!page.contains('\u{1b}') && !page.contains('\0'));
    let graph = dot(&map);
    // Of each line the quotes that are no text come in pairs.
    for line in graph.lines() {
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(bare.matches('"').count() % 2, 0, "{line}");
    }
}

#[test]
fn a_map_of_nothing_is_a_page() {
    let map = ServiceMap::default();
    assert!(html(&map, "nothing").contains("0 names, 0 connections"));
    assert_eq!(json(&map), value!({"version": 1, "nodes": [], "edges": []}));
}

//! What `observe` says about verdicts: who, what, and which line decided.

use std::fs;

use serde_json::{Value, json};

use crate::build::{apply_with, bindings_text, example, ping_artifact};
use crate::lab::{Lab, run, wait_for};
use crate::tool::{self, root};

#[test]
fn verdicts_name_policy_rule_and_line() {
    let Some(lab) = Lab::new("observe::verdicts_name_policy_rule_and_line") else { return };
    let artifact = lab.file("deny.policyc");
    let files = ["-f", "examples/ping/deny-echo.yaml", "-i", "examples/ping/inventory.yaml", "-o"];
    let mut build = tool::policyc(["build"].iter().chain(&files));
    let built = tool::run(build.arg(&artifact));
    assert_eq!(built.status, Some(0), "{}{}", built.out, built.err);
    let bindings = lab.file("bindings.yaml");
    let right = "- subject: demo/right\n  attach: {tc: {interface: veth-right, netns: RIGHT}}\n";
    fs::write(&bindings, bindings_text(&lab, right)).expect("a file");
    let (file, bindings) = (artifact.as_os_str(), bindings.as_os_str());
    let options = ["--report-forwarded".as_ref(), "--bindings".as_ref(), bindings];
    lab.says(["apply".as_ref(), file].into_iter().chain(options));

    let (sender, receiver) = lab.udp(7001);
    sender.send(b"allowed").expect("sends");
    wait_for("the datagram", || receiver.recv(&mut [0; 8]).ok());
    let ping = format!("ip netns exec {} ping -q -c 1 -W 1 10.77.0.2", lab.left);
    assert!(!run(&ping).status.success());

    let filters =
        ["--from-pod", "demo/left", "--to-ip", "10.77.0.0/24", "--not", "--verdict", "AUDIT"];
    let seen = lab.says(["observe", "-o", "json"].iter().chain(&filters));
    let seen: Vec<Value> =
        seen.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [forwarded, dropped] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(forwarded["verdict"], "FORWARDED");
    assert_eq!(forwarded["by"], Value::Null);
    assert_eq!(forwarded["reason"], "no_policy");
    let port = sender.local_addr().expect("bound").port();
    assert_eq!(
        forwarded["flow"],
        json!({
            "source": {"address": "10.77.0.1", "name": "demo/left", "port": port},
            "destination": {"address": "10.77.0.2", "name": "demo/right", "port": 7001},
            "protocol": "UDP", "icmp_type": null, "tcp_flags": null,
        })
    );
    assert_eq!(dropped["verdict"], "DROPPED");
    assert_eq!(dropped["direction"], "ingress");
    assert_eq!(dropped["generation"], 1);
    assert_eq!(dropped["flow"]["icmp_type"], 8);
    let by = &dropped["by"];
    assert_eq!(by["policy"], "demo/deny-echo");
    assert_eq!(by["rule"], "spec.ingressDeny[0]");
    // The line is where the rule begins.
    assert!(by["file"].as_str().is_some_and(|file| file.ends_with("deny-echo.yaml")), "{by}");
    let text = example("ping/deny-echo.yaml");
    let line = by["line"].as_u64().expect("a number") as usize;
    assert_eq!(text.lines().nth(line - 1), Some("  - fromEntities: [all]"));
    assert_eq!(by["column"], 5);
}

/// What a rule wants told beside its verdicts is told by `observe` about packets and by
/// `explain` about flows, and nothing beside those of other rules.
#[test]
fn what_a_rule_logs_is_told() {
    let Some(lab) = Lab::new("observe::what_a_rule_logs_is_told") else { return };
    lab.without_ipv6();
    let policy = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: asks, namespace: demo}
specs:
- endpointSelector: {matchLabels: {app: right}}
  ingressDeny: [{fromEntities: [all], icmps: [{fields: [{type: EchoRequest}]}]}]
  log: {value: ticket 4711}
- endpointSelector: {matchLabels: {app: right}}
  ingress: [{fromEntities: [all], toPorts: [{ports: [{port: '7001', protocol: UDP}]}]}]
- endpointSelector: {matchLabels: {app: right}}
  ingress: [{fromEntities: [all], toPorts: [{ports: [{port: '7002', protocol: UDP}]}]}]
  log: {value: let in}
";
    let source = lab.file("asks.yaml");
    fs::write(&source, policy).expect("a file");
    let right = "- subject: demo/right\n  attach: {tc: {interface: veth-right, netns: RIGHT}}\n";
    apply_with(&lab, &ping_artifact("asks", policy), right, &["--report-forwarded"]);

    let ping = format!("ip netns exec {} ping -q -c 1 -W 1 10.77.0.2", lab.left);
    assert!(!run(&ping).status.success());
    for port in [7001, 7002] {
        let (sender, receiver) = lab.udp(port);
        sender.send(b"allowed").expect("sends");
        wait_for("the datagram", || receiver.recv(&mut [0; 8]).ok());
    }
    let logs = [json!("ticket 4711"), Value::Null, json!("let in")];
    let seen = lab.says(["observe", "-o", "json"]);
    let seen = seen.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert_eq!(seen.map(|seen| seen["log"].clone()).collect::<Vec<_>>(), logs);

    assert!(!run(&ping).status.success());
    let line = lab.says(["observe", "--last", "1"]);
    assert!(line.ends_with(" log \"ticket 4711\"\n"), "{line}");

    let inventory = root().join("examples/ping/inventory.yaml");
    for (port, log) in
        [("8/ICMP", Some("ticket 4711")), ("7001/UDP", None), ("7002/UDP", Some("let in"))]
    {
        let mut explain = tool::policyc(["explain", "--from", "demo/left", "--to", "demo/right"]);
        explain.args(["--to-port", port]).arg("-f").arg(&source).arg("-i").arg(&inventory);
        let told = tool::run(&mut explain);
        assert_eq!(told.status, Some(0), "{}{}", told.out, told.err);
        let mut lines = told.out.lines().filter(|line| line.contains("  ingress "));
        let expected = log.map(|log| format!(", log {log:?}"));
        let is_told = |line: &str| match &expected {
            Some(log) => line.ends_with(log.as_str()),
            None => !line.contains("log"),
        };
        assert!(lines.all(is_told), "{port}: {}", told.out);
    }
}

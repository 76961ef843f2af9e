//! The oracle in dialect kubernetes against the generated cases of cyclonus.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::{corpus, load_texts};
use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::{Dialect, Flow, eval, protocol};
use serde_json::{Value, json};

/// The steps of all cases.
const STEPS: usize = 131;

fn inventory_of(step: &Value) -> String {
    let namespaces = step["namespaces"].as_object().unwrap().iter().map(|(name, labels)| {
        let metadata = json!({"name": name, "labels": labels});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    });
    // Every pod serves what is probed.
    let ports = step["flows"].as_array().unwrap().iter().map(|flow| {
        json!({"name": flow["portName"], "containerPort": flow["port"], "protocol": flow["proto"]})
    });
    let ports: Vec<Value> = ports.collect();
    let pods = step["pods"].as_array().unwrap().iter().map(|pod| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod["Name"], "namespace": pod["NS"], "labels": pod["Labels"]},
            "spec": {"containers": [{"ports": ports}]},
            "status": {"phase": "Running", "podIP": pod["IP"]},
        })
    });
    namespaces.chain(pods).map(|document| format!("---\n{document}\n")).collect()
}

/// The ends that disagree, for one port of one step.
fn compare(
    step: &Value,
    flow: &Value,
    rules: &[policyc_policy::network::Rule],
    inventory: &Inventory,
) -> (usize, Vec<String>) {
    let protocol = match flow["proto"].as_str().unwrap() {
        "TCP" => protocol::TCP,
        "UDP" => protocol::UDP,
        "SCTP" => protocol::SCTP,
        other => panic!("protocol {other}"),
    };
    let port = u16::try_from(flow["port"].as_u64().unwrap()).unwrap();
    let names: Vec<String> = step["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| format!("{}/{}", p["NS"].as_str().unwrap(), p["Name"].as_str().unwrap()))
        .collect();
    let address = |name: &str| match inventory.lookup(name) {
        Some(Identity::Workload(id)) => inventory.workloads[id].addresses[0],
        other => panic!("{name}: {other:?}"),
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            let listed = flow["allowed"][from].as_array();
            let expected = listed.is_some_and(|all| all.iter().any(|n| n == to.as_str()));
            let one = Flow { source: address(from), destination: address(to), protocol, port };
            let verdict = eval(rules, inventory, Dialect::Kubernetes, &one);
            compared += 1;
            if verdict.allowed() != expected {
                wrong.push(format!("{from} > {to} {protocol}/{port}: expected {expected}"));
            }
        }
    }
    (compared, wrong)
}

#[test]
fn every_case_agrees() {
    let Some(path) = corpus("netpol/cyclonus/cases.json") else { return };
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut steps, mut flows) = (0, 0);
    let mut wrong = Vec::new();
    for case in cases.as_array().unwrap() {
        for step in case["steps"].as_array().unwrap() {
            let policies = step["policiesYAML"].as_str().unwrap();
            let loaded = load_texts(policies, &inventory_of(step), Dialect::Kubernetes);
            assert!(!loaded.sink.has_errors(), "case {}: {:?}", case["id"], loaded.sink);
            steps += 1;
            for flow in step["flows"].as_array().unwrap() {
                let rules = &loaded.policies.network;
                let (compared, found) = compare(step, flow, rules, &loaded.inventory);
                flows += compared;
                wrong.extend(found.into_iter().map(|w| format!("case {}: {w}", case["id"])));
            }
        }
    }
    println!("{steps} steps, {flows} flows compared");
    wrong.iter().take(40).for_each(|line| println!("{line}"));
    assert!(wrong.is_empty(), "{} disagreements", wrong.len());
    assert_eq!(steps, STEPS);
}

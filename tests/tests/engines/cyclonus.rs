//! The generated cases of cyclonus, in dialect kubernetes.

use std::net::IpAddr;

use policyc_policy::network::{Dialect, Flow};
use serde_json::{Value, json};

use crate::case::{self, Case, Claim, text, yaml};
use crate::say::corpus;

/// Every step of every case.
pub(crate) fn cases() -> Option<Vec<Case>> {
    let path = corpus("netpol/cyclonus/cases.json")?;
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut cases = Vec::new();
    for case in all.as_array().unwrap() {
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            cases.push(read(format!("cyclonus-{}.{number}", case["id"]), step));
        }
    }
    Some(cases)
}

fn read(id: String, step: &Value) -> Case {
    let mut documents = case::namespaces(&step["namespaces"]);
    let mut pods: Vec<(String, IpAddr)> = Vec::new();
    // Every pod serves what is probed.
    let ports = step["flows"].as_array().unwrap().iter().map(|flow| {
        json!({"name": flow["portName"], "containerPort": flow["port"], "protocol": flow["proto"]})
    });
    let ports: Vec<Value> = ports.collect();
    for pod in step["pods"].as_array().unwrap() {
        let name = format!("{}/{}", text(pod, "NS"), text(pod, "Name"));
        pods.push((name, text(pod, "IP").parse().unwrap()));
        documents.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod["Name"], "namespace": pod["NS"], "labels": pod["Labels"]},
            "spec": {"containers": [{"ports": ports}]},
            "status": {"phase": "Running", "podIP": pod["IP"]},
        }));
    }
    let claims = step["flows"].as_array().unwrap().iter().flat_map(|flow| claims(flow, &pods));
    Case {
        id,
        policies: text(step, "policiesYAML").to_owned(),
        opened: text(step, "policiesYAML").to_owned(),
        inventory: yaml(&documents),
        dialect: Dialect::Kubernetes,
        all_are_subjects: true,
        claims: claims.collect(),
    }
}

/// Every pod to every other. A pair that is not listed is denied.
fn claims(flow: &Value, pods: &[(String, IpAddr)]) -> Vec<Claim> {
    let (protocol, port) = (case::protocol(text(flow, "proto")), case::port(flow));
    let mut claims = Vec::new();
    for (from, source) in pods {
        let listed = flow["allowed"][from].as_array();
        for (to, destination) in pods.iter().filter(|(to, _)| to != from) {
            let allowed = listed.is_some_and(|all| all.iter().any(|name| name == to.as_str()));
            let (source, destination) = (*source, *destination);
            claims.push(Claim { flow: Flow { source, destination, protocol, port }, allowed });
        }
    }
    claims
}

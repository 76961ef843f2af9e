//! Verdicts as Hubble writes them, for parsers that know its flows.
//!
//! Source: Cilium `api/v1/flow/flow.proto` in the JSON form of Protocol Buffers, as
//! `hubble observe -o jsonpb` prints it, and its `dict` form. Fields of which policyc
//! knows nothing (identities, labels, L7) are left out, as proto3 leaves out what is
//! empty. Events of hooks are no flows: whoever writes has to say so.

use std::fmt::Write as _;
use std::net::IpAddr;

use policyc_bpf::{Manifest, Reason, SourceLine};
use serde_json::{Map, Value, json};

use super::compact::{subject_at, why};
use super::packet::{self, Endpoints};
use super::record::{Record, Verdict};
use super::time::{Clock, utc};

/// A document on a line; `None` for what is no flow.
pub fn jsonpb(
    record: &Record,
    manifest: Option<&Manifest>,
    clock: &Clock,
    node: &str,
) -> Option<String> {
    let Record::Verdict(verdict) = record else { return None };
    let time = utc(clock.wall(verdict.time));
    let ends = packet::head(&verdict.head, verdict.from_network_header);
    let mut flow = Map::new();
    let mut put = |name: &str, value: Value| flow.insert(name.to_owned(), value);
    put("time", json!(time));
    put("verdict", json!(verdict.outcome()));
    if let Some(ends) = &ends {
        put("IP", addresses(ends));
        layer4(ends).map(|l4| put("l4", l4));
        put("source", end(manifest, ends.source));
        put("destination", end(manifest, ends.destination));
        put("Summary", json!(summary(ends)));
    }
    put("Type", json!("L3_L4"));
    put("node_name", json!(node));
    put("traffic_direction", json!(if verdict.egress { "EGRESS" } else { "INGRESS" }));
    let reason = decided(verdict, manifest).map(|(reason, _)| reason);
    if !verdict.forwarded {
        let (number, name) = drop_reason(reason);
        put("drop_reason", json!(number));
        put("drop_reason_desc", json!(name));
    }
    if reason == Some(Reason::Established) {
        put("is_reply", json!(true));
    }
    if let Some((_, Some(line))) = decided(verdict, manifest) {
        put(by(verdict), json!([policy(line)]));
    }
    Some(format!("{}\n", json!({"flow": flow, "node_name": node, "time": time})))
}

/// Several lines with names; `None` for what is no flow.
pub fn dict(record: &Record, manifest: Option<&Manifest>, clock: &Clock) -> Option<String> {
    let Record::Verdict(verdict) = record else { return None };
    let ends = packet::head(&verdict.head, verdict.from_network_header);
    let place = |address: IpAddr, port: Option<u16>| {
        let name = manifest.and_then(|m| subject_at(m, address)).map(|s| s.name.clone());
        let name = name.unwrap_or_else(|| match (address, port) {
            (IpAddr::V6(address), Some(_)) => format!("[{address}]"),
            (address, _) => address.to_string(),
        });
        port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"))
    };
    let mut text = "------------\n".to_owned();
    let mut put = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:>11}: {value}");
    };
    put("TIMESTAMP", &utc(clock.wall(verdict.time)));
    if let Some(ends) = &ends {
        put("SOURCE", &place(ends.source, ends.ports.map(|ports| ports.0)));
        put("DESTINATION", &place(ends.destination, ends.ports.map(|ports| ports.1)));
    }
    put("DIRECTION", if verdict.egress { "egress" } else { "ingress" });
    put("VERDICT", verdict.outcome());
    put("REASON", &why(manifest, verdict.decision));
    put("SUMMARY", &ends.map_or_else(|| "not IP".to_owned(), |ends| summary(&ends)));
    Some(text)
}

fn decided<'m>(
    verdict: &Verdict,
    manifest: Option<&'m Manifest>,
) -> Option<(Reason, Option<&'m SourceLine>)> {
    let manifest = manifest?;
    let decision = manifest.decisions.get(verdict.decision as usize)?;
    Some((decision.reason, manifest.line_of(verdict.decision)))
}

fn addresses(ends: &Endpoints) -> Value {
    let version = if ends.source.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "source": ends.source.to_string(),
        "destination": ends.destination.to_string(),
        "ipVersion": version,
    })
}

fn layer4(ends: &Endpoints) -> Option<Value> {
    let name = match ends.protocol {
        1 => "ICMPv4",
        58 => "ICMPv6",
        6 => "TCP",
        17 => "UDP",
        132 => "SCTP",
        _ => return None,
    };
    let mut of = Map::new();
    if let Some(kind) = ends.icmp_type {
        of.insert("type".to_owned(), json!(kind));
    }
    if let Some((from, to)) = ends.ports {
        of.insert("source_port".to_owned(), json!(from));
        of.insert("destination_port".to_owned(), json!(to));
    }
    if let Some(flags) = ends.flag_names() {
        let set = flags.split(',').filter(|flag| !flag.is_empty());
        let set: Map<_, _> = set.map(|flag| (flag.to_owned(), json!(true))).collect();
        of.insert("flags".to_owned(), Value::Object(set));
    }
    Some(json!({ name: of }))
}

fn end(manifest: Option<&Manifest>, address: IpAddr) -> Value {
    let name = manifest.and_then(|m| subject_at(m, address)).map(|subject| &subject.name);
    match name.map(|name| (name, name.split_once('/'))) {
        Some((_, Some((namespace, pod)))) => json!({"namespace": namespace, "pod_name": pod}),
        // A node: Cilium's reserved identity.
        Some((_, None)) => json!({"identity": 1, "labels": ["reserved:host"]}),
        None => json!({"identity": 2, "labels": ["reserved:world"]}),
    }
}

fn summary(ends: &Endpoints) -> String {
    match (ends.flag_names(), ends.icmp_type) {
        (Some(flags), _) => format!("TCP Flags: {}", flags.replace(',', ", ")),
        (None, Some(kind)) => format!("{} type {kind}", ends.protocol_name()),
        (None, None) => ends.protocol_name(),
    }
}

/// Number and name in `flow.proto`'s `DropReason`; what Cilium has no name for is 0.
fn drop_reason(reason: Option<Reason>) -> (u32, &'static str) {
    match reason {
        Some(Reason::Rule) => (181, "POLICY_DENY"),
        Some(Reason::DefaultDeny) => (133, "POLICY_DENIED"),
        _ => (0, "DROP_REASON_UNKNOWN"),
    }
}

/// The field that holds the policies that decided.
fn by(verdict: &Verdict) -> &'static str {
    match (verdict.egress, verdict.forwarded && !verdict.audited) {
        (true, true) => "egress_allowed_by",
        (false, true) => "ingress_allowed_by",
        (true, false) => "egress_denied_by",
        (false, false) => "ingress_denied_by",
    }
}

fn policy(line: &SourceLine) -> Value {
    match line.policy.split_once('/') {
        Some((namespace, name)) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": line.policy}),
    }
}

//! Lines of `policyc observe` or `hubble observe` → flows.
//!
//! Understands `-o json` and `-o jsonpb` of the former, `-o jsonpb` and `-o json` of the
//! latter. Replies are turned round: a map is about who opened what.

use std::net::IpAddr;

use serde_json::Value;

use super::{End, Flow, Node, Service, Verdict};

/// Why a line is no flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Skip {
    /// It is no JSON document.
    NoJson,
    /// It is about something else than a packet with two addresses: an event of a hook,
    /// a record of the agent.
    NoFlow,
    /// What became of the packet is not among what a map shows.
    NoVerdict,
}

/// The flow of a line.
///
/// # Errors
/// Why there is none.
pub fn flow(line: &str) -> Result<Flow, Skip> {
    let value: Value = serde_json::from_str(line).map_err(|_| Skip::NoJson)?;
    // `hubble observe -o json` of old has the flow alone.
    let inner = value.get("flow").filter(|flow| flow.is_object()).unwrap_or(&value);
    let flow = match (inner.get("IP"), inner.get("ip")) {
        (None, None) => ours(&value, inner),
        (Some(ip), _) | (None, Some(ip)) => hubbles(inner, ip),
    };
    let (flow, is_reply) = flow?;
    if !is_reply {
        return Ok(flow);
    }
    Ok(Flow { from: flow.to, to: flow.from, ..flow })
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn number(value: &Value, name: &str) -> Option<u16> {
    value.get(name)?.as_u64()?.try_into().ok()
}

/// The type of an ICMP message, of an answer that of its question (RFC 792, RFC 4443).
const fn asked(kind: u16, is_reply: bool) -> u16 {
    match (is_reply, kind) {
        (true, 0) => 8,
        (true, 14) => 13,
        (true, 129) => 128,
        _ => kind,
    }
}

fn verdict(value: &Value) -> Result<Verdict, Skip> {
    match text(value, "verdict") {
        Some("FORWARDED" | "REDIRECTED" | "TRANSLATED") => Ok(Verdict::Forwarded),
        Some("DROPPED" | "ERROR") => Ok(Verdict::Dropped),
        Some("AUDIT") => Ok(Verdict::Audit),
        _ => Err(Skip::NoVerdict),
    }
}

/// A line of `policyc observe -o json`.
fn ours(line: &Value, flow: &Value) -> Result<(Flow, bool), Skip> {
    let end = |name: &str| {
        let end = flow.get(name)?;
        let address = text(end, "address")?;
        let node = text(end, "name").map(|name| Node::Named(name.to_owned()));
        let node = node.unwrap_or_else(|| stranger(address));
        Some((End { node, address: address.to_owned() }, number(end, "port")))
    };
    let ((from, from_port), (to, to_port)) =
        end("source").zip(end("destination")).ok_or(Skip::NoFlow)?;
    let is_reply = text(line, "reason") == Some("established");
    let port = if is_reply { from_port } else { to_port };
    let kind = || number(flow, "icmp_type").map(|kind| asked(kind, is_reply));
    let port = port.or_else(kind);
    let protocol = text(flow, "protocol").unwrap_or("?").to_owned();
    let by = line.get("by").and_then(|by| text(by, "policy"));
    let flow = Flow {
        from,
        to,
        service: Service { protocol, port },
        verdict: verdict(line)?,
        policies: by.map(str::to_owned).into_iter().collect(),
    };
    Ok((flow, is_reply))
}

/// A flow as Hubble writes it (Cilium's `api/v1/flow/flow.proto` as JSON).
fn hubbles(flow: &Value, ip: &Value) -> Result<(Flow, bool), Skip> {
    let end = |name: &str, names: &str| {
        let address = text(ip, name)?.to_owned();
        let end = flow.get(name).unwrap_or(&Value::Null);
        let asked = flow.get(names).and_then(|names| names.get(0)?.as_str());
        Some(End { node: hubbles_node(end, asked, &address), address })
    };
    let from = end("source", "source_names").ok_or(Skip::NoFlow)?;
    let to = end("destination", "destination_names").ok_or(Skip::NoFlow)?;
    let is_reply = flow.get("is_reply").and_then(Value::as_bool).unwrap_or(false);
    let layer4 = flow.get("l4").and_then(Value::as_object).and_then(|l4| l4.iter().next());
    let (protocol, port) = layer4.map_or(("?", None), |(protocol, fields)| {
        let port = if is_reply { "source_port" } else { "destination_port" };
        let kind = || number(fields, "type").map(|kind| asked(kind, is_reply));
        (protocol.as_str(), number(fields, port).or_else(kind))
    });
    let lists =
        ["egress_allowed_by", "ingress_allowed_by", "egress_denied_by", "ingress_denied_by"];
    let policies = lists.into_iter().filter_map(|list| flow.get(list)?.as_array()).flatten();
    let policies = policies.filter_map(|policy| {
        let name = text(policy, "name")?;
        Some(text(policy, "namespace").map_or(name.to_owned(), |of| format!("{of}/{name}")))
    });
    let flow = Flow {
        from,
        to,
        service: Service { protocol: protocol.to_owned(), port },
        verdict: verdict(flow)?,
        policies: policies.collect(),
    };
    Ok((flow, is_reply))
}

/// A workload by its controller, or by its own name; else what the agent calls it, or
/// the name that was asked for.
fn hubbles_node(end: &Value, asked: Option<&str>, address: &str) -> Node {
    let workload = end.get("workloads").and_then(|workloads| text(workloads.get(0)?, "name"));
    if let Some(name) = workload.or_else(|| text(end, "pod_name")) {
        let namespace = text(end, "namespace");
        return Node::Named(namespace.map_or(name.to_owned(), |of| format!("{of}/{name}")));
    }
    let labels = end.get("labels").and_then(Value::as_array).into_iter().flatten();
    let mut reserved = labels.filter_map(|label| label.as_str()?.strip_prefix("reserved:"));
    match (reserved.next(), asked) {
        (None | Some("world" | "world-ipv4" | "world-ipv6"), Some(name)) => {
            Node::Named(name.to_owned())
        }
        (None | Some("world-ipv4" | "world-ipv6"), None) => stranger(address),
        (Some(entity), _) => Node::Entity(entity.to_owned()),
    }
}

/// Whoever has no name.
fn stranger(address: &str) -> Node {
    let is_many = address.parse::<IpAddr>().is_ok_and(|address| match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    });
    Node::Entity(if is_many { "multicast" } else { "world" }.to_owned())
}

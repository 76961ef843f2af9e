//! Namespace, Pod and Node as `kubectl get -o yaml` prints them. Only what
//! matters is read, so that a field of a newer API server is no error.

use std::net::IpAddr;
use std::sync::Arc;

use policyc_base::{Diagnostic, Sink, Spanned};

use super::NamedPort;
use crate::codes;
use crate::labels::Label;
use crate::meta::{self, Meta};
use crate::network::protocol;
use crate::yaml::{Fields, Map, Node, decode, shorten};

/// What a Namespace says.
pub(super) struct Namespace {
    pub(super) name: String,
    pub(super) labels: Vec<Label>,
}

/// What a Pod says.
pub(super) struct Pod {
    pub(super) meta: Meta,
    pub(super) labels: Vec<Label>,
    pub(super) service_account: Option<String>,
    pub(super) node: Option<String>,
    /// Whether it is on its node's network.
    pub(super) host_network: bool,
    pub(super) addresses: Vec<Spanned<IpAddr>>,
    pub(super) ports: Vec<NamedPort>,
}

/// What a Node says.
pub(super) struct Host {
    pub(super) meta: Meta,
    pub(super) labels: Vec<Label>,
    pub(super) addresses: Vec<Spanned<IpAddr>>,
}

pub(super) fn namespace(node: &Node, sink: &mut Sink) -> Option<Namespace> {
    let mut fields = Fields::of(node, "a namespace", sink)?;
    let (meta, labels) = meta::read(&mut fields, sink)?;
    Some(Namespace { name: meta.name.value, labels: read_labels(labels, sink) })
}

pub(super) fn pod(node: &Node, sink: &mut Sink) -> Option<Pod> {
    let mut fields = Fields::of(node, "a pod", sink)?;
    let meta = meta::read(&mut fields, sink);
    let mut spec = fields.fields("spec", "a pod's `spec`", sink);
    let mut status = fields.fields("status", "a pod's `status`", sink);
    let text = |f: &mut Option<Fields<'_>>, name, sink: &mut Sink| {
        f.as_mut().and_then(|f| f.string(name, sink)).map(|s| s.value.to_owned())
    };
    // The older name of the field; both are written today.
    let older = text(&mut spec, "serviceAccount", sink);
    let service_account = text(&mut spec, "serviceAccountName", sink).or(older);
    let node = text(&mut spec, "nodeName", sink);
    let host_network = spec.as_mut().and_then(|f| f.boolean("hostNetwork", sink));
    let ports = spec.as_mut().map(|f| container_ports(f, sink)).unwrap_or_default();
    let phase = text(&mut status, "phase", sink);
    let finished = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
    let addresses = status.as_mut().map(|f| pod_addresses(f, sink)).unwrap_or_default();
    let (meta, labels) = meta?;
    Some(Pod {
        meta,
        labels: read_labels(labels, sink),
        service_account,
        node,
        host_network: host_network.is_some_and(|h| h.value),
        addresses: if finished { Vec::new() } else { addresses },
        ports,
    })
}

fn pod_addresses(status: &mut Fields<'_>, sink: &mut Sink) -> Vec<Spanned<IpAddr>> {
    let mut result: Vec<Spanned<IpAddr>> = Vec::new();
    for item in status.list("podIPs", sink).unwrap_or(&[]) {
        let fields = Fields::of(item, "each of `podIPs`", sink);
        let text = fields.and_then(|mut f| f.string("ip", sink));
        result.extend(text.and_then(|t| address(t, sink)));
    }
    // `podIP` repeats the first; older API servers write nothing else.
    let first = status.string("podIP", sink).filter(|t| !t.value.is_empty());
    if let Some(first) = first.and_then(|t| address(t, sink))
        && result.iter().all(|a| a.value != first.value)
    {
        result.push(first);
    }
    result
}

pub(super) fn container_ports(spec: &mut Fields<'_>, sink: &mut Sink) -> Vec<NamedPort> {
    let containers: &[Arc<Node>] = spec.list("containers", sink).unwrap_or(&[]);
    let mut result = Vec::new();
    for container in containers {
        let Some(mut fields) = Fields::of(container, "a container", sink) else { continue };
        for port in fields.list("ports", sink).unwrap_or(&[]) {
            let Some(mut fields) = Fields::of(port, "a container's port", sink) else { continue };
            result.extend(named_port(&mut fields, "containerPort", sink));
        }
    }
    result
}

/// A port with a name; `None` without one.
pub(super) fn named_port(
    fields: &mut Fields<'_>,
    number: &'static str,
    sink: &mut Sink,
) -> Option<NamedPort> {
    fields.require(number, sink);
    let port = fields.integer(number, 1..=65_535, sink);
    let name = fields.string("name", sink);
    let protocol = protocol_of(fields, sink)?;
    // INVARIANT: the range above fits into 16 bits.
    Some(NamedPort { name: name?.value.to_owned(), port: port?.value as u16, protocol })
}

/// The field `protocol`; TCP without it.
pub(super) fn protocol_of(fields: &mut Fields<'_>, sink: &mut Sink) -> Option<u8> {
    let Some(text) = fields.string("protocol", sink) else { return Some(protocol::TCP) };
    match text.value {
        "TCP" => Some(protocol::TCP),
        "UDP" => Some(protocol::UDP),
        "SCTP" => Some(protocol::SCTP),
        other => {
            let message = format!("`{}` is no protocol with ports", shorten(other));
            sink.push(Diagnostic::error(codes::PROTOCOL_INVALID, text.span, message));
            None
        }
    }
}

pub(super) fn host(node: &Node, sink: &mut Sink) -> Option<Host> {
    let mut fields = Fields::of(node, "a node", sink)?;
    let meta = meta::read(&mut fields, sink);
    let mut addresses = Vec::new();
    if let Some(mut status) = fields.fields("status", "a node's `status`", sink) {
        for item in status.list("addresses", sink).unwrap_or(&[]) {
            addresses.extend(host_address(item, sink));
        }
    }
    let (meta, labels) = meta?;
    Some(Host { meta, labels: read_labels(labels, sink), addresses })
}

/// Host names stand in the same list.
fn host_address(node: &Node, sink: &mut Sink) -> Option<Spanned<IpAddr>> {
    let mut fields = Fields::of(node, "a node's address", sink)?;
    let kind = fields.string("type", sink)?;
    let text = fields.string("address", sink)?;
    if !matches!(kind.value, "InternalIP" | "ExternalIP") {
        return None;
    }
    address(text, sink)
}

pub(super) fn address(text: Spanned<&str>, sink: &mut Sink) -> Option<Spanned<IpAddr>> {
    match text.value.parse::<IpAddr>() {
        Ok(address) => Some(Spanned::new(address.to_canonical(), text.span)),
        Err(_) => {
            let message = format!("`{}` is no address", shorten(text.value));
            sink.push(Diagnostic::error(codes::ADDRESS_INVALID, text.span, message));
            None
        }
    }
}

pub(super) fn read_labels(map: Option<&Map>, sink: &mut Sink) -> Vec<Label> {
    let label = |(key, field): (&String, &crate::yaml::Field)| {
        let value = decode::string(&field.value, format_args!("`{key}`"), sink)?;
        Some(Label::k8s(key, value.value))
    };
    map.into_iter().flatten().filter_map(label).collect()
}

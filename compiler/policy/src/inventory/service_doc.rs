//! Service and EndpointSlice as `kubectl get -o yaml` prints them.

use std::net::IpAddr;
use std::sync::Arc;

use policyc_base::{Sink, Spanned};

use super::kubernetes::{address, protocol_of, read_labels};
use crate::labels::{self, Label, LabelSelector, Operator, Requirement};
use crate::meta::{self, Meta};
use crate::yaml::{Fields, Node, Resolved, Value, decode};

/// The label of an EndpointSlice that says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What a Service says.
pub(super) struct ServiceDoc {
    pub(super) meta: Meta,
    pub(super) labels: Vec<Label>,
    /// The labels it asks pods for.
    pub(super) selector: Vec<Requirement>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<PortDoc>,
}

/// One port of a Service.
pub(super) struct PortDoc {
    pub(super) name: String,
    pub(super) protocol: u8,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
    pub(super) target: Target,
}

/// The port of a pod that a service's port stands for.
pub(super) enum Target {
    Number(u16),
    Name(String),
}

/// What an EndpointSlice says.
pub(super) struct SliceDoc {
    pub(super) meta: Meta,
    /// The service it is of.
    pub(super) service: Option<String>,
    /// Name, IP protocol number and number of each port.
    pub(super) ports: Vec<(String, u8, u16)>,
    /// Addresses, and whether they are ready.
    pub(super) endpoints: Vec<(IpAddr, bool)>,
}

pub(super) fn service(node: &Node, sink: &mut Sink) -> Option<ServiceDoc> {
    let mut fields = Fields::of(node, "a service", sink)?;
    let meta = meta::read(&mut fields, sink);
    let mut addresses = Vec::new();
    let (mut selector, mut ports) = (Vec::new(), Vec::new());
    if let Some(mut spec) = fields.fields("spec", "a service's `spec`", sink) {
        selector = pods(&mut spec, sink);
        let first = spec.string("clusterIP", sink);
        let lists = ["clusterIPs", "externalIPs"].into_iter().flat_map(|name| {
            let items = spec.list(name, sink).unwrap_or(&[]);
            items
                .iter()
                .filter_map(|i| decode::string(i, format_args!("each of `{name}`"), sink))
                .collect::<Vec<_>>()
        });
        let lists: Vec<_> = lists.collect();
        for text in first.into_iter().chain(lists) {
            add_address(text, &mut addresses, sink);
        }
        for item in spec.list("ports", sink).unwrap_or(&[]) {
            ports.extend(port(item, sink));
        }
    }
    if let Some(mut status) = fields.fields("status", "a service's `status`", sink)
        && let Some(mut balancer) = status.fields("loadBalancer", "`loadBalancer`", sink)
    {
        for item in balancer.list("ingress", sink).unwrap_or(&[]) {
            let ip = Fields::of(item, "a load balancer's address", sink)
                .and_then(|mut fields| fields.string("ip", sink));
            ip.into_iter().for_each(|text| add_address(text, &mut addresses, sink));
        }
    }
    let (meta, labels) = meta?;
    let labels = read_labels(labels, sink);
    Some(ServiceDoc { meta, labels, selector, addresses, ports })
}

/// Headless services have `None` for an address.
fn add_address(text: Spanned<&str>, addresses: &mut Vec<IpAddr>, sink: &mut Sink) {
    if matches!(text.value, "None" | "") {
        return;
    }
    if let Some(found) = address(text, sink)
        && !addresses.contains(&found.value)
    {
        addresses.push(found.value);
    }
}

fn pods(spec: &mut Fields<'_>, sink: &mut Sink) -> Vec<Requirement> {
    let mut selector = Vec::new();
    for (key, field) in spec.map("selector", sink).into_iter().flatten() {
        let value = decode::string(&field.value, format_args!("`{key}`"), sink);
        let values = value.map(|value| vec![value.value.to_owned()]);
        selector.extend(values.map(|values| Requirement::k8s(key, Operator::In(values))));
    }
    selector
}

impl ServiceDoc {
    /// The pods it selects in its namespace, if it selects any.
    pub(super) fn pods(&self, namespace: &str) -> Option<LabelSelector> {
        if self.selector.is_empty() {
            return None;
        }
        let own = Operator::In(vec![namespace.to_owned()]);
        let mut requirements = self.selector.clone();
        requirements.push(Requirement::k8s(labels::NAMESPACE, own));
        Some(LabelSelector { requirements })
    }
}

fn port(node: &Node, sink: &mut Sink) -> Option<PortDoc> {
    let mut fields = Fields::of(node, "a service's port", sink)?;
    let name = fields.string("name", sink).map(|n| n.value.to_owned()).unwrap_or_default();
    let protocol = protocol_of(&mut fields, sink)?;
    fields.require("port", sink);
    // INVARIANT: the ranges fit into 16 bits.
    let port = fields.integer("port", 1..=65_535, sink)?.value as u16;
    let node_port = fields.integer("nodePort", 0..=65_535, sink).map(|p| p.value as u16);
    let target = match fields.take("targetPort") {
        None => Target::Number(port),
        Some(field) => target(&field.value, sink)?,
    };
    let node_port = node_port.filter(|port| *port != 0);
    Some(PortDoc { name, protocol, port, node_port, target })
}

fn target(node: &Arc<Node>, sink: &mut Sink) -> Option<Target> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.resolve() == Resolved::Text
    {
        return Some(Target::Name(scalar.text.clone()));
    }
    let number = decode::integer(node, "`targetPort`", 1..=65_535, sink)?;
    Some(Target::Number(number.value as u16))
}

pub(super) fn slice(node: &Node, sink: &mut Sink) -> Option<SliceDoc> {
    let mut fields = Fields::of(node, "an endpoint slice", sink)?;
    let meta = meta::read(&mut fields, sink);
    let mut ports = Vec::new();
    for item in fields.list("ports", sink).unwrap_or(&[]) {
        let Some(mut port) = Fields::of(item, "a slice's port", sink) else { continue };
        let name = port.string("name", sink).map(|n| n.value.to_owned()).unwrap_or_default();
        let protocol = protocol_of(&mut port, sink);
        let number = port.integer("port", 1..=65_535, sink).map(|p| p.value as u16);
        ports.extend(protocol.zip(number).map(|(protocol, number)| (name, protocol, number)));
    }
    let mut endpoints = Vec::new();
    for item in fields.list("endpoints", sink).unwrap_or(&[]) {
        let Some(mut endpoint) = Fields::of(item, "an endpoint", sink) else { continue };
        // An endpoint that does not say so is ready.
        let conditions = endpoint.fields("conditions", "`conditions`", sink);
        let ready = conditions.and_then(|mut c| c.boolean("ready", sink));
        let ready = ready.is_none_or(|ready| ready.value);
        for item in endpoint.list("addresses", sink).unwrap_or(&[]) {
            let text = decode::string(item, "each of `addresses`", sink);
            // A slice of names has no addresses.
            let parsed = text.and_then(|text| text.value.parse::<IpAddr>().ok());
            endpoints.extend(parsed.map(|address| (address.to_canonical(), ready)));
        }
    }
    let (meta, labels) = meta?;
    let labels = read_labels(labels, sink);
    let service = labels.into_iter().find(|label| label.key == SERVICE_NAME);
    Some(SliceDoc { meta, service: service.map(|label| label.value), ports, endpoints })
}

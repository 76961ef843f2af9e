//! NetworkPolicy of `networking.k8s.io/v1`.

use policyc_base::{Sink, Spanned};

use super::{
    CidrDoc, KubernetesDoc, KubernetesPeerDoc, KubernetesRuleDoc, PortDoc, cilium, head, peers,
};
use crate::network::types::PerDirection;
use crate::selector;
use crate::yaml::{Fields, Node};

/// Reads the document; `None` if it has no `spec`.
pub(in crate::network) fn read(node: &Node, sink: &mut Sink) -> Option<KubernetesDoc> {
    let (meta, mut spec) = head::with_spec(node, "a network policy", sink)?;
    let pod_selector = selector::field(&mut spec, "podSelector", sink);
    let policy_types = texts(&mut spec, "policyTypes", sink);
    let ingress = rules(&mut spec, "ingress", "from", sink);
    let egress = rules(&mut spec, "egress", "to", sink);
    let span = spec.span;
    spec.finish(sink);
    let rules = PerDirection { ingress, egress };
    Some(KubernetesDoc { meta, span, pod_selector, policy_types, rules })
}

fn texts(fields: &mut Fields<'_>, name: &'static str, sink: &mut Sink) -> Vec<Spanned<String>> {
    let items = fields.list(name, sink).unwrap_or(&[]);
    items.iter().filter_map(|item| cilium::text(item, name, sink)).collect()
}

fn rules(
    spec: &mut Fields<'_>,
    section: &'static str,
    peers: &'static str,
    sink: &mut Sink,
) -> Vec<KubernetesRuleDoc> {
    let items = spec.list(section, sink).unwrap_or(&[]);
    items.iter().filter_map(|item| rule(item, peers, sink)).collect()
}

fn rule(node: &Node, peers: &'static str, sink: &mut Sink) -> Option<KubernetesRuleDoc> {
    let mut fields = Fields::of(node, "a rule", sink)?;
    let peers = cilium::list(&mut fields, peers, sink, peer);
    let items = fields.list("ports", sink).unwrap_or(&[]);
    let ports = items.iter().filter_map(|item| port(item, sink)).collect();
    let span = fields.span;
    fields.finish(sink);
    Some(KubernetesRuleDoc { span, peers, ports })
}

fn peer(node: &Node, sink: &mut Sink) -> Option<KubernetesPeerDoc> {
    let mut fields = Fields::of(node, "a peer", sink)?;
    let pod_selector = selector::field(&mut fields, "podSelector", sink);
    let namespace_selector = selector::field(&mut fields, "namespaceSelector", sink);
    let ip_block = ip_block(&mut fields, sink);
    let span = fields.span;
    fields.finish(sink);
    Some(KubernetesPeerDoc { span, pod_selector, namespace_selector, ip_block })
}

fn ip_block(peer: &mut Fields<'_>, sink: &mut Sink) -> Option<CidrDoc> {
    let mut fields = peer.fields("ipBlock", "`ipBlock`", sink)?;
    fields.require("cidr", sink);
    Some(peers::cidr(fields, sink))
}

fn port(node: &Node, sink: &mut Sink) -> Option<PortDoc> {
    let mut fields = Fields::of(node, "a port", sink)?;
    let port = fields.take("port");
    let rest = cilium::port_rest(fields, sink);
    let Some(field) = port else { return Some(rest) };
    let (port, is_number) = cilium::int_or_string(&field.value, "`port`", sink)?;
    Some(PortDoc { port: Some(port), is_number, ..rest })
}

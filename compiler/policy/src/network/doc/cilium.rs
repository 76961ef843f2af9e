//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.

use std::sync::Arc;

use policyc_base::{Diagnostic, Sink, Spanned};

use super::peers::{self, PeerNames};
use super::unsupported::{self, reject};
use super::{
    CiliumDoc, EntryDoc, IcmpDoc, IcmpRuleDoc, ListDoc, PortDoc, PortRuleDoc, RuleDoc, Section,
    head,
};
use crate::codes;
use crate::network::types::{Direction, PerDirection};
use crate::selector;
use crate::yaml::{Fields, Node, Resolved, Value, decode};

/// Reads the document; `None` if it is no map.
pub(in crate::network) fn read(node: &Node, sink: &mut Sink) -> Option<CiliumDoc> {
    let (meta, mut fields) = head::read(node, "a policy", sink)?;
    let mut rules = Vec::new();
    let spec = fields.take("spec");
    if let Some(spec) = spec {
        rules.extend(rule(&spec.value, "spec".to_owned(), sink));
    }
    let specs = fields.list("specs", sink);
    for (index, spec) in specs.unwrap_or(&[]).iter().enumerate() {
        rules.extend(rule(spec, format!("specs[{index}]"), sink));
    }
    if spec.is_none() && specs.unwrap_or(&[]).is_empty() {
        let message = "a policy needs `spec` or `specs`";
        sink.push(Diagnostic::error(codes::SECTION_MISSING, fields.start(), message));
    }
    fields.finish(sink);
    Some(CiliumDoc { meta, rules })
}

fn rule(node: &Node, path: String, sink: &mut Sink) -> Option<RuleDoc> {
    let mut fields = Fields::of(node, "a rule", sink)?;
    let endpoint_selector = selector::field(&mut fields, "endpointSelector", sink);
    let node_selector = selector::field(&mut fields, "nodeSelector", sink);
    let sections = Section::ALL.map(|section| {
        let items = fields.list(section.name, sink)?;
        Some(items.iter().filter_map(|item| entry(item, section, sink)).collect())
    });
    let default_deny = default_deny(&mut fields, sink);
    fields.string("description", sink);
    fields.list("labels", sink);
    let log = fields.fields("log", "`log`", sink).and_then(|mut log| {
        let value = log.string("value", sink).map(|value| value.map(str::to_owned));
        log.finish(sink);
        value
    });
    let span = fields.span;
    fields.finish(sink);
    Some(RuleDoc { span, path, endpoint_selector, node_selector, sections, default_deny, log })
}

fn default_deny(rule: &mut Fields<'_>, sink: &mut Sink) -> PerDirection<Option<Spanned<bool>>> {
    let Some(mut fields) = rule.fields("enableDefaultDeny", "`enableDefaultDeny`", sink) else {
        return PerDirection::default();
    };
    let ingress = fields.boolean("ingress", sink);
    let egress = fields.boolean("egress", sink);
    fields.finish(sink);
    PerDirection { ingress, egress }
}

fn entry(node: &Node, section: Section, sink: &mut Sink) -> Option<EntryDoc> {
    let what = match section.direction {
        Direction::Ingress => "an ingress rule",
        Direction::Egress => "an egress rule",
    };
    let mut fields = Fields::of(node, what, sink)?;
    let names = PeerNames::of(section.direction);
    let f = &mut fields;
    let endpoints = list(f, names.endpoints, sink, |n, s| selector::read(n, names.endpoints, s));
    let cidrs = list(f, names.cidr, sink, |n, s| text(n, names.cidr, s));
    let cidr_sets = list(f, names.cidr_set, sink, peers::cidr_set);
    let entities = list(f, names.entities, sink, |n, s| text(n, names.entities, s));
    let nodes = list(f, names.nodes, sink, |n, s| selector::read(n, names.nodes, s));
    let groups = list(f, names.groups, sink, peers::group);
    let services = names.services.and_then(|name| list(f, name, sink, peers::service));
    let ports = list(f, "toPorts", sink, port_rule);
    let icmps = list(f, "icmps", sink, icmp_rule);
    reject(f, names.unsupported, sink);
    unsupported::removed(f, names.requires, "1.19", sink);
    let span = fields.span;
    fields.finish(sink);
    Some(EntryDoc {
        span,
        endpoints,
        cidrs,
        cidr_sets,
        entities,
        nodes,
        groups,
        services,
        ports,
        icmps,
    })
}

pub(super) fn list<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    sink: &mut Sink,
    mut read: impl FnMut(&Node, &mut Sink) -> Option<T>,
) -> Option<ListDoc<T>> {
    let field = fields.take(name)?;
    let nodes: &[Arc<Node>] = decode::list(&field.value, format_args!("`{name}`"), sink)?;
    let items = nodes.iter().filter_map(|node| read(node, sink)).collect();
    Some(ListDoc { name, key: field.key, is_empty: nodes.is_empty(), items })
}

pub(super) fn text(node: &Node, list: &str, sink: &mut Sink) -> Option<Spanned<String>> {
    let text = decode::string(node, format_args!("each of `{list}`"), sink)?;
    Some(text.map(str::to_owned))
}

fn port_rule(node: &Node, sink: &mut Sink) -> Option<PortRuleDoc> {
    let mut fields = Fields::of(node, "an element of `toPorts`", sink)?;
    let ports = list(&mut fields, "ports", sink, port);
    reject(&mut fields, unsupported::PORT_RULE, sink);
    let span = fields.span;
    fields.finish(sink);
    Some(PortRuleDoc { span, ports })
}

fn port(node: &Node, sink: &mut Sink) -> Option<PortDoc> {
    let mut fields = Fields::of(node, "a port", sink)?;
    let written = fields.take("port").is_some();
    let port = fields.string("port", sink).map(|p| p.map(str::to_owned));
    let rest = port_rest(fields, sink);
    (port.is_some() == written).then_some(PortDoc { port, ..rest })
}

/// What ports of both kinds of policy have in common.
pub(super) fn port_rest(mut fields: Fields<'_>, sink: &mut Sink) -> PortDoc {
    let end_port = fields.integer("endPort", 0..=65_535, sink);
    // INVARIANT: the range above fits into 16 bits.
    let end_port = end_port.map(|p| p.map(|value| value as u16));
    let protocol = fields.string("protocol", sink).map(|p| p.map(str::to_owned));
    let span = fields.span;
    fields.finish(sink);
    PortDoc { span, port: None, is_number: false, end_port, protocol }
}

fn icmp_rule(node: &Node, sink: &mut Sink) -> Option<IcmpRuleDoc> {
    let mut fields = Fields::of(node, "an element of `icmps`", sink)?;
    let types = list(&mut fields, "fields", sink, icmp);
    let span = fields.span;
    fields.finish(sink);
    Some(IcmpRuleDoc { span, fields: types })
}

fn icmp(node: &Node, sink: &mut Sink) -> Option<IcmpDoc> {
    let mut fields = Fields::of(node, "an ICMP type", sink)?;
    let family = fields.string("family", sink).map(|f| f.map(str::to_owned));
    let icmp_type = match fields.require("type", sink) {
        Some(field) => int_or_string(&field.value, "`type`", sink),
        None => None,
    };
    fields.finish(sink);
    Some(IcmpDoc { family, icmp_type: icmp_type?.0 })
}

/// The text of an integer or a string, and whether it is an integer.
pub(super) fn int_or_string(
    node: &Node,
    what: &str,
    sink: &mut Sink,
) -> Option<(Spanned<String>, bool)> {
    match &node.value {
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Int(value) => Some((Spanned::new(value.to_string(), node.span), true)),
            Resolved::Text => Some((Spanned::new(scalar.text.clone(), node.span), false)),
            _ => {
                decode::wrong_type(node, what, "an integer or a string", sink);
                None
            }
        },
        Value::List(_) | Value::Map(_) => {
            decode::wrong_type(node, what, "an integer or a string", sink);
            None
        }
    }
}

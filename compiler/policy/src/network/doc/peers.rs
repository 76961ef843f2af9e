//! The peers of rules that are more than a selector or a text.

use policyc_base::{Code, Sink, Spanned};

use super::cilium::text;
use super::unsupported;
use super::{CidrDoc, ServiceDoc};
use crate::inventory;
use crate::network::types::Direction;
use crate::selector;
use crate::yaml::{Fields, Node};

/// The names of the peer fields in one direction.
pub(super) struct PeerNames {
    pub(super) endpoints: &'static str,
    pub(super) cidr: &'static str,
    pub(super) cidr_set: &'static str,
    pub(super) entities: &'static str,
    pub(super) nodes: &'static str,
    pub(super) groups: &'static str,
    pub(super) services: Option<&'static str>,
    pub(super) requires: &'static str,
    pub(super) unsupported: &'static [(&'static str, Code)],
}

impl PeerNames {
    pub(super) const fn of(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self {
                endpoints: "fromEndpoints",
                cidr: "fromCIDR",
                cidr_set: "fromCIDRSet",
                entities: "fromEntities",
                nodes: "fromNodes",
                groups: "fromGroups",
                services: None,
                requires: "fromRequires",
                unsupported: unsupported::INGRESS,
            },
            Direction::Egress => Self {
                endpoints: "toEndpoints",
                cidr: "toCIDR",
                cidr_set: "toCIDRSet",
                entities: "toEntities",
                nodes: "toNodes",
                groups: "toGroups",
                services: Some("toServices"),
                requires: "toRequires",
                unsupported: unsupported::EGRESS,
            },
        }
    }
}

pub(super) fn cidr_set(node: &Node, sink: &mut Sink) -> Option<CidrDoc> {
    let mut fields = Fields::of(node, "an element of a CIDR set", sink)?;
    let group = fields.string("cidrGroupRef", sink).map(|g| g.map(str::to_owned));
    let groups = selector::field(&mut fields, "cidrGroupSelector", sink);
    Some(CidrDoc { group, groups, ..cidr(fields, sink) })
}

/// A prefix with exceptions.
pub(super) fn cidr(mut fields: Fields<'_>, sink: &mut Sink) -> CidrDoc {
    let cidr = fields.string("cidr", sink).map(|c| c.map(str::to_owned));
    let except = fields.list("except", sink).unwrap_or(&[]);
    let except = except.iter().filter_map(|e| text(e, "except", sink)).collect();
    let span = fields.span;
    fields.finish(sink);
    CidrDoc { span, cidr, group: None, groups: None, except }
}

pub(super) fn group(node: &Node, sink: &mut Sink) -> Option<Spanned<String>> {
    let mut fields = Fields::of(node, "a group", sink)?;
    let key = inventory::group_reference(&mut fields, sink);
    fields.finish(sink);
    key
}

pub(super) fn service(node: &Node, sink: &mut Sink) -> Option<ServiceDoc> {
    let mut fields = Fields::of(node, "an element of `toServices`", sink)?;
    let owned = |text: Spanned<&str>| text.value.to_owned();
    let by_name = fields.fields("k8sService", "`k8sService`", sink).map(|mut service| {
        let namespace = service.string("namespace", sink).map(owned);
        let name = service.string("serviceName", sink).map(owned);
        service.finish(sink);
        (namespace, name)
    });
    let selector = fields.fields("k8sServiceSelector", "`k8sServiceSelector`", sink);
    let by_labels = selector.map(|mut service| {
        service.require("selector", sink);
        let namespace = service.string("namespace", sink).map(owned);
        let labels = selector::field(&mut service, "selector", sink);
        service.finish(sink);
        (namespace, labels)
    });
    let span = fields.span;
    fields.finish(sink);
    Some(ServiceDoc { span, by_name, by_labels })
}

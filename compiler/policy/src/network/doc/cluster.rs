//! The policies of administrators, `policy.networking.k8s.io`: ClusterNetworkPolicy
//! (`v1alpha2`), and AdminNetworkPolicy with BaselineAdminNetworkPolicy (`v1alpha1`),
//! which it replaces.
//!
//! One shape for the three; what their fields are called is looked up in
//! [`ClusterKind`].

use policyc_base::{Diagnostic, Sink, Span, Spanned};

use super::{ListDoc, Meta, cilium, head};
use crate::codes;
use crate::network::types::{Direction, PerDirection};
use crate::selector::{self, SelectorDoc};
use crate::yaml::{Fields, Node, decode};

/// Which of the three kinds a document is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClusterKind {
    /// ClusterNetworkPolicy.
    Cluster,
    /// AdminNetworkPolicy.
    Admin,
    /// BaselineAdminNetworkPolicy.
    Baseline,
}

/// One policy of an administrator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterDoc {
    /// Its name; there is no namespace.
    pub meta: Meta,
    /// Where `spec` is written.
    pub span: Span,
    /// `tier`, of a ClusterNetworkPolicy.
    pub tier: Option<Spanned<String>>,
    /// `priority`; a BaselineAdminNetworkPolicy has none.
    pub priority: Option<Spanned<u32>>,
    /// `subject`.
    pub subject: Option<SubjectDoc>,
    /// The rules for each direction.
    pub rules: PerDirection<Option<ListDoc<ClusterRuleDoc>>>,
}

/// Whom a policy is about. One of the two has to be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectDoc {
    /// Where it begins.
    pub span: Span,
    /// All pods of these namespaces.
    pub namespaces: Option<SelectorDoc>,
    /// These pods.
    pub pods: Option<PodsDoc>,
}

/// Pods of namespaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodsDoc {
    /// Which namespaces; all if left out.
    pub namespaces: Option<SelectorDoc>,
    /// Which of their pods.
    pub pods: Option<SelectorDoc>,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterRuleDoc {
    /// Where it begins.
    pub span: Span,
    /// What is done: `Accept`.
    pub action: Option<Spanned<String>>,
    /// `from` or `to`.
    pub peers: Option<ListDoc<ClusterPeerDoc>>,
    /// `protocols` or `ports`.
    pub ports: Option<ListDoc<ClusterPortDoc>>,
}

/// One peer. Exactly one of its fields should be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterPeerDoc {
    /// Where it begins.
    pub span: Span,
    /// All pods of these namespaces.
    pub namespaces: Option<SelectorDoc>,
    /// These pods.
    pub pods: Option<PodsDoc>,
    /// These nodes.
    pub nodes: Option<SelectorDoc>,
    /// These addresses.
    pub networks: Option<ListDoc<Spanned<String>>>,
}

/// One protocol with its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterPortDoc {
    /// Ports by number.
    Numbers {
        /// `TCP`
        protocol: Spanned<String>,
        /// The first and the last port; every port of the protocol if left out.
        range: Option<(Spanned<u16>, u16)>,
    },
    /// Ports by name.
    Named(Spanned<String>),
}

/// Reads the document; `None` if it has no `spec`.
pub(in crate::network) fn read(
    node: &Node,
    kind: ClusterKind,
    sink: &mut Sink,
) -> Option<ClusterDoc> {
    let (meta, mut spec) = head::with_spec(node, "a policy", sink)?;
    let tier = (kind == ClusterKind::Cluster).then(|| required_text(&mut spec, "tier", sink));
    let priority = (kind != ClusterKind::Baseline).then(|| priority(&mut spec, sink));
    spec.require("subject", sink);
    let subject = spec.fields("subject", "`subject`", sink).map(|s| subject(s, sink));
    let mut rules = |direction| rules(&mut spec, direction, kind, sink);
    let rules =
        PerDirection { ingress: rules(Direction::Ingress), egress: rules(Direction::Egress) };
    let span = spec.span;
    spec.finish(sink);
    let (tier, priority) = (tier.flatten(), priority.flatten());
    Some(ClusterDoc { meta, span, tier, priority, subject, rules })
}

fn required_text(
    fields: &mut Fields<'_>,
    name: &'static str,
    sink: &mut Sink,
) -> Option<Spanned<String>> {
    let field = fields.require(name, sink)?;
    let text = decode::string(&field.value, format_args!("`{name}`"), sink)?;
    Some(text.map(str::to_owned))
}

fn priority(spec: &mut Fields<'_>, sink: &mut Sink) -> Option<Spanned<u32>> {
    spec.require("priority", sink)?;
    // INVARIANT: the range fits into 32 bits.
    spec.integer("priority", 0..=1000, sink).map(|p| p.map(|value| value as u32))
}

fn subject(mut fields: Fields<'_>, sink: &mut Sink) -> SubjectDoc {
    let namespaces = selector::field(&mut fields, "namespaces", sink);
    let pods = pods(&mut fields, sink);
    let span = fields.span;
    fields.finish(sink);
    SubjectDoc { span, namespaces, pods }
}

fn pods(fields: &mut Fields<'_>, sink: &mut Sink) -> Option<PodsDoc> {
    let mut fields = fields.fields("pods", "`pods`", sink)?;
    let namespaces = selector::field(&mut fields, "namespaceSelector", sink);
    fields.require("podSelector", sink);
    let pods = selector::field(&mut fields, "podSelector", sink);
    fields.finish(sink);
    Some(PodsDoc { namespaces, pods })
}

fn rules(
    spec: &mut Fields<'_>,
    direction: Direction,
    kind: ClusterKind,
    sink: &mut Sink,
) -> Option<ListDoc<ClusterRuleDoc>> {
    let name = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    cilium::list(spec, name, sink, |node, sink| rule(node, direction, kind, sink))
}

fn rule(
    node: &Node,
    direction: Direction,
    kind: ClusterKind,
    sink: &mut Sink,
) -> Option<ClusterRuleDoc> {
    let mut fields = Fields::of(node, "a rule", sink)?;
    // It has no bearing on verdicts; rules are told by their place.
    fields.string("name", sink);
    let action = required_text(&mut fields, "action", sink);
    let peers = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let peers = cilium::list(&mut fields, peers, sink, |n, s| peer(n, direction, s));
    let ports = match kind {
        ClusterKind::Cluster => cilium::list(&mut fields, "protocols", sink, protocol),
        ClusterKind::Admin | ClusterKind::Baseline => {
            cilium::list(&mut fields, "ports", sink, port)
        }
    };
    let span = fields.span;
    fields.finish(sink);
    Some(ClusterRuleDoc { span, action, peers, ports })
}

fn peer(node: &Node, direction: Direction, sink: &mut Sink) -> Option<ClusterPeerDoc> {
    let mut fields = Fields::of(node, "a peer", sink)?;
    let namespaces = selector::field(&mut fields, "namespaces", sink);
    let pods = pods(&mut fields, sink);
    let (mut networks, mut nodes) = (None, None);
    let mut is_supported = true;
    if direction == Direction::Egress {
        let text = |node: &Node, sink: &mut Sink| cilium::text(node, "networks", sink);
        networks = cilium::list(&mut fields, "networks", sink, text);
        nodes = selector::field(&mut fields, "nodes", sink);
        let table = &[("domainNames", codes::FQDN_UNSUPPORTED)];
        is_supported = super::unsupported::reject(&mut fields, table, sink);
    }
    let span = fields.span;
    fields.finish(sink);
    is_supported.then_some(ClusterPeerDoc { span, namespaces, pods, nodes, networks })
}

/// An element of `protocols`: `{tcp: {destinationPort: {number: 80}}}`.
fn protocol(node: &Node, sink: &mut Sink) -> Option<ClusterPortDoc> {
    let mut fields = Fields::of(node, "a protocol", sink)?;
    let mut found = Vec::new();
    for (name, protocol) in [("tcp", "TCP"), ("udp", "UDP"), ("sctp", "SCTP")] {
        let Some(mut of) = fields.fields(name, "a protocol's match", sink) else { continue };
        let protocol = Spanned::new(protocol.to_owned(), of.span);
        let has_port = of.take("destinationPort").is_some();
        let port = of.fields("destinationPort", "`destinationPort`", sink);
        let range = port.and_then(|port| number_or_range(port, sink));
        of.finish(sink);
        // A port that could not be read must not become every port.
        found.push(
            (range.is_some() || !has_port).then_some(ClusterPortDoc::Numbers { protocol, range }),
        );
    }
    if let Some(name) = fields.string("destinationNamedPort", sink) {
        found.push(Some(ClusterPortDoc::Named(name.map(str::to_owned))));
    }
    let span = fields.span;
    fields.finish(sink);
    let choice = "`tcp`, `udp`, `sctp` and `destinationNamedPort`";
    exactly_one(found, span, "a protocol", choice, sink)
}

/// `{number: 80}` or `{range: {start: 80, end: 90}}`.
fn number_or_range(mut fields: Fields<'_>, sink: &mut Sink) -> Option<(Spanned<u16>, u16)> {
    let has_number = fields.take("number").is_some();
    let number = port_number(&mut fields, "number", sink).map(|port| (port, port.value));
    let range = fields.fields("range", "`range`", sink).map(|mut of| {
        let range = range(&mut of, sink);
        of.finish(sink);
        range
    });
    let number = has_number.then_some(number);
    let found = number.into_iter().chain(range).collect();
    let span = fields.span;
    fields.finish(sink);
    exactly_one(found, span, "`destinationPort`", "`number` and `range`", sink)
}

/// `start` and `end` of a range.
fn range(of: &mut Fields<'_>, sink: &mut Sink) -> Option<(Spanned<u16>, u16)> {
    of.require("start", sink);
    of.require("end", sink);
    let start = port_number(of, "start", sink);
    let end = port_number(of, "end", sink);
    let (start, end) = (start?, end?);
    if start.value >= end.value {
        let message = format!("a range from {} to {} is none", start.value, end.value);
        sink.push(
            Diagnostic::error(codes::PORT_RANGE, end.span, message)
                .with_help("the start must be less than the end"),
        );
        return None;
    }
    Some((start, end.value))
}

fn port_number(
    fields: &mut Fields<'_>,
    name: &'static str,
    sink: &mut Sink,
) -> Option<Spanned<u16>> {
    // INVARIANT: the range fits into 16 bits.
    fields.integer(name, 1..=65_535, sink).map(|p| p.map(|value| value as u16))
}

/// An element of `ports`: `{portNumber: {protocol: TCP, port: 80}}`.
fn port(node: &Node, sink: &mut Sink) -> Option<ClusterPortDoc> {
    let mut fields = Fields::of(node, "a port", sink)?;
    let mut found = Vec::new();
    if let Some(mut of) = fields.fields("portNumber", "`portNumber`", sink) {
        let protocol = protocol_name(&mut of, sink);
        of.require("port", sink);
        let port = port_number(&mut of, "port", sink);
        of.finish(sink);
        let range = port.map(|port| (port, port.value));
        found.push(range.map(|r| ClusterPortDoc::Numbers { protocol, range: Some(r) }));
    }
    if let Some(mut of) = fields.fields("portRange", "`portRange`", sink) {
        let protocol = protocol_name(&mut of, sink);
        let range = range(&mut of, sink);
        of.finish(sink);
        found.push(range.map(|r| ClusterPortDoc::Numbers { protocol, range: Some(r) }));
    }
    if let Some(name) = fields.string("namedPort", sink) {
        found.push(Some(ClusterPortDoc::Named(name.map(str::to_owned))));
    }
    let span = fields.span;
    fields.finish(sink);
    exactly_one(found, span, "a port", "`portNumber`, `portRange` and `namedPort`", sink)
}

/// `protocol`, which is TCP if it is left out.
fn protocol_name(fields: &mut Fields<'_>, sink: &mut Sink) -> Spanned<String> {
    let tcp = Spanned::new("TCP", fields.start());
    fields.string("protocol", sink).unwrap_or(tcp).map(str::to_owned)
}

/// The only element, which is `None` if it could not be read.
fn exactly_one<T>(
    mut found: Vec<Option<T>>,
    span: Span,
    what: &str,
    choice: &str,
    sink: &mut Sink,
) -> Option<T> {
    if found.len() == 1 {
        return found.pop().flatten();
    }
    let message = format!("{what} needs exactly one of {choice}");
    sink.push(Diagnostic::error(codes::NOT_EXACTLY_ONE, span, message));
    None
}

//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.

use policyc_base::{Diagnostic, Span, Spanned};

use super::{Context, cidr, icmp, ports, selector};
use crate::codes;
use crate::network::doc::{CidrDoc, CiliumDoc, EntryDoc, ListDoc, RuleDoc, Section, ServiceDoc};
use crate::network::types::{
    Direction, Entity, Entry, EntryVerdict, Manner, Peer, Peers, PerDirection, Ports, Rule,
    ServiceMatch, ServiceSelector, Subject, Tier,
};
use crate::yaml::{closest, shorten};

/// Most characters of `log.value`.
const MAX_LOG: usize = 32;

/// Which of the two kinds a document is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::network) enum Scope<'a> {
    /// CiliumNetworkPolicy in this namespace.
    Namespace(&'a str),
    /// CiliumClusterwideNetworkPolicy.
    Cluster,
}

impl<'a> Scope<'a> {
    const fn namespace(self) -> Option<&'a str> {
        match self {
            Self::Namespace(namespace) => Some(namespace),
            Self::Cluster => None,
        }
    }
}

/// The rules of a policy called `name`.
pub(in crate::network) fn check(
    doc: &CiliumDoc,
    name: &str,
    scope: Scope<'_>,
    cx: &mut Context<'_>,
) -> Vec<Rule> {
    doc.rules.iter().filter_map(|r| rule(r, name, scope, cx)).collect()
}

fn rule(doc: &RuleDoc, name: &str, scope: Scope<'_>, cx: &mut Context<'_>) -> Option<Rule> {
    let subject = subject(doc, scope, cx);
    let origin = cx.origin(name, doc.path.clone(), doc.span);
    let mut entries = Vec::new();
    for (section, items) in Section::ALL.iter().zip(&doc.sections) {
        for (index, item) in items.iter().flatten().enumerate() {
            let path = format!("{}.{}[{index}]", doc.path, section.name);
            entries.extend(entry(item, *section, name, path, scope, cx));
        }
    }
    if doc.sections.iter().flatten().all(Vec::is_empty) {
        let message = "a rule needs one of `ingress`, `ingressDeny`, `egress` and `egressDeny`";
        cx.error(codes::SECTION_MISSING, doc.span, message);
    }
    let default_deny = default_deny(doc, cx);
    if let Some(log) = doc.log.as_ref().and_then(|text| log(text, cx)) {
        let told = entries.iter().map(|entry| entry.origin).chain([origin]);
        told.for_each(|origin| cx.origins.set_log(origin, log));
    }
    let manner = Manner::default();
    Some(Rule { subject: subject?, default_deny, entries, manner, origin })
}

/// What is told beside the rule's verdicts.
fn log<'d>(text: &'d Spanned<String>, cx: &mut Context<'_>) -> Option<&'d str> {
    let length = text.value.chars().count();
    if length > MAX_LOG {
        let message = format!("`log` has {length} characters, and at most {MAX_LOG} are allowed");
        cx.error(codes::LOG_VALUE, text.span, message);
        return None;
    }
    if text.value.chars().any(char::is_control) {
        cx.error(codes::LOG_VALUE, text.span, "`log` has characters that cannot be printed");
        return None;
    }
    Some(&text.value)
}

fn subject(doc: &RuleDoc, scope: Scope<'_>, cx: &mut Context<'_>) -> Option<Subject> {
    match (&doc.endpoint_selector, &doc.node_selector) {
        (Some(endpoints), None) => {
            Some(Subject::Endpoints(selector::subject(endpoints, scope.namespace(), cx)))
        }
        (None, Some(nodes)) if scope == Scope::Cluster => {
            Some(Subject::Nodes(selector::plain(nodes, cx)))
        }
        (None, Some(nodes)) => {
            let message = "a policy in a namespace cannot be about nodes";
            let finding = Diagnostic::error(codes::SUBJECT_NODES, nodes.span, message);
            cx.sink.push(finding.with_help("use a CiliumClusterwideNetworkPolicy"));
            None
        }
        (Some(_), Some(nodes)) => {
            let message = "a rule is about endpoints or about nodes, not both";
            cx.error(codes::SUBJECT_TWICE, nodes.span, message);
            None
        }
        (None, None) => {
            let message = "a rule needs `endpointSelector` or `nodeSelector`";
            let finding = Diagnostic::error(codes::SUBJECT_MISSING, doc.span, message);
            cx.sink.push(finding.with_help("`endpointSelector: {}` selects every endpoint"));
            None
        }
    }
}

/// On in a direction that has rules, unless it is switched off.
fn default_deny(doc: &RuleDoc, cx: &mut Context<'_>) -> PerDirection<bool> {
    let mut result = PerDirection::default();
    for direction in Direction::BOTH {
        let has_rules = Section::ALL
            .iter()
            .zip(&doc.sections)
            .any(|(s, items)| s.direction == direction && items.iter().flatten().next().is_some());
        let written = *doc.default_deny.get(direction);
        if let Some(Spanned { value: true, span }) = written
            && !has_rules
        {
            let message = "default deny has no effect in a direction without rules";
            let help = "write an empty rule: `ingress: [{}]` or `egress: [{}]`";
            cx.warn(codes::DEFAULT_DENY_WITHOUT_RULES, span, message, help);
        }
        *result.get_mut(direction) = has_rules && written.is_none_or(|w| w.value);
    }
    result
}

fn entry(
    doc: &EntryDoc,
    section: Section,
    policy: &str,
    path: String,
    scope: Scope<'_>,
    cx: &mut Context<'_>,
) -> Option<Entry> {
    check_combination(doc, cx);
    let peers = peers(doc, scope, cx);
    let ports = ports_of(doc, cx);
    if peers == Peers::Any && ports == Ports::Any {
        if section.deny {
            let message = "this rule names neither peers nor ports and denies nothing";
            let help = "name the peers: the entity `all` is everybody";
            cx.warn(codes::RULE_EMPTY, doc.span, message, help);
        }
        return None;
    }
    let origin = cx.origin(policy, path, doc.span);
    let verdict = if section.deny { EntryVerdict::Deny } else { EntryVerdict::Allow };
    let direction = section.direction;
    Some(Entry {
        direction,
        tier: Tier::NORMAL,
        priority: 0,
        verdict,
        peers,
        ports,
        audit: false,
        origin,
    })
}

/// The peer fields that are there: name, place, whether empty.
fn peer_fields(doc: &EntryDoc) -> impl Iterator<Item = (&'static str, Span, bool)> {
    fn of<T>(list: &Option<ListDoc<T>>) -> Option<(&'static str, Span, bool)> {
        list.as_ref().map(|l| (l.name, l.key, l.is_empty))
    }
    let fields = [
        of(&doc.endpoints),
        of(&doc.cidrs),
        of(&doc.cidr_sets),
        of(&doc.entities),
        of(&doc.nodes),
        of(&doc.groups),
        of(&doc.services),
    ];
    fields.into_iter().flatten()
}

fn check_combination(doc: &EntryDoc, cx: &mut Context<'_>) {
    let mut filled = peer_fields(doc).filter(|(_, _, empty)| !empty);
    let Some((first, place, _)) = filled.next() else { return };
    for (other, span, _) in filled {
        let message = format!("`{first}` and `{other}` cannot stand in one rule");
        let finding = Diagnostic::error(codes::PEERS_COMBINED, span, message);
        let help = "write two rules: a flow needs one that matches";
        cx.sink.push(finding.with_label(place, "the other kind of peer").with_help(help));
    }
}

/// One empty list is enough to match nobody, whatever stands beside it.
fn peers(doc: &EntryDoc, scope: Scope<'_>, cx: &mut Context<'_>) -> Peers {
    if peer_fields(doc).next().is_none() {
        return Peers::Any;
    }
    let mut result = Vec::new();
    for selector in doc.endpoints.iter().flat_map(|l| &l.items) {
        result.push(Peer::Endpoints(selector::peer(selector, scope.namespace(), cx)));
    }
    for text in doc.cidrs.iter().flat_map(|l| &l.items) {
        let net = cidr::prefix(text, cx);
        result.extend(net.map(|net| Peer::Cidr { net, except: Vec::new() }));
    }
    let sets = doc.cidr_sets.iter().flat_map(|l: &ListDoc<CidrDoc>| &l.items);
    result.extend(sets.filter_map(|set| cidr::peer(set, cx)));
    for text in doc.entities.iter().flat_map(|l| &l.items) {
        result.extend(entity(text, cx).map(Peer::Entity));
    }
    for selector in doc.nodes.iter().flat_map(|l| &l.items) {
        let selector = selector::nodes(selector, cx);
        result.push(Peer::Nodes { selector, own: false });
    }
    for key in doc.groups.iter().flat_map(|l| &l.items) {
        let selector = selector::with_group_label(key.value.clone());
        result.push(Peer::CidrGroups { selector, except: Vec::new() });
    }
    for service in doc.services.iter().flat_map(|l| &l.items) {
        result.extend(services(service, cx).map(Peer::Services));
    }
    let empty: Vec<_> = peer_fields(doc).filter(|(_, _, empty)| *empty).collect();
    for (name, span, _) in &empty {
        let message = format!("`{name}: []` matches nobody");
        let help = format!("leave out `{name}` to match every peer");
        cx.warn(codes::LIST_EMPTY, *span, message, &help);
    }
    Peers::OneOf(if empty.is_empty() { result } else { Vec::new() })
}

fn entity(text: &Spanned<String>, cx: &mut Context<'_>) -> Option<Entity> {
    if let Some((_, entity)) = Entity::NAMES.iter().find(|(name, _)| *name == text.value) {
        return Some(*entity);
    }
    let message = format!("`{}` is no entity", shorten(&text.value));
    let mut finding = Diagnostic::error(codes::ENTITY_UNKNOWN, text.span, message);
    if let Some(near) = closest(&text.value, Entity::NAMES.iter().map(|(name, _)| *name)) {
        finding = finding.with_help(format!("did you mean `{near}`?"));
    }
    cx.sink.push(finding);
    None
}

/// Without a namespace services of every namespace are meant.
fn services(doc: &ServiceDoc, cx: &mut Context<'_>) -> Option<ServiceSelector> {
    let (namespace, services) = match (&doc.by_name, &doc.by_labels) {
        (Some((namespace, Some(name))), None) => (namespace, ServiceMatch::Name(name.clone())),
        (None, Some((namespace, Some(labels)))) => {
            (namespace, ServiceMatch::Labels(selector::services(labels, cx)))
        }
        // It misses its selector, which is reported already.
        (None, Some((_, None))) => return None,
        _ => {
            let message = "a service is meant by `k8sService` with `serviceName`, or by \
                           `k8sServiceSelector`";
            cx.error(codes::SERVICE_REFERENCE, doc.span, message);
            return None;
        }
    };
    let namespace = namespace.clone().filter(|namespace| !namespace.is_empty());
    Some(ServiceSelector { namespace, services })
}

fn ports_of(doc: &EntryDoc, cx: &mut Context<'_>) -> Ports {
    let ports = doc.ports.as_ref().filter(|l| !l.is_empty);
    let icmps = doc.icmps.as_ref().filter(|l| !l.is_empty);
    if let (Some(ports), Some(icmps)) = (ports, icmps) {
        let message = "`toPorts` and `icmps` cannot stand in one rule";
        let finding = Diagnostic::error(codes::PORTS_AND_ICMPS, icmps.key, message);
        let finding = finding.with_label(ports.key, "the ports");
        cx.sink.push(finding.with_help("write two rules"));
    }
    if ports.is_none() && icmps.is_none() {
        return Ports::Any;
    }
    let (mut result, mut names) = (Vec::new(), Vec::new());
    for rule in ports.into_iter().flat_map(|l| &l.items) {
        for port in elements(&rule.ports, "ports", rule.span, cx) {
            let found = ports::cilium(port, cx);
            result.extend(found.numbers);
            names.extend(found.names);
        }
    }
    for rule in icmps.into_iter().flat_map(|l| &l.items) {
        for field in elements(&rule.fields, "fields", rule.span, cx) {
            result.extend(icmp::check(field, cx));
        }
    }
    Ports::of(result, names)
}

/// The elements of a list of ports or types, counted.
fn elements<'d, T>(
    list: &'d Option<ListDoc<T>>,
    name: &str,
    span: Span,
    cx: &mut Context<'_>,
) -> &'d [T] {
    match list {
        Some(list) if !list.is_empty => {
            ports::check_count(list.items.len(), span, name, cx);
            &list.items
        }
        _ => {
            let message = format!("an element without `{name}` matches nothing");
            cx.warn(codes::LIST_EMPTY, span, message, "leave the element out");
            &[]
        }
    }
}

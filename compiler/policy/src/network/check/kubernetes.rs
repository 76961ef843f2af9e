//! NetworkPolicy of `networking.k8s.io/v1`.

use policyc_base::{Diagnostic, Span};

use super::selector::{in_any_namespace, in_namespace};
use super::{Context, cidr, ports, selector};
use crate::codes;
use crate::labels::{self, LabelSelector};
use crate::network::doc::{KubernetesDoc, KubernetesPeerDoc, KubernetesRuleDoc};
use crate::network::types::{
    Dialect, Direction, Entry, EntryVerdict, Manner, Peer, Peers, PerDirection, Ports, Rule,
    Subject, Tier,
};
use crate::selector::SelectorDoc;
use crate::yaml::closest;

/// The rule of a policy called `name` in `namespace`.
pub(in crate::network) fn check(
    doc: &KubernetesDoc,
    name: &str,
    namespace: &str,
    cx: &mut Context<'_>,
) -> Rule {
    let mut subject = doc.pod_selector.as_ref().map(|s| pods(s, cx)).unwrap_or_default();
    if doc.pod_selector.is_none() {
        let message = "without `podSelector` the policy is about every pod of its namespace";
        cx.warn(codes::SUBJECT_IMPLICIT, doc.span, message, "write `podSelector: {}`");
    }
    subject.requirements.push(in_namespace(namespace));
    let origin = cx.origin(name, "spec", doc.span);
    let types = policy_types(doc, cx);
    let mut default_deny = PerDirection::default();
    let mut entries = Vec::new();
    for direction in Direction::BOTH {
        let rules = doc.rules.get(direction);
        let judged = is_judged(direction, *types.get(direction), rules, cx);
        *default_deny.get_mut(direction) = judged;
        for (index, rule) in rules.iter().enumerate().filter(|_| judged) {
            let path = format!("spec.{}[{index}]", section(direction));
            let origin = cx.origin(name, path, rule.span);
            let peers = peers(rule, namespace, cx);
            let ports = ports_of(rule, cx);
            let verdict = EntryVerdict::Allow;
            let tier = Tier::NORMAL;
            entries.push(Entry {
                direction,
                tier,
                priority: 0,
                verdict,
                peers,
                ports,
                audit: false,
                origin,
            });
        }
    }
    let manner = Manner::default();
    Rule { subject: Subject::Endpoints(subject), default_deny, entries, manner, origin }
}

const fn section(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// Ingress always and egress if it has rules, unless the policy says otherwise.
fn policy_types(doc: &KubernetesDoc, cx: &mut Context<'_>) -> PerDirection<bool> {
    let egress = !doc.rules.egress.is_empty();
    if doc.policy_types.is_empty() {
        return PerDirection { ingress: true, egress };
    }
    let mut types = PerDirection::default();
    for text in &doc.policy_types {
        match text.value.as_str() {
            "Ingress" => types.ingress = true,
            "Egress" => types.egress = true,
            other => {
                let message = format!("`{other}` is neither `Ingress` nor `Egress`");
                let mut finding = Diagnostic::error(codes::POLICY_TYPE, text.span, message);
                if let Some(near) = closest(other, ["Ingress", "Egress"]) {
                    finding = finding.with_help(format!("did you mean `{near}`?"));
                }
                cx.sink.push(finding);
            }
        }
    }
    types
}

/// Whether the policy judges this direction. Cilium enforces rules outside the
/// policy types, Kubernetes does not.
fn is_judged(
    direction: Direction,
    listed: bool,
    rules: &[KubernetesRuleDoc],
    cx: &mut Context<'_>,
) -> bool {
    let Some(first) = rules.first().filter(|_| !listed) else { return listed };
    let enforced = cx.dialect != Dialect::Kubernetes;
    let fate = if enforced { "enforced all the same" } else { "not enforced" };
    let name = section(direction);
    let message = format!("`{name}` is not among `policyTypes`, and its rules are {fate}");
    cx.warn(codes::OUTSIDE_POLICY_TYPES, first.span, message, "add it to `policyTypes`");
    enforced
}

fn peers(rule: &KubernetesRuleDoc, namespace: &str, cx: &mut Context<'_>) -> Peers {
    let Some(list) = &rule.peers else { return Peers::Any };
    if list.is_empty {
        let message = format!("`{}: []` is everybody, as if it was left out", list.name);
        let help = "name the peers; no rule at all is nobody";
        cx.warn(codes::PEERS_IMPLICIT, list.key, message, help);
        return Peers::Any;
    }
    Peers::OneOf(list.items.iter().filter_map(|p| peer(p, namespace, cx)).collect())
}

fn peer(doc: &KubernetesPeerDoc, namespace: &str, cx: &mut Context<'_>) -> Option<Peer> {
    if let Some(block) = &doc.ip_block {
        if doc.pod_selector.is_some() || doc.namespace_selector.is_some() {
            peer_error("a peer is an `ipBlock` or selected by labels, not both", doc.span, cx);
            return None;
        }
        return cidr::peer(block, cx);
    }
    if doc.pod_selector.is_none() && doc.namespace_selector.is_none() {
        let message = "a peer needs one of `podSelector`, `namespaceSelector` and `ipBlock`";
        peer_error(message, doc.span, cx);
        return None;
    }
    let mut selector = namespaced(doc.pod_selector.as_ref(), doc.namespace_selector.as_ref(), cx);
    if doc.namespace_selector.is_none() {
        selector.requirements.push(in_namespace(namespace));
    }
    Some(Peer::Endpoints(selector))
}

/// Pods with labels of their own, in namespaces with labels of theirs.
pub(super) fn namespaced(
    pod_selector: Option<&SelectorDoc>,
    namespaces: Option<&SelectorDoc>,
    cx: &mut Context<'_>,
) -> LabelSelector {
    let mut selector = pod_selector.map(|s| pods(s, cx)).unwrap_or_default();
    let Some(namespaces) = namespaces else { return selector };
    for mut requirement in pods(namespaces, cx).requirements {
        requirement.key.insert_str(0, labels::NAMESPACE_LABELS);
        selector.requirements.push(requirement);
    }
    selector.requirements.push(in_any_namespace());
    selector
}

fn peer_error(message: &str, span: Span, cx: &mut Context<'_>) {
    cx.error(codes::PEER_INVALID, span, message);
}

/// A selector whose keys have no source of their own: all are Kubernetes'.
pub(super) fn pods(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    for written in doc.requirements.iter().filter(|r| r.key.value.contains(':')) {
        let message = format!("`{}` is no label key", written.key.value);
        cx.error(codes::LABEL_INVALID, written.key.span, message);
    }
    let mut selector = selector::plain(doc, cx);
    for requirement in &mut selector.requirements {
        requirement.source = labels::K8S.to_owned();
    }
    selector
}

fn ports_of(rule: &KubernetesRuleDoc, cx: &mut Context<'_>) -> Ports {
    if rule.ports.is_empty() {
        return Ports::Any;
    }
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for port in &rule.ports {
        let found = ports::kubernetes(port, cx);
        numbers.extend(found.numbers);
        names.extend(found.names);
    }
    Ports::of(numbers, names)
}

//! Label selectors, and what is added to them where they stand.
//!
//! Source: `getEndpointSelector` in `pkg/k8s/apis/cilium.io/utils/utils.go`.

use policyc_base::{Diagnostic, Spanned};

use super::Context;
use crate::codes;
use crate::labels::{self, LabelSelector, Operator, Requirement};
use crate::network::doc::{RequirementDoc, SelectorDoc};
use crate::yaml::{closest, shorten};

/// The sources of addresses; a selector of endpoints cannot select them.
const ADDRESS_SOURCES: &[&str] = &["cidr", "cidrgroup", "fqdn"];

/// A selector as it is written.
pub(super) fn plain(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    let requirements = doc.requirements.iter().filter_map(|r| requirement(r, cx)).collect();
    LabelSelector { requirements }
}

/// `endpointSelector`: forced into the policy's namespace, if it has one.
pub(super) fn subject(
    doc: &SelectorDoc,
    namespace: Option<&str>,
    cx: &mut Context<'_>,
) -> LabelSelector {
    let Some(namespace) = namespace else { return plain(doc, cx) };
    let (forced, kept): (Vec<_>, Vec<_>) =
        doc.requirements.iter().partition(|r| is_namespace_label(r));
    for written in forced.iter().filter(|r| r.values.iter().any(|v| v.value != namespace)) {
        let message = format!("the policy is about its own namespace `{namespace}` only");
        let help = "leave out the namespace, or move the policy there";
        cx.warn(codes::NAMESPACE_CONFLICT, written.key.span, message, help);
    }
    let mut requirements: Vec<_> = kept.iter().filter_map(|r| requirement(r, cx)).collect();
    requirements.push(in_namespace(namespace));
    LabelSelector { requirements }
}

/// `matchLabels` is overwritten by the policy's namespace; expressions are not.
fn is_namespace_label(doc: &RequirementDoc) -> bool {
    doc.is_label && doc.key.value == format!("{}:{}", labels::K8S, labels::NAMESPACE)
}

/// `fromEndpoints` and `toEndpoints`: in the policy's namespace unless the
/// selector says otherwise, and in the local cluster.
pub(super) fn peer(
    doc: &SelectorDoc,
    namespace: Option<&str>,
    cx: &mut Context<'_>,
) -> LabelSelector {
    let mut selector = plain(doc, cx);
    warn_about_world(doc, cx);
    if selector.requirements.iter().any(|r| r.source == labels::RESERVED) {
        return selector;
    }
    if !selector.mentions(labels::NAMESPACE) {
        let by_labels =
            selector.requirements.iter().any(|r| r.key.starts_with(labels::NAMESPACE_LABELS));
        match namespace {
            None => selector.requirements.push(in_any_namespace()),
            Some(namespace) if !by_labels => selector.requirements.push(in_namespace(namespace)),
            Some(_) => {}
        }
    }
    if !selector.mentions(labels::CLUSTER) {
        selector.requirements.push(in_local_cluster());
    }
    selector
}

/// A namespaced requirement.
pub(super) fn in_namespace(namespace: &str) -> Requirement {
    Requirement::k8s(labels::NAMESPACE, Operator::In(vec![namespace.to_owned()]))
}

/// What every workload of the inventory satisfies, and no address.
pub(super) fn in_any_namespace() -> Requirement {
    Requirement::k8s(labels::NAMESPACE, Operator::Exists)
}

fn in_local_cluster() -> Requirement {
    Requirement::k8s(labels::CLUSTER, Operator::In(vec![labels::LOCAL_CLUSTER.to_owned()]))
}

/// With two families there are only `reserved:world-ipv4` and `-ipv6`.
fn warn_about_world(doc: &SelectorDoc, cx: &mut Context<'_>) {
    for written in &doc.requirements {
        if written.key.value == "reserved:world" {
            let message = "no address has the label `reserved:world` where both families are on";
            cx.warn(codes::WORLD_BY_LABEL, written.key.span, message, "use the entity `world`");
        }
    }
}

fn requirement(doc: &RequirementDoc, cx: &mut Context<'_>) -> Option<Requirement> {
    let (source, key) = labels::split_source(&doc.key.value);
    let key_ok = key_is_valid(source, key, &doc.key, cx);
    let operator = operator(doc, cx);
    let values_ok = doc.values.iter().filter(|v| !value_is_valid(v, cx)).count() == 0;
    if !(key_ok && values_ok) {
        return None;
    }
    Some(Requirement { source: source.to_owned(), key: key.to_owned(), operator: operator? })
}

fn operator(doc: &RequirementDoc, cx: &mut Context<'_>) -> Option<Operator> {
    let values: Vec<_> = doc.values.iter().map(|v| v.value.clone()).collect();
    let (operator, wants_values) = match doc.operator.value.as_str() {
        "In" => (Operator::In(values), true),
        "NotIn" => (Operator::NotIn(values), true),
        "Exists" => (Operator::Exists, false),
        "DoesNotExist" => (Operator::DoesNotExist, false),
        other => {
            unknown_operator(&doc.operator, other, cx);
            return None;
        }
    };
    if wants_values == doc.values.is_empty() {
        let word = if wants_values { "needs" } else { "takes no" };
        let message = format!("the operator `{}` {word} values", doc.operator.value);
        cx.error(codes::SELECTOR_VALUES, doc.operator.span, message);
        return None;
    }
    Some(operator)
}

fn unknown_operator(place: &Spanned<String>, word: &str, cx: &mut Context<'_>) {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    let message = format!("`{}` is no operator", shorten(word));
    let finding = Diagnostic::error(codes::SELECTOR_OPERATOR, place.span, message);
    let help = closest(word, known).map_or(format!("write one of {}", known.join(", ")), |near| {
        format!("did you mean `{near}`?")
    });
    cx.sink.push(finding.with_help(help));
}

/// Name of at most 63 characters, after an optional DNS name and a slash.
fn key_is_valid(source: &str, key: &str, doc: &Spanned<String>, cx: &mut Context<'_>) -> bool {
    if ADDRESS_SOURCES.contains(&source) {
        let message = format!("labels of the source `{source}` cannot be selected here");
        let finding = Diagnostic::error(codes::SELECTOR_SOURCE, doc.span, message);
        cx.sink.push(finding.with_help("use the fields for addresses and names"));
        return false;
    }
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    // The prefix of namespace labels makes keys with two DNS names of one.
    let prefix = prefix.map(|p| p.strip_prefix(labels::NAMESPACE_LABELS).unwrap_or(p));
    let name = name.strip_prefix(labels::NAMESPACE_LABELS).unwrap_or(name);
    let valid = is_name(name, 63) && prefix.is_none_or(|p| is_name(p, 253));
    if !valid {
        let message = format!("`{}` is no label key", shorten(&doc.value));
        cx.error(codes::LABEL_INVALID, doc.span, message);
    }
    valid
}

fn value_is_valid(doc: &Spanned<String>, cx: &mut Context<'_>) -> bool {
    let valid = doc.value.is_empty() || is_name(&doc.value, 63);
    if !valid {
        let message = format!("`{}` is no label value", shorten(&doc.value));
        cx.error(codes::LABEL_INVALID, doc.span, message);
    }
    valid
}

fn is_name(text: &str, longest: usize) -> bool {
    let alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= longest
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

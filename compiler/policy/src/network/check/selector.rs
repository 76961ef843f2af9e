//! Label selectors, and what is added to them where they stand.
//!
//! Source: `getEndpointSelector` in `pkg/k8s/apis/cilium.io/utils/utils.go`.

use super::Context;
use crate::codes;
use crate::labels::{self, LabelSelector, Operator, Requirement};
use crate::selector::{self, RequirementDoc, SelectorDoc};

/// A selector as it is written.
pub(super) fn plain(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    selector::check(doc, cx.sink)
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
    let mut requirements: Vec<_> =
        kept.iter().filter_map(|r| selector::requirement(r, cx.sink)).collect();
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
    check_world(doc, cx);
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
        selector.requirements.push(in_cluster(cx.cluster));
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

fn in_cluster(name: &str) -> Requirement {
    Requirement::k8s(labels::CLUSTER, Operator::In(vec![name.to_owned()]))
}

/// With two families there are only `world-ipv4` and `world-ipv6`.
fn check_world(doc: &SelectorDoc, cx: &mut Context<'_>) {
    for written in &doc.requirements {
        if labels::split_source(&written.key.value) == (labels::RESERVED, "world") {
            let message = "no address has the label `reserved:world` where both families are on";
            let help = "use the entity `world`";
            cx.warn(codes::WORLD_BY_LABEL, written.key.span, message, help);
        }
    }
}

/// `fromNodes` and `toNodes`: labels of nodes, which have one source.
pub(super) fn nodes(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    let mut selector = plain(doc, cx);
    for requirement in &mut selector.requirements {
        if matches!(requirement.source.as_str(), labels::NODE | labels::ANY) {
            requirement.source = labels::K8S.to_owned();
        }
    }
    selector
}

/// The labels of services have one source.
pub(super) fn services(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    let mut selector = plain(doc, cx);
    selector.requirements.iter_mut().for_each(|r| r.source = labels::K8S.to_owned());
    selector
}

/// The CIDR group of a name.
pub(super) fn group(name: &str) -> LabelSelector {
    with_group_label(format!("{}{name}", labels::CIDR_GROUP_NAME))
}

/// Whoever has a label of CIDR groups.
pub(super) fn with_group_label(key: String) -> LabelSelector {
    let source = labels::CIDR_GROUP.to_owned();
    LabelSelector { requirements: vec![Requirement { source, key, operator: Operator::Exists }] }
}

/// `cidrGroupSelector`: labels of CIDR groups.
pub(super) fn groups(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    let mut selector = plain(doc, cx);
    selector.requirements.iter_mut().for_each(|r| r.source = labels::CIDR_GROUP.to_owned());
    selector
}

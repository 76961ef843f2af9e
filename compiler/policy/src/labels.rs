//! Labels and label selectors, with Cilium's sources.
//!
//! A label has a source: `k8s` for what Kubernetes gave, `reserved` for what only
//! the engine gives (`reserved:host`). A selector may name the source
//! (`k8s:app`) or take any. What an engine would derive from a workload is a label
//! here too: its namespace, the namespace's labels, its service account, its
//! cluster.
//!
//! Guarantees: matching needs nothing but the two values.
//! Does not know: which selector stands where, and what is added to it there.
//! Source: `pkg/labels`, `pkg/policy/api/selector.go`,
//! `pkg/k8s/apis/cilium.io/const.go`.

use std::fmt;

/// The source of labels that Kubernetes gave.
pub const K8S: &str = "k8s";
/// The source of labels that only the engine gives.
pub const RESERVED: &str = "reserved";
/// In a selector of nodes: the source of their labels.
pub const NODE: &str = "node";
/// The source of labels that CIDR groups give to their addresses.
pub const CIDR_GROUP: &str = "cidrgroup";
/// In a selector: whatever the source.
pub const ANY: &str = "any";

/// The key of a workload's namespace.
pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The prefix of the keys of its namespace's labels.
pub const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
/// The key of its service account.
pub const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
/// The prefix of the key that a CIDR group's name makes.
pub const CIDR_GROUP_NAME: &str = "io.cilium.policy.cidrgroupname/";
/// The prefix of the key that a reference to a cloud provider's group makes.
pub const EXTERNAL_GROUP: &str = "extgrp.cilium.io/";
/// The key of its cluster.
pub const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
/// What a cluster is called that nobody named, as in Cilium.
pub const DEFAULT_CLUSTER: &str = "default";

/// One label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label {
    /// Who gave it: `k8s`, `reserved`.
    pub source: String,
    /// The key.
    pub key: String,
    /// The value; may be empty.
    pub value: String,
}

impl Label {
    /// A label that Kubernetes gave.
    pub fn k8s(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { source: K8S.into(), key: key.into(), value: value.into() }
    }

    /// A label that the engine gives: `reserved:host`.
    pub fn reserved(key: impl Into<String>) -> Self {
        Self { source: RESERVED.into(), key: key.into(), value: String::new() }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.source, self.key, self.value)
    }
}

/// The labels of one identity, sorted and without repetition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The values of a key, whatever the source if `source` is [`ANY`].
    fn values(&self, source: &str, key: &str) -> impl Iterator<Item = &str> {
        let is = move |l: &&Label| l.key == key && (source == ANY || l.source == source);
        self.0.iter().filter(is).map(|l| l.value.as_str())
    }

    /// Whether there is a label with this key, whatever the source if it is [`ANY`].
    pub fn has(&self, source: &str, key: &str) -> bool {
        self.values(source, key).next().is_some()
    }

    /// Every label, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(iter: I) -> Self {
        let mut labels: Vec<_> = iter.into_iter().collect();
        labels.sort();
        labels.dedup();
        Self(labels)
    }
}

/// What a requirement says about the values of its key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operator {
    /// The key is there with one of these values.
    In(Vec<String>),
    /// The key is not there, or with none of these values.
    NotIn(Vec<String>),
    /// The key is there.
    Exists,
    /// The key is not there.
    DoesNotExist,
}

/// One requirement of a selector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Requirement {
    /// The source of the key; [`ANY`] for whatever source.
    pub source: String,
    /// The key.
    pub key: String,
    /// What is required of its values.
    pub operator: Operator,
}

impl Requirement {
    /// A requirement on a key that may carry its source: `k8s:app`, `app`.
    pub fn new(key: &str, operator: Operator) -> Self {
        let (source, key) = split_source(key);
        Self { source: source.into(), key: key.into(), operator }
    }

    /// A requirement on a key that Kubernetes gave.
    pub fn k8s(key: impl Into<String>, operator: Operator) -> Self {
        Self { source: K8S.into(), key: key.into(), operator }
    }

    /// Whether the labels satisfy it.
    pub fn matches(&self, labels: &Labels) -> bool {
        let mut values = labels.values(&self.source, &self.key);
        let among = |wanted: &[String], value: &str| wanted.iter().any(|w| w == value);
        match &self.operator {
            Operator::In(wanted) => values.any(|v| among(wanted, v)),
            Operator::NotIn(unwanted) => !values.any(|v| among(unwanted, v)),
            Operator::Exists => values.next().is_some(),
            Operator::DoesNotExist => values.next().is_none(),
        }
    }

    /// Whether it is about this key of Kubernetes, with or without its source.
    pub fn is_about(&self, key: &str) -> bool {
        self.key == key && (self.source == K8S || self.source == ANY)
    }
}

/// The source and the key of `source:key`; [`ANY`] if there is no source.
pub fn split_source(key: &str) -> (&str, &str) {
    key.split_once(':').unwrap_or((ANY, key))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != ANY {
            write!(f, "{}:", self.source)?;
        }
        let key = &self.key;
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values.concat()),
            Operator::In(values) => write!(f, "{key} in ({})", values.join(", ")),
            Operator::NotIn(values) => write!(f, "{key} not in ({})", values.join(", ")),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "no {key}"),
        }
    }
}

/// A label selector: all requirements must hold; none selects everything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LabelSelector {
    /// What must hold.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Whether the labels satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether nobody needs any label to satisfy it.
    pub fn asks_for_absence_only(&self) -> bool {
        let absence =
            |r: &Requirement| matches!(r.operator, Operator::NotIn(_) | Operator::DoesNotExist);
        self.requirements.iter().all(absence)
    }

    /// Whether some requirement is about this key of Kubernetes.
    pub fn mentions(&self, key: &str) -> bool {
        self.requirements.iter().any(|r| r.is_about(key))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests;

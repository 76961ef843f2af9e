//! Network policy: documents, checks, meaning.

mod check;
pub mod connection;
pub mod doc;
pub mod eval;
pub mod lint;
pub mod manner;
pub mod runtime_set;
pub mod service;
pub mod types;
pub mod unknown;

use ipnet::IpNet;
use policyc_base::{FileId, OriginTable, Sink, Spanned};

use crate::kinds::Role;
use crate::labels::DEFAULT_CLUSTER;
use crate::yaml::Node;

pub use eval::eval;
pub use runtime_set::RuntimeSet;
pub use types::*;

/// How policies are read: what else than their text says what they mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading<'a> {
    /// The files that are also read as an inventory. What belongs there is left to it.
    pub mixed: &'a [FileId],
    /// Whose reading is meant.
    pub dialect: Dialect,
    /// The name of the cluster that the policies are about; a selector of workloads means
    /// those of this one unless it names another.
    pub cluster: &'a str,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Self { mixed: &[], dialect: Dialect::default(), cluster: DEFAULT_CLUSTER }
    }
}

/// A prefix with its length, host bits cleared.
pub(crate) fn prefix(text: &Spanned<String>, sink: &mut Sink) -> Option<IpNet> {
    let Reading { dialect, cluster, .. } = Reading::default();
    let origins = &mut OriginTable::new();
    check::prefix(text, &mut check::Context { dialect, cluster, origins, sink })
}

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Reads and checks one network policy, whose kind is known from `role`; `policy` is
/// its number among those of the run.
///
/// `None` if it cannot be read at all, or is of another role.
pub(crate) fn read(
    node: &Node,
    role: Role,
    policy: u32,
    reading: Reading<'_>,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Option<(doc::Meta, Vec<Rule>)> {
    let Reading { dialect, cluster, .. } = reading;
    let cx = check::Context { dialect, cluster, origins, sink };
    let (meta, mut rules) = read_rules(node, role, cx)?;
    manner::read(&meta, policy, sink).apply(&mut rules, origins, sink);
    Some((meta, rules))
}

fn read_rules(
    node: &Node,
    role: Role,
    mut cx: check::Context<'_>,
) -> Option<(doc::Meta, Vec<Rule>)> {
    let namespaced = |mut meta: doc::Meta| {
        let span = meta.name.span;
        meta.namespace.get_or_insert_with(|| Spanned::new(DEFAULT_NAMESPACE.to_owned(), span));
        meta
    };
    match role {
        Role::CiliumPolicy => {
            let mut doc = doc::read_cilium(node, cx.sink)?;
            doc.meta = namespaced(doc.meta);
            let namespace = doc.meta.namespace.as_ref().map_or("", |n| n.value.as_str());
            let scope = check::Scope::Namespace(namespace);
            let rules = check::check_cilium(&doc, &doc.meta.full_name(), scope, &mut cx);
            Some((doc.meta, rules))
        }
        Role::ClusterwidePolicy => {
            let mut doc = doc::read_cilium(node, cx.sink)?;
            doc.meta.namespace = None;
            let scope = check::Scope::Cluster;
            let rules = check::check_cilium(&doc, &doc.meta.name.value, scope, &mut cx);
            Some((doc.meta, rules))
        }
        Role::KubernetesPolicy => {
            let mut doc = doc::read_kubernetes(node, cx.sink)?;
            doc.meta = namespaced(doc.meta);
            let namespace = doc.meta.namespace.as_ref().map_or("", |n| n.value.as_str());
            let rule = check::check_kubernetes(&doc, &doc.meta.full_name(), namespace, &mut cx);
            Some((doc.meta, vec![rule]))
        }
        Role::ClusterPolicy(kind) => {
            let mut doc = doc::read_cluster(node, kind, cx.sink)?;
            doc.meta.namespace = None;
            let rule = check::check_cluster(&doc, kind, &mut cx);
            Some((doc.meta, rule.into_iter().collect()))
        }
        _ => None,
    }
}

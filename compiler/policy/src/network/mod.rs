//! Network policy: documents, checks, meaning.

mod check;
pub mod connection;
pub mod doc;
pub mod eval;
pub mod lint;
pub mod manner;
pub mod service;
pub mod types;
pub mod unknown;

use ipnet::IpNet;
use policyc_base::{OriginTable, Sink, Spanned};

use crate::kinds::Role;
use crate::yaml::Node;

pub use eval::eval;
pub use types::*;

/// A prefix with its length, host bits cleared.
pub(crate) fn prefix(text: &Spanned<String>, sink: &mut Sink) -> Option<IpNet> {
    let (dialect, mut origins) = (Dialect::default(), OriginTable::new());
    check::prefix(text, &mut check::Context { dialect, origins: &mut origins, sink })
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
    dialect: Dialect,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Option<(doc::Meta, Vec<Rule>)> {
    let (meta, mut rules) = read_rules(node, role, dialect, origins, sink)?;
    manner::read(&meta, policy, sink).apply(&mut rules, origins, sink);
    Some((meta, rules))
}

fn read_rules(
    node: &Node,
    role: Role,
    dialect: Dialect,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Option<(doc::Meta, Vec<Rule>)> {
    let namespaced = |mut meta: doc::Meta| {
        let span = meta.name.span;
        meta.namespace.get_or_insert_with(|| Spanned::new(DEFAULT_NAMESPACE.to_owned(), span));
        meta
    };
    match role {
        Role::CiliumPolicy => {
            let mut doc = doc::read_cilium(node, sink)?;
            doc.meta = namespaced(doc.meta);
            let namespace = doc.meta.namespace.as_ref().map_or("", |n| n.value.as_str());
            let scope = check::Scope::Namespace(namespace);
            let mut cx = check::Context { dialect, origins, sink };
            let rules = check::check_cilium(&doc, &doc.meta.full_name(), scope, &mut cx);
            Some((doc.meta, rules))
        }
        Role::ClusterwidePolicy => {
            let mut doc = doc::read_cilium(node, sink)?;
            doc.meta.namespace = None;
            let mut cx = check::Context { dialect, origins, sink };
            let scope = check::Scope::Cluster;
            let rules = check::check_cilium(&doc, &doc.meta.name.value, scope, &mut cx);
            Some((doc.meta, rules))
        }
        Role::KubernetesPolicy => {
            let mut doc = doc::read_kubernetes(node, sink)?;
            doc.meta = namespaced(doc.meta);
            let namespace = doc.meta.namespace.as_ref().map_or("", |n| n.value.as_str());
            let mut cx = check::Context { dialect, origins, sink };
            let rule = check::check_kubernetes(&doc, &doc.meta.full_name(), namespace, &mut cx);
            Some((doc.meta, vec![rule]))
        }
        Role::ClusterPolicy(kind) => {
            let mut doc = doc::read_cluster(node, kind, sink)?;
            doc.meta.namespace = None;
            let mut cx = check::Context { dialect, origins, sink };
            let rule = check::check_cluster(&doc, kind, &mut cx);
            Some((doc.meta, rule.into_iter().collect()))
        }
        _ => None,
    }
}

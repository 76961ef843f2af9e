//! Policy documents: the shape of what is written, with its places. What a value
//! means is not looked at here; a document may be wrong.
//!
//! `None` is a field left out, and not the same as an empty list.

mod cilium;
mod cluster;
mod head;
mod kubernetes;
mod peers;
mod unsupported;

use policyc_base::{Span, Spanned};

use super::PerDirection;
use super::types::Direction;
pub use crate::meta::Meta;
pub use crate::selector::{RequirementDoc, SelectorDoc};

pub use cluster::{
    ClusterDoc, ClusterKind, ClusterPeerDoc, ClusterPortDoc, ClusterRuleDoc, PodsDoc, SubjectDoc,
};

pub(super) use cilium::read as read_cilium;
pub(super) use cluster::read as read_cluster;
pub(super) use kubernetes::read as read_kubernetes;

/// A CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CiliumDoc {
    /// Name and namespace; no namespace for a clusterwide policy.
    pub meta: Meta,
    /// `spec`, then the elements of `specs`.
    pub rules: Vec<RuleDoc>,
}

/// One rule: a subject with sections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleDoc {
    /// Where it begins.
    pub span: Span,
    /// `spec` or `specs[1]`.
    pub path: String,
    /// Which workloads.
    pub endpoint_selector: Option<SelectorDoc>,
    /// Which hosts.
    pub node_selector: Option<SelectorDoc>,
    /// The four sections in the order of [`Section::ALL`].
    pub sections: [Option<Vec<EntryDoc>>; 4],
    /// `enableDefaultDeny`.
    pub default_deny: PerDirection<Option<Spanned<bool>>>,
    /// `log.value`.
    pub log: Option<Spanned<String>>,
}

/// A section of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its field.
    pub name: &'static str,
    /// Which way.
    pub direction: Direction,
    /// Whether it denies.
    pub deny: bool,
}

impl Section {
    /// The sections in the order in which a rule's entries are numbered.
    pub const ALL: [Self; 4] = [
        Self { name: "ingress", direction: Direction::Ingress, deny: false },
        Self { name: "ingressDeny", direction: Direction::Ingress, deny: true },
        Self { name: "egress", direction: Direction::Egress, deny: false },
        Self { name: "egressDeny", direction: Direction::Egress, deny: true },
    ];
}

/// One element of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryDoc {
    /// Where it begins.
    pub span: Span,
    /// `fromEndpoints`, `toEndpoints`.
    pub endpoints: Option<ListDoc<SelectorDoc>>,
    /// `fromCIDR`, `toCIDR`.
    pub cidrs: Option<ListDoc<Spanned<String>>>,
    /// `fromCIDRSet`, `toCIDRSet`.
    pub cidr_sets: Option<ListDoc<CidrDoc>>,
    /// `fromEntities`, `toEntities`.
    pub entities: Option<ListDoc<Spanned<String>>>,
    /// `fromNodes`, `toNodes`.
    pub nodes: Option<ListDoc<SelectorDoc>>,
    /// `fromGroups`, `toGroups`: the keys of the labels that references make.
    pub groups: Option<ListDoc<Spanned<String>>>,
    /// `toServices`.
    pub services: Option<ListDoc<ServiceDoc>>,
    /// `toPorts`.
    pub ports: Option<ListDoc<PortRuleDoc>>,
    /// `icmps`.
    pub icmps: Option<ListDoc<IcmpRuleDoc>>,
}

/// A list with its field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListDoc<T> {
    /// The field's name.
    pub name: &'static str,
    /// Where the field is written.
    pub key: Span,
    /// Whether it is written without elements.
    pub is_empty: bool,
    /// Its elements, but for those that could not be read.
    pub items: Vec<T>,
}

/// A prefix with exceptions: an element of `fromCIDRSet`, or an `ipBlock`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CidrDoc {
    /// Where it begins.
    pub span: Span,
    /// The prefix.
    pub cidr: Option<Spanned<String>>,
    /// A CIDR group by its name.
    pub group: Option<Spanned<String>>,
    /// CIDR groups by their labels.
    pub groups: Option<SelectorDoc>,
    /// Prefixes that are left out.
    pub except: Vec<Spanned<String>>,
}

/// An element of `toServices`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceDoc {
    /// Where it begins.
    pub span: Span,
    /// `k8sService`: namespace and name.
    pub by_name: Option<(Option<String>, Option<String>)>,
    /// `k8sServiceSelector`: namespace and labels.
    pub by_labels: Option<(Option<String>, Option<SelectorDoc>)>,
}

/// An element of `toPorts`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortRuleDoc {
    /// Where it begins.
    pub span: Span,
    /// Its ports.
    pub ports: Option<ListDoc<PortDoc>>,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortDoc {
    /// Where it begins.
    pub span: Span,
    /// Number or name.
    pub port: Option<Spanned<String>>,
    /// Whether the port is a number and not a string.
    pub is_number: bool,
    /// Last port of a range.
    pub end_port: Option<Spanned<u16>>,
    /// The protocol.
    pub protocol: Option<Spanned<String>>,
}

/// An element of `icmps`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpRuleDoc {
    /// Where it begins.
    pub span: Span,
    /// Its types.
    pub fields: Option<ListDoc<IcmpDoc>>,
}

/// One ICMP type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpDoc {
    /// `IPv4` if left out.
    pub family: Option<Spanned<String>>,
    /// Number or name.
    pub icmp_type: Spanned<String>,
}

/// A Kubernetes NetworkPolicy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubernetesDoc {
    /// Name and namespace.
    pub meta: Meta,
    /// Where `spec` is written.
    pub span: Span,
    /// Which pods; all if left out.
    pub pod_selector: Option<SelectorDoc>,
    /// Which directions the policy is about.
    pub policy_types: Vec<Spanned<String>>,
    /// The rules for each direction.
    pub rules: PerDirection<Vec<KubernetesRuleDoc>>,
}

/// A rule of a NetworkPolicy. Here an empty list is the same as none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubernetesRuleDoc {
    /// Where it begins.
    pub span: Span,
    /// `from` or `to`.
    pub peers: Option<ListDoc<KubernetesPeerDoc>>,
    /// `ports`.
    pub ports: Vec<PortDoc>,
}

/// A peer of a NetworkPolicy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubernetesPeerDoc {
    /// Where it begins.
    pub span: Span,
    /// Which pods of the namespaces.
    pub pod_selector: Option<SelectorDoc>,
    /// Which namespaces.
    pub namespace_selector: Option<SelectorDoc>,
    /// Which addresses.
    pub ip_block: Option<CidrDoc>,
}

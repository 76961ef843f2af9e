//! The kinds of documents that policyc knows, by API group.

use policyc_base::{Code, Diagnostic, Sink};

use crate::codes;
use crate::documents::Document;
use crate::network::doc::ClusterKind;
use crate::yaml::{closest, shorten};

/// What a kind is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// CiliumNetworkPolicy.
    CiliumPolicy,
    /// CiliumClusterwideNetworkPolicy.
    ClusterwidePolicy,
    /// NetworkPolicy.
    KubernetesPolicy,
    /// ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy.
    ClusterPolicy(ClusterKind),
    /// TracingPolicy, TracingPolicyNamespaced.
    Tracing,
    /// A policy that is not supported yet.
    OtherPolicy,
    /// CiliumCIDRGroup: stands among policies or in an inventory.
    Group,
    /// Says who there is.
    Inventory,
    /// Part of an inventory: makes pods.
    Controller,
    /// Part of an inventory that nothing is read from.
    Ignored,
    /// Verdict fixtures.
    Test,
}

impl Role {
    /// Whether an inventory reads it, or counts it and skips it.
    pub const fn is_inventory(self) -> bool {
        matches!(self, Self::Group | Self::Inventory | Self::Controller | Self::Ignored)
    }

    /// Whether it says what is to be enforced.
    pub const fn is_policy(self) -> bool {
        !self.is_inventory() && !matches!(self, Self::Test)
    }
}

/// One kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The versions that are read.
    pub versions: &'static [&'static str],
    /// What it is for.
    pub role: Role,
}

const fn kind(
    name: &'static str,
    group: &'static str,
    versions: &'static [&'static str],
    role: Role,
) -> Kind {
    Kind { name, group, versions, role }
}

const POLICY_API: &str = "policy.networking.k8s.io";
const CLUSTER: Role = Role::ClusterPolicy(ClusterKind::Cluster);
const ADMIN: Role = Role::ClusterPolicy(ClusterKind::Admin);
const BASELINE: Role = Role::ClusterPolicy(ClusterKind::Baseline);

/// Every known kind.
pub const ALL: &[Kind] = &[
    kind("CiliumNetworkPolicy", "cilium.io", &["v2"], Role::CiliumPolicy),
    kind("CiliumClusterwideNetworkPolicy", "cilium.io", &["v2"], Role::ClusterwidePolicy),
    kind("NetworkPolicy", "networking.k8s.io", &["v1"], Role::KubernetesPolicy),
    kind("TracingPolicy", "cilium.io", &["v1alpha1"], Role::Tracing),
    kind("TracingPolicyNamespaced", "cilium.io", &["v1alpha1"], Role::Tracing),
    kind("CiliumCIDRGroup", "cilium.io", &["v2", "v2alpha1"], Role::Group),
    kind("CiliumEgressGatewayPolicy", "cilium.io", &["v2"], Role::OtherPolicy),
    kind("CiliumLocalRedirectPolicy", "cilium.io", &["v2"], Role::OtherPolicy),
    kind("CiliumEnvoyConfig", "cilium.io", &["v2"], Role::OtherPolicy),
    kind("CiliumClusterwideEnvoyConfig", "cilium.io", &["v2"], Role::OtherPolicy),
    kind("ClusterNetworkPolicy", POLICY_API, &["v1alpha2"], CLUSTER),
    kind("AdminNetworkPolicy", POLICY_API, &["v1alpha1"], ADMIN),
    kind("BaselineAdminNetworkPolicy", POLICY_API, &["v1alpha1"], BASELINE),
    kind("PolicyTest", "policyc.io", &["v1alpha1"], Role::Test),
    kind("Workload", "policyc.io", &["v1alpha1"], Role::Inventory),
    kind("Inventory", "policyc.io", &["v1alpha1"], Role::Inventory),
    kind("Groups", "policyc.io", &["v1alpha1"], Role::Inventory),
    kind("Namespace", "", &["v1"], Role::Inventory),
    kind("Pod", "", &["v1"], Role::Inventory),
    kind("Node", "", &["v1"], Role::Inventory),
    kind("Service", "", &["v1"], Role::Inventory),
    kind("ServiceAccount", "", &["v1"], Role::Inventory),
    kind("Endpoints", "", &["v1"], Role::Ignored),
    kind("ConfigMap", "", &["v1"], Role::Ignored),
    kind("Secret", "", &["v1"], Role::Ignored),
    kind("Event", "", &["v1"], Role::Ignored),
    kind("PersistentVolume", "", &["v1"], Role::Ignored),
    kind("PersistentVolumeClaim", "", &["v1"], Role::Ignored),
    kind("ReplicationController", "", &["v1"], Role::Ignored),
    kind("EndpointSlice", "discovery.k8s.io", &["v1"], Role::Inventory),
    kind("Deployment", "apps", &["v1"], Role::Controller),
    kind("ReplicaSet", "apps", &["v1"], Role::Ignored),
    kind("StatefulSet", "apps", &["v1"], Role::Controller),
    kind("DaemonSet", "apps", &["v1"], Role::Controller),
    kind("ControllerRevision", "apps", &["v1"], Role::Ignored),
    kind("Job", "batch", &["v1"], Role::Controller),
    kind("CronJob", "batch", &["v1"], Role::Controller),
    kind("Ingress", "networking.k8s.io", &["v1"], Role::Ignored),
    kind("HorizontalPodAutoscaler", "autoscaling", &["v2"], Role::Ignored),
    kind("PodDisruptionBudget", "policy", &["v1"], Role::Ignored),
    kind("Role", "rbac.authorization.k8s.io", &["v1"], Role::Ignored),
    kind("RoleBinding", "rbac.authorization.k8s.io", &["v1"], Role::Ignored),
    kind("ClusterRole", "rbac.authorization.k8s.io", &["v1"], Role::Ignored),
    kind("ClusterRoleBinding", "rbac.authorization.k8s.io", &["v1"], Role::Ignored),
    kind("CustomResourceDefinition", "apiextensions.k8s.io", &["v1"], Role::Ignored),
];

impl Kind {
    /// `cilium.io/v2`, `v1`.
    fn api_version(&self) -> String {
        let version = self.versions.first().copied().unwrap_or("");
        if self.group.is_empty() { version.into() } else { format!("{}/{version}", self.group) }
    }
}

/// The kind of a document, or a finding about why there is none.
pub fn of(document: &Document, sink: &mut Sink) -> Option<Kind> {
    let name = document.kind.value.as_str();
    let Some(kind) = ALL.iter().find(|k| k.name == name) else {
        let message = format!("the kind `{}` is not known", shorten(name));
        let mut finding = Diagnostic::error(codes::KIND_UNKNOWN, document.kind.span, message);
        if let Some(near) = closest(name, ALL.iter().map(|k| k.name)) {
            finding = finding.with_help(format!("did you mean `{near}`?"));
        }
        sink.push(finding);
        return None;
    };
    if kind.role == Role::Ignored {
        return Some(*kind);
    }
    let written = document.api_version.value.as_str();
    let (group, version) = written.split_once('/').unwrap_or(("", written));
    if group == kind.group && kind.versions.contains(&version) {
        return Some(*kind);
    }
    let message = format!("`{name}` is not in `{}`", shorten(written));
    let finding = Diagnostic::error(codes::API_VERSION, document.api_version.span, message);
    sink.push(finding.with_help(format!("write `{}`", kind.api_version())));
    None
}

/// Reports a document whose kind has no place where it stands.
pub fn reject(document: &Document, code: Code, reason: &str, help: &str, sink: &mut Sink) {
    let message = format!("`{}` {reason}", document.kind.value);
    let finding = Diagnostic::error(code, document.kind.span, message);
    sink.push(if help.is_empty() { finding } else { finding.with_help(help) });
}

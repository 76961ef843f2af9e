//! From documents, which may be wrong, to rules, which cannot be.
//!
//! Guarantees: what is reported as an error yields no rule or entry; everything
//! else means what Cilium (or, in that dialect, Kubernetes) means by it, and is
//! warned about where that is probably not what was meant.
//! Source: `pkg/policy/api/rule_validation.go`, `pkg/k8s/apis/cilium.io/utils`,
//! `pkg/k8s/network_policy.go`, `pkg/k8s/cluster_network_policy.go`.

mod cidr;
mod cilium;
mod cluster;
mod icmp;
mod kubernetes;
mod ports;
mod selector;

use policyc_base::{Code, Diagnostic, Origin, OriginInfo, OriginTable, Sink, Span};

use super::types::Dialect;

pub(super) use cidr::prefix;
pub(super) use cilium::{Scope, check as check_cilium};
pub(super) use cluster::check as check_cluster;
pub(super) use kubernetes::check as check_kubernetes;

/// What every check needs.
pub(super) struct Context<'a> {
    pub(super) dialect: Dialect,
    /// The name of the cluster that policies are about.
    pub(super) cluster: &'a str,
    pub(super) origins: &'a mut OriginTable,
    pub(super) sink: &'a mut Sink,
}

impl Context<'_> {
    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.sink.push(Diagnostic::error(code, span, message));
    }

    fn warn(&mut self, code: Code, span: Span, message: impl Into<String>, help: &str) {
        self.sink.push(Diagnostic::warning(code, span, message).with_help(help));
    }

    fn origin(&mut self, policy: &str, rule: impl Into<String>, span: Span) -> Origin {
        let span = Some(span);
        self.origins.push(OriginInfo { policy: policy.to_owned(), rule: rule.into(), span })
    }
}

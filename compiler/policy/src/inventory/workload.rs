//! `policyc.io/v1alpha1` Workload and Inventory: who there is without Kubernetes.

use std::net::IpAddr;

use policyc_base::{Diagnostic, Sink, Spanned};

use super::kubernetes::{address, named_port, read_labels};
use super::management::{self, Management};
use super::{Attach, NamedPort};
use crate::codes;
use crate::labels::{Label, LabelSelector};
use crate::meta::{self, Meta};
use crate::selector;
use crate::yaml::{Fields, Node, decode, shorten};

/// What a Workload says.
pub(super) struct WorkloadDoc {
    pub(super) meta: Meta,
    pub(super) labels: Vec<Label>,
    pub(super) addresses: Vec<Spanned<IpAddr>>,
    pub(super) ports: Vec<NamedPort>,
    pub(super) service_account: Option<String>,
    pub(super) hosts: Option<LabelSelector>,
    pub(super) attach: Option<Attach>,
    /// The identity that an engine reserves for it, in place of labels.
    pub(super) reserved: Option<&'static str>,
}

/// The identities that a workload can have in place of labels.
const RESERVED: [&str; 4] = ["health", "ingress", "init", "unmanaged"];

pub(super) fn workload(node: &Node, sink: &mut Sink) -> Option<WorkloadDoc> {
    let mut fields = object(node, "a workload", sink)?;
    let meta = meta::read(&mut fields, sink);
    fields.require("spec", sink);
    let spec = fields.fields("spec", "a workload's `spec`", sink);
    fields.finish(sink);
    let mut spec = spec?;
    let mut addresses = Vec::new();
    for item in spec.list("addresses", sink).unwrap_or(&[]) {
        let text = decode::string(item, "each of `addresses`", sink);
        addresses.extend(text.and_then(|t| address(t, sink)));
    }
    let ports = ports(&mut spec, sink);
    let service_account = spec.string("serviceAccount", sink).map(|s| s.value.to_owned());
    let hosts = selector::field(&mut spec, "hosts", sink).map(|s| selector::check(&s, sink));
    let attach = attach(&mut spec, sink);
    let reserved = spec.string("reserved", sink).and_then(|text| reserved(text, sink));
    spec.finish(sink);
    let (meta, labels) = meta?;
    let labels = read_labels(labels, sink);
    Some(WorkloadDoc { meta, labels, addresses, ports, service_account, hosts, attach, reserved })
}

fn reserved(text: Spanned<&str>, sink: &mut Sink) -> Option<&'static str> {
    let found = RESERVED.into_iter().find(|name| *name == text.value);
    if found.is_none() {
        let message = format!("`{}` is no identity that is reserved", shorten(text.value));
        let finding = Diagnostic::error(codes::RESERVED_INVALID, text.span, message);
        sink.push(finding.with_help(format!("write one of {}", RESERVED.join(", "))));
    }
    found
}

/// The fields of an object of ours, `apiVersion` and `kind` taken.
fn object<'n>(node: &'n Node, what: &'static str, sink: &mut Sink) -> Option<Fields<'n>> {
    let mut fields = Fields::of(node, what, sink)?;
    fields.take("apiVersion");
    fields.take("kind");
    Some(fields)
}

fn ports(spec: &mut Fields<'_>, sink: &mut Sink) -> Vec<NamedPort> {
    let mut result = Vec::new();
    for item in spec.list("ports", sink).unwrap_or(&[]) {
        let Some(mut fields) = Fields::of(item, "a workload's port", sink) else { continue };
        result.extend(named_port(&mut fields, "port", sink));
        fields.finish(sink);
    }
    result
}

fn attach(spec: &mut Fields<'_>, sink: &mut Sink) -> Option<Attach> {
    let mut fields = spec.fields("attach", "`attach`", sink)?;
    let kinds: [(_, fn(String) -> _); 4] = [
        ("systemdUnit", Attach::SystemdUnit),
        ("interface", Attach::Interface),
        ("netns", Attach::Netns),
        ("cgroup", Attach::Cgroup),
    ];
    let mut found = Vec::new();
    for (name, make) in kinds {
        found.extend(fields.string(name, sink).map(|text| make(text.value.to_owned())));
    }
    let start = fields.start();
    fields.finish(sink);
    if found.len() != 1 {
        let message = "`attach` needs exactly one of `systemdUnit`, `interface`, `netns`, `cgroup`";
        sink.push(Diagnostic::error(codes::ATTACH_INVALID, start, message));
        return None;
    }
    found.pop()
}

/// What an inventory says of itself.
#[derive(Default)]
pub(super) struct InventoryDoc {
    /// Whether nobody is missing.
    pub(super) complete: Option<Spanned<bool>>,
    /// The name of the cluster.
    pub(super) cluster: Option<String>,
    /// From where hosts are administered.
    pub(super) management: Option<Management>,
}

pub(super) fn inventory(node: &Node, sink: &mut Sink) -> Option<InventoryDoc> {
    let mut fields = object(node, "an inventory", sink)?;
    if fields.take("metadata").is_some() {
        meta::read(&mut fields, sink);
    }
    fields.require("complete", sink);
    let complete = fields.boolean("complete", sink);
    let cluster = fields.string("cluster", sink).filter(|name| is_cluster_name(*name, sink));
    let cluster = cluster.map(|name| name.value.to_owned());
    let management = management::read(&mut fields, sink);
    fields.finish(sink);
    Some(InventoryDoc { complete, cluster, management })
}

/// Most characters of a cluster's name.
const LONGEST_CLUSTER: usize = 32;

/// Source: `ValidateClusterName` in `pkg/clustermesh/types/option.go`.
fn is_cluster_name(name: Spanned<&str>, sink: &mut Sink) -> bool {
    let text = name.value;
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = (1..=LONGEST_CLUSTER).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !valid {
        let message = format!("`{}` is no name of a cluster", shorten(text));
        let help = "write at most 32 lower-case letters, digits and `-`";
        let finding = Diagnostic::error(codes::LABEL_INVALID, name.span, message);
        sink.push(finding.with_help(help));
    }
    valid
}

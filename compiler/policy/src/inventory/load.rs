//! From documents to the inventory. Namespaces and nodes may be written after
//! the workloads that refer to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policyc_base::{Diagnostic, FileId, Sink, SourceMap, Span, Spanned};

use super::kubernetes::{self, Host, Namespace, Pod};
use super::management::Management;
use super::ports::PortNames;
use super::service_doc::{self, ServiceDoc, SliceDoc};
use super::workload::{self, WorkloadDoc};
use super::{CidrGroup, Identity, Inventory, Node, NodeId, Workload};
use super::{accounts, endpoints, external, groups, template};
use crate::codes;
use crate::documents::{self, Document};
use crate::kinds::{self, Role};
use crate::labels::{self, Label, Labels};
use crate::meta::Meta;

/// The namespace and the service account of objects that name none.
const DEFAULT: &str = "default";

/// The label that an API server gives every namespace: its name. A Namespace of
/// the inventory is taken at its word; one that is not there has at least this.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Reads inventory files. What is wrong goes to `sink`.
pub fn load(sources: &SourceMap, files: &[FileId], sink: &mut Sink) -> Inventory {
    load_beside(sources, files, &[], sink)
}

/// The same; the `mixed` ones of the files are also read as policies, and what belongs
/// there is left to that.
pub fn load_beside(
    sources: &SourceMap,
    files: &[FileId],
    mixed: &[FileId],
    sink: &mut Sink,
) -> Inventory {
    let mut loader = Loader::default();
    for document in documents::read(sources, files, sink) {
        let is_mixed = mixed.contains(&document.node.span.file);
        loader.read(&document, is_mixed, sink);
    }
    loader.resolve(sink)
}

/// What was read, before anything refers to anything.
#[derive(Default)]
struct Loader {
    namespaces: BTreeMap<String, Vec<Label>>,
    hosts: Vec<Host>,
    pods: Vec<Pod>,
    workloads: Vec<WorkloadDoc>,
    templates: Vec<Pod>,
    services: Vec<ServiceDoc>,
    slices: Vec<SliceDoc>,
    groups: Vec<CidrGroup>,
    accounts: BTreeSet<String>,
    complete: Option<Spanned<bool>>,
    cluster: Option<String>,
    management: Option<Management>,
    skipped: BTreeMap<&'static str, usize>,
}

impl Loader {
    fn read(&mut self, document: &Document, is_mixed: bool, sink: &mut Sink) {
        let Some(kind) = kinds::of(document, sink) else { return };
        match (kind.role, kind.name) {
            (role, _) if is_mixed && role.is_policy() => {}
            (Role::Ignored, name) => *self.skipped.entry(name).or_default() += 1,
            (Role::Group, _) => self.groups.extend(groups::read(&document.node, sink)),
            (_, "Groups") => self.groups.extend(external::read(&document.node, sink)),
            (_, "Service") => self.services.extend(service_doc::service(&document.node, sink)),
            (_, "EndpointSlice") => self.slices.extend(service_doc::slice(&document.node, sink)),
            (Role::Controller, _) => self.templates.extend(template::read(&document.node, sink)),
            (_, "Namespace") => {
                let read = kubernetes::namespace(&document.node, sink);
                self.namespaces.extend(read.map(|Namespace { name, labels }| (name, labels)));
            }
            (_, "ServiceAccount") => self.accounts.extend(accounts::read(&document.node, sink)),
            (_, "Node") => self.hosts.extend(kubernetes::host(&document.node, sink)),
            (_, "Pod") => self.pods.extend(kubernetes::pod(&document.node, sink)),
            (_, "Workload") => self.workloads.extend(workload::workload(&document.node, sink)),
            (_, "Inventory") => {
                let said = workload::inventory(&document.node, sink).unwrap_or_default();
                self.set_complete(said.complete, sink);
                // A second document of this kind is refused, whatever it says.
                self.cluster = self.cluster.take().or(said.cluster);
                self.management = self.management.take().or(said.management);
            }
            _ => {
                let reason = "says nothing about who there is";
                let help = "give its file with `-f` too";
                kinds::reject(document, codes::KIND_MISPLACED, reason, help, sink);
            }
        }
    }

    fn set_complete(&mut self, complete: Option<Spanned<bool>>, sink: &mut Sink) {
        let Some(complete) = complete else { return };
        if let Some(first) = self.complete {
            let message = "it is said twice whether the inventory is complete";
            let finding = Diagnostic::error(codes::INVENTORY_TWICE, complete.span, message);
            sink.push(finding.with_label(first.span, "the first time"));
            return;
        }
        self.complete = Some(complete);
    }

    fn resolve(self, sink: &mut Sink) -> Inventory {
        let mut inventory = Inventory {
            cluster: self.cluster.unwrap_or_else(|| labels::DEFAULT_CLUSTER.to_owned()),
            service_accounts: self.accounts,
            complete: self.complete.is_some_and(|c| c.value),
            management: self.management,
            skipped: self.skipped,
            ..Inventory::default()
        };
        let mut owners = Owners::default();
        for host in self.hosts {
            add_host(host, &mut inventory, &mut owners, sink);
        }
        for pod in self.pods.iter().filter(|pod| pod.host_network) {
            learn_host(pod, &mut inventory, &mut owners, sink);
        }
        for pod in self.pods {
            add_pod(pod, &self.namespaces, &mut inventory, &mut owners, sink);
        }
        for doc in self.workloads {
            add_workload(doc, &self.namespaces, &mut inventory, &mut owners, sink);
        }
        for pod in self.templates.into_iter().filter(|pod| !pod.host_network) {
            add_template(pod, &self.namespaces, &mut inventory, sink);
        }
        inventory.port_names = PortNames::new(&inventory.workloads);
        accounts::check(&inventory, sink);
        endpoints::add(self.services, self.slices, &mut inventory, sink);
        for group in self.groups {
            inventory.groups.add(group, sink);
        }
        inventory
    }
}

/// Where every address was given first.
#[derive(Default)]
struct Owners(BTreeMap<IpAddr, (Span, String)>);

impl Owners {
    /// The addresses that are nobody else's; reports the others.
    fn claim(
        &mut self,
        name: &str,
        addresses: Vec<Spanned<IpAddr>>,
        sink: &mut Sink,
    ) -> Vec<IpAddr> {
        let mut result = Vec::new();
        for Spanned { value, span } in addresses {
            match self.0.get(&value) {
                None => {
                    self.0.insert(value, (span, name.to_owned()));
                    result.push(value);
                }
                Some((_, owner)) if owner == name => {}
                Some((first, owner)) => {
                    let message = format!("`{value}` is the address of `{owner}` already");
                    let finding = Diagnostic::error(codes::ADDRESS_TWICE, span, message);
                    sink.push(finding.with_label(*first, "given here first"));
                }
            }
        }
        result
    }
}

fn add_host(host: Host, inventory: &mut Inventory, owners: &mut Owners, sink: &mut Sink) {
    let name = host.meta.name.value;
    let span = host.meta.name.span;
    if let Some(first) = inventory.node(&name) {
        let message = format!("there are two nodes called `{name}`");
        let finding = Diagnostic::error(codes::NODE_TWICE, span, message);
        sink.push(finding.with_label(inventory.nodes[first].span, "the first one"));
        return;
    }
    let addresses = owners.claim(&name, host.addresses, sink);
    let id = inventory.nodes.next_id();
    inventory.by_address.extend(addresses.iter().map(|a| (*a, Identity::Node(id))));
    let labels = host.labels.into_iter().collect();
    inventory.nodes.push(Node { name, labels, addresses, span });
}

/// A pod on its node's network tells the node's addresses, and that there is a
/// node, when no Node does.
fn learn_host(pod: &Pod, inventory: &mut Inventory, owners: &mut Owners, sink: &mut Sink) {
    let Some(name) = &pod.node else { return };
    let addresses = owners.claim(name, pod.addresses.clone(), sink);
    let id = match inventory.node(name) {
        Some(id) => id,
        None => inventory.nodes.push(Node {
            name: name.clone(),
            labels: Labels::default(),
            addresses: Vec::new(),
            span: pod.meta.span(),
        }),
    };
    inventory.by_address.extend(addresses.iter().map(|a| (*a, Identity::Node(id))));
    inventory.nodes[id].addresses.extend(addresses);
}

fn add_pod(
    pod: Pod,
    namespaces: &BTreeMap<String, Vec<Label>>,
    inventory: &mut Inventory,
    owners: &mut Owners,
    sink: &mut Sink,
) {
    let nodes: Vec<NodeId> = pod.node.iter().filter_map(|n| inventory.node(n)).collect();
    let name = full_name(&pod.meta);
    if !is_new(&name, pod.meta.span(), inventory, sink) {
        return;
    }
    // A pod on its node's network is the node, to every policy. Before it is
    // scheduled it is nobody.
    if pod.host_network {
        let node = nodes.first().map(|node| (name, Identity::Node(*node)));
        inventory.by_name.extend(node);
        return;
    }
    let workload = Workload {
        labels: derive(
            &pod.meta,
            pod.labels,
            pod.service_account.as_deref(),
            namespaces,
            &inventory.cluster,
        ),
        addresses: owners.claim(&name, pod.addresses, sink),
        ports: pod.ports,
        nodes,
        is_placed: true,
        attach: None,
        dynamic: false,
        span: pod.meta.span(),
        name,
    };
    push(workload, inventory);
}

fn add_workload(
    doc: WorkloadDoc,
    namespaces: &BTreeMap<String, Vec<Label>>,
    inventory: &mut Inventory,
    owners: &mut Owners,
    sink: &mut Sink,
) {
    let name = full_name(&doc.meta);
    if !is_new(&name, doc.meta.span(), inventory, sink) {
        return;
    }
    let hosts = inventory.nodes.iter();
    let is_local = |node: &Node| doc.hosts.as_ref().is_some_and(|h| h.matches(&node.labels));
    let nodes = hosts.filter(|(_, node)| is_local(node)).map(|(id, _)| id).collect();
    let labels = match doc.reserved {
        Some(name) => [Label::reserved(name)].into_iter().collect(),
        None => derive(
            &doc.meta,
            doc.labels,
            doc.service_account.as_deref(),
            namespaces,
            &inventory.cluster,
        ),
    };
    let workload = Workload {
        labels,
        addresses: owners.claim(&name, doc.addresses, sink),
        ports: doc.ports,
        nodes,
        is_placed: doc.hosts.is_some(),
        attach: doc.attach,
        dynamic: groups::dynamic(&doc.meta, sink),
        span: doc.meta.span(),
        name,
    };
    push(workload, inventory);
}

/// Pods that are not there yet. Whoever has the name already says more.
fn add_template(
    pod: Pod,
    namespaces: &BTreeMap<String, Vec<Label>>,
    inventory: &mut Inventory,
    sink: &mut Sink,
) {
    let name = full_name(&pod.meta);
    if inventory.lookup(&name).is_some() {
        return;
    }
    let workload = Workload {
        labels: derive(
            &pod.meta,
            pod.labels,
            pod.service_account.as_deref(),
            namespaces,
            &inventory.cluster,
        ),
        addresses: Vec::new(),
        ports: pod.ports,
        nodes: Vec::new(),
        is_placed: true,
        attach: None,
        dynamic: groups::dynamic(&pod.meta, sink),
        span: pod.meta.span(),
        name,
    };
    push(workload, inventory);
}

fn push(workload: Workload, inventory: &mut Inventory) {
    let identity = Identity::Workload(inventory.workloads.next_id());
    inventory.by_address.extend(workload.addresses.iter().map(|a| (*a, identity)));
    inventory.by_name.insert(workload.name.clone(), identity);
    inventory.workloads.push(workload);
}

fn is_new(name: &str, span: Span, inventory: &Inventory, sink: &mut Sink) -> bool {
    let Some(first) = inventory.lookup(name) else { return true };
    let message = format!("there are two workloads called `{name}`");
    let mut finding = Diagnostic::error(codes::WORKLOAD_TWICE, span, message);
    if let Identity::Workload(first) = first {
        finding = finding.with_label(inventory.workloads[first].span, "the first one");
    }
    sink.push(finding);
    false
}

pub(super) fn namespace_of(meta: &Meta) -> &str {
    meta.namespace.as_ref().map_or(DEFAULT, |n| n.value.as_str())
}

pub(super) fn full_name(meta: &Meta) -> String {
    format!("{}/{}", namespace_of(meta), meta.name.value)
}

/// A workload's labels and what an engine derives for it.
fn derive(
    meta: &Meta,
    own: Vec<Label>,
    service_account: Option<&str>,
    namespaces: &BTreeMap<String, Vec<Label>>,
    cluster: &str,
) -> Labels {
    let namespace = namespace_of(meta);
    let known = namespaces.get(namespace).cloned();
    let of_namespace = known.unwrap_or_else(|| vec![Label::k8s(NAMESPACE_NAME, namespace)]);
    let prefixed = of_namespace.into_iter().map(|l| {
        let key = format!("{}{}", labels::NAMESPACE_LABELS, l.key);
        Label { key, ..l }
    });
    let derived = [
        Label::k8s(labels::NAMESPACE, namespace),
        Label::k8s(labels::SERVICE_ACCOUNT, service_account.unwrap_or(DEFAULT)),
        Label::k8s(labels::CLUSTER, cluster),
    ];
    own.into_iter().chain(prefixed).chain(derived).collect()
}

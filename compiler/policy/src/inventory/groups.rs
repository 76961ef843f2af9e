//! CIDR groups: prefixes with labels that policies select.
//!
//! Source: `pkg/policy/k8s/cilium_cidr_group.go`. A group gives its prefixes its labels
//! and one made of its name; of groups that disagree, the longer prefix has its way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use policyc_base::{Diagnostic, Sink, Span, Spanned};

use crate::codes;
use crate::labels::{CIDR_GROUP, CIDR_GROUP_NAME, EXTERNAL_GROUP, Label, Labels};
use crate::meta;
use crate::network;
use crate::yaml::{Fields, Node, decode, shorten};

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CidrGroup {
    /// Its name.
    pub name: String,
    /// What its addresses are labelled with, the label of its name among them; of the
    /// source `cidrgroup`.
    pub labels: Labels,
    /// Its prefixes; no host bits are set.
    pub nets: Vec<IpNet>,
    /// Whether its prefixes change while policy is live: then what is built for a
    /// reference to it does not depend on them.
    pub dynamic: bool,
    /// Where its name is written.
    pub span: Span,
}

/// The annotation that makes a group one whose prefixes change while policy is live.
pub const DYNAMIC: &str = "policyc.io/dynamic";

/// All groups, by name and by prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<String, CidrGroup>,
    by_net: BTreeMap<IpNet, Vec<String>>,
}

impl Groups {
    /// Adds a group; reports a second one of its name.
    pub fn add(&mut self, group: CidrGroup, sink: &mut Sink) {
        let CidrGroup { name, span, .. } = &group;
        if let Some(first) = self.by_name.get(name) {
            let message = format!("there are two CIDR groups called `{name}`");
            let finding = Diagnostic::error(codes::GROUP_TWICE, *span, message);
            sink.push(finding.with_label(first.span, "the first one"));
            return;
        }
        for net in &group.nets {
            self.by_net.entry(*net).or_default().push(name.clone());
        }
        self.by_name.insert(name.clone(), group);
    }

    /// Every group, by name.
    pub fn iter(&self) -> impl Iterator<Item = &CidrGroup> {
        self.by_name.values()
    }

    /// Whether some group gives its addresses a label of this key.
    pub fn has_key(&self, key: &str) -> bool {
        self.by_name.values().any(|group| group.labels.has(CIDR_GROUP, key))
    }

    /// The group whose name makes a label of this key, if its prefixes change while
    /// policy is live.
    pub fn dynamic(&self, key: &str) -> Option<&CidrGroup> {
        let external = || key.starts_with(EXTERNAL_GROUP).then_some(key);
        let name = key.strip_prefix(CIDR_GROUP_NAME).or_else(external)?;
        self.by_name.get(name).filter(|group| group.dynamic)
    }

    /// Gives a group other prefixes.
    pub fn set(&mut self, name: &str, nets: Vec<IpNet>) {
        let Some(group) = self.by_name.get_mut(name) else { return };
        self.by_net.values_mut().for_each(|names| names.retain(|other| other != name));
        self.by_net.retain(|_, names| !names.is_empty());
        for net in &nets {
            self.by_net.entry(*net).or_default().push(name.to_owned());
        }
        group.nets = nets;
    }

    /// The group of this name.
    pub fn get(&self, name: &str) -> Option<&CidrGroup> {
        self.by_name.get(name)
    }

    /// Every prefix of a group that does not change while policy is live.
    pub fn fixed_nets(&self) -> impl Iterator<Item = IpNet> {
        let fixed = self.by_name.values().filter(|group| !group.dynamic);
        fixed.flat_map(|group| group.nets.iter().copied())
    }

    /// Every prefix of a group.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> {
        self.by_net.keys().copied()
    }

    /// The labels of the groups that an address is in.
    pub fn labels_at(&self, address: IpAddr) -> Labels {
        let mut labels: Vec<Label> = Vec::new();
        let longest = IpNet::from(address).max_prefix_len();
        for length in (0..=longest).rev().filter(|_| !self.by_net.is_empty()) {
            let Ok(net) = IpNet::new(address, length) else { continue };
            let names = self.by_net.get(&net.trunc()).into_iter().flatten();
            let known = labels.len();
            for group in names.filter_map(|name| self.by_name.get(name)) {
                let is_new = |label: &&Label| labels[..known].iter().all(|l| l.key != label.key);
                let new: Vec<_> = group.labels.iter().filter(is_new).cloned().collect();
                labels.extend(new);
            }
        }
        labels.into_iter().collect()
    }
}

/// The label that a group's name makes.
fn name_label(name: &str) -> Label {
    let key = format!("{CIDR_GROUP_NAME}{name}");
    Label { source: CIDR_GROUP.to_owned(), key, value: String::new() }
}

/// Reads a CiliumCIDRGroup.
pub(crate) fn read(node: &Node, sink: &mut Sink) -> Option<CidrGroup> {
    let mut fields = Fields::of(node, "a CIDR group", sink)?;
    fields.take("apiVersion");
    fields.take("kind");
    fields.take("status");
    let meta = meta::read(&mut fields, sink);
    fields.require("spec", sink);
    let spec = fields.fields("spec", "a CIDR group's `spec`", sink);
    fields.finish(sink);
    let mut spec = spec?;
    spec.require("externalCIDRs", sink);
    let nets = nets(spec.list("externalCIDRs", sink).unwrap_or(&[]), "externalCIDRs", sink);
    spec.finish(sink);
    let (meta, labels) = meta?;
    let own = super::kubernetes::read_labels(labels, sink).into_iter();
    let own = own.map(|label| Label { source: CIDR_GROUP.to_owned(), ..label });
    let labels = own.chain([name_label(&meta.name.value)]).collect();
    let dynamic = dynamic(&meta, sink);
    Some(CidrGroup { name: meta.name.value, labels, nets, dynamic, span: meta.name.span })
}

/// Whether the annotations say that the prefixes, or the addresses, change while policy
/// is live; one of ours that is not known is an error.
pub(super) fn dynamic(meta: &meta::Meta, sink: &mut Sink) -> bool {
    let mut dynamic = false;
    for (key, value) in &meta.annotations {
        match (key.value.as_str(), value.value.as_str()) {
            (DYNAMIC, "true") => dynamic = true,
            (DYNAMIC, "false") => {}
            (DYNAMIC, other) => {
                let message = format!(
                    "the annotation must be `\"true\"` or `\"false\"`, not `{}`",
                    shorten(other)
                );
                sink.push(Diagnostic::error(codes::ANNOTATION_VALUE, value.span, message));
            }
            _ => meta::unknown_annotation(key, &[DYNAMIC], sink),
        }
    }
    dynamic
}

/// The prefixes of a list.
pub(super) fn nets(items: &[std::sync::Arc<Node>], list: &str, sink: &mut Sink) -> Vec<IpNet> {
    let net = |item: &std::sync::Arc<Node>| {
        let text = decode::string(item, format_args!("each of `{list}`"), sink)?;
        network::prefix(&Spanned::new(text.value.to_owned(), text.span), sink)
    };
    items.iter().filter_map(net).collect()
}

//! Groups of a cloud provider, as policies refer to them and as an inventory says
//! what their prefixes are.
//!
//! Source: `pkg/policy/api/groups.go`. As in Cilium a reference becomes the label of a
//! CIDR group; the region is not part of it.

use std::sync::Arc;

use ipnet::IpNet;
use policyc_base::{Diagnostic, Sink, Spanned};

use super::groups::{CidrGroup, nets};
use crate::codes;
use crate::labels::{CIDR_GROUP, EXTERNAL_GROUP, Label};
use crate::meta;
use crate::yaml::{Fields, Node, decode};

/// The key of the label that the prefixes of a reference have. Two references that
/// say the same have the same key.
pub(crate) fn reference(fields: &mut Fields<'_>, sink: &mut Sink) -> Option<Spanned<String>> {
    let start = fields.start();
    let mut aws = match fields.require("aws", sink) {
        Some(_) => fields.fields("aws", "`aws`", sink)?,
        None => return None,
    };
    let mut words = Vec::new();
    for (key, field) in aws.map("labels", sink).into_iter().flatten() {
        let value = decode::string(&field.value, format_args!("`{key}`"), sink)?;
        words.push(format!("label {key}={}", value.value));
    }
    for (name, word) in [("securityGroupsIds", "id"), ("securityGroupsNames", "name")] {
        for item in aws.list(name, sink).unwrap_or(&[]) {
            let text = decode::string(item, format_args!("each of `{name}`"), sink)?;
            words.push(format!("{word} {}", text.value));
        }
    }
    aws.string("region", sink);
    aws.finish(sink);
    words.sort();
    words.dedup();
    if words.is_empty() {
        let message = "`aws` needs one of `labels`, `securityGroupsIds`, `securityGroupsNames`";
        sink.push(Diagnostic::error(codes::GROUP_REFERENCE, start, message));
        return None;
    }
    Some(Spanned::new(format!("{EXTERNAL_GROUP}aws {}", words.join(", ")), start))
}

/// Reads a Groups document: what references stand for.
pub(super) fn read(node: &Node, sink: &mut Sink) -> Vec<CidrGroup> {
    let Some(mut fields) = Fields::of(node, "a list of groups", sink) else { return Vec::new() };
    fields.take("apiVersion");
    fields.take("kind");
    if fields.has("metadata") {
        meta::read(&mut fields, sink);
    }
    fields.require("groups", sink);
    let items: &[Arc<Node>] = fields.list("groups", sink).unwrap_or(&[]);
    let groups = items.iter().filter_map(|item| group(item, sink)).collect();
    fields.finish(sink);
    groups
}

fn group(node: &Node, sink: &mut Sink) -> Option<CidrGroup> {
    let mut fields = Fields::of(node, "a group", sink)?;
    let key = reference(&mut fields, sink);
    fields.require("cidrs", sink);
    let nets: Vec<IpNet> = nets(fields.list("cidrs", sink).unwrap_or(&[]), "cidrs", sink);
    let dynamic = fields.boolean("dynamic", sink).is_some_and(|said| said.value);
    fields.finish(sink);
    let Spanned { value: key, span } = key?;
    let label = Label { source: CIDR_GROUP.to_owned(), key: key.clone(), value: String::new() };
    Some(CidrGroup { name: key, labels: [label].into_iter().collect(), nets, dynamic, span })
}

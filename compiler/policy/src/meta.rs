//! `metadata` of a Kubernetes object.

use policyc_base::{Sink, Span, Spanned};

use crate::yaml::{Fields, Map};

/// What a Kubernetes object is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The name.
    pub name: Spanned<String>,
    /// The namespace, if one is written.
    pub namespace: Option<Spanned<String>>,
}

impl Meta {
    /// `namespace/name`, or `name`.
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{}", namespace.value, self.name.value),
            None => self.name.value.clone(),
        }
    }

    /// Of an object whose metadata cannot be read, so that the rest is checked.
    pub(crate) fn unnamed(span: Span) -> Self {
        Self { name: Spanned::new(String::new(), span), namespace: None }
    }

    /// Where the name is written.
    pub const fn span(&self) -> Span {
        self.name.span
    }
}

/// What an API server writes into `metadata` and a reader may overlook.
const OVERLOOKED: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Reads `metadata` of an object; also returns its labels. What an API server
/// adds is overlooked; any other field is reported.
pub fn read<'n>(object: &mut Fields<'n>, sink: &mut Sink) -> Option<(Meta, Option<&'n Map>)> {
    object.require("metadata", sink)?;
    let mut fields = object.fields("metadata", "`metadata`", sink)?;
    let name = match fields.require("name", sink) {
        Some(_) => fields.string("name", sink),
        None => None,
    };
    let namespace = fields.string("namespace", sink);
    let labels = fields.map("labels", sink);
    for name in OVERLOOKED {
        fields.take(name);
    }
    fields.finish(sink);
    let owned = |s: Spanned<&str>| s.map(str::to_owned);
    Some((Meta { name: owned(name?), namespace: namespace.map(owned) }, labels))
}

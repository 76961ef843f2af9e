//! `metadata` of a Kubernetes object.

use policyc_base::{Diagnostic, Sink, Span, Spanned};

use crate::codes;
use crate::yaml::{Fields, Map, closest, decode, shorten};

/// What a Kubernetes object is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The name.
    pub name: Spanned<String>,
    /// The namespace, if one is written.
    pub namespace: Option<Spanned<String>>,
    /// The annotations that are policyc's own, with their keys and values.
    pub annotations: Vec<(Spanned<String>, Spanned<String>)>,
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
        Self { name: Spanned::new(String::new(), span), namespace: None, annotations: Vec::new() }
    }

    /// Where the name is written.
    pub const fn span(&self) -> Span {
        self.name.span
    }
}

/// What an API server writes into `metadata` and a reader may overlook.
const OVERLOOKED: &[&str] = &[
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
    let annotations = annotations(&mut fields, sink);
    for name in OVERLOOKED {
        fields.take(name);
    }
    fields.finish(sink);
    let owned = |s: Spanned<&str>| s.map(str::to_owned);
    Some((Meta { name: owned(name?), namespace: namespace.map(owned), annotations }, labels))
}

/// What the keys of policyc's own annotations begin with.
pub const ANNOTATIONS: &str = "policyc.io/";

/// The annotations that are ours; others are overlooked, whatever they hold.
fn annotations(
    metadata: &mut Fields<'_>,
    sink: &mut Sink,
) -> Vec<(Spanned<String>, Spanned<String>)> {
    let all = metadata.map("annotations", sink).into_iter().flatten();
    let own = all.filter(|(key, _)| key.starts_with(ANNOTATIONS));
    let own = own.filter_map(|(key, field)| {
        let value = decode::string(&field.value, format_args!("`{key}`"), sink)?;
        Some((Spanned::new(key.clone(), field.key), value.map(str::to_owned)))
    });
    own.collect()
}

/// Refuses every annotation of ours, of a kind that knows none.
pub(crate) fn refuse_annotations(meta: &Meta, sink: &mut Sink) {
    meta.annotations.iter().for_each(|(key, _)| unknown_annotation(key, &[], sink));
}

/// Reports an annotation of ours that is none of `known`.
pub(crate) fn unknown_annotation(key: &Spanned<String>, known: &[&str], sink: &mut Sink) {
    let message = format!("`{}` is no annotation of this kind", shorten(&key.value));
    let mut finding = Diagnostic::error(codes::ANNOTATION_UNKNOWN, key.span, message);
    if let Some(near) = closest(&key.value, known.iter().copied()) {
        finding = finding.with_help(format!("did you mean `{near}`?"));
    }
    sink.push(finding);
}

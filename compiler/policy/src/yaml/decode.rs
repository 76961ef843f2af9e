//! Reading fields out of the tree, going on after every error.
//!
//! A reader of a map takes its fields by name and calls [`Fields::finish`], which
//! reports what nobody took. `null` counts as left out, as in Kubernetes.
//!
//! ```
//! # use policyc_base::{Sink, SourceMap};
//! # use policyc_policy::yaml;
//! # let mut sources = SourceMap::new();
//! # let file = sources.add("a.yaml", "");
//! # let mut sink = Sink::new();
//! let documents = yaml::parse(file, "name: a\nprot: 80\n", &mut sink);
//! let mut fields = yaml::Fields::of(&documents[0], "a port", &mut sink).unwrap();
//! let name = fields.string("name", &mut sink);
//! let port = fields.integer("port", 0..=65_535, &mut sink);
//! fields.finish(&mut sink);
//! let messages: Vec<_> = sink.iter().map(|d| (&*d.message, d.help.as_deref())).collect();
//! assert_eq!(messages, [("a port has no field `prot`", Some("did you mean `port`?"))]);
//! # assert!(name.is_some() && port.is_none());
//! ```

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use policyc_base::{Diagnostic, Sink, Span, Spanned};

use super::node::{Field, Map, Node, Resolved, Value, shorten};
use crate::codes;

/// Reports that `node`, which is `what` ("`port`", "each of `fromCIDR`"), is not
/// `expected` ("a string").
pub fn wrong_type(node: &Node, what: impl Display, expected: &str, sink: &mut Sink) {
    let message = format!("{what} must be {expected}, not {}", node.describe());
    let mut finding = Diagnostic::error(codes::FIELD_TYPE, node.span, message);
    if let (Value::Scalar(scalar), "a string") = (&node.value, expected)
        && !scalar.text.is_empty()
    {
        finding = finding.with_help(format!("write `\"{}\"`", shorten(&scalar.text)));
    }
    sink.push(finding);
}

/// The text of a scalar that is text.
pub fn string<'n>(node: &'n Node, what: impl Display, sink: &mut Sink) -> Option<Spanned<&'n str>> {
    match &node.value {
        Value::Scalar(s) if s.resolve() == Resolved::Text => {
            Some(Spanned::new(s.text.as_str(), node.span))
        }
        _ => {
            wrong_type(node, what, "a string", sink);
            None
        }
    }
}

/// An integer within `range`.
pub fn integer(
    node: &Node,
    what: impl Display,
    range: RangeInclusive<i128>,
    sink: &mut Sink,
) -> Option<Spanned<i128>> {
    let Some(Resolved::Int(value)) = resolved(node) else {
        wrong_type(node, what, "an integer", sink);
        return None;
    };
    if !range.contains(&value) {
        let (first, last) = range.into_inner();
        let message = format!("{what} must be from {first} to {last}, not {value}");
        sink.push(Diagnostic::error(codes::FIELD_RANGE, node.span, message));
        return None;
    }
    Some(Spanned::new(value, node.span))
}

/// A boolean.
pub fn boolean(node: &Node, what: impl Display, sink: &mut Sink) -> Option<Spanned<bool>> {
    match resolved(node) {
        Some(Resolved::Bool(value)) => Some(Spanned::new(value, node.span)),
        _ => {
            wrong_type(node, what, "`true` or `false`", sink);
            None
        }
    }
}

/// The elements of a list.
pub fn list<'n>(node: &'n Node, what: impl Display, sink: &mut Sink) -> Option<&'n [Arc<Node>]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            wrong_type(node, what, "a list", sink);
            None
        }
    }
}

/// The fields of a map whose keys are data, such as `matchLabels`.
pub fn map<'n>(node: &'n Node, what: impl Display, sink: &mut Sink) -> Option<&'n Map> {
    match &node.value {
        Value::Map(map) => Some(map),
        _ => {
            wrong_type(node, what, "a map", sink);
            None
        }
    }
}

fn resolved(node: &Node) -> Option<Resolved> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.resolve()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The fields of a map whose keys are known, taken by name.
#[derive(Debug)]
pub struct Fields<'n> {
    /// Where the map is written.
    pub span: Span,
    what: &'static str,
    map: &'n Map,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The fields of `node`, which is `what` ("a pod", "an ingress rule").
    /// `None`, and a finding, if it is no map.
    pub fn of(node: &'n Node, what: &'static str, sink: &mut Sink) -> Option<Self> {
        let map = map(node, what, sink)?;
        Some(Self { span: node.span, what, map, known: Vec::new() })
    }

    /// What the map is: "a pod".
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// The field, whatever it holds; `None` if it is left out or `null`.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Field> {
        self.known.push(name);
        self.map.get(name).filter(|field| !field.value.is_null())
    }

    /// Whether the field is there, be it `null`. Does not take it.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A field that must be there; a finding if it is not.
    pub fn require(&mut self, name: &'static str, sink: &mut Sink) -> Option<&'n Field> {
        let field = self.take(name);
        if field.is_none() {
            let message = format!("{} needs `{name}`", self.what);
            let place = self.map.get(name).map_or(self.start(), |f| f.key);
            sink.push(Diagnostic::error(codes::FIELD_MISSING, place, message));
        }
        field
    }

    /// A string field.
    pub fn string(&mut self, name: &'static str, sink: &mut Sink) -> Option<Spanned<&'n str>> {
        let field = self.take(name)?;
        string(&field.value, format_args!("`{name}`"), sink)
    }

    /// An integer field within `range`.
    pub fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i128>,
        sink: &mut Sink,
    ) -> Option<Spanned<i128>> {
        let field = self.take(name)?;
        integer(&field.value, format_args!("`{name}`"), range, sink)
    }

    /// A boolean field.
    pub fn boolean(&mut self, name: &'static str, sink: &mut Sink) -> Option<Spanned<bool>> {
        let field = self.take(name)?;
        boolean(&field.value, format_args!("`{name}`"), sink)
    }

    /// A list field: `None` if left out, which is not the same as empty.
    pub fn list(&mut self, name: &'static str, sink: &mut Sink) -> Option<&'n [Arc<Node>]> {
        let field = self.take(name)?;
        list(&field.value, format_args!("`{name}`"), sink)
    }

    /// A map field whose keys are data.
    pub fn map(&mut self, name: &'static str, sink: &mut Sink) -> Option<&'n Map> {
        let field = self.take(name)?;
        map(&field.value, format_args!("`{name}`"), sink)
    }

    /// A map field whose keys are known; `what` is what it is ("a pod's status").
    pub fn fields(
        &mut self,
        name: &'static str,
        what: &'static str,
        sink: &mut Sink,
    ) -> Option<Self> {
        let field = self.take(name)?;
        let map = map(&field.value, format_args!("`{name}`"), sink)?;
        Some(Self { span: field.value.span, what, map, known: Vec::new() })
    }

    /// The first byte of the map: where findings about the whole are shown.
    pub const fn start(&self) -> Span {
        Span { end: self.span.start, ..self.span }
    }

    /// Reports every field that was not taken.
    pub fn finish(self, sink: &mut Sink) {
        for (name, field) in self.map {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let message = format!("{} has no field `{}`", self.what, shorten(name));
            let mut finding = Diagnostic::error(codes::FIELD_UNKNOWN, field.key, message);
            if let Some(near) = closest(name, self.known.iter().copied()) {
                finding = finding.with_help(format!("did you mean `{near}`?"));
            }
            sink.push(finding);
        }
    }
}

/// The candidate that `word` is most likely a misspelling of.
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Longer words are nobody's typing error, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

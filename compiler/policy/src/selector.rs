//! Label selectors as they are written, and the checks of their words.
//!
//! Does not know: what is added to a selector where it stands.
//! Source: `LabelSelector` of Kubernetes' meta/v1 and its validation.

use policyc_base::{Diagnostic, Sink, Span, Spanned};

use crate::codes;
use crate::labels::{self, LabelSelector, Operator, Requirement};
use crate::yaml::{Fields, Node, closest, decode, shorten};

/// A label selector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectorDoc {
    /// Where it begins.
    pub span: Span,
    /// `matchLabels`, then `matchExpressions`.
    pub requirements: Vec<RequirementDoc>,
}

impl SelectorDoc {
    /// The selector `{}` where none is written.
    pub(crate) const fn everything(span: Span) -> Self {
        Self { span, requirements: Vec::new() }
    }
}

/// One requirement of a selector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequirementDoc {
    /// The key, with its source if it has one.
    pub key: Spanned<String>,
    /// The operator; `In` for `matchLabels`.
    pub operator: Spanned<String>,
    /// The values.
    pub values: Vec<Spanned<String>>,
    /// Whether it stands in `matchLabels`.
    pub is_label: bool,
}

/// The sources of addresses; a selector of workloads cannot select them.
const ADDRESS_SOURCES: &[&str] = &["cidr", "cidrgroup", "fqdn"];

/// A selector field.
pub(crate) fn field(
    fields: &mut Fields<'_>,
    name: &'static str,
    sink: &mut Sink,
) -> Option<SelectorDoc> {
    let field = fields.take(name)?;
    read(&field.value, name, sink)
}

/// The selector in the field or list `name`.
pub(crate) fn read(node: &Node, name: &'static str, sink: &mut Sink) -> Option<SelectorDoc> {
    decode::map(node, format_args!("`{name}`"), sink)?;
    let mut fields = Fields::of(node, "a label selector", sink)?;
    let mut requirements = Vec::new();
    for (key, field) in fields.map("matchLabels", sink).into_iter().flatten() {
        let Some(value) = decode::string(&field.value, format_args!("`{key}`"), sink) else {
            continue;
        };
        requirements.push(RequirementDoc {
            key: Spanned::new(key.clone(), field.key),
            operator: Spanned::new("In".to_owned(), field.key),
            values: vec![value.map(str::to_owned)],
            is_label: true,
        });
    }
    for item in fields.list("matchExpressions", sink).unwrap_or(&[]) {
        requirements.extend(expression(item, sink));
    }
    let span = fields.span;
    fields.finish(sink);
    Some(SelectorDoc { span, requirements })
}

fn expression(node: &Node, sink: &mut Sink) -> Option<RequirementDoc> {
    let mut fields = Fields::of(node, "a match expression", sink)?;
    fields.require("key", sink);
    let key = fields.string("key", sink);
    fields.require("operator", sink);
    let operator = fields.string("operator", sink);
    let values = fields.list("values", sink).unwrap_or(&[]);
    let values = values
        .iter()
        .filter_map(|v| decode::string(v, "each of `values`", sink))
        .map(|v| v.map(str::to_owned))
        .collect();
    fields.finish(sink);
    let owned = |s: Spanned<&str>| s.map(str::to_owned);
    Some(RequirementDoc { key: owned(key?), operator: owned(operator?), values, is_label: false })
}

/// The selector as it is written; requirements that are wrong are left out.
pub(crate) fn check(doc: &SelectorDoc, sink: &mut Sink) -> LabelSelector {
    let requirements = doc.requirements.iter().filter_map(|r| requirement(r, sink)).collect();
    LabelSelector { requirements }
}

/// The requirement, if nothing is wrong with it.
pub(crate) fn requirement(doc: &RequirementDoc, sink: &mut Sink) -> Option<Requirement> {
    let (source, key) = labels::split_source(&doc.key.value);
    let key_ok = key_is_valid(source, key, &doc.key, sink);
    let operator = operator(doc, sink);
    let values_ok = doc.values.iter().filter(|v| !value_is_valid(v, sink)).count() == 0;
    if !(key_ok && values_ok) {
        return None;
    }
    Some(Requirement { source: source.to_owned(), key: key.to_owned(), operator: operator? })
}

fn operator(doc: &RequirementDoc, sink: &mut Sink) -> Option<Operator> {
    let values: Vec<_> = doc.values.iter().map(|v| v.value.clone()).collect();
    let (operator, wants_values) = match doc.operator.value.as_str() {
        "In" => (Operator::In(values), true),
        "NotIn" => (Operator::NotIn(values), true),
        "Exists" => (Operator::Exists, false),
        "DoesNotExist" => (Operator::DoesNotExist, false),
        other => {
            unknown_operator(&doc.operator, other, sink);
            return None;
        }
    };
    if wants_values == doc.values.is_empty() {
        let word = if wants_values { "needs" } else { "takes no" };
        let message = format!("the operator `{}` {word} values", doc.operator.value);
        sink.push(Diagnostic::error(codes::SELECTOR_VALUES, doc.operator.span, message));
        return None;
    }
    Some(operator)
}

fn unknown_operator(place: &Spanned<String>, word: &str, sink: &mut Sink) {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    let message = format!("`{}` is no operator", shorten(word));
    let finding = Diagnostic::error(codes::SELECTOR_OPERATOR, place.span, message);
    let help = closest(word, known).map_or(format!("write one of {}", known.join(", ")), |near| {
        format!("did you mean `{near}`?")
    });
    sink.push(finding.with_help(help));
}

/// Name of at most 63 characters, after an optional DNS name and a slash.
fn key_is_valid(source: &str, key: &str, doc: &Spanned<String>, sink: &mut Sink) -> bool {
    if ADDRESS_SOURCES.contains(&source) {
        let message = format!("labels of the source `{source}` cannot be selected here");
        let finding = Diagnostic::error(codes::SELECTOR_SOURCE, doc.span, message);
        sink.push(finding.with_help("use the fields for addresses and names"));
        return false;
    }
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    // The prefix of namespace labels makes keys with two DNS names of one.
    let prefix = prefix.map(|p| p.strip_prefix(labels::NAMESPACE_LABELS).unwrap_or(p));
    let name = name.strip_prefix(labels::NAMESPACE_LABELS).unwrap_or(name);
    let valid = is_name(name, 63) && prefix.is_none_or(|p| is_name(p, 253));
    if !valid {
        let message = format!("`{}` is no label key", shorten(&doc.value));
        sink.push(Diagnostic::error(codes::LABEL_INVALID, doc.span, message));
    }
    valid
}

fn value_is_valid(doc: &Spanned<String>, sink: &mut Sink) -> bool {
    let valid = doc.value.is_empty() || is_name(&doc.value, 63);
    if !valid {
        let message = format!("`{}` is no label value", shorten(&doc.value));
        sink.push(Diagnostic::error(codes::LABEL_INVALID, doc.span, message));
    }
    valid
}

fn is_name(text: &str, longest: usize) -> bool {
    let alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= longest
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

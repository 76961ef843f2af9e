//! YAML → [`TracingDoc`].

use policyc_base::{Diagnostic, Sink, Span, Spanned};

use super::codes;
use super::doc::{ArgDoc, ArgType, FilterDoc, Operator, SelectorDoc, TracepointDoc, TracingDoc};
use super::names::{self, Words};
use super::types::Action;
use crate::documents::Document;
use crate::meta;
use crate::yaml::{Fields, Node, Resolved, Value, closest, decode, shorten};

/// Reads a document whose kind is TracingPolicy or TracingPolicyNamespaced.
/// Everything that is wrong goes to `sink`; the result is `None` if it was an error.
pub fn read(document: &Document, sink: &mut Sink) -> Option<TracingDoc> {
    let mut found = Sink::new();
    let doc = object(document, &mut found);
    let doc = doc.filter(|_| !found.has_errors());
    sink.append(found);
    doc
}

fn object(document: &Document, sink: &mut Sink) -> Option<TracingDoc> {
    let node = &document.node;
    let mut fields = Fields::of(node, "a tracing policy", sink)?;
    // The kind was looked at to get here; `status` is the API server's.
    for name in ["apiVersion", "kind", "status"] {
        fields.take(name);
    }
    let meta = meta::read(&mut fields, sink).map(|(meta, _)| meta);
    if let Some(meta) = &meta {
        meta::refuse_annotations(meta, sink);
    }
    if document.kind.value == "TracingPolicyNamespaced" {
        let message = "`TracingPolicyNamespaced` is not supported yet: it needs workloads";
        let help = "a `TracingPolicy` applies to every process of the host";
        let finding = Diagnostic::error(codes::UNSUPPORTED, document.kind.span, message);
        sink.push(finding.with_help(help));
    } else if let Some(namespace) = meta.as_ref().and_then(|meta| meta.namespace.as_ref()) {
        let message = "a `TracingPolicy` applies to every process, not to a namespace";
        sink.push(Diagnostic::error(codes::MISPLACED, namespace.span, message));
    }
    let tracepoints = fields.require("spec", sink).and_then(|field| spec(&field.value, sink));
    fields.finish(sink);
    Some(TracingDoc { meta: meta?, tracepoints: tracepoints?, span: node.span })
}

fn spec(node: &Node, sink: &mut Sink) -> Option<Vec<TracepointDoc>> {
    let mut fields = Fields::of(node, "the spec of a tracing policy", sink)?;
    unsupported(&mut fields, names::SPEC, sink);
    misplaced(&mut fields, names::OF_SELECTOR, "`selectors` of a hook", sink);
    misplaced(&mut fields, &["args", "selectors"], "an element of `tracepoints`", sink);
    let tracepoints = each(&mut fields, "tracepoints", tracepoint, sink);
    if tracepoints.is_empty() && !sink.has_errors() {
        let message = "the policy has no `tracepoints`, so nothing is ever observed";
        sink.push(Diagnostic::error(codes::NO_HOOK, fields.start(), message));
    }
    fields.finish(sink);
    Some(tracepoints)
}

fn tracepoint(node: &Node, sink: &mut Sink) -> Option<TracepointDoc> {
    let mut fields = Fields::of(node, "a tracepoint", sink)?;
    misplaced(&mut fields, names::OF_SELECTOR, "an element of `selectors`", sink);
    let subsystem = name(&mut fields, "subsystem", sink);
    let event = name(&mut fields, "event", sink);
    let raw = fields.boolean("raw", sink).is_some_and(|raw| raw.value);
    let args = each(&mut fields, "args", argument, sink);
    let selectors = each(&mut fields, "selectors", selector, sink);
    let message = fields.string("message", sink);
    let message = message.and_then(|message| sized(message, "`message`", 256, sink));
    let tags = each(&mut fields, "tags", tag, sink);
    if tags.len() > 16 {
        let message = format!("a tracepoint has at most 16 tags, not {}", tags.len());
        sink.push(Diagnostic::error(codes::TEXT_LIMIT, fields.start(), message));
    }
    fields.finish(sink);
    let (subsystem, event) = (subsystem?, event?);
    Some(TracepointDoc { subsystem, event, raw, args, selectors, message, tags, span: node.span })
}

/// A name that must be there and not be empty.
fn name(fields: &mut Fields<'_>, field: &'static str, sink: &mut Sink) -> Option<Spanned<String>> {
    let node = &fields.require(field, sink)?.value;
    let text = decode::string(node, format_args!("`{field}`"), sink)?;
    if text.value.is_empty() {
        let message = format!("`{field}` is empty");
        sink.push(Diagnostic::error(crate::codes::FIELD_MISSING, text.span, message));
        return None;
    }
    Some(text.map(str::to_owned))
}

fn tag(node: &Node, sink: &mut Sink) -> Option<String> {
    let text = decode::string(node, "each of `tags`", sink)?;
    sized(text, "a tag", 128, sink)
}

/// Text of 2 to `longest` characters. Tetragon cuts longer messages; nobody asked
/// for half a message.
fn sized(text: Spanned<&str>, what: &str, longest: usize, sink: &mut Sink) -> Option<String> {
    let length = text.value.chars().count();
    if (2..=longest).contains(&length) {
        return Some(text.value.to_owned());
    }
    let message = format!("{what} must have 2 to {longest} characters, not {length}");
    sink.push(Diagnostic::error(codes::TEXT_LIMIT, text.span, message));
    None
}

fn argument(node: &Node, sink: &mut Sink) -> Option<ArgDoc> {
    let mut fields = Fields::of(node, "an argument", sink)?;
    unsupported(&mut fields, names::ARG, sink);
    let index = fields.require("index", sink);
    let index = index.and_then(|field| position(&field.value, "`index`", sink));
    let ty = match fields.string("type", sink) {
        Some(text) => word(text, "argument type", &names::TYPES, sink),
        None => Some(Spanned::new(ArgType::Auto, node.span)),
    };
    let label = fields.string("label", sink).map(|label| label.value.to_owned());
    fields.finish(sink);
    Some(ArgDoc { index: index?, ty: ty?, label })
}

fn position(node: &Node, what: &str, sink: &mut Sink) -> Option<Spanned<u32>> {
    let value = decode::integer(node, what, 0..=i128::from(u32::MAX), sink)?;
    Some(value.map(|value| value as u32))
}

fn selector(node: &Node, sink: &mut Sink) -> Option<SelectorDoc> {
    let mut fields = Fields::of(node, "a selector", sink)?;
    unsupported(&mut fields, names::SELECTOR, sink);
    let filters = each(&mut fields, "matchArgs", filter, sink);
    let actions = each(&mut fields, "matchActions", action, sink);
    fields.finish(sink);
    Some(SelectorDoc { filters, actions, span: node.span })
}

fn action(node: &Node, sink: &mut Sink) -> Option<Spanned<Action>> {
    let mut fields = Fields::of(node, "an action", sink)?;
    unsupported(&mut fields, names::ACTION, sink);
    let text = fields.require("action", sink);
    let text = text.and_then(|field| decode::string(&field.value, "`action`", sink));
    let action = text.and_then(|text| word(text, "action", &names::ACTIONS, sink));
    fields.finish(sink);
    action
}

fn filter(node: &Node, sink: &mut Sink) -> Option<FilterDoc> {
    let mut fields = Fields::of(node, "a filter", sink)?;
    let index = fields.take("index").and_then(|field| position(&field.value, "`index`", sink));
    let positions =
        each(&mut fields, "args", |node, sink| position(node, "each of `args`", sink), sink);
    if let [_, second, ..] = positions[..] {
        let message = "a filter on several arguments is not supported yet";
        sink.push(Diagnostic::error(codes::UNSUPPORTED, second.span, message));
    }
    let text = fields.require("operator", sink);
    let text = text.and_then(|field| decode::string(&field.value, "`operator`", sink));
    let operator = text.and_then(|text| operator(text, sink));
    let values = values(&mut fields, sink);
    fields.finish(sink);
    let position = positions.first().copied();
    Some(FilterDoc { index, position, operator: operator?, values, span: node.span })
}

fn operator(text: Spanned<&str>, sink: &mut Sink) -> Option<Spanned<Operator>> {
    let instead = match text.value {
        "In" => "Equal",
        "NotIn" => "NotEqual",
        _ => return word(text, "operator", &names::OPERATORS, sink),
    };
    let message = format!("`{}` is no operator of `matchArgs`", text.value);
    let help = format!("write `{instead}`: it takes any number of values");
    sink.push(Diagnostic::error(codes::NAME_UNKNOWN, text.span, message).with_help(help));
    None
}

/// The values of a filter: any scalar, as it is written.
fn values(fields: &mut Fields<'_>, sink: &mut Sink) -> Vec<Spanned<String>> {
    let Some(field) = fields.require("values", sink) else { return Vec::new() };
    let Some(nodes) = decode::list(&field.value, "`values`", sink) else { return Vec::new() };
    if nodes.is_empty() {
        let message = "a filter needs at least one value";
        sink.push(Diagnostic::error(crate::codes::FIELD_MISSING, field.value.span, message));
    }
    let texts = nodes.iter().filter_map(|node| match &node.value {
        Value::Scalar(scalar) if !node.is_null() => {
            Some(Spanned::new(scalar.text.clone(), node.span))
        }
        _ => {
            decode::wrong_type(node, "each of `values`", "a string or a number", sink);
            None
        }
    });
    texts.collect()
}

/// Every element of a list field that could be read; none if it is left out.
fn each<T>(
    fields: &mut Fields<'_>,
    field: &'static str,
    mut read: impl FnMut(&Node, &mut Sink) -> Option<T>,
    sink: &mut Sink,
) -> Vec<T> {
    let nodes = fields.list(field, sink).unwrap_or_default();
    nodes.iter().filter_map(|node| read(node, sink)).collect()
}

/// The meaning of a word, or a finding that says whether it is known.
fn word<T: Copy>(
    text: Spanned<&str>,
    what: &str,
    words: &Words<T>,
    sink: &mut Sink,
) -> Option<Spanned<T>> {
    if let Some((_, meaning)) = words.supported.iter().find(|(word, _)| *word == text.value) {
        return Some(text.map(|_| *meaning));
    }
    let shown = shorten(text.value);
    if words.unsupported.contains(&text.value) {
        let message = format!("the {what} `{shown}` is not supported yet");
        sink.push(Diagnostic::error(codes::UNSUPPORTED, text.span, message));
        return None;
    }
    let known = words.supported.iter().map(|(word, _)| *word);
    let near = closest(text.value, known.chain(words.unsupported.iter().copied()));
    let message = format!("`{shown}` is no {what}");
    let mut finding = Diagnostic::error(codes::NAME_UNKNOWN, text.span, message);
    if let Some(near) = near {
        finding = finding.with_help(format!("did you mean `{near}`?"));
    }
    sink.push(finding);
    None
}

/// Takes fields that are known but not supported yet, and reports those that hold
/// something. A field with the value that means "left out" says nothing.
fn unsupported(fields: &mut Fields<'_>, names: &[&'static str], sink: &mut Sink) {
    for name in names {
        if let Some(field) = fields.take(name)
            && !is_unset(&field.value)
        {
            let message = format!("`{name}` is not supported yet");
            sink.push(Diagnostic::error(codes::UNSUPPORTED, field.key, message));
        }
    }
}

/// Whether a value is the one that Tetragon's types have when a field is left out.
/// An empty map is not: `podSelector: {}` means every pod.
fn is_unset(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Map(_) => false,
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null | Resolved::Bool(false) | Resolved::Int(0) => true,
            Resolved::Text => scalar.text.is_empty(),
            _ => false,
        },
    }
}

fn misplaced(fields: &mut Fields<'_>, names: &[&'static str], into: &str, sink: &mut Sink) {
    for name in names {
        if let Some(field) = fields.take(name) {
            let message = format!("`{name}` belongs into {into}, not into {}", fields.what());
            let help = help_for_misplaced(name);
            let span: Span = field.key;
            sink.push(Diagnostic::error(codes::MISPLACED, span, message).with_help(help));
        }
    }
}

fn help_for_misplaced(name: &str) -> String {
    match name {
        "args" | "selectors" => {
            format!("write `tracepoints: [{{subsystem: …, event: …, {name}: …}}]`")
        }
        _ => format!("write `selectors: [{{{name}: …}}]`"),
    }
}

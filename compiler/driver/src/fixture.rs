//! Verdict fixtures: documents of kind `PolicyTest`.
//!
//! A fixture names policies and an inventory, by paths relative to itself, and
//! states verdicts. A person states them; no tool fills them in.

use std::path::{Path, PathBuf};

use policyc_base::{Diagnostic, FileId, Sink, SourceMap, Span, Spanned};
use policyc_policy::documents;
use policyc_policy::network::{Dialect, Fate};
use policyc_policy::yaml::Node;
use policyc_policy::yaml::decode::{self, Fields};

use crate::codes;

/// One fixture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fixture {
    /// Its name.
    pub name: String,
    /// Whose reading is meant, if it says so.
    pub dialect: Option<Dialect>,
    /// Files or folders of policies.
    pub policies: Vec<PathBuf>,
    /// Files or folders of inventory documents.
    pub inventory: Vec<PathBuf>,
    /// What is expected.
    pub cases: Vec<Case>,
}

/// One expectation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Case {
    /// About a flow.
    Flow(FlowCase),
    /// About an event.
    Event(EventCase),
}

/// What is expected of a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowCase {
    /// Who sends.
    pub from: String,
    /// Who receives.
    pub to: String,
    /// `443/TCP`
    pub port: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The policy whose rule decides, or would if it were enforced, if that is stated.
    pub by: Option<String>,
    /// The direction in which it is dropped, if that is stated.
    pub direction: Option<Direction>,
    /// Where it is written.
    pub span: Span,
}

/// Which end drops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The destination.
    Ingress,
    /// The source.
    Egress,
}

/// What is expected of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventCase {
    /// `sched/sched_process_exec`, or `raw/NAME`.
    pub hook: String,
    /// Fields of the event by name.
    pub fields: Vec<(String, FieldValue)>,
    /// Whether some policy reports it (`Post`), or none does (`NoPost`).
    pub posts: bool,
    /// A policy that must be among those that report it, if that is stated.
    pub by: Option<String>,
    /// Where it is written.
    pub span: Span,
}

/// A field's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// A number.
    Int(i128),
    /// Text.
    Text(String),
}

/// The fixtures of a file. `folder` is where its relative paths begin.
pub fn read(sources: &SourceMap, file: FileId, folder: &Path, sink: &mut Sink) -> Vec<Fixture> {
    let documents = documents::read(sources, &[file], sink);
    let fixtures = documents.into_iter().filter_map(|document| {
        if document.kind.value != "PolicyTest" {
            let message = format!("`{}` is no fixture", document.kind.value);
            let finding = Diagnostic::error(codes::FIXTURE, document.kind.span, message);
            sink.push(finding.with_help("a fixture has kind `PolicyTest`"));
            return None;
        }
        fixture(&document.node, folder, sink)
    });
    fixtures.collect()
}

fn fixture(node: &Node, folder: &Path, sink: &mut Sink) -> Option<Fixture> {
    let mut fields = Fields::of(node, "a fixture", sink)?;
    fields.take("apiVersion");
    fields.take("kind");
    let name = fields.fields("metadata", "a fixture's metadata", sink).and_then(|mut metadata| {
        let name = metadata.string("name", sink).map(|n| n.value.to_owned());
        metadata.finish(sink);
        name
    });
    let dialect = fields.string("dialect", sink).and_then(|text| dialect(text, sink));
    let policies = paths(&mut fields, "policies", folder, sink);
    let inventory = paths(&mut fields, "inventory", folder, sink);
    let cases = fields.list("tests", sink).unwrap_or(&[]);
    let cases = cases.iter().filter_map(|node| case(node, sink)).collect();
    fields.finish(sink);
    let name = name.unwrap_or_else(|| "fixture".to_owned());
    Some(Fixture { name, dialect, policies, inventory, cases })
}

fn dialect(text: Spanned<&str>, sink: &mut Sink) -> Option<Dialect> {
    match text.value {
        "cilium-1.20" => Some(Dialect::Cilium120),
        "cilium-1.19" => Some(Dialect::Cilium119),
        "kubernetes" => Some(Dialect::Kubernetes),
        other => {
            let message = format!("`{other}` is no dialect");
            let finding = Diagnostic::error(codes::FIXTURE, text.span, message);
            sink.push(finding.with_help("write `cilium-1.20`, `cilium-1.19` or `kubernetes`"));
            None
        }
    }
}

fn paths(
    fields: &mut Fields<'_>,
    name: &'static str,
    folder: &Path,
    sink: &mut Sink,
) -> Vec<PathBuf> {
    let list = fields.list(name, sink).unwrap_or(&[]);
    let texts = list.iter().filter_map(|node| decode::string(node, format_args!("`{name}`"), sink));
    texts.map(|text| folder.join(text.value)).collect()
}

fn case(node: &Node, sink: &mut Sink) -> Option<Case> {
    let mut fields = Fields::of(node, "a test", sink)?;
    let flow = fields.fields("flow", "a flow", sink);
    let event = fields.map("event", sink);
    let expect = fields.fields("expect", "an expectation", sink);
    let span = fields.span;
    fields.finish(sink);
    match (flow, event, expect) {
        (Some(flow), None, Some(expect)) => flow_case(flow, expect, span, sink).map(Case::Flow),
        (None, Some(event), Some(expect)) => event_case(event, expect, span, sink).map(Case::Event),
        _ => {
            let message = "a test needs `expect` and one of `flow` and `event`";
            sink.push(Diagnostic::error(codes::FIXTURE, span, message));
            None
        }
    }
}

fn flow_case(
    mut flow: Fields<'_>,
    mut expect: Fields<'_>,
    span: Span,
    sink: &mut Sink,
) -> Option<FlowCase> {
    let from = required(&mut flow, "from", sink);
    let to = required(&mut flow, "to", sink);
    let port = required(&mut flow, "port", sink);
    flow.finish(sink);
    let verdict = expect.string("verdict", sink);
    let by = expect.string("by", sink).map(|t| t.value.to_owned());
    let reason = expect.string("reason", sink);
    let direction = expect.string("direction", sink).and_then(|text| direction(text, sink));
    expect.finish(sink);
    let fates = [Fate::Forwarded, Fate::Dropped, Fate::Audited];
    let fate = verdict.and_then(|v| fates.into_iter().find(|fate| fate.name() == v.value));
    let Some(fate) = fate else {
        let message = "`verdict` is `FORWARDED`, `DROPPED` or `AUDIT`";
        sink.push(Diagnostic::error(codes::FIXTURE, verdict.map_or(span, |v| v.span), message));
        return None;
    };
    if let Some(reason) = reason.filter(|r| r.value != "POLICY_DENIED") {
        let message = format!("`{}` is no reason policyc gives", reason.value);
        let finding = Diagnostic::error(codes::FIXTURE, reason.span, message);
        sink.push(finding.with_help("write `POLICY_DENIED`, or leave `reason` out"));
        return None;
    }
    if let Some(reason) = reason.filter(|_| fate == Fate::Forwarded) {
        let message = "`reason` says why a flow is dropped, and this one is forwarded";
        sink.push(Diagnostic::error(codes::FIXTURE, reason.span, message));
        return None;
    }
    Some(FlowCase { from: from?, to: to?, port: port?, fate, by, direction, span })
}

fn required(fields: &mut Fields<'_>, name: &'static str, sink: &mut Sink) -> Option<String> {
    let field = fields.require(name, sink)?;
    decode::string(&field.value, format_args!("`{name}`"), sink).map(|t| t.value.to_owned())
}

fn direction(text: Spanned<&str>, sink: &mut Sink) -> Option<Direction> {
    match text.value {
        "ingress" => Some(Direction::Ingress),
        "egress" => Some(Direction::Egress),
        _ => {
            let message = "`direction` is `ingress` or `egress`";
            sink.push(Diagnostic::error(codes::FIXTURE, text.span, message));
            None
        }
    }
}

fn event_case(
    event: &policyc_policy::yaml::Map,
    mut expect: Fields<'_>,
    span: Span,
    sink: &mut Sink,
) -> Option<EventCase> {
    let mut hook = None;
    let mut fields = Vec::new();
    for (name, field) in event {
        if name == "hook" {
            let text = decode::string(&field.value, "`hook`", sink);
            hook = text.map(|t| t.value.to_owned());
        } else if let Some(value) = field_value(&field.value, sink) {
            fields.push((name.clone(), value));
        }
    }
    let action = expect.string("action", sink);
    let by = expect.string("by", sink).map(|t| t.value.to_owned());
    expect.finish(sink);
    let posts = match action.map(|a| (a.value, a.span)) {
        Some(("Post", _)) => true,
        Some(("NoPost", _)) => false,
        other => {
            let message = "`action` is `Post` or `NoPost`";
            sink.push(Diagnostic::error(codes::FIXTURE, other.map_or(span, |o| o.1), message));
            return None;
        }
    };
    let Some(hook) = hook else {
        let message = "an event needs `hook`: `category/event` or `raw/name`";
        sink.push(Diagnostic::error(codes::FIXTURE, span, message));
        return None;
    };
    Some(EventCase { hook, fields, posts, by, span })
}

fn field_value(node: &Node, sink: &mut Sink) -> Option<FieldValue> {
    use policyc_policy::yaml::{Resolved, Value};
    match &node.value {
        Value::Scalar(scalar) => Some(match scalar.resolve() {
            Resolved::Int(number) => FieldValue::Int(number),
            _ => FieldValue::Text(scalar.text.clone()),
        }),
        Value::List(_) | Value::Map(_) => {
            decode::wrong_type(node, "an event's field", "a number or text", sink);
            None
        }
    }
}

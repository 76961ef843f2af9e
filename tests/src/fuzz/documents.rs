//! Readers of what users write in YAML.

use std::path::Path;

use policyc::render;
use policyc::session::Session;
use policyc_base::{Diagnostic, FileId, Sink, Span};
use policyc_policy::network::Dialect;
use policyc_policy::yaml::{self, Node, Value};
use policyc_policy::{documents, inventory as inventories, tracing as tracings};

use super::hosts::host;
use super::text;

/// Every dialect.
pub(super) const DIALECTS: [Dialect; 3] =
    [Dialect::Cilium120, Dialect::Cilium119, Dialect::Kubernetes];

/// The YAML tree: spans lie in the text.
pub fn yaml(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut session = Session::new();
    let file = session.sources.add("fuzz.yaml", text);
    for document in yaml::parse(file, text, &mut session.sink) {
        check_node(&document, text);
    }
    check_findings(&session, text);
}

/// Policies in every dialect: findings can be shown, and are the same again.
pub fn policy(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for dialect in DIALECTS {
        let load = || {
            let mut session = Session::new();
            let file = session.sources.add("fuzz.yaml", text);
            let Session { sources, origins, sink } = &mut session;
            let policies = policyc_policy::load(sources, &[file], dialect, origins, sink);
            (session, policies)
        };
        let (session, policies) = load();
        check_findings(&session, text);
        let (again, same) = load();
        assert_eq!((session.findings(), policies), (again.findings(), same));
    }
}

/// An inventory: whoever has an address is found by it.
pub fn inventory(bytes: &[u8]) {
    read(bytes, |session, file| {
        let inventory = inventories::load(&session.sources, &[file], &mut session.sink);
        for workload in inventory.workloads.values() {
            let found = inventory.lookup(&workload.name);
            for address in &workload.addresses {
                assert_eq!(found, Some(inventory.identify(*address)), "{workload:?}");
            }
        }
    });
}

/// Verdict fixtures.
pub fn fixture(bytes: &[u8]) {
    read(bytes, |session, file| {
        policyc::fixture::read(&session.sources, file, Path::new("folder"), &mut session.sink);
    });
}

/// Bindings.
pub fn bindings(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Err(message) = policyc::bindings::read(text) {
        assert!(!message.is_empty());
    }
}

/// Tracing policies, held against a host.
pub fn tracing(bytes: &[u8]) {
    read(bytes, |session, file| {
        let Session { sources, origins, sink } = session;
        for document in documents::read(sources, &[file], sink) {
            let mut found = Sink::new();
            let policy = tracings::load_document(&document, host(), origins, &mut found);
            assert_eq!(policy.is_none(), found.has_errors(), "{found:?}");
            sink.append(found);
        }
    });
}

fn read(bytes: &[u8], reader: impl FnOnce(&mut Session, FileId)) {
    let Some(text) = text(bytes) else { return };
    let mut session = Session::new();
    let file = session.sources.add("fuzz.yaml", text);
    reader(&mut session, file);
    check_findings(&session, text);
}

fn check_node(node: &Node, text: &str) {
    check_span(node.span, text, &node.describe());
    match &node.value {
        Value::Scalar(scalar) => drop(scalar.resolve()),
        Value::List(items) => items.iter().for_each(|item| check_node(item, text)),
        Value::Map(map) => {
            for (name, field) in map {
                check_span(field.key, text, name);
                check_node(&field.value, text);
            }
        }
    }
}

/// Findings lie in the text, are one line each, and can be shown.
pub(super) fn check_findings(session: &Session, text: &str) {
    let findings = session.findings();
    for finding in &findings {
        let labels = finding.labels.iter().map(|label| label.span);
        for span in finding.span.into_iter().chain(labels) {
            check_span(span, text, &finding.message);
        }
        check_lines(finding);
    }
    // A page of findings is enough to see that they can be shown.
    let page = &findings[..findings.len().min(20)];
    render::terminal(page, &session.sources, false);
    render::json(page, &session.sources);
}

fn check_lines(finding: &Diagnostic) {
    let labels = finding.labels.iter().map(|label| &label.text);
    for line in labels.chain([&finding.message]).chain(&finding.help) {
        assert!(!line.contains('\n'), "a finding is one line: {finding:?}");
    }
}

fn check_span(span: Span, text: &str, what: &str) {
    let part = text.get(span.start as usize..span.end as usize);
    assert!(part.is_some(), "{span:?} of {what:?} is not in the text");
}

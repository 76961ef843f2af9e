//! Findings as one JSON document.

use policyc_base::{Diagnostic, Family, SourceMap, Span};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    version: u32,
    findings: Vec<Finding>,
}

/// One finding, for programs.
#[derive(Serialize)]
pub struct Finding {
    code: &'static str,
    severity: &'static str,
    family: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Serialize)]
struct Place {
    file: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
struct Label {
    #[serde(flatten)]
    place: Place,
    text: String,
}

/// The document, with a line break at its end.
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let document = Document { version: 1, findings: findings(diagnostics, sources) };
    // INVARIANT: plain strings and numbers always serialise.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// The findings, for a larger document.
pub fn findings(diagnostics: &[Diagnostic], sources: &SourceMap) -> Vec<Finding> {
    diagnostics.iter().map(|d| finding(d, sources)).collect()
}

fn finding(diagnostic: &Diagnostic, sources: &SourceMap) -> Finding {
    let labels = diagnostic.labels.iter().filter_map(|label| {
        Some(Label { place: place(label.span, sources)?, text: label.text.clone() })
    });
    Finding {
        code: diagnostic.code.0,
        severity: diagnostic.severity.as_str(),
        family: match diagnostic.family {
            Family::Policy => "policy",
            Family::Limit => "limit",
            Family::Internal => "internal",
        },
        message: diagnostic.message.clone(),
        place: diagnostic.span.and_then(|span| place(span, sources)),
        labels: labels.collect(),
        help: diagnostic.help.clone(),
    }
}

fn place(span: Span, sources: &SourceMap) -> Option<Place> {
    let file = sources.get(span.file)?;
    let (line, column) = file.line_column(span.start);
    let (end_line, end_column) = file.line_column(span.end);
    Some(Place { file: file.name.clone(), line, column, end_line, end_column })
}

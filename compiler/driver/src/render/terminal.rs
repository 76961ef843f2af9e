//! Findings for a terminal, with the lines they are about.

use std::fmt;
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity as MietteSeverity,
    SourceCode,
};
use policyc_base::{Diagnostic, Family, Severity, SourceFile, SourceMap, Span};

/// Findings that are shown; nobody reads more of them on a terminal.
const SHOWN: usize = 100;
/// Longest line that is shown, in bytes: a document on one line would fill the
/// terminal once for each finding.
const LONGEST_LINE: usize = 2_000;

/// The text of the first findings, each followed by an empty line, and how many
/// there are besides.
pub fn terminal(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = handler.render_report(&mut text, &Report::new(diagnostic, sources));
        text.push('\n');
    }
    if let Some(more) = diagnostics.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        text.push_str(&format!("… and {more} more; `-o json` has them all\n\n"));
    }
    text
}

/// One finding as miette wants it.
struct Report {
    code: String,
    message: String,
    help: Option<String>,
    severity: MietteSeverity,
    source: Option<NamedSource<Arc<str>>>,
    labels: Vec<LabeledSpan>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, sources: &SourceMap) -> Self {
        let file = diagnostic.span.and_then(|span| shown_file(span, sources));
        let source = file.map(|f| NamedSource::new(&f.name, f.text.clone()));
        let text = file.map_or("", |f| &f.text);
        let span = diagnostic.span.filter(|_| file.is_some());
        let primary = span.map(|span| label(first_line(span, text), None, true));
        let same_file = |span: Span| diagnostic.span.is_some_and(|p| p.file == span.file);
        let others = diagnostic.labels.iter().filter(|l| same_file(l.span));
        let others = others.map(|l| label(first_line(l.span, text), Some(l.text.clone()), false));
        let labels = primary.into_iter().chain(others).collect();
        Self {
            code: diagnostic.code.to_string(),
            message: message(diagnostic),
            help: help(diagnostic, sources),
            severity: match diagnostic.severity {
                Severity::Error => MietteSeverity::Error,
                Severity::Warning => MietteSeverity::Warning,
                Severity::Note => MietteSeverity::Advice,
            },
            source,
            labels,
        }
    }
}

fn message(diagnostic: &Diagnostic) -> String {
    match diagnostic.family {
        Family::Internal => format!("this is a bug in policyc: {}", diagnostic.message),
        Family::Policy | Family::Limit => diagnostic.message.clone(),
    }
}

/// The advice, with the labels that lie in other files.
fn help(diagnostic: &Diagnostic, sources: &SourceMap) -> Option<String> {
    let elsewhere =
        diagnostic.labels.iter().filter(|l| diagnostic.span.is_none_or(|p| p.file != l.span.file));
    let elsewhere = elsewhere.filter_map(|l| {
        let at = sources.location(l.span)?;
        Some(format!("{}:{}:{}: {}", at.file, at.line, at.column, l.text))
    });
    let hidden = diagnostic.span.filter(|span| shown_file(*span, sources).is_none());
    let hidden = hidden.and_then(|span| sources.location(span));
    let place = hidden.map(|at| format!("at {}:{}:{}", at.file, at.line, at.column));
    let lines: Vec<_> = diagnostic.help.iter().cloned().chain(place).chain(elsewhere).collect();
    if lines.is_empty() { None } else { Some(lines.join("\n")) }
}

/// The file of a span, if its line can be shown.
fn shown_file(span: Span, sources: &SourceMap) -> Option<&SourceFile> {
    let file = sources.get(span.file)?;
    let (line, _) = file.line_column(span.start);
    (file.line_text(line).len() <= LONGEST_LINE).then_some(file)
}

/// A finding about a whole rule is shown at its first line: the rest would hide
/// everything else.
fn first_line(span: Span, text: &str) -> Span {
    let covered = text.get(span.start as usize..span.end as usize).unwrap_or_default();
    let length = covered.lines().next().map_or(0, str::len) as u32;
    Span { end: span.end.min(span.start + length.max(1)), ..span }
}

fn label(span: Span, text: Option<String>, primary: bool) -> LabeledSpan {
    let (start, length) = (span.start as usize, span.end.saturating_sub(span.start) as usize);
    if primary {
        LabeledSpan::new_primary_with_span(text, (start, length))
    } else {
        LabeledSpan::new(text, start, length)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn severity(&self) -> Option<MietteSeverity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

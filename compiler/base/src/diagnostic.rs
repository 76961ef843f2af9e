//! Findings, as data.
//!
//! A message is one line, lower-case, without a full stop, with the user's text
//! in backticks and without any Rust type name; what to do goes into `help`.
//! Nothing is printed here: stages push to a [`Sink`] and go on, so that one run
//! reports everything; the driver prints.

use std::fmt;

use crate::Span;

/// The stable name of a kind of finding: `P0107`. Each has a page in
/// `docs/diagnostics/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The policy cannot be used.
    Error,
}

impl Severity {
    /// The word a user reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Whose fault a finding is. The three are never mixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// The user's policy, inventory or other input.
    Policy,
    /// A limit of the target: which, by how much, which rules cost most.
    Limit,
    /// A bug of policyc.
    Internal,
}

/// A second place that explains a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there, in a few words.
    pub text: String,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Which kind of finding.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Whose fault.
    pub family: Family,
    /// What was found, in one line.
    pub message: String,
    /// The place; `None` if the finding is about no text.
    pub span: Option<Span>,
    /// Further places.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error in the user's input.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, Family::Policy, Some(span), message.into())
    }

    /// A warning about the user's input.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, Family::Policy, Some(span), message.into())
    }

    /// A limit of the target.
    pub fn limit(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, Family::Limit, None, message.into())
    }

    /// A bug of policyc.
    pub fn internal(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, Family::Internal, None, message.into())
    }

    fn new(
        code: Code,
        severity: Severity,
        family: Family,
        span: Option<Span>,
        message: String,
    ) -> Self {
        Self { code, severity, family, message, span, labels: Vec::new(), help: None }
    }

    /// The same finding with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same finding with a further place.
    #[must_use]
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// The same finding at another place, or at none.
    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// The same finding with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Where stages leave their findings, in the order they were found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Sink {
    diagnostics: Vec<Diagnostic>,
}

impl Sink {
    /// No finding yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Number of findings.
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Whether there is no finding.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The findings so far.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.diagnostics.iter()
    }

    /// Moves all findings of another sink to the end of this one.
    pub fn append(&mut self, mut other: Sink) {
        self.diagnostics.append(&mut other.diagnostics);
    }

    /// The findings by place, so that output does not depend on the order in
    /// which checks ran; those without a place come last. One that was left twice, by two
    /// readers of one text, is there once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|d| (d.span.is_none(), d.span, d.code));
        self.diagnostics.dedup();
        self.diagnostics
    }
}

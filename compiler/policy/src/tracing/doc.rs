//! A policy as it is written: read, but not yet held against a host.

use policyc_base::{Span, Spanned};
use policyc_target::IntType;

use super::types::Action;
use crate::meta::Meta;

/// One document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracingDoc {
    /// What it is called.
    pub meta: Meta,
    /// Its tracepoints, in order.
    pub tracepoints: Vec<TracepointDoc>,
    /// Where it is written.
    pub span: Span,
}

/// One element of `tracepoints`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracepointDoc {
    /// `subsystem`.
    pub subsystem: Spanned<String>,
    /// `event`.
    pub event: Spanned<String>,
    /// `raw`.
    pub raw: bool,
    /// `args`.
    pub args: Vec<ArgDoc>,
    /// `selectors`.
    pub selectors: Vec<SelectorDoc>,
    /// `message`.
    pub message: Option<String>,
    /// `tags`.
    pub tags: Vec<String>,
    /// Where it is written.
    pub span: Span,
}

/// One element of `args`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArgDoc {
    /// `index`: the position in the tracepoint's format, common fields counted, or in
    /// the raw tracepoint's arguments.
    pub index: Spanned<u32>,
    /// `type`.
    pub ty: Spanned<ArgType>,
    /// `label`.
    pub label: Option<String>,
}

/// What an argument is declared as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ArgType {
    /// What the tracepoint's format says.
    Auto,
    /// An integer.
    Int(IntType),
    /// Text.
    String,
    /// Text inside the record, `__data_loc` in its format.
    DataLoc,
}

/// One element of `selectors`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectorDoc {
    /// `matchArgs`.
    pub filters: Vec<FilterDoc>,
    /// `matchActions`.
    pub actions: Vec<Spanned<Action>>,
    /// Where it is written.
    pub span: Span,
}

/// One element of `matchArgs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterDoc {
    /// `index`.
    pub index: Option<Spanned<u32>>,
    /// The one element of `args`, a position in the tracepoint's `args`.
    pub position: Option<Spanned<u32>>,
    /// `operator`.
    pub operator: Spanned<Operator>,
    /// `values`, not empty.
    pub values: Vec<Spanned<String>>,
    /// Where it is written.
    pub span: Span,
}

/// `operator` of a filter on arguments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "Tetragon's names")]
pub enum Operator {
    Equal,
    NotEqual,
    Prefix,
    NotPrefix,
    Postfix,
    NotPostfix,
    GreaterThan,
    LessThan,
    InRange,
    NotInRange,
    Mask,
}

//! What every stage of the compiler shares: sources and spans, diagnostics and
//! their sink, origins, and typed indices.
//!
//! Guarantees: everything here is plain data; nothing prints, reads a file or a
//! clock, or panics on any input.
//! Does not know: what a policy, a program or a kernel is.

mod diagnostic;
mod entity;
mod origin;
mod source;

pub use diagnostic::{Code, Diagnostic, Family, Label, Severity, Sink};
pub use entity::{EntityId, PrimaryMap, SecondaryMap};
pub use origin::{Origin, OriginInfo, OriginTable};
pub use source::{FileId, Location, SourceFile, SourceMap, Span, Spanned};

#[cfg(test)]
mod tests;

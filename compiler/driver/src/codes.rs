//! The driver's own findings. `P07xx`: building; `P08xx`: verifying; `P09xx`:
//! fixtures.

use policyc_base::{Code, Diagnostic, Span};

/// There is no policy among what was read.
pub const NOTHING_TO_BUILD: Code = Code("P0701");
/// A table or program is larger than the target can hold.
pub const LIMIT: Code = Code("P0702");
/// A bug of policyc.
pub const INTERNAL: Code = Code("P0703");
/// This host's tracepoints cannot be read.
pub const HOST_UNREADABLE: Code = Code("P0705");
/// There is nobody whom network policies could be about.
pub const NO_SUBJECTS: Code = Code("P0706");
/// A program of ours was rejected.
pub const REJECTED: Code = Code("P0801");
/// A program of ours says something else than its policy.
pub const MISTRANSLATED: Code = Code("P0802");
/// A fixture is not of the right shape.
pub const FIXTURE: Code = Code("P0901");

/// Every code of this crate with its title.
pub const ALL: &[(Code, &str)] = &[
    (NOTHING_TO_BUILD, "nothing to build"),
    (LIMIT, "limit of the target"),
    (INTERNAL, "bug in policyc"),
    (HOST_UNREADABLE, "tracepoints of this host cannot be read"),
    (NO_SUBJECTS, "nobody to enforce policies on"),
    (REJECTED, "program rejected"),
    (MISTRANSLATED, "program differs from its policy"),
    (FIXTURE, "malformed fixture"),
];

/// What to do about a bug of policyc.
pub(crate) const REPORT_IT: &str = "please report it with the policy that led to it";

pub(crate) fn nothing_to_build() -> Diagnostic {
    let message = "there is no policy among the documents";
    Diagnostic::error(NOTHING_TO_BUILD, no_span(), message)
        .at(None)
        .with_help("name files of policies with `-f`; folders inside a folder need `-R`")
}

pub(crate) fn internal(message: &str) -> Diagnostic {
    Diagnostic::internal(INTERNAL, marked_lines(message)).with_help(REPORT_IT)
}

/// Of a program that does not check only the lines that matter: those with a mark
/// below them (`;  ^ what is wrong`).
fn marked_lines(message: &str) -> String {
    let lines: Vec<_> = message.lines().collect();
    let is_mark = |n: usize| lines.get(n).is_some_and(|line| line.starts_with(';'));
    if !(0..lines.len()).any(is_mark) {
        return message.to_owned();
    }
    let kept = (0..lines.len()).filter(|n| *n == 0 || is_mark(*n) || is_mark(n + 1));
    let kept: Vec<_> = kept.filter_map(|n| lines.get(n).copied()).collect();
    kept.join("\n")
}

pub(crate) fn mistranslated(disagreement: &str) -> Diagnostic {
    let message = format!("the bytecode says something else than the policy: {disagreement}");
    Diagnostic::internal(MISTRANSLATED, message).with_help(REPORT_IT)
}

pub(crate) fn no_subjects(span: Option<Span>) -> Diagnostic {
    let message = "the inventory has nobody: the artifact will enforce nothing";
    Diagnostic::warning(NO_SUBJECTS, no_span(), message)
        .at(span)
        .with_help("name the inventory with `-i`: selectors are resolved when an artifact is built")
}

pub(crate) fn limit(message: &str) -> Diagnostic {
    Diagnostic::limit(LIMIT, message)
        .with_help("aggregate prefixes, or split the policies over several hosts")
}

pub(crate) fn host_unreadable(error: &std::io::Error) -> Diagnostic {
    let message = format!("the formats of this host's tracepoints cannot be read: {error}");
    Diagnostic::limit(HOST_UNREADABLE, message)
        .with_help("run as root, or name a profile that `policyc profile` wrote with `--target`")
}

/// A placeholder that `at(None)` takes away again.
fn no_span() -> Span {
    use policyc_base::EntityId;
    Span::new(policyc_base::FileId::from_index(0), 0, 0)
}

pub(crate) fn rejected(message: &str) -> Diagnostic {
    Diagnostic::internal(REJECTED, message).with_help(REPORT_IT)
}

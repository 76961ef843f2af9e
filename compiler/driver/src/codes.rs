//! The driver's own findings. `P07xx`: building; `P08xx`: verifying; `P09xx`:
//! fixtures.

use policyc_base::{Code, Diagnostic};

/// There is no policy among what was read.
pub const NOTHING_TO_BUILD: Code = Code("P0701");
/// A table or program is larger than the target can hold.
pub const LIMIT: Code = Code("P0702");
/// A bug of policyc.
pub const INTERNAL: Code = Code("P0703");
/// Replies need a rule of their own: there is no connection tracking yet.
pub const REPLIES: Code = Code("P0704");
/// A program of ours was rejected.
pub const REJECTED: Code = Code("P0801");
/// A fixture is not of the right shape.
pub const FIXTURE: Code = Code("P0901");

/// Every code of this crate with its title.
pub const ALL: &[(Code, &str)] = &[
    (NOTHING_TO_BUILD, "nothing to build"),
    (LIMIT, "limit of the target"),
    (INTERNAL, "bug in policyc"),
    (REPLIES, "replies need a rule of their own"),
    (REJECTED, "program rejected"),
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
    Diagnostic::internal(INTERNAL, message).with_help(REPORT_IT)
}

pub(crate) fn limit(message: &str) -> Diagnostic {
    Diagnostic::limit(LIMIT, message)
        .with_help("aggregate prefixes, or split the policies over several hosts")
}

/// A placeholder that `at(None)` takes away again.
fn no_span() -> policyc_base::Span {
    use policyc_base::EntityId;
    policyc_base::Span::new(policyc_base::FileId::from_index(0), 0, 0)
}

pub(crate) fn rejected(message: &str) -> Diagnostic {
    Diagnostic::internal(REJECTED, message).with_help(REPORT_IT)
}

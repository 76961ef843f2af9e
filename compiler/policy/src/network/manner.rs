//! What a policy says about all its rules by policyc's own annotations.

use policyc_base::{Diagnostic, Sink, Spanned};

use super::types::{DenyResponse, Manner};
use crate::codes;
use crate::meta::{self, Meta};
use crate::yaml::shorten;

/// The annotation that makes a policy report instead of enforce.
pub const AUDIT: &str = "policyc.io/audit";
/// The annotation that says what is done about denied packets.
pub const DENY_RESPONSE: &str = "policyc.io/deny-response";

const RESPONSES: &[(&str, DenyResponse)] = &[
    ("drop", DenyResponse::Drop),
    ("reset", DenyResponse::Reset),
    ("unreachable", DenyResponse::Unreachable),
];

/// The manner of the policy with this number; an annotation of ours that is not
/// known is an error.
pub(super) fn read(meta: &Meta, policy: u32, sink: &mut Sink) -> Manner {
    let mut manner = Manner { policy, ..Manner::default() };
    for (key, value) in &meta.annotations {
        match key.value.as_str() {
            AUDIT => manner.audit = audit(value, sink),
            DENY_RESPONSE => manner.response = response(value, sink),
            _ => meta::unknown_annotation(key, &[AUDIT, DENY_RESPONSE], sink),
        }
    }
    manner
}

fn audit(value: &Spanned<String>, sink: &mut Sink) -> bool {
    match value.value.as_str() {
        "true" => true,
        "false" => false,
        _ => {
            wrong(value, "`\"true\"` or `\"false\"`", sink);
            false
        }
    }
}

fn response(value: &Spanned<String>, sink: &mut Sink) -> DenyResponse {
    let found = RESPONSES.iter().find(|(name, _)| *name == value.value);
    match found {
        None => wrong(value, "`drop`, `reset` or `unreachable`", sink),
        Some((_, DenyResponse::Drop)) => {}
        Some((name, _)) => {
            let message = format!("the answer `{name}` to denied packets is not supported yet");
            let finding = Diagnostic::error(codes::DENY_RESPONSE_UNSUPPORTED, value.span, message);
            sink.push(finding.with_help("write `drop`, or leave the annotation out"));
        }
    }
    DenyResponse::Drop
}

fn wrong(value: &Spanned<String>, expected: &str, sink: &mut Sink) {
    let message = format!("the annotation must be {expected}, not `{}`", shorten(&value.value));
    sink.push(Diagnostic::error(codes::ANNOTATION_VALUE, value.span, message));
}

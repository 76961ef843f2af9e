//! Fields that are known and not supported yet. A policy that needs one is
//! rejected: a rule without its restriction would allow too much.

use policyc_base::{Code, Diagnostic, Sink};

use crate::codes;
use crate::yaml::Fields;

type Table = &'static [(&'static str, Code)];

pub(super) const INGRESS: Table = &[("authentication", codes::AUTHENTICATION_UNSUPPORTED)];

pub(super) const EGRESS: Table =
    &[("toFQDNs", codes::FQDN_UNSUPPORTED), ("authentication", codes::AUTHENTICATION_UNSUPPORTED)];

pub(super) const PORT_RULE: Table = &[
    ("rules", codes::L7_UNSUPPORTED),
    ("serverNames", codes::SERVER_NAMES_UNSUPPORTED),
    ("listener", codes::LISTENER_UNSUPPORTED),
    ("terminatingTLS", codes::TLS_UNSUPPORTED),
    ("originatingTLS", codes::TLS_UNSUPPORTED),
];

/// Takes every field of the table and reports those that are there. `true` if
/// none is.
pub(super) fn reject(fields: &mut Fields<'_>, table: Table, sink: &mut Sink) -> bool {
    let mut clean = true;
    for (name, code) in table {
        let Some(field) = fields.take(name) else { continue };
        let message = format!("`{name}` is not supported yet");
        sink.push(Diagnostic::error(*code, field.key, message));
        clean = false;
    }
    clean
}

/// Takes a field that Cilium removed and reports it if it is there.
pub(super) fn removed(fields: &mut Fields<'_>, name: &'static str, release: &str, sink: &mut Sink) {
    if let Some(field) = fields.take(name) {
        let message = format!("`{name}` was removed in Cilium {release}");
        sink.push(Diagnostic::error(codes::REMOVED, field.key, message));
    }
}

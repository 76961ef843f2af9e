//! What a policy says about its rules by policyc's own annotations.

use policyc_base::{Diagnostic, Origin, OriginTable, Sink, Spanned};

use super::types::{DenyResponse, EntryVerdict, Manner, Rule};
use crate::codes;
use crate::meta::{self, Meta};
use crate::yaml::{closest, shorten};

/// The annotation that makes rules report instead of enforce.
pub const AUDIT: &str = "policyc.io/audit";
/// The annotation that says what is done about denied packets.
pub const DENY_RESPONSE: &str = "policyc.io/deny-response";

/// The annotations of one policy.
pub(super) struct Annotations {
    policy: u32,
    audit: Audit,
    response: DenyResponse,
}

/// Which rules of a policy report instead of enforce.
enum Audit {
    None,
    All,
    /// Those with these paths.
    Rules(Vec<Spanned<String>>),
}

/// The annotations of the policy with this number; one of ours that is not known is an
/// error.
pub(super) fn read(meta: &Meta, policy: u32, sink: &mut Sink) -> Annotations {
    let mut said = Annotations { policy, audit: Audit::None, response: DenyResponse::Drop };
    for (key, value) in &meta.annotations {
        match key.value.as_str() {
            AUDIT => said.audit = audit(value, sink),
            DENY_RESPONSE => said.response = response(value, sink),
            _ => meta::unknown_annotation(key, &[AUDIT, DENY_RESPONSE], sink),
        }
    }
    said
}

impl Annotations {
    /// Has the rules of the policy do as it says. A path that is not one of a rule
    /// that denies is an error.
    pub(super) fn apply(&self, rules: &mut [Rule], origins: &OriginTable, sink: &mut Sink) {
        if let Audit::Rules(paths) = &self.audit {
            let denying: Vec<_> = denying(rules).filter_map(|o| path(o, origins)).collect();
            paths.iter().for_each(|path| known(path, &denying, sink));
        }
        for rule in rules {
            let audit = self.audits(rule.origin, origins);
            rule.manner = Manner { policy: self.policy, audit, response: self.response };
            for entry in &mut rule.entries {
                entry.audit = self.audits(entry.origin, origins);
            }
        }
    }

    fn audits(&self, origin: Origin, origins: &OriginTable) -> bool {
        match &self.audit {
            Audit::None => false,
            Audit::All => true,
            Audit::Rules(paths) => {
                let path = path(origin, origins);
                paths.iter().any(|named| Some(named.value.as_str()) == path)
            }
        }
    }
}

/// Where a policy denies: its rules that deny by default, and its denies.
fn denying(rules: &[Rule]) -> impl Iterator<Item = Origin> {
    rules.iter().flat_map(|rule| {
        let by_default = rule.default_deny.ingress || rule.default_deny.egress;
        let denies = rule.entries.iter().filter(|entry| entry.verdict == EntryVerdict::Deny);
        by_default.then_some(rule.origin).into_iter().chain(denies.map(|entry| entry.origin))
    })
}

fn path(origin: Origin, origins: &OriginTable) -> Option<&str> {
    origins.get(origin).map(|info| info.rule.as_str())
}

fn known(path: &Spanned<String>, denying: &[&str], sink: &mut Sink) {
    if denying.contains(&path.value.as_str()) {
        return;
    }
    let message = format!("`{}` is no rule of this policy that denies", shorten(&path.value));
    let mut finding = Diagnostic::error(codes::ANNOTATION_VALUE, path.span, message);
    finding = match closest(&path.value, denying.iter().copied()) {
        Some(meant) => finding.with_help(format!("did you mean `{meant}`?")),
        None if denying.is_empty() => finding.with_help("this policy denies nothing"),
        None => finding.with_help(format!("it denies in {}", listed(denying))),
    };
    sink.push(finding);
}

/// The first few of a list, for a line.
fn listed(paths: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = paths.iter().take(SHOWN).map(|path| format!("`{path}`")).collect();
    let more = if paths.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn audit(value: &Spanned<String>, sink: &mut Sink) -> Audit {
    match value.value.as_str() {
        "true" => Audit::All,
        "false" => Audit::None,
        paths if paths.split(',').all(|path| path.trim().starts_with("spec")) => {
            let path = |text: &str| Spanned::new(text.trim().to_owned(), value.span);
            Audit::Rules(paths.split(',').map(path).collect())
        }
        _ => {
            wrong(value, "`\"true\"`, `\"false\"` or paths of rules (`spec.ingressDeny[0]`)", sink);
            Audit::None
        }
    }
}

fn response(value: &Spanned<String>, sink: &mut Sink) -> DenyResponse {
    let found = DenyResponse::ALL.into_iter().find(|response| response.name() == value.value);
    found.unwrap_or_else(|| {
        wrong(value, "`drop`, `reset` or `unreachable`", sink);
        DenyResponse::Drop
    })
}

fn wrong(value: &Spanned<String>, expected: &str, sink: &mut Sink) {
    let message = format!("the annotation must be {expected}, not `{}`", shorten(&value.value));
    sink.push(Diagnostic::error(codes::ANNOTATION_VALUE, value.span, message));
}

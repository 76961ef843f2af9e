//! What the tests of whole files share.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

use policyc_base::{Diagnostic, OriginTable, Severity, Sink, SourceMap};
use policyc_policy::inventory::{self, Inventory};
use policyc_policy::network::Dialect;
use policyc_policy::{Policies, load};

/// The corpus, or `None` with a word about it on standard error.
pub(crate) fn corpus(part: &str) -> Option<PathBuf> {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let base = std::env::var("POLICYC_CORPUS").unwrap_or_else(|_| base.to_owned());
    let path = PathBuf::from(base).join(part);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: the corpus has no {}", path.display());
    None
}

/// What came of one policy text and one inventory text.
pub(crate) struct Loaded {
    pub(crate) sources: SourceMap,
    pub(crate) policies: Policies,
    pub(crate) inventory: Inventory,
    pub(crate) origins: OriginTable,
    pub(crate) sink: Sink,
}

pub(crate) fn load_texts(policy: &str, who: &str, dialect: Dialect) -> Loaded {
    let mut sources = SourceMap::new();
    let policy = sources.add("policy.yaml", policy);
    let who = sources.add("inventory.yaml", who);
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let policies = load(&sources, &[policy], dialect, &mut origins, &mut sink);
    let inventory = inventory::load(&sources, &[who], &mut sink);
    Loaded { sources, policies, inventory, origins, sink }
}

/// "code line:column message", with the severity if it is no error and the help.
pub(crate) fn show(finding: &Diagnostic, sources: &SourceMap) -> String {
    let place = finding.span.and_then(|span| sources.location(span));
    let place = place.map_or("-".to_owned(), |l| format!("{}:{}", l.line, l.column));
    let severity = match finding.severity {
        Severity::Error => "",
        Severity::Warning => "warning ",
        Severity::Note => "note ",
    };
    let help = finding.help.as_ref().map(|h| format!(" | {h}")).unwrap_or_default();
    format!("{} {place} {severity}{}{help}", finding.code, finding.message)
}

//! Texts to everything that building makes of them.

use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc_base::Severity;
use policyc_policy::network::Dialect;

/// A build with the session it was made in.
pub(crate) struct Compiled {
    pub(crate) session: Session,
    pub(crate) built: Built,
}

/// Builds, or returns the codes of the errors, each once.
pub(crate) fn compile(
    policies: &str,
    inventory: &str,
    dialect: Dialect,
) -> Result<Compiled, Vec<String>> {
    let mut session = Session::new();
    let policies = vec![session.sources.add("policy.yaml", policies)];
    let inventory = vec![session.sources.add("inventory.yaml", inventory)];
    let input = Input { policies, inventory, dialect, profile: None };
    match pipeline::build(&mut session, &input) {
        Some(built) => Ok(Compiled { session, built }),
        None => {
            let errors = session.sink.iter().filter(|d| d.severity == Severity::Error);
            let mut codes: Vec<String> = errors.map(|d| d.code.to_string()).collect();
            codes.sort();
            codes.dedup();
            Err(codes)
        }
    }
}

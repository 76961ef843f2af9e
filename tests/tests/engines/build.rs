//! Texts and policies to everything that building makes of them.

use policyc::pipeline::{self, Built, Input, Policy};
use policyc::session::Session;
use policyc_base::Severity;
use policyc_codegen::CodegenError;
use policyc_codegen::lower::maps::Room;
use policyc_policy::network::Dialect;

/// Little, so that a table is soon full and tests need little memory; as much as is looked
/// at for one connection, so that a place is found if there is one.
pub(crate) const ROOM: Room = Room { established: 4, half_open: 1024 };

/// Builds, or returns the codes of the errors, each once.
pub(crate) fn compile(
    policies: &str,
    inventory: &str,
    dialect: Dialect,
) -> Result<Built, Vec<String>> {
    let mut session = Session::new();
    let policies = vec![session.sources.add("policy.yaml", policies)];
    let inventory = vec![session.sources.add("inventory.yaml", inventory)];
    let room = ROOM;
    let input = Input { policies, inventory, dialect, room, ..Input::default() };
    match pipeline::build(&mut session, &input) {
        Some(built) => Ok(built),
        None => {
            let errors = session.sink.iter().filter(|d| d.severity == Severity::Error);
            let mut codes: Vec<String> = errors.map(|d| d.code.to_string()).collect();
            codes.sort();
            codes.dedup();
            Err(codes)
        }
    }
}

/// Builds what is read already; `None` if it says nothing.
pub(crate) fn compile_policy(
    session: &Session,
    policy: Policy,
) -> Result<Option<Built>, CodegenError> {
    let decided = pipeline::decide(&policy);
    if decided.network.is_none() && decided.events.is_none() {
        return Ok(None);
    }
    let mut lowered = pipeline::lower(&policy, &decided)?;
    pipeline::optimise(&mut lowered)?;
    let compiled = pipeline::assemble(session, &lowered)?;
    Ok(Some(Built { policy, decided, lowered, compiled }))
}

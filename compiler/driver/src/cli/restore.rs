//! `policyc restore`

use std::fmt::Write as _;

use policyc_runtime::{self as runtime, Error as RuntimeError, Host, OnFailure, Outcome, Restored};
use policyc_sys::kernel::RealKernel;

use super::args::{self, RestoreArgs};
use super::{Error, Status, live, output};

pub(super) fn run(args: &RestoreArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let on_failure = match args.on_failure {
        args::OnFailure::Open => OnFailure::Open,
        args::OnFailure::Closed => OnFailure::Closed,
    };
    let restored = runtime::restore(&host, on_failure);
    let restored = restored.map_err(|error| not_restored(&host, &error))?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let missing = match &restored {
        Restored::Nothing { removed } => {
            text.push_str(match removed {
                Some(_) => "nothing to restore: what was live was removed\n",
                None => "nothing to restore: nothing was applied and confirmed\n",
            });
            &[][..]
        }
        Restored::Live { generation, points, missing } => {
            let _ = writeln!(text, "generation {generation} is live already");
            if !points.is_empty() {
                let _ = writeln!(text, "  it judges there too");
            }
            live::write_points(&mut text, points);
            missing
        }
        Restored::Back { from, outcome, missing } => {
            let (number, hash) = (outcome.generation, outcome.hash);
            let _ = writeln!(text, "generation {number} is live: {from} again, sha256:{hash}");
            live::write_points(&mut text, &outcome.points);
            missing
        }
        Restored::Closed { from, outcome, missing, reason } => {
            return Err(closed(*from, outcome, missing, reason));
        }
    };
    for error in missing {
        let _ = writeln!(text, "  not there yet: {error}");
    }
    if !missing.is_empty() {
        let _ = writeln!(text, "  help: `policyc restore` again binds what came, as it is bound");
    }
    output::print(&text)?;
    Ok(if missing.is_empty() { Status::Clean } else { Status::Findings })
}

/// A failure after which everything is as it was: if nothing is live, nothing is judged.
fn not_restored(host: &Host<'_, RealKernel>, error: &RuntimeError) -> Error {
    let failed = live::failed(error);
    match runtime::status(host) {
        Ok(status) if status.live.is_none() => {
            Error::Message(format!("NOTHING IS ENFORCED on this host: {failed}"))
        }
        // Something is live, or that cannot be told: nothing is claimed.
        _ => failed,
    }
}

/// A failure after which everything is denied.
fn closed(from: u64, outcome: &Outcome, missing: &[RuntimeError], reason: &RuntimeError) -> Error {
    let reason = live::failed(reason);
    let mut text = format!("generation {from} could not be restored: {reason}");
    // Writing to a string cannot fail.
    if outcome.points.is_empty() {
        text.push_str("\n  NOTHING IS CLOSED: none of the places that it judged can be closed now");
    } else {
        text.push_str("\n  EVERYTHING IS DENIED until something is applied, at");
    }
    for (point, _) in &outcome.points {
        let _ = write!(text, "\n    {point}");
    }
    for error in missing {
        let _ = write!(text, "\n  NOT CLOSED: {error}");
    }
    Error::Message(text)
}

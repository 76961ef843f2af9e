//! `policyc history`

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use policyc_runtime::{self as runtime, Ended, Host, Past};
use policyc_sys::kernel::RealKernel;

use super::args::StatusArgs;
use super::{Error, Status, live, output};
use crate::observe::utc;
use crate::render::Format;

pub(super) fn run(args: &StatusArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let history = runtime::history(&host).map_err(|error| live::failed(&error))?;
    // Only `status` knows which one the kernel judges by; without that it is not said.
    let live = runtime::status(&host).ok().and_then(|status| status.live);
    let live = live.map(|live| live.generation);
    let text = match args.output {
        Format::Text => text(&history, live),
        Format::Json => json(&history, live),
    };
    output::print(&text)?;
    Ok(Status::Clean)
}

fn time(seconds: u64) -> String {
    utc(UNIX_EPOCH + Duration::from_secs(seconds))
}

const fn name(how: Ended) -> &'static str {
    match how {
        Ended::Superseded => "superseded",
        Ended::RolledBack => "rolled back",
        Ended::NotConfirmed => "not confirmed",
        Ended::Removed => "removed",
        Ended::Lost => "ended by a boot, or its pins were taken away",
    }
}

fn text(history: &[Past], live: Option<u64>) -> String {
    if history.is_empty() {
        return "nothing was live\n".to_owned();
    }
    let mut text = String::new();
    for past in history {
        // Writing to a string cannot fail.
        let _ = write_past(&mut text, past, live);
    }
    text
}

fn write_past(text: &mut String, past: &Past, live: Option<u64>) -> std::fmt::Result {
    let end = match past.ended {
        Some((how, at)) => format!("{} {}", name(how), time(at)),
        None if live == Some(past.generation) => "live".to_owned(),
        None => "not live, and not tidied up yet".to_owned(),
    };
    writeln!(text, "generation {}: since {}, {end}", past.generation, time(past.since))?;
    writeln!(text, "  {} sha256:{}", past.name, past.hash)?;
    if let Some(lost) = past.stands_for {
        writeln!(text, "  denied everything instead of generation {lost}")?;
    }
    let sudo = past.by.sudo_user.as_ref().map(|user| format!(" ({user} by sudo)"));
    let (uid, sudo) = (past.by.uid, sudo.unwrap_or_default());
    writeln!(text, "  by uid {uid}{sudo}: policyc {}", past.by.command)?;
    if !past.evidence.is_empty() {
        writeln!(text, "  found safe by {}", past.evidence.join(", "))?;
    }
    if past.is_kept && live != Some(past.generation) {
        writeln!(text, "  kept: policyc rollback --to {}", past.generation)?;
    }
    Ok(())
}

fn json(history: &[Past], live: Option<u64>) -> String {
    let generations = history.iter().map(|past| {
        serde_json::json!({
            "generation": past.generation,
            "name": past.name,
            "sha256": past.hash.to_string(),
            "since": time(past.since),
            "live": live == Some(past.generation),
            "by": past.by,
            "evidence": past.evidence,
            "stands_for": past.stands_for,
            "kept": past.is_kept,
            "ended": past.ended.map(|(how, at)| {
                serde_json::json!({"how": how, "at": time(at)})
            }),
        })
    });
    let generations: Vec<_> = generations.collect();
    let document = serde_json::json!({"version": 1, "generations": generations});
    // INVARIANT: plain strings and numbers always serialise.
    format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
}

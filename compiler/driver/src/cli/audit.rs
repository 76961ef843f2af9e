//! `policyc audit`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use policyc_runtime::{self as runtime, Audited, Host};
use policyc_sys::kernel::RealKernel;
use serde_json::{Value, json};

use super::args::AuditArgs;
use super::{Error, Status, live, output};
use crate::render::Format;

pub(super) fn run(args: &AuditArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let failed = |error| live::failed(&error);
    let Some(policy) = &args.policy else {
        let audits = runtime::audits(&host).map_err(failed)?;
        output::print(&listed(&audits, args.output))?;
        return Ok(Status::Clean);
    };
    let what = Audited { policy: policy.clone(), rule: args.rule.clone() };
    let text = match args.within {
        Some(within) => {
            let (generation, rules) = runtime::audit(&host, &what, within).map_err(failed)?;
            let rules: Vec<_> = rules.into_iter().collect();
            let time = for_people(within);
            format!(
                "generation {generation}: {policy} reports for {time} and does not enforce: {}\n{}",
                rules.join(", "),
                still_enforced(&host)?
            )
        }
        None => {
            let generation = runtime::enforce(&host, &what).map_err(failed)?;
            format!("generation {generation}: {} is enforced\n", named(&what))
        }
    };
    output::print(&text)?;
    Ok(Status::Clean)
}

/// What a live audit does not reach: where run-time sets have a say, nothing is known of
/// what would hold instead.
fn still_enforced(host: &Host<'_, RealKernel>) -> Result<String, Error> {
    let applied = runtime::last_applied(host).map_err(|error| live::failed(&error))?;
    let sets = applied.as_ref().map_or(&[][..], |(artifact, _)| &artifact.manifest().sets);
    if sets.is_empty() {
        return Ok(String::new());
    }
    let names: BTreeSet<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    let names: Vec<_> = names.into_iter().collect();
    Ok(format!(
        "  what these have a say in stays denied, unless it is audited at the build: {}\n",
        names.join(", ")
    ))
}

fn listed(audits: &[(Audited, Duration)], format: Format) -> String {
    if format == Format::Json {
        return format!("{}\n", json!({"version": 1, "audits": values(audits)}));
    }
    if audits.is_empty() {
        return "nothing is audited\n".to_owned();
    }
    audits.iter().map(line).collect()
}

/// What is audited, in documents.
pub(super) fn values(audits: &[(Audited, Duration)]) -> Vec<Value> {
    let value = |(what, left): &(Audited, Duration)| json!({"policy": what.policy, "rule": what.rule, "seconds_left": left.as_secs()});
    audits.iter().map(value).collect()
}

fn line((what, left): &(Audited, Duration)) -> String {
    format!("{} reports for another {} and does not enforce\n", named(what), for_people(*left))
}

/// The lines of what is audited, for `status`.
pub(super) fn write_all(text: &mut String, audits: &[(Audited, Duration)]) -> std::fmt::Result {
    audits.iter().try_for_each(|audit| write!(text, "  audit: {}", line(audit)))
}

fn named(what: &Audited) -> String {
    match &what.rule {
        Some(rule) => format!("{} {rule}", what.policy),
        None => what.policy.clone(),
    }
}

/// `1h 30m`, `45s`: never less than a second.
fn for_people(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> = parts.map(|(number, unit)| format!("{number}{unit}")).collect();
    parts.join(" ")
}

//! `policyc status`

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use policyc_bpf::{Artifact, Judges, Manifest, Verdict};
use policyc_runtime::{self as runtime, Followed, Host, Live, Status as HostStatus};
use policyc_sys::kernel::RealKernel;
use serde::Serialize;

use super::args::StatusArgs;
use super::{Error, Status, audit, live, output, patch};
use crate::observe::utc;
use crate::render::{Format, plural};

pub(super) fn run(args: &StatusArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let status = runtime::status(&host).map_err(|error| live::failed(&error))?;
    // Names are a comfort: without the copy there are numbers.
    let generation = status.live.as_ref().map(|live| live.generation as u32);
    let read = |generation| runtime::artifact_of(&host, generation).ok().flatten();
    let artifact = generation.and_then(read);
    let manifest = artifact.as_ref().map(Artifact::manifest);
    let text = match args.output {
        Format::Text => text(&status, manifest),
        Format::Json => json(&status, manifest),
    };
    output::print(&text)?;
    let is_wrong = |live: &Live| live.has_drift() || live.stands_for.is_some();
    let drifts = status.live.as_ref().is_some_and(is_wrong);
    let is_lost = status.live.is_none() && status.lost.is_some();
    Ok(if drifts || is_lost || status.untidy { Status::Findings } else { Status::Clean })
}

fn text(status: &HostStatus, manifest: Option<&Manifest>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_status(&mut text, status, manifest);
    text
}

fn write_status(
    text: &mut String,
    status: &HostStatus,
    manifest: Option<&Manifest>,
) -> std::fmt::Result {
    match &status.live {
        Some(live) => write_live(text, live, manifest)?,
        None => writeln!(text, "nothing is live")?,
    }
    if let (None, Some((number, name))) = (&status.live, &status.lost) {
        writeln!(
            text,
            "generation {number} ({name}) was live; its pins are gone, as after a boot"
        )?;
        writeln!(text, "  help: apply it again, or `policyc restore` after a boot")?;
    }
    if status.untidy {
        writeln!(text, "a command was interrupted; the next `apply` or `remove` tidies up")?;
    }
    Ok(())
}

fn write_live(text: &mut String, live: &Live, manifest: Option<&Manifest>) -> std::fmt::Result {
    let since = utc(UNIX_EPOCH + Duration::from_secs(live.since));
    writeln!(text, "generation {} is live: {} sha256:{}", live.generation, live.name, live.hash)?;
    writeln!(text, "  since {since}")?;
    if let Some(lost) = live.stands_for {
        writeln!(text, "  DENIES EVERYTHING: generation {lost} could not be restored")?;
        writeln!(text, "  help: `policyc restore` says why; or apply an artifact")?;
    }
    if let Some(within) = live.confirm_within {
        writeln!(text, "  goes back in {} s unless confirmed", within.as_secs())?;
    }
    if let Some(verdict) = unknown_subject(manifest) {
        writeln!(text, "  unknown subjects: {verdict}")?;
    }
    audit::write_all(text, &live.audits)?;
    writeln!(text, "attach points")?;
    for gate in &live.gates {
        let point = gate.point.as_ref().map_or_else(|| "gone".to_owned(), ToString::to_string);
        let subject = live::subject(gate.subject.as_deref(), gate.point.as_ref());
        let drift = gate.drift.as_ref().map(|drift| format!("  DRIFT: {drift}"));
        let drift = drift.unwrap_or_default();
        let generic = if gate.generic_xdp { " (generic)" } else { "" };
        writeln!(text, "  {:>4}  {point}{generic}: {subject} by {}{drift}", gate.id, gate.program)?;
    }
    for (point, subject) in &live.unjudged {
        let subject = live::subject(subject.as_deref(), Some(point));
        writeln!(text, "     -  {point}: {subject}  DRIFT: bound, and not judged yet")?;
    }
    if !live.unjudged.is_empty() {
        writeln!(text, "  help: `policyc attach`, or apply again")?;
    }
    write_groups(text, &live.groups)?;
    let counted: Vec<_> = live.counters.iter().filter(|c| c.packets > 0).collect();
    if !counted.is_empty() {
        writeln!(text, "decisions")?;
    }
    for counter in counted {
        let words = decision(manifest, counter.decision);
        if is_event(manifest, counter.decision) {
            writeln!(text, "  {:>10} events  {words}", counter.packets)?;
        } else {
            let (packets, bytes) = (counter.packets, counter.bytes);
            writeln!(text, "  {packets:>10} packets {bytes:>12} bytes  {words}")?;
        }
    }
    Ok(())
}

/// Groups and workloads whose addresses change.
fn write_groups(text: &mut String, groups: &[Followed]) -> std::fmt::Result {
    if !groups.is_empty() {
        writeln!(text, "groups that change")?;
    }
    for Followed { group, is_named } in groups {
        let members = plural(group.members.len(), "member");
        let since = match group.patched {
            Some(at) => format!("patched {}", utc(UNIX_EPOCH + Duration::from_secs(at))),
            None => "as built".to_owned(),
        };
        let unnamed = if *is_named { "" } else { "; no rule names it" };
        writeln!(text, "  {}: {members}, {since}{unnamed}", group.name)?;
    }
    Ok(())
}

/// The verdict of subjects that the artifact does not know; none where nobody's
/// packets are judged.
fn unknown_subject(manifest: Option<&Manifest>) -> Option<&'static str> {
    let manifest = manifest?;
    let judges = manifest.programs.iter().any(|program| program.judges != Judges::Events);
    judges.then_some(match manifest.unknown_subject {
        Verdict::Deny => "deny",
        Verdict::Allow => "allow",
    })
}

/// Whether a decision is about events and not about packets.
fn is_event(manifest: Option<&Manifest>, index: u32) -> bool {
    let decision = manifest.and_then(|m| m.decisions.get(index as usize));
    decision.is_some_and(|decision| decision.event.is_some())
}

/// A decision in words: `deny shop/web spec.ingressDeny[0] (web.yaml:9:3)`.
fn decision(manifest: Option<&Manifest>, index: u32) -> String {
    let known = manifest.and_then(|m| Some((m, m.decisions.get(index as usize)?)));
    let Some((manifest, found)) = known else { return format!("decision {index}") };
    let outcome = serde_name(&found.outcome);
    match manifest.line_of(index) {
        Some(line) => {
            let reason = match found.reason {
                policyc_bpf::Reason::DefaultDeny => " by default of",
                _ => "",
            };
            let at = format!("{}:{}:{}", line.file, line.line, line.column);
            let answer = found.answer.map(|how| format!(", answered: {}", serde_name(&how)));
            let answer = answer.unwrap_or_default();
            format!("{outcome}{reason} {} {} ({at}){answer}", line.policy, line.rule)
        }
        None => format!("{outcome} ({})", serde_name(&found.reason).replace('_', " ")),
    }
}

/// The name that a value has in documents.
fn serde_name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn json(status: &HostStatus, manifest: Option<&Manifest>) -> String {
    let live = status.live.as_ref().map(|live| {
        let gates = live.gates.iter().map(|gate| {
            serde_json::json!({
                "id": gate.id,
                "point": gate.point.as_ref().map(ToString::to_string),
                "generic_xdp": gate.generic_xdp,
                "subject": gate.subject,
                "program": gate.program,
                "drift": gate.drift.as_ref().map(ToString::to_string),
            })
        });
        let unjudged = live.unjudged.iter().map(
            |(point, subject)| serde_json::json!({"point": point.to_string(), "subject": subject}),
        );
        let groups = live.groups.iter().map(|Followed { group, is_named }| {
            serde_json::json!({
                "kind": patch::kind_name(group.kind),
                "name": group.name,
                "named": is_named,
                "members": group.members.len(),
                "patched": group.patched.map(|at| utc(UNIX_EPOCH + Duration::from_secs(at))),
            })
        });
        let counters = live.counters.iter().map(|counter| {
            serde_json::json!({
                "decision": counter.decision,
                "packets": counter.packets,
                "bytes": counter.bytes,
                "meaning": decision(manifest, counter.decision),
            })
        });
        serde_json::json!({
            "generation": live.generation,
            "name": live.name,
            "sha256": live.hash.to_string(),
            "since": utc(UNIX_EPOCH + Duration::from_secs(live.since)),
            "stands_for": live.stands_for,
            "confirm_within_seconds": live.confirm_within.map(|d| d.as_secs()),
            "unknown_subject": unknown_subject(manifest),
            "audits": audit::values(&live.audits),
            "unjudged": unjudged.collect::<Vec<_>>(),
            "gates": gates.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "counters": counters.collect::<Vec<_>>(),
        })
    });
    let lost = status
        .lost
        .as_ref()
        .map(|(number, name)| serde_json::json!({"generation": number, "name": name}));
    let document =
        serde_json::json!({"version": 1, "live": live, "lost": lost, "untidy": status.untidy});
    // INVARIANT: plain strings and numbers always serialise.
    format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
}

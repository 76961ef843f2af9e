//! `policyc apply`, `policyc confirm` and `policyc rollback`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use policyc_bpf::{Artifact, Judges};
use policyc_runtime::{self as runtime, Host, Options, Outcome, Point};
use policyc_sys::kernel::RealKernel;

use super::args::{ApplyArgs, RollbackArgs, StateArgs};
use super::{Error, Status, live, output};
use crate::bindings::{self, Hinted};
use crate::input;
use crate::signature;

pub(super) fn run(args: &ApplyArgs) -> Result<Status, Error> {
    let bytes = input::read_bytes(&args.artifact)?;
    let signed = args.require_signature.as_deref().map(|key| signed(args, &bytes, key));
    let signed = signed.transpose()?;
    let artifact = live::artifact(&args.artifact, &bytes)?;
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let Hinted { bindings, not_local } = read_bindings(args, &host, &artifact)?;
    let options = Options {
        dry_run: args.dry_run,
        confirm: args.confirm,
        report_forwarded: args.report_forwarded,
        adopt: args.adopt,
    };
    let outcome = runtime::apply(&host, &artifact, &bindings, options);
    let outcome = outcome.map_err(|error| live::failed(&error))?;
    let mut text = summary(&artifact, &outcome, &not_local);
    if let Some(comment) = signed {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  signed: {comment}");
    }
    output::print(&text)?;
    Ok(Status::Clean)
}

/// What the signer says of the artifact's bytes, if the key is the signer's.
fn signed(args: &ApplyArgs, bytes: &[u8], key: &str) -> Result<String, Error> {
    let text =
        if Path::new(key).is_file() { input::read_text(Path::new(key))? } else { key.into() };
    let read = signature::key(&text).map_err(|error| {
        let help = "give minisign's file of a public key, or the key itself (`RW…`)";
        Error::Message(format!("`{key}` {error}\n  help: {help}"))
    })?;
    let path = args.signature.clone().unwrap_or_else(|| beside(&args.artifact));
    if !path.exists() {
        let message = format!(
            "`{}` is not signed: there is no `{}`",
            args.artifact.display(),
            path.display()
        );
        let help =
            format!("sign it with `minisign -S -m {}`, as the last step", args.artifact.display());
        return Err(Error::Message(format!("{message}\n  help: {help}")));
    }
    let signature = input::read_text(&path)?;
    signature::signed(bytes, &signature, &read)
        .map_err(|error| Error::Message(format!("the signature `{}` {error}", path.display())))
}

/// Where minisign puts the signature of a file.
fn beside(artifact: &Path) -> PathBuf {
    let mut name = artifact.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The bindings of the file, or those that the inventory hints at.
fn read_bindings(
    args: &ApplyArgs,
    host: &Host<'_, RealKernel>,
    artifact: &Artifact,
) -> Result<Hinted, Error> {
    if let Some(path) = &args.bindings {
        let text = input::read_text(path)?;
        let read = bindings::read(&text);
        let read = read.map_err(|e| Error::Message(format!("`{}`: {e}", path.display())))?;
        return Ok(Hinted { bindings: read, not_local: Vec::new() });
    }
    let node = args.node.clone().map_or_else(bindings::host_name, Ok).map_err(Error::Message)?;
    let hinted = bindings::from_hints(host, artifact.manifest(), &node).map_err(Error::Message)?;
    let traces = artifact.object().programs.iter().any(|p| p.judges == Judges::Events);
    if hinted.bindings.bindings.is_empty() && !traces {
        let message = "no subject of the artifact is local: no `attach` of its inventory names \
                       something that is on this host\n  help: say where subjects are attached \
                       with `--bindings`";
        return Err(Error::Message(message.into()));
    }
    Ok(hinted)
}

fn summary(artifact: &Artifact, outcome: &Outcome, not_local: &[String]) -> String {
    let mut text = String::new();
    let verb = if outcome.live { "live" } else { "would be live" };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "generation {} is {verb}: {} sha256:{}",
        outcome.generation,
        artifact.manifest().name,
        outcome.hash
    );
    for (point, subject) in &outcome.points {
        let subject = live::subject(subject.as_deref(), Some(point));
        let _ = writeln!(text, "  {point}: {subject}");
    }
    if !not_local.is_empty() {
        let (count, names) = (not_local.len(), not_local.join(", "));
        let subjects = if count == 1 { "subject is" } else { "subjects are" };
        let _ = writeln!(text, "  {count} {subjects} not local: {names}");
    }
    for point in &outcome.left {
        let _ = writeln!(text, "  no longer judged: {point}");
    }
    let answers = artifact.manifest().decisions.iter().any(|d| d.answer.is_some());
    let silent = outcome.points.iter().map(|(point, _)| point).filter(|point| !answers_at(point));
    for point in silent.filter(|_| answers) {
        let _ = writeln!(text, "  nothing is answered there, only dropped: {point}");
    }
    for group in &outcome.replaced {
        let _ =
            writeln!(text, "  patched, and built anew since: {group} has the members of the build");
    }
    text.push_str(&live::adopted(outcome.adopted.as_ref()));
    if let Some(within) = outcome.confirm_within {
        let seconds = within.as_secs();
        let _ = writeln!(text, "  goes back in {seconds} s unless `policyc confirm` comes first");
    }
    text
}

/// Whether packets that are denied at a place can be answered.
const fn answers_at(point: &Point) -> bool {
    match point {
        Point::Xdp { .. } | Point::CgroupSkb { .. } | Point::Followed { .. } => false,
        Point::Tc { .. }
        | Point::Host { .. }
        | Point::RawTracepoint { .. }
        | Point::Tracepoint { .. } => true,
    }
}

pub(super) fn confirm(args: &StateArgs) -> Result<Status, Error> {
    let dirs = args.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let generation = runtime::confirm(&host).map_err(|error| live::failed(&error))?;
    output::print(&format!("generation {generation} is confirmed\n"))?;
    Ok(Status::Clean)
}

pub(super) fn rollback(args: &RollbackArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let text = match args.to {
        Some(number) => {
            let outcome = runtime::rollback_to(&host, number).map_err(|e| live::failed(&e))?;
            let (generation, hash) = (outcome.generation, outcome.hash);
            let mut text =
                format!("generation {generation} is live: {number} again, sha256:{hash}\n");
            live::write_points(&mut text, &outcome.points);
            text
        }
        None => match runtime::rollback(&host).map_err(|error| live::failed(&error))? {
            Some(generation) => format!("generation {generation} is live again\n"),
            None => "nothing is live, as before\n".to_owned(),
        },
    };
    output::print(&text)?;
    Ok(Status::Clean)
}

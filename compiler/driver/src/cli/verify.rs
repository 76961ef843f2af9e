//! `policyc verify`
//!
//! The artifact's file gets what was found out, and nothing else of it changes.
//! A kernel that could not be asked does not keep the others from being asked.

use std::path::Path;

use policyc_bpf::Artifact;
use policyc_verify::VmError;
use serde::Serialize;

use super::args::VerifyArgs;
use super::progress::Progress;
use super::{Error, Status, output};
use crate::machine::Machines;
use crate::render::{self, Format, plural};
use crate::session::Session;
use crate::verification::{self, Check, CheckDocument};

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    artifact: String,
    content: String,
    checks: Vec<CheckDocument<'a>>,
    not_asked: &'a [NotAsked],
    recorded: usize,
    findings: Vec<render::Finding>,
}

/// A kernel that could not be asked.
#[derive(Serialize)]
struct NotAsked {
    image: String,
    reason: String,
}

/// Everything that was found out.
struct Results {
    session: Session,
    artifact: Artifact,
    checks: Vec<Check>,
    not_asked: Vec<NotAsked>,
    /// Records that the file did not have before.
    recorded: usize,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Status, Error> {
    let machines = Machines::new(&args.kernel, args.timeout);
    let machines = machines.map_err(|error| Error::Message(error.to_string()))?;
    let mut results = check(read(&args.artifact)?, machines.as_ref());
    let saved = append(&args.artifact, &results.artifact);
    results.recorded = *saved.as_ref().unwrap_or(&0);
    match args.output {
        Format::Text => print_text(args, &results)?,
        Format::Json => output::print(&json(args, &results))?,
    }
    saved?;
    if results.session.sink.has_errors() {
        return Ok(Status::Findings);
    }
    if results.not_asked.is_empty() {
        return Ok(Status::Clean);
    }
    let reasons = results.not_asked.iter();
    let reasons: Vec<_> = reasons.map(|n| format!("`{}`: {}", n.image, n.reason)).collect();
    Err(Error::Message(reasons.join("\n")))
}

/// Asks everybody.
fn check(mut artifact: Artifact, machines: Option<&Machines>) -> Results {
    let progress = Progress::new();
    let mut session = Session::of_manifest(artifact.manifest());
    let step = |step: &str| progress.say(step);
    let mut checks = verification::verify_here(&mut session, &mut artifact, &step);
    let mut not_asked = Vec::new();
    for image in machines.map_or(&[][..], |machines| &machines.images) {
        let name = image.display().to_string();
        if !checks[0].is_clean() {
            let reason = "what is not well-formed is offered to no kernel".to_owned();
            not_asked.push(NotAsked { image: name, reason });
            continue;
        }
        let file = image.file_name().unwrap_or(image.as_os_str());
        step(&format!("booting {}", file.display()));
        let reports = machines.map(|machines| machines.ask(artifact.object(), image));
        match reports {
            Some(Ok(reports)) => {
                checks.push(verification::record_kernel(&mut session, &mut artifact, &reports));
            }
            Some(Err(error)) => not_asked.push(NotAsked { image: name, reason: reason(&error) }),
            None => {}
        }
    }
    Results { session, artifact, checks, not_asked, recorded: 0 }
}

/// Why a kernel could not be asked, and what may help.
fn reason(error: &VmError) -> String {
    match error {
        VmError::Timeout { .. } => format!("{error}\n  help: allow more time with `--timeout`"),
        _ => error.to_string(),
    }
}

fn read(path: &Path) -> Result<Artifact, Error> {
    let bytes = crate::input::read_bytes(path)?;
    let artifact = Artifact::from_bytes(&bytes);
    artifact.map_err(|error| Error::Message(format!("`{}`: {error}", path.display())))
}

/// Adds the records to the artifact's file as it is now: somebody else may have
/// verified it meanwhile. Returns how many were new.
fn append(path: &Path, artifact: &Artifact) -> Result<usize, Error> {
    let mut file = read(path)?;
    let message = |what: String| Error::Message(format!("`{}`: {what}", path.display()));
    if file.hash() != artifact.hash() {
        return Err(message("it was replaced meanwhile; nothing is recorded in it".into()));
    }
    let before = file.evidence().len();
    for evidence in artifact.evidence() {
        file.record(evidence.clone()).map_err(|error| message(error.to_string()))?;
    }
    let added = file.evidence().len() - before;
    if added > 0 {
        let bytes = file.to_bytes().map_err(|error| message(error.to_string()))?;
        output::write_file(path, &bytes)?;
    }
    Ok(added)
}

fn print_text(args: &VerifyArgs, results: &Results) -> Result<(), Error> {
    let Results { session, artifact, checks, not_asked, recorded } = results;
    let findings = session.findings();
    let mut text = render::terminal(&findings, &session.sources, output::colour());
    text.push_str(&format!("{}  sha256:{}\n", args.artifact.display(), artifact.hash()));
    for line in checks.iter().flat_map(Check::lines) {
        text.push_str(&format!("  {line}\n"));
    }
    for NotAsked { image, .. } in not_asked {
        text.push_str(&format!("  not verified: kernel in {image}\n"));
    }
    let added = match recorded {
        0 => "nothing new to record".to_owned(),
        n => format!("{} added to the artifact", plural(*n, "record")),
    };
    text.push_str(&format!("  {added}\n"));
    output::print(&text)
}

fn json(args: &VerifyArgs, results: &Results) -> String {
    let Results { session, artifact, checks, not_asked, recorded } = results;
    let document = Document {
        version: 1,
        artifact: args.artifact.display().to_string(),
        content: format!("sha256:{}", artifact.hash()),
        checks: checks.iter().map(|check| check.document(artifact)).collect(),
        not_asked,
        recorded: *recorded,
        findings: render::findings(&session.findings(), &session.sources),
    };
    // INVARIANT: plain strings and numbers always serialise.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    format!("{text}\n")
}

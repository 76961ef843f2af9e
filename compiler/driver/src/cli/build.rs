//! `policyc build`

use std::fmt::Write as _;

use policyc_bpf::Artifact;
use policyc_codegen::lower::maps::Room;

use super::args::{BuildArgs, FailOn, UnknownSubject};
use super::progress::Progress;
use super::{Error, Status, common, output};
use crate::render::{Format, plural};
use crate::session::Session;
use crate::verification::{self, Check};
use crate::witness::{self, Witnessed};
use crate::{codes, manifest, pipeline};

pub(super) fn run(args: &BuildArgs) -> Result<Status, Error> {
    let mut session = Session::new();
    let mut input = common::read(&mut session, &args.input)?;
    input.unknown_subject_allowed = args.unknown_subject == UnknownSubject::Allow;
    input.room = Room::for_established(args.conntrack_entries);
    let Some(built) = pipeline::build(&mut session, &input) else {
        return common::report(&session, Format::Text, FailOn::Error);
    };
    let manifest = manifest::manifest(&session, &built);
    let internal = |error: &dyn std::fmt::Display| {
        Error::Message(format!("this is a bug in policyc: {error}"))
    };
    let mut artifact =
        Artifact::build(manifest, &built.compiled.object).map_err(|e| internal(&e))?;
    let progress = Progress::new();
    let checks = verification::verify_here(&mut session, &mut artifact, &|step| progress.say(step));
    progress.say("comparing the bytecode with the policy");
    let witnessed = witness::check(&built);
    let disagreements = witnessed.disagreements.iter().take(SHOWN);
    disagreements.for_each(|it| session.sink.push(codes::mistranslated(it)));
    drop(progress);
    if !session.sink.is_empty() {
        common::report(&session, Format::Text, FailOn::Error)?;
    }
    if session.sink.has_errors() {
        return Ok(Status::Findings);
    }
    let bytes = artifact.to_bytes().map_err(|e| internal(&e))?;
    output::write_file(&args.output, &bytes)?;
    output::print(&summary(args, &artifact, &checks, bytes.len()))?;
    // There are no witnesses of events yet.
    if witnessed.packets > 0 {
        output::print(&format!("  {}\n", translation(&witnessed)))?;
    }
    Ok(Status::Clean)
}

/// Disagreements that are shown; one is enough to stop.
const SHOWN: usize = 5;

fn translation(witnessed: &Witnessed) -> String {
    let packets = plural(witnessed.packets, "packet");
    let reached = match witnessed.uncovered.len() {
        0 => "every instruction".to_owned(),
        n => format!("all but {}", plural(n, "instruction")),
    };
    format!("translation: {packets} judged as the policy says, reaching {reached}")
}

fn summary(args: &BuildArgs, artifact: &Artifact, checks: &[Check], bytes: usize) -> String {
    let manifest = artifact.manifest();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "{}  {} bytes  sha256:{}", args.output.display(), bytes, artifact.hash());
    let _ = writeln!(
        text,
        "  {}, {}, {} of tables",
        plural(manifest.programs.len(), "program"),
        plural(manifest.subjects.len(), "subject"),
        plural(manifest.cost.map_bytes as usize, "byte"),
    );
    if manifest.maps.iter().any(|map| map.name == "ct") {
        let room = Room::for_established(args.conntrack_entries);
        let (all, share) = (room.established, room.share());
        let _ = writeln!(text, "  room for {all} connections, then {share} of each subject");
    }
    for line in checks.iter().flat_map(Check::lines) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

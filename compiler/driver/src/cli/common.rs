//! What several commands do with their arguments.

use policyc_base::Severity;
use policyc_target::Profile;

use super::args::{Context, FailOn, PolicyInput};
use super::{Error, Status, output};
use crate::document;
use crate::input;
use crate::pipeline::Input;
use crate::render::{self, Format};
use crate::session::Session;

/// Reads the files that a command names.
///
/// # Errors
/// When one cannot be read.
pub(super) fn read(session: &mut Session, args: &PolicyInput) -> Result<Input, Error> {
    read_with(session, &args.file, &args.context)
}

/// Reads policies and their context.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn read_with(
    session: &mut Session,
    policies: &[std::path::PathBuf],
    context: &Context,
) -> Result<Input, Error> {
    let sources = &mut session.sources;
    Ok(Input {
        policies: input::read_all(policies, context.recursive, sources)?,
        inventory: input::read_all(&context.inventory, context.recursive, sources)?,
        dialect: context.dialect.into(),
        profile: profile(context)?,
        unknown_subject_allowed: false,
        room: policyc_codegen::lower::maps::Room::default(),
    })
}

fn profile(context: &Context) -> Result<Option<Profile>, Error> {
    let Some(path) = &context.target else { return Ok(None) };
    let text = input::read_text(path)?;
    let read = document::guard(&text);
    let read = read.and_then(|()| Profile::parse(&text).map_err(|error| error.to_string()));
    let profile = read.map_err(|error| Error::Message(format!("`{}`: {error}", path.display())))?;
    Ok(Some(profile))
}

/// Prints findings and says how the command ended.
///
/// # Errors
/// When standard output is closed.
pub(super) fn report(session: &Session, format: Format, fail_on: FailOn) -> Result<Status, Error> {
    let findings = session.findings();
    match format {
        Format::Json => output::print(&render::json(&findings, &session.sources))?,
        Format::Text => {
            output::print(&render::terminal(&findings, &session.sources, output::colour()))?;
            output::complain(&render::summary(&findings));
        }
    }
    let least = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
    };
    let fails = findings.iter().any(|finding| finding.severity >= least);
    Ok(if fails { Status::Findings } else { Status::Clean })
}

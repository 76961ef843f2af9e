//! `policyc dump`

use policyc_bpf::{Artifact, Style, print_object};
use policyc_decision::{network as network_decision, tracing as tracing_decision};

use super::args::{DumpArgs, FailOn, Stage};
use super::{Error, Status, common, output};
use crate::pipeline::{self, Built};
use crate::render::Format;
use crate::session::Session;
use crate::{policy_text, size};

pub(super) fn run(args: &DumpArgs) -> Result<Status, Error> {
    if let Some(artifact) = read_artifact(args)? {
        return of_artifact(args.at, &artifact);
    }
    let mut session = Session::new();
    let policies = std::slice::from_ref(&args.path);
    let input = common::read_with(&mut session, policies, &args.context)?;
    let Some(built) = pipeline::build(&mut session, &input) else {
        return common::report(&session, Format::Text, FailOn::Error);
    };
    output::print(&of_policy(&session, &built, args.at))?;
    Ok(Status::Clean)
}

/// The artifact at the path; `None` if the file is no artifact.
fn read_artifact(args: &DumpArgs) -> Result<Option<Artifact>, Error> {
    if args.path.as_os_str() == "-" || args.path.is_dir() {
        return Ok(None);
    }
    let bytes = crate::input::read_bytes(&args.path)?;
    if !Artifact::is_one(&bytes) {
        return Ok(None);
    }
    let artifact = Artifact::from_bytes(&bytes);
    let path = args.path.display();
    artifact.map(Some).map_err(|error| Error::Message(format!("`{path}`: {error}")))
}

fn of_artifact(stage: Stage, artifact: &Artifact) -> Result<Status, Error> {
    let text = match stage {
        Stage::Bpf => print_object(artifact.object(), Style::DUMP),
        Stage::Tables => size::tables(artifact.object()),
        Stage::Cost => size::cost(artifact.manifest()),
        Stage::Policy | Stage::Decision | Stage::Bir => {
            let help = "an artifact holds bytecode and tables; name the policies instead";
            return Err(Error::Message(help.into()));
        }
    };
    output::print(&text)?;
    Ok(Status::Clean)
}

fn of_policy(session: &Session, built: &Built, stage: Stage) -> String {
    match stage {
        Stage::Policy => policy_text::print(session, &built.policy),
        Stage::Decision => {
            let network = built.decided.network.iter();
            let network = network.map(|n| network_decision::print(n, &session.origins));
            let events = built.decided.events.iter();
            let events = events.map(|e| tracing_decision::print(e, &session.origins));
            network.chain(events).collect()
        }
        Stage::Bir => built.lowered.module.to_string(),
        Stage::Bpf => print_object(&built.compiled.object, Style::DUMP),
        Stage::Tables => size::tables(&built.compiled.object),
        Stage::Cost => size::cost(&crate::manifest::manifest(session, built)),
    }
}

//! `policyc explain`

use policyc_policy::network;

use super::args::{ExplainArgs, FailOn};
use super::{Error, Status, common, output};
use crate::render::Format;
use crate::session::Session;
use crate::{explain, pipeline, who};

pub(super) fn run(args: &ExplainArgs) -> Result<Status, Error> {
    let mut session = Session::new();
    let input = common::read(&mut session, &args.input)?;
    let policy = pipeline::read(&mut session, &input);
    if session.sink.has_errors() {
        return common::report(&session, args.output, FailOn::Error);
    }
    let message = |error: who::FlowError| Error::Message(error.to_string());
    let port = who::port(&args.to_port).map_err(message)?;
    let flow = who::flow(&args.from, &args.to, port, &policy.inventory).map_err(message)?;
    let verdict = network::eval(&policy.network, &policy.inventory, policy.dialect, &flow);
    let explanation = explain::explain(&session, &flow, &verdict);
    match args.output {
        Format::Text => output::print(&explain::text(&explanation))?,
        Format::Json => {
            // INVARIANT: plain strings always serialise.
            let text = serde_json::to_string_pretty(&explanation).unwrap_or_default();
            output::print(&format!("{text}\n"))?;
        }
    }
    Ok(Status::Clean)
}

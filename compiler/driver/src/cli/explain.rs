//! `policyc explain`

use policyc_policy::tracing;

use super::args::{ExplainArgs, FailOn};
use super::{Error, Status, common, output};
use crate::fixture::FieldValue;
use crate::pipeline::Policy;
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
    if let Some(hook) = &args.event {
        return event(args, hook, &session, &policy);
    }
    let (Some(from), Some(to), Some(port)) = (&args.from, &args.to, &args.to_port) else {
        // INVARIANT: the arguments require one another.
        return Err(Error::Message("name a flow or an event".into()));
    };
    let message = |error: who::FlowError| Error::Message(error.to_string());
    let port = who::port(port).map_err(message)?;
    let flows = who::flows(from, to, port, &policy.inventory).map_err(message)?;
    let explanations = flows.iter().map(|flow| explain::explain(&session, &policy, flow));
    let explanations: Vec<_> = explanations.collect();
    match args.output {
        Format::Text => {
            output::print(&explanations.iter().map(explain::text).collect::<String>())?;
        }
        Format::Json => output::print_json(&explanations)?,
    }
    Ok(Status::Clean)
}

fn event(
    args: &ExplainArgs,
    hook: &str,
    session: &Session,
    policy: &Policy,
) -> Result<Status, Error> {
    let fields: Result<Vec<_>, _> = args.field.iter().map(|text| field(text)).collect();
    let event = fields.and_then(|fields| explain::event(hook, fields)).map_err(Error::Message)?;
    let matches = tracing::eval(&policy.tracing, &event);
    let explanation = explain::explain_event(session, &matches);
    match args.output {
        Format::Text => output::print(&explain::event_text(&explanation))?,
        Format::Json => output::print_json(&explanation)?,
    }
    Ok(Status::Clean)
}

/// `name=value`; a value that is a number is one.
fn field(text: &str) -> Result<(String, FieldValue), String> {
    let wrong = || format!("`{text}` is no field: write `name=value`");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = match value.parse() {
        Ok(number) => FieldValue::Int(number),
        Err(_) => FieldValue::Text(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}

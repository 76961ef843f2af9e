//! `policyc conntrack`

pub mod args;
mod show;

use policyc_bpf::Artifact;
use policyc_bpf::manifest::subject_identity;
use policyc_runtime::{self as runtime, Connection, Host};
use policyc_sys::kernel::RealKernel;

use super::{Error, Status, live, output};
use crate::render::{Format, plural};
use args::{ConntrackArgs, ConntrackCommand};
use show::Names;

pub(super) fn run(command: &ConntrackCommand) -> Result<Status, Error> {
    match command {
        ConntrackCommand::List(args) => list(args),
        ConntrackCommand::Flush(args) => flush(args),
    }
}

fn list(args: &ConntrackArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let known = runtime::connections(&host).map_err(|error| live::failed(&error))?;
    let names = names(&host);
    let subject = subject(args, &names, &known)?;
    let wanted: Vec<_> = known.iter().filter(|c| is_wanted(args, subject, c)).collect();
    match args.output {
        Format::Text => output::print(&show::text(&wanted, &names))?,
        Format::Json => output::print_json(&show::json(&wanted, &names))?,
    }
    Ok(Status::Clean)
}

fn flush(args: &ConntrackArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let failed = |error| live::failed(&error);
    let subject = match &args.subject {
        None => None,
        Some(_) => subject(args, &names(&host), &runtime::connections(&host).map_err(failed)?)?,
    };
    let forgotten = runtime::forget(&host, |c| is_wanted(args, subject, c)).map_err(failed)?;
    match args.output {
        Format::Text => output::print(&format!("forgot {}\n", plural(forgotten, "connection")))?,
        Format::Json => {
            output::print_json(&serde_json::json!({"version": 1, "forgotten": forgotten}))?;
        }
    }
    Ok(Status::Clean)
}

/// The names of the subjects of what is live: a comfort, without which there are
/// numbers.
fn names(host: &Host<'_, RealKernel>) -> Names {
    let artifact = runtime::last_applied(host).ok().flatten().map(|(artifact, _)| artifact);
    let subjects = artifact.as_ref().map(Artifact::manifest).map(|m| m.subjects.as_slice());
    Names::of(subjects.unwrap_or_default())
}

/// The number of the subject that is asked for. A name that nobody has is a mistake,
/// unless connections of it are left.
fn subject(
    args: &ConntrackArgs,
    names: &Names,
    known: &[Connection],
) -> Result<Option<u64>, Error> {
    let Some(name) = &args.subject else { return Ok(None) };
    if let Some(number) = name.strip_prefix('#') {
        let number = u64::from_str_radix(number, 16);
        return number.map(Some).map_err(|_| {
            let help = "write its number as `policyc conntrack list` shows it";
            Error::Message(format!("`{name}` is no subject's number\n  help: {help}"))
        });
    }
    let number = subject_identity(name);
    if names.has(number) || known.iter().any(|c| c.ends.subject == number) {
        return Ok(Some(number));
    }
    let help = "name a subject as `policyc status` shows it: `namespace/name`";
    Err(Error::Message(format!("what is live has no subject `{name}`\n  help: {help}")))
}

fn is_wanted(args: &ConntrackArgs, subject: Option<u64>, connection: &Connection) -> bool {
    let ends = &connection.ends;
    let ip = |net: ipnet::IpNet| net.contains(&ends.own) || net.contains(&ends.peer);
    let port =
        |port| show::has_ports(ends.protocol) && [ends.own_port, ends.peer_port].contains(&port);
    subject.is_none_or(|subject| subject == ends.subject)
        && args.ip.is_none_or(ip)
        && args.port.is_none_or(port)
        && args.protocol.is_none_or(|protocol| protocol == ends.protocol)
        && args.stage.is_none_or(|stage| stage.stage() == connection.stage)
}

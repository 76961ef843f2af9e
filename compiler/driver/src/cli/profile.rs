//! `policyc profile`

use policyc_sys::host::{Capability, missing_capabilities};

use super::args::ProfileArgs;
use super::progress::Progress;
use super::{Error, Status, output};
use crate::host::{self, Probed};

/// What attaching everywhere takes: programs, network hooks, tracing hooks, and
/// network namespaces of our own to try them in.
const NEEDED: [Capability; 4] =
    [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon, Capability::SysAdmin];

pub(super) fn run(args: &ProfileArgs) -> Result<Status, Error> {
    privileged()?;
    let progress = Progress::new();
    progress.say("attaching programs that do nothing");
    let probed = host::probe();
    progress.say("reading types and tracepoints");
    let found = probed.iter().filter(|probed| probed.result.is_ok());
    let profile = host::profile(found.map(|probed| probed.feature).collect());
    drop(progress);
    let (profile, problems) = profile.map_err(|error| {
        Error::Message(format!(
            "the formats of tracepoints cannot be read: {error}; \
             mount them with `mount -t tracefs none /sys/kernel/tracing`"
        ))
    })?;
    let text = profile.print().map_err(|error| Error::Message(error.to_string()))?;
    match &args.output {
        Some(path) => output::write_file(path, text.as_bytes())?,
        None => output::print(&text)?,
    }
    for line in probed.iter().map(line) {
        output::complain(&line);
    }
    for problem in &problems {
        output::complain(&format!("warning: {problem}"));
    }
    output::complain(&format!(
        "kernel {}: {} tracepoints, {} raw tracepoints",
        profile.kernel,
        profile.tracepoints.len(),
        profile.raw_tracepoints.len()
    ));
    Ok(Status::Clean)
}

fn privileged() -> Result<(), Error> {
    let missing = missing_capabilities(&NEEDED).unwrap_or_else(|_| NEEDED.to_vec());
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Err(Error::Message(format!(
        "finding out what this host can do needs {}: run as root",
        names.join(", ")
    )))
}

fn line(probed: &Probed) -> String {
    let name = probed.feature.name();
    match &probed.result {
        Ok(()) => format!("{name:<22} yes"),
        Err(error) => format!("{name:<22} no: {error}; {}", probed.remedy),
    }
}

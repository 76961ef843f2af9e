//! The steps about a boot: what is left of a machine is its state directory, which the
//! host carries from one machine to the next.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use policyc_runtime::{OnFailure, Restored, restore};

use crate::Doing as _;
use crate::machine;
use crate::network::{self, RIGHT_OF_PING};
use crate::packets::{STREAM_PORT, both_ends};
use crate::runtime::Runtime;
use crate::said::{AfterBoot, Kept, STATE, Said, Step};
use crate::traffic::{Echo, Ping, port_answers};

/// `deny-echo` goes live, and stays when the machine ends.
pub(crate) fn before() -> Result<Said, String> {
    network::build()?;
    let runtime = Runtime::new()?;
    let mut ping = Ping::new(RIGHT_OF_PING)?;
    let open = ping.answered(true)?;
    runtime.apply(&machine::artifact("deny-echo")?, &both_ends(Step::Tc))?;
    let denied = !ping.answered(false)?;
    let mut state = Vec::new();
    collect(&runtime.dirs().state, Path::new(""), &mut state)?;
    Ok(Said::Kept { enforced: open && denied, state })
}

/// It is restored: before the network is there, and once more when it is; or its copy is
/// spoilt, and everything is denied.
pub(crate) fn after(step: Step) -> Result<Said, String> {
    let runtime = Runtime::new()?;
    let state: Vec<Kept> =
        serde_json::from_slice(&machine::file(STATE)?).doing("read the state")?;
    for Kept { name, contents } in &state {
        let path = runtime.dirs().state.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&path)).doing("make a folder")?;
        let is_copy = name.ends_with("/artifact");
        let contents =
            if step == Step::RestoreSpoilt && is_copy { b"spoilt" } else { &contents[..] };
        fs::write(&path, contents).doing(name)?;
    }
    if step == Step::RestoreSpoilt {
        network::build()?;
    }
    let first = words(&restore(&runtime.host(), OnFailure::Closed).doing("restore")?);
    network::build()?;
    let again = match step {
        Step::Restore => words(&restore(&runtime.host(), OnFailure::Closed).doing("restore")?),
        _ => String::new(),
    };
    let mut ping = Ping::new(RIGHT_OF_PING)?;
    let _echo = Echo::new(RIGHT_OF_PING, STREAM_PORT)?;
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing("bind")?;
    let port = port_answers(&client, (RIGHT_OF_PING, STREAM_PORT), step == Step::Restore)?;
    let answers = (ping.answered(false)?, port);
    let live = runtime.live()?;
    let (drift, stands_for) = (live.has_drift(), live.stands_for);
    let left = runtime.remove()?;
    let open = ping.answered(true)?;
    Ok(Said::AfterBoot(AfterBoot { first, again, answers, drift, stands_for, open, left }))
}

fn words(restored: &Restored) -> String {
    match restored {
        Restored::Nothing { .. } => "nothing".to_owned(),
        Restored::Live { points, missing, .. } => {
            format!("live, {} more, {} missing", points.len(), missing.len())
        }
        Restored::Back { from, outcome, missing } => {
            format!("{from} back, {} places, {} missing", outcome.points.len(), missing.len())
        }
        Restored::Closed { from, outcome, missing, .. } => {
            format!("{from} closed, {} places, {} missing", outcome.points.len(), missing.len())
        }
    }
}

/// Every file below a folder, by its name from there.
fn collect(folder: &Path, below: &Path, found: &mut Vec<Kept>) -> Result<(), String> {
    for entry in fs::read_dir(folder.join(below)).doing("list the state")?.flatten() {
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            collect(folder, &name, found)?;
        } else {
            let contents = fs::read(entry.path()).doing("read the state")?;
            found.push(Kept { name: name.to_string_lossy().into_owned(), contents });
        }
    }
    Ok(())
}

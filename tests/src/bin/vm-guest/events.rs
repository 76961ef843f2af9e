//! A program is run and its event is read.

use std::process::Command;
use std::time::{Duration, Instant};

use policyc_runtime::{Bindings, Events};

use crate::Doing as _;
use crate::machine;
use crate::runtime::Runtime;
use crate::said::Said;

/// The program to run: this one, which ends at once.
const PROGRAM: &str = "/init";
/// With a blank, to see that arguments are kept apart.
const ARGUMENTS: [&str; 2] = ["one", "two words"];
/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn report(artifact: &str) -> Result<Said, String> {
    let runtime = Runtime::new()?;
    runtime.apply(&machine::artifact(artifact)?, &Bindings::default())?;
    let mut events = Events::open(runtime.dirs()).doing("open the events")?;
    let mut child = Command::new(PROGRAM).args(ARGUMENTS).spawn().doing("run a program")?;
    child.wait().doing("wait for the program")?;
    let records = read(&mut events)?;
    drop(events);
    let mut ran = vec![PROGRAM.to_owned()];
    ran.extend(ARGUMENTS.map(str::to_owned));
    Ok(Said::Reported { ran, pid: child.id(), records, left: runtime.remove()? })
}

/// The first record, and those that are there with it.
fn read(events: &mut Events) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.is_empty() && Instant::now() < deadline {
        records.extend(events.next_within(Duration::from_millis(200)).doing("read the events")?);
    }
    records.extend(events);
    Ok(records.iter().map(|bytes| bytes.iter().map(|b| format!("{b:02x}")).collect()).collect())
}

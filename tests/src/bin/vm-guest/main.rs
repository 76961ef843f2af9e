//! Init of the virtual machines in which the runtime is tested on other kernels.
//!
//! As process 1 of a machine that `tests/tests/vm` booted it does the steps that
//! the host has packed, with the runtime's own functions on the machine's kernel.
//! As any other process it ends at once: that is what it runs to be seen running.
//! It must be static; `tests/build-init.sh vm-guest` builds it.

mod boot;
mod events;
mod machine;
mod network;
mod packets;
mod profile;
mod runtime;
mod said;
mod traffic;

use std::fmt::Display;

use policyc_verify::vm::{Console, serve};
use said::{PLAN, Said, Step};

fn main() {
    serve(|console| {
        if let Err(error) = run(console) {
            say(console, &Said::Failed(error));
        }
    });
}

fn run(console: &Console) -> Result<(), String> {
    let plan = machine::file(PLAN)?;
    let plan: Vec<Step> = serde_json::from_slice(&plan).doing("read the plan")?;
    machine::prepare()?;
    for step in plan {
        let said = take(step).unwrap_or_else(|error| Said::Failed(format!("{step:?}: {error}")));
        say(console, &said);
    }
    Ok(())
}

fn take(step: Step) -> Result<Said, String> {
    match step {
        Step::Profile => profile::take(),
        Step::Tc | Step::Clsact => packets::swap(step),
        Step::Xdp | Step::XdpGeneric | Step::Cgroup | Step::Followed | Step::Host => {
            packets::filter(step)
        }
        Step::BeforeBoot => boot::before(),
        Step::Restore | Step::RestoreSpoilt => boot::after(step),
        Step::Exec => events::report("exec"),
        Step::ExecRaw => events::report("exec-raw"),
    }
}

fn say(console: &Console, said: &Said) {
    // INVARIANT: plain data with text keys is always JSON.
    console.say(&serde_json::to_string(said).unwrap_or_default());
}

/// What was being done when something failed.
trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, String>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

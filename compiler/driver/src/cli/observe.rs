//! `policyc observe`

use std::time::{Duration, SystemTime};

use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Dirs, Events, Host};
use policyc_sys::kernel::RealKernel;

use super::args::{EventFormat, ObserveArgs, VerdictFilter};
use super::{Error, Status, live, output};
use crate::observe::{Clock, Record, compact, decode, json};

/// How often a quiet ring is looked at for losses and for the end.
const TICK: Duration = Duration::from_millis(500);

pub(super) fn run(args: &ObserveArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let mut events = Events::open(&dirs).map_err(|error| live::failed(&error))?;
    let clock = Clock::new(SystemTime::now(), policyc_sys::host::monotonic_ns());
    let mut names = Names::default();
    let mut lost = Lost::default();
    let mut left = args.last.unwrap_or(usize::MAX);
    while left > 0 {
        lost.report(&events)?;
        let record = events.next_within(if args.follow { TICK } else { Duration::ZERO });
        let Some(bytes) = record.map_err(|error| live::failed(&error))? else {
            if args.follow {
                continue;
            }
            break;
        };
        let record = decode(&bytes);
        if !wanted(args, &record) {
            continue;
        }
        let artifact = names.of(&dirs, generation(&record));
        let manifest = artifact.map(Artifact::manifest);
        output::print(&match args.output {
            EventFormat::Compact => compact(&record, manifest, &clock),
            EventFormat::Json => json(&record, manifest, &clock),
        })?;
        left -= 1;
    }
    Ok(Status::Clean)
}

fn generation(record: &Record) -> Option<u32> {
    match record {
        Record::Verdict(verdict) => Some(verdict.generation),
        Record::Event(event) => Some(event.generation),
        Record::Unknown(..) => None,
    }
}

fn wanted(args: &ObserveArgs, record: &Record) -> bool {
    match (args.verdict, record) {
        (None, _) | (_, Record::Unknown(..)) => true,
        (Some(VerdictFilter::Forwarded), Record::Verdict(verdict)) => verdict.forwarded,
        (Some(VerdictFilter::Dropped), Record::Verdict(verdict)) => !verdict.forwarded,
        (Some(_), Record::Event(_)) => false,
    }
}

/// The artifact that names the rules of the generation that reports.
#[derive(Default)]
struct Names {
    generation: Option<u32>,
    artifact: Option<Artifact>,
}

impl Names {
    /// The artifact of a generation; `None` when it is not the one that is live,
    /// whose copy is the only one kept.
    fn of(&mut self, dirs: &Dirs, generation: Option<u32>) -> Option<&Artifact> {
        if generation.is_some() && self.generation != generation {
            self.generation = generation;
            self.artifact = read(dirs, generation);
        }
        self.artifact.as_ref()
    }
}

fn read(dirs: &Dirs, generation: Option<u32>) -> Option<Artifact> {
    let host = Host { kernel: &RealKernel, dirs };
    let live = runtime::status(&host).ok()?.live?;
    // Records carry the low half of the number, which is enough to tell two apart.
    if Some(live.generation as u32) != generation {
        return None;
    }
    runtime::last_applied(&host).ok()?.map(|(artifact, _)| artifact)
}

/// Tells when the ring had no room.
#[derive(Default)]
struct Lost {
    told: u64,
}

impl Lost {
    fn report(&mut self, events: &Events) -> Result<(), Error> {
        let lost = events.lost().map_err(|error| live::failed(&error))?.unwrap_or(0);
        if lost > self.told {
            output::complain(&format!("policyc: {} events were lost so far", lost));
            self.told = lost;
        }
        Ok(())
    }
}

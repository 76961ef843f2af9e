//! `policyc observe`

use std::collections::BTreeMap;
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

/// The artifacts that name the rules of the generations that report; `None` for
/// those whose copy is gone.
#[derive(Default)]
struct Names {
    artifacts: BTreeMap<u32, Option<Artifact>>,
}

impl Names {
    /// How many are kept: around a swap the records of two generations mix.
    const KEPT: usize = 4;

    fn of(&mut self, dirs: &Dirs, generation: Option<u32>) -> Option<&Artifact> {
        let generation = generation?;
        if !self.artifacts.contains_key(&generation) && self.artifacts.len() == Self::KEPT {
            self.artifacts.pop_first();
        }
        let read = || {
            let host = Host { kernel: &RealKernel, dirs };
            runtime::artifact_of(&host, generation).ok().flatten()
        };
        self.artifacts.entry(generation).or_insert_with(read).as_ref()
    }
}

/// Tells when the ring had no room.
#[derive(Default)]
struct Lost {
    told: u64,
}

impl Lost {
    fn report(&mut self, events: &Events) -> Result<(), Error> {
        let lost = events.lost().map_err(|error| live::failed(&error))?.unwrap_or(0);
        // Another ring counts from 0.
        self.told = self.told.min(lost);
        if lost > self.told {
            output::complain(&format!("policyc: {} events were lost so far", lost));
            self.told = lost;
        }
        Ok(())
    }
}

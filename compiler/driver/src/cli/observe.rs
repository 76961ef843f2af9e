//! `policyc observe`

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Dirs, Events, Host};
use policyc_sys::kernel::RealKernel;

use super::args::{EventFormat, ObserveArgs};
use super::{Error, Status, live, output};
use crate::bindings;
use crate::observe::{Clock, Record, compact, decode, dict, json, jsonpb};

/// How often a quiet ring is looked at for losses and for the end.
const TICK: Duration = Duration::from_millis(500);

pub(super) fn run(args: &ObserveArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let events = Events::open(&dirs).map_err(|error| live::failed(&error))?;
    let now = policyc_sys::host::monotonic_ns();
    let mut observer = Observer {
        args,
        dirs: &dirs,
        events,
        clock: Clock::new(SystemTime::now(), now),
        since: args.since.map_or(0, |since| now.saturating_sub(nanoseconds(since))),
        began: now,
        is_behind: true,
        node: bindings::host_name().unwrap_or_default(),
        names: Names::default(),
        lost: Lost::default(),
        no_flows: NoFlows::default(),
    };
    observer.print_what_is_there()?;
    if !args.follow {
        return Ok(Status::Clean);
    }
    loop {
        if let Some(line) = observer.next_line(TICK)?.flatten() {
            output::print(&line)?;
        }
    }
}

/// What reads, chooses and writes.
struct Observer<'a> {
    args: &'a ObserveArgs,
    dirs: &'a Dirs,
    events: Events,
    clock: Clock,
    /// CLOCK_MONOTONIC, nanoseconds: what is older is not shown.
    since: u64,
    /// The same: when it was started.
    began: u64,
    /// Whether all that was read was there before.
    is_behind: bool,
    /// This host's name.
    node: String,
    names: Names,
    lost: Lost,
    no_flows: NoFlows,
}

impl Observer<'_> {
    /// Records that nobody has read yet; of those that are shown the last ones. What
    /// comes meanwhile ends it: there may always be more.
    fn print_what_is_there(&mut self) -> Result<(), Error> {
        let last = self.args.last.unwrap_or(usize::MAX);
        let mut lines = VecDeque::new();
        while self.is_behind
            && let Some(line) = self.next_line(Duration::ZERO)?
        {
            lines.extend(line);
            if lines.len() > last {
                lines.pop_front();
            }
        }
        lines.iter().try_for_each(|line| output::print(line))
    }

    /// The next record: its line if it is shown; `None` if there was none in time.
    fn next_line(&mut self, timeout: Duration) -> Result<Option<Option<String>>, Error> {
        self.lost.report(&self.events)?;
        let record = self.events.next_within(timeout);
        let Some(bytes) = record.map_err(|error| live::failed(&error))? else { return Ok(None) };
        let record = decode(&bytes);
        self.is_behind = matches!(record, Record::Unknown(..)) || time(&record) <= self.began;
        let artifact = self.names.of(self.dirs, generation(&record));
        let manifest = artifact.map(Artifact::manifest);
        if time(&record) < self.since || !self.args.filters.0.show(&record, manifest) {
            return Ok(Some(None));
        }
        Ok(Some(match self.args.output {
            EventFormat::Compact => Some(compact(&record, manifest, &self.clock)),
            EventFormat::Dict => Some(
                dict(&record, manifest, &self.clock)
                    .unwrap_or_else(|| compact(&record, manifest, &self.clock)),
            ),
            EventFormat::Json => Some(json(&record, manifest, &self.clock)),
            EventFormat::Jsonpb => {
                let line = jsonpb(&record, manifest, &self.clock, &self.node);
                if line.is_none() {
                    self.no_flows.report();
                }
                line
            }
        }))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// When a record was made, by CLOCK_MONOTONIC in nanoseconds; what cannot be read is
/// of any time.
fn time(record: &Record) -> u64 {
    match record {
        Record::Verdict(verdict) => verdict.time,
        Record::Event(event) => event.time,
        Record::Unknown(..) => u64::MAX,
    }
}

fn generation(record: &Record) -> Option<u32> {
    match record {
        Record::Verdict(verdict) => Some(verdict.generation),
        Record::Event(event) => Some(event.generation),
        Record::Unknown(..) => None,
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

/// Tells once that there are records which Hubble has no form for.
#[derive(Default)]
struct NoFlows {
    is_told: bool,
}

impl NoFlows {
    fn report(&mut self) {
        if !self.is_told {
            output::complain(
                "policyc: events of hooks, and records that cannot be read, are no flows and \
                 left out: `-o json` has them",
            );
            self.is_told = true;
        }
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

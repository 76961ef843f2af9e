//! Bringing an artifact up: the steps of `apply`, in order.
//!
//! Guarantees: at the store every gate goes over to the new generation at
//! once, those that came with it included; a failure before it leaves the host
//! as it was.

mod bring_up;
mod dry_run;
mod fill;
mod load;
mod places;
mod plan;
mod resolve;
mod units;
mod unjudged;

use std::time::{Duration, SystemTime};

use policyc_bpf::{Artifact, Digest};
use policyc_sys::Kernel;

pub(crate) use resolve::{
    Wanted, more as resolve_all, present, resolve as resolve_everything, unjudged,
};
pub use units::unit_cgroup;

use crate::bindings::{Attach, Bindings};
use crate::connection::{self, Adopted};
use crate::error::{Error, OrDoing};
use crate::gate;
use crate::generation::Generation;
use crate::host::Host;
use crate::journal::{Journal, Record};
use crate::members;
use crate::point::Point;
use crate::privileges;
use crate::recover::{Recovered, abandon, adopt, recover, retire};
use crate::state::{Parity, StateWord};
use bring_up::BringUp;

/// How to apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Load and test-run everything, and make nothing live.
    pub dry_run: bool,
    /// Go back to what was live unless confirmed within this time.
    pub confirm: Option<Duration>,
    /// Report forwarded packets too, not only denied ones.
    pub report_forwarded: bool,
    /// Adopt the connections that exist.
    pub adopt: bool,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The generation's number; the one it would have had in a dry run.
    pub generation: u64,
    /// The artifact's content.
    pub hash: Digest,
    /// Whether it is live.
    pub live: bool,
    /// Where it judges, with the subject, in the order of attach ids.
    pub points: Vec<(Point, Option<String>)>,
    /// Gates that were made for it.
    pub new_gates: usize,
    /// Gates that were removed because nothing is judged there any more; with
    /// a pending confirmation those that will be.
    pub old_gates: usize,
    /// Where something was judged and nothing is any more; with a pending
    /// confirmation, nothing will be.
    pub left: Vec<Point>,
    /// Groups and workloads whose members had been patched, and begin with the artifact's:
    /// it says something else of them than the one before.
    pub replaced: Vec<String>,
    /// How long it waits for its confirmation.
    pub confirm_within: Option<Duration>,
    /// What became of connections that existed, if they were to be adopted.
    pub adopted: Option<Adopted>,
}

/// Makes an artifact live on this host, in place of the one that is.
///
/// # Errors
/// See [`Error`]; unless it is [`Error::AfterFlip`], what was live still is,
/// and nothing else changed.
pub fn apply<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    options: Options,
) -> Result<Outcome, Error> {
    let _lock = host.lock("apply")?;
    check_privileges(host, bindings)?;
    check_bpffs(host)?;
    let Recovered { journal, .. } = recover(host)?;
    let job = Job { artifact, bindings, options, stands_for: None };
    make_live(host, journal, &job, || resolve::resolve(host, artifact, bindings))
}

/// What is to be made live.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) artifact: &'a Artifact,
    /// As they are written down.
    pub(crate) bindings: &'a Bindings,
    pub(crate) options: Options,
    /// The generation instead of which it denies.
    pub(crate) stands_for: Option<u64>,
}

/// Makes a generation live at places that are found when nothing is in the way. The
/// caller has the lock, and the journal is true.
pub(crate) fn make_live<K: Kernel>(
    host: &Host<'_, K>,
    mut journal: Journal,
    job: &Job<'_>,
    find: impl FnOnce() -> Result<Vec<Wanted>, Error>,
) -> Result<Outcome, Error> {
    let Job { artifact, bindings, options, stands_for } = *job;
    let state = open_or_make_state(host)?;
    let word = host.read_state(&state)?;
    refuse_pending(host.kernel, &journal, word)?;

    let mut plan = plan::plan(&journal, find()?, host.home(&state)?);
    plan.stands_for = stands_for;
    plan.by = host.kernel.invoker().into();
    plan.members = members::next(host, artifact, &journal)?;
    plan.check(host, &journal)?;
    let generation = load::load(host, artifact, &plan, options)?;
    dry_run::dry_run(host, artifact, &generation)?;
    let outcome = plan.outcome(artifact, &options, &journal);
    if options.dry_run {
        return Ok(outcome);
    }

    let parity = word.parity().other();
    let adoption = options.adopt.then(|| journal.next_adoption());
    let record = &plan.record(artifact, &options, parity, seconds_since_1970(), adoption);
    let (plan, generation, state) = (&plan, &generation, &state);
    let bring_up = BringUp { host, artifact, bindings, plan, generation, record, state };
    let mut adopted = None;
    let mut adopt_existing = || match adoption {
        Some(number) => {
            let adopted = adopted.get_or_insert_default();
            connection::adopt(host, artifact, bindings, generation, number, adopted)
        }
        None => Ok(()),
    };
    let flipped = bring_up
        .run(&mut journal)
        .and_then(|()| adopt_existing())
        .and_then(|()| flip(host, state, word, parity, options.confirm));
    if let Err(error) = flipped {
        // What cannot be undone now, the next command undoes.
        let _ = abandon(host, &mut journal);
        return Err(error);
    }
    let generation = record.number;
    // Once more: what came between the look and the store.
    clean_up(host, journal, options)
        .and_then(|()| adopt_existing())
        .map_err(|error| Error::AfterFlip { generation, error: Box::new(error) })?;
    Ok(Outcome { live: true, adopted, ..outcome })
}

/// What gates are added to.
#[derive(Debug)]
pub(crate) struct AddTo<'a, M> {
    pub(crate) artifact: &'a Artifact,
    pub(crate) bindings: &'a Bindings,
    pub(crate) record: &'a Record,
    pub(crate) state: &'a M,
}

/// Attaches new gates of a generation that is live. On return the journal says that
/// they are being attached.
pub(crate) fn add_gates<K: Kernel>(
    host: &Host<'_, K>,
    into: &AddTo<'_, K::Map>,
    mut generation: Generation<K>,
    wanted: Vec<Wanted>,
    journal: &mut Journal,
) -> Result<(), Error> {
    let AddTo { artifact, bindings, record, state } = *into;
    let plan = plan::plan_more(journal, wanted, record.number);
    load::load_more(host, artifact, &plan, &mut generation)?;
    let (plan, generation) = (&plan, &generation);
    BringUp { host, artifact, bindings, plan, generation, record, state }.run_more(journal)
}

pub(crate) fn check_privileges<K: Kernel>(
    host: &Host<'_, K>,
    bindings: &Bindings,
) -> Result<(), Error> {
    let mounts = host.kernel.bpffs(&host.dirs.bpffs).or_doing("look for the BPF file system")?;
    let enters = bindings.places().any(|(_, attach)| match attach {
        Attach::Tc(port) | Attach::Clsact(port) | Attach::Xdp(port) => port.netns.is_some(),
        Attach::Netns { .. } => true,
        Attach::Cgroup { .. } | Attach::Unit { .. } | Attach::Host { .. } => false,
    });
    privileges::require(host, mounts.is_none() || enters)
}

pub(crate) fn check_bpffs<K: Kernel>(host: &Host<'_, K>) -> Result<(), Error> {
    let path = &host.dirs.bpffs;
    host.kernel.ensure_bpffs(path).map_err(|error| Error::NoBpffs { path: path.clone(), error })
}

/// The pinned state word, or a new map that is not pinned yet.
fn open_or_make_state<K: Kernel>(host: &Host<'_, K>) -> Result<K::Map, Error> {
    match host.open_state()? {
        Some(state) => Ok(state),
        None => host.kernel.map_create(&gate::state_def()).or_doing("create the state word"),
    }
}

/// While a confirmation is pending both parities are taken.
pub(crate) fn refuse_pending<K: Kernel>(
    kernel: &K,
    journal: &Journal,
    word: StateWord,
) -> Result<(), Error> {
    let (Some(deadline), Some(active)) = (word.deadline(), &journal.active) else {
        return Ok(());
    };
    let seconds = deadline.saturating_sub(kernel.now()).div_ceil(1_000_000_000);
    Err(Error::Pending { generation: active.number, seconds })
}

/// The one store.
fn flip<K: Kernel>(
    host: &Host<'_, K>,
    state: &K::Map,
    word: StateWord,
    parity: Parity,
    confirm: Option<Duration>,
) -> Result<(), Error> {
    let next = match confirm {
        None => word.settled(parity),
        Some(within) => {
            let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
            // INVARIANT: below 2^62, as the word holds it.
            let deadline = host.kernel.now().saturating_add(within).min((1 << 62) - 1);
            StateWord::until(parity, deadline)
        }
    };
    host.write_state(state, next)
}

/// After the store: the old generation ends, or is kept until the confirmation.
fn clean_up<K: Kernel>(
    host: &Host<'_, K>,
    mut journal: Journal,
    options: Options,
) -> Result<(), Error> {
    adopt(host, &mut journal)?;
    if options.confirm.is_some() {
        return host.kernel.grace_period().or_doing("wait for running programs to end");
    }
    retire(host, &mut journal)
}

pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

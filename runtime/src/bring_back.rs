//! After a boot: the generation that was confirmed last is live again, or, if that is
//! wished, everything is denied where it judged.
//!
//! Guarantees: it is the one that was confirmed, never one that waited for that; what is
//! live is not brought back again, and never replaced; what is bound and not there yet is
//! named, and bound by the same command given again.
//! Does not know: when it is run, or what comes later.

use policyc_bpf::Artifact;
use policyc_sys::{Kernel, SysError, errno};

use crate::apply::{self, Job, Options, Outcome, Wanted, make_live, unit_cgroup};
use crate::attach;
use crate::bindings::{Attach, Binding, Bindings, Port, Side};
use crate::closed;
use crate::error::Error;
use crate::host::Host;
use crate::journal::{Gate, Record};
use crate::point::{InterfaceId, Point};
use crate::privileges;
use crate::recover::{Recovered, recover};
use crate::restore::{read_bindings, read_copy};

/// How often a place may go while it is being bound.
const ATTEMPTS: usize = 3;

/// What is done if a generation cannot be brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// Nothing: nothing is judged.
    #[default]
    Open,
    /// Every place that it judged and that is there denies everything.
    Closed,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Restored {
    /// There is nothing to bring back: nothing was confirmed, or it was removed.
    Nothing {
        /// The number of the one that was removed.
        removed: Option<u64>,
    },
    /// It is live already.
    Live {
        /// Its number.
        generation: u64,
        /// Where it judges now and did not before, because it was not there.
        points: Vec<(Point, Option<String>)>,
        /// What is still not there.
        missing: Vec<Error>,
    },
    /// It is live again.
    Back {
        /// The number that it had.
        from: u64,
        /// What it is now.
        outcome: Outcome,
        /// What is bound and not there yet.
        missing: Vec<Error>,
    },
    /// It could not be brought back, and everything is denied where it judged.
    Closed {
        /// Its number.
        from: u64,
        /// What denies.
        outcome: Outcome,
        /// Where nothing could be closed.
        missing: Vec<Error>,
        /// Why it could not be brought back.
        reason: Box<Error>,
    },
}

/// Brings the generation back that was confirmed last, if nothing is live; else binds
/// what is there now and was not before.
///
/// # Errors
/// What failed. With [`OnFailure::Closed`] then only what is live, [`Error::Locked`],
/// [`Error::AfterFlip`], or [`Error::NotClosed`].
pub fn restore<K: Kernel>(host: &Host<'_, K>, on_failure: OnFailure) -> Result<Restored, Error> {
    let _lock = host.lock("restore")?;
    // Recovery forgets the gates of an earlier boot; their points say what was judged.
    let gates = host.read_journal().map(|journal| match journal.lost_gates.is_empty() {
        true => journal.gates,
        false => journal.lost_gates,
    });
    let gates = gates.unwrap_or_default();
    let mut result = bring_back(host, &gates);
    for _ in 1..ATTEMPTS {
        match &result {
            Err(Error::Attach { error, .. }) if error.is(errno::ENODEV) => {
                result = bring_back(host, &gates);
            }
            _ => break,
        }
    }
    match result {
        Err(reason @ Error::AfterFlip { .. }) => Err(reason),
        Err(reason) if on_failure == OnFailure::Closed => close(host, &gates, reason),
        other => other,
    }
}

fn bring_back<K: Kernel>(host: &Host<'_, K>, gates: &[Gate]) -> Result<Restored, Error> {
    privileges::require(host, false)?;
    apply::check_bpffs(host)?;
    let Recovered { journal, .. } = recover(host)?;
    if journal.judging().is_some() {
        return attach::attach_missing(host, journal);
    }
    let Some(lost) = journal.lost.clone().filter(|_| !journal.removed) else {
        return Ok(Restored::Nothing { removed: journal.lost.map(|lost| lost.number) });
    };
    let generation = lost.number;
    let (artifact, bindings) = read_copy(host, &lost)?.ok_or(Error::NoCopy { generation })?;
    if artifact.hash() != lost.hash {
        return Err(Error::Artifact("its copy is not what was applied".to_owned()));
    }
    let options = Options { report_forwarded: lost.report_forwarded, ..Options::default() };
    let job = Job { artifact: &artifact, bindings: &bindings, options, stands_for: None };
    let mut missing = Vec::new();
    let outcome = make_live(host, journal, &job, || {
        let found = find(host, &artifact, &as_it_was(host, &bindings, gates), is_absent)?;
        missing = found.1;
        missing.extend(gone(&lost, gates, &found.0, &missing));
        Ok(found.0)
    })?;
    Ok(Restored::Back { from: generation, outcome, missing })
}

/// Interfaces that it judged and that nothing leads to any more: bindings that mean every
/// interface of a place are content with some.
fn gone(lost: &Record, gates: &[Gate], found: &[Wanted], missing: &[Error]) -> Vec<Error> {
    let mut gone: Vec<Error> = Vec::new();
    for judged in &lost.judges {
        let gate = gates.iter().find(|gate| gate.id == judged.gate);
        let Some(was) = gate.and_then(|gate| gate.point.interface()) else { continue };
        let is_it = |now: &InterfaceId| (&now.name, &now.netns) == (&was.name, &was.netns);
        let is_found = found.iter().any(|wanted| wanted.point.interface().is_some_and(is_it));
        let names_it = |error: &Error| match error {
            Error::NoInterface { interface, netns, .. } => {
                (interface, netns) == (&was.name, &was.netns)
            }
            Error::NoNetns { path, .. } => Some(path) == was.netns.as_ref(),
            _ => false,
        };
        if !is_found && !missing.iter().chain(&gone).any(names_it) {
            gone.push(Error::NoInterface {
                subject: judged.subject.clone().unwrap_or_default(),
                interface: was.name.clone(),
                netns: was.netns.clone(),
                error: Box::new(SysError::new("interface", errno::ENODEV)),
            });
        }
    }
    gone
}

/// Denies everything where the generation judged that cannot be brought back.
fn close<K: Kernel>(host: &Host<'_, K>, gates: &[Gate], reason: Error) -> Result<Restored, Error> {
    let not_closed = |error: Error| Error::NotClosed {
        reason: Box::new(reason.clone()),
        error: Box::new(error),
    };
    let mut refused: Vec<(Point, Error)> = Vec::new();
    let mut unfollowed = None;
    loop {
        let Recovered { journal, .. } = recover(host).map_err(not_closed)?;
        let lost = journal.lost.clone().filter(|_| !journal.removed);
        let Some(lost) = lost.filter(|_| journal.judging().is_none()) else {
            return Err(reason);
        };
        let bindings = judged_by(host, &lost, gates).map_err(not_closed)?;
        let artifact = closed::artifact(&bindings).map_err(not_closed)?;
        let (options, stands_for) = (Options::default(), Some(lost.number));
        let job = Job { artifact: &artifact, bindings: &bindings, options, stands_for };
        let closed = journal.active.as_ref().filter(|live| live.stands_for == stands_for);
        let closed = closed.map(|live| attach::judged(&artifact, &journal, live));
        let mut missing = Vec::new();
        let outcome = make_live(host, journal, &job, || {
            let places = as_it_was(host, &bindings, gates);
            let (mut wanted, left_out) = find(host, &artifact, &places, |_| true)?;
            missing = left_out.into_iter().filter(|error| !is_absent(error)).collect();
            wanted.retain(|wanted| refused.iter().all(|(point, _)| wanted.point != *point));
            let follows = |wanted: &Wanted| matches!(wanted.point, Point::Followed { .. });
            wanted.retain(|wanted| unfollowed.is_none() || !follows(wanted));
            // What is closed stays closed, whether something leads there now or not.
            for place in closed.unwrap_or_default() {
                if wanted.iter().all(|wanted| wanted.point != place.point) {
                    wanted.push(place);
                }
            }
            Ok(wanted)
        });
        match outcome {
            Ok(outcome) => {
                missing.extend(refused.into_iter().map(|(_, error)| error).chain(unfollowed));
                let (from, reason) = (lost.number, Box::new(reason));
                return Ok(Restored::Closed { from, outcome, missing, reason });
            }
            // One place that cannot be closed is no reason to leave the others open.
            Err(Error::Attach { point, error })
                if refused.iter().all(|(other, _)| *other != *point) =>
            {
                refused.push(((*point).clone(), Error::Attach { point, error }));
            }
            Err(error @ Error::CannotFollow { .. }) if unfollowed.is_none() => {
                unfollowed = Some(error);
            }
            Err(error) => return Err(not_closed(error)),
        }
    }
}

fn find<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    leaves_out: fn(&Error) -> bool,
) -> Result<(Vec<Wanted>, Vec<Error>), Error> {
    apply::present(host, artifact, bindings, Vec::new(), leaves_out)
}

/// Whether what a binding names is not there, and may come.
pub(crate) fn is_absent(error: &Error) -> bool {
    match error {
        Error::NoInterface { error, .. } | Error::NoNetns { error, .. } => {
            error.is(errno::ENODEV) || error.is(errno::ENOENT)
        }
        Error::NoCgroup { error, .. } => error.is(errno::ENOENT),
        Error::NoInterfaces { .. } => true,
        _ => false,
    }
}

/// Who was judged where: by the copy of the bindings, else by the gates that there were.
fn judged_by<K: Kernel>(
    host: &Host<'_, K>,
    lost: &Record,
    gates: &[Gate],
) -> Result<Bindings, Error> {
    if let Ok(Some(bindings)) = read_bindings(host, lost.number) {
        return Ok(bindings);
    }
    let mut bindings = Bindings::default();
    for judged in &lost.judges {
        let point = gates.iter().find(|gate| gate.id == judged.gate).map(|gate| &gate.point);
        let Some(attach) = point.and_then(by_name) else { continue };
        match &judged.subject {
            Some(subject) => {
                let binding = Binding { subject: subject.clone(), attach };
                if !bindings.bindings.contains(&binding) {
                    bindings.bindings.push(binding);
                }
            }
            None if bindings.unknown_subjects.contains(&attach) => {}
            None => bindings.unknown_subjects.push(attach),
        }
    }
    if bindings == Bindings::default() {
        return Err(Error::NoCopy { generation: lost.number });
    }
    Ok(bindings)
}

/// The way to attach to what has the name of a point now.
fn by_name(point: &Point) -> Option<Attach> {
    let port = |interface: &InterfaceId| Port {
        interface: interface.name.clone(),
        netns: interface.netns.clone(),
        side: Side::Own,
    };
    Some(match point {
        Point::Tc { interface, .. } => Attach::Tc(port(interface)),
        Point::Xdp { interface } => Attach::Xdp(port(interface)),
        Point::Host { interface, .. } => Attach::Host { interfaces: vec![interface.name.clone()] },
        Point::CgroupSkb { path, .. } => Attach::Cgroup { path: path.clone(), at: None },
        Point::Followed { path, at, .. } => {
            Attach::Cgroup { path: path.clone(), at: Some(at.clone()) }
        }
        Point::RawTracepoint { .. } | Point::Tracepoint { .. } => return None,
    })
}

/// The bindings, with units that do not run yet where they ran: nothing else says in
/// which slice they will.
fn as_it_was<K: Kernel>(host: &Host<'_, K>, bindings: &Bindings, gates: &[Gate]) -> Bindings {
    let mut bindings = bindings.clone();
    for Binding { subject, attach } in &mut bindings.bindings {
        let Attach::Unit { name } = &*attach else { continue };
        let was = gates.iter().find_map(|gate| match &gate.point {
            Point::Followed { path, at, .. } if path.file_name() == Some(name.as_ref()) => {
                Some((path, at))
            }
            _ => None,
        });
        let is_there = !matches!(unit_cgroup(host, subject, name), Ok(None));
        if let Some((path, at)) = was.filter(|_| !is_there) {
            *attach = Attach::Cgroup { path: path.clone(), at: Some(at.clone()) };
        }
    }
    bindings
}

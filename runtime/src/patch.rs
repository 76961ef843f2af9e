//! Giving groups and workloads other members while policy is live, without another
//! program.
//!
//! Guarantees: at any time a packet is judged with its peer in the sets it was in before
//! or in those it is in afterwards; on return, with the latter. What is refused or fails
//! changes nothing. What is to be known is written first: of a command that is killed
//! before that nothing is left, and after it the next command finishes what it began. What
//! is known survives a crash of the machine when the command returns.
//! Does not know: where the members come from.

use std::collections::BTreeSet;
use std::fmt;

use policyc_bpf::manifest::RuntimeSet;
use policyc_bpf::sets::{Prefix, View};
use policyc_sys::Kernel;

use crate::apply::{refuse_pending, seconds_since_1970};
use crate::error::Error;
use crate::host::Host;
use crate::members::{self, Facts, Group, Maps};
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover};
use crate::restore::read_copy;

/// The members that a group or workload is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members {
    /// Its id.
    pub id: u64,
    /// Every one of them, with those that some rule leaves out; ascending.
    pub prefixes: Vec<Prefix>,
}

/// What becomes of a group or workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patched {
    /// What was known of it.
    pub before: Group,
    /// Its members.
    pub members: Vec<Prefix>,
    /// Whether a rule of what is live names it.
    pub is_named: bool,
}

impl Patched {
    /// Members that it has and had not, and that it had and has not.
    pub fn difference(&self) -> (Vec<Prefix>, Vec<Prefix>) {
        let before: BTreeSet<Prefix> = self.before.members.iter().copied().collect();
        let after: BTreeSet<Prefix> = self.members.iter().copied().collect();
        (after.difference(&before).copied().collect(), before.difference(&after).copied().collect())
    }
}

/// The live generation, with nobody else changing it.
#[derive(Debug)]
pub struct Patch<'a, K: Kernel> {
    host: &'a Host<'a, K>,
    _lock: K::Lock,
    /// Number of the generation that is live.
    pub generation: u64,
    sets: Vec<RuntimeSet>,
    facts: Facts,
    /// Whether they are what somebody wrote down, and programs see.
    is_written: bool,
    maps: Option<Maps<K::Map>>,
}

/// A change that can be stored.
#[derive(Debug)]
pub struct Change {
    facts: Facts,
    view: View,
    /// What becomes of each that was given.
    pub patched: Vec<Patched>,
}

impl<'a, K: Kernel> Patch<'a, K> {
    /// Finishes what a killed command left, and looks at what is live.
    ///
    /// # Errors
    /// [`Error::NothingLive`]; [`Error::Pending`]; what failed.
    pub fn open(host: &'a Host<'a, K>) -> Result<Self, Error> {
        let _lock = host.lock("patch")?;
        check_privileges(host, &host.read_journal()?)?;
        let Recovered { journal, .. } = recover(host)?;
        // What denies everything in its stead knows of no group.
        let (Some(state), Some(record)) = (host.open_state()?, journal.judging()) else {
            return Err(Error::NothingLive);
        };
        refuse_pending(host.kernel, &journal, host.read_state(&state)?)?;
        let (artifact, _) = read_copy(host, record)?.ok_or(Error::NothingLive)?;
        let sets = artifact.manifest().sets.clone();
        let maps = Maps::open(host, record.number)?;
        let shown = maps.as_ref().map_or(Ok(0), |maps| maps.shown(host.kernel))?;
        let facts = members::read(host, record)?;
        let is_written = facts.is_some();
        let facts = facts.unwrap_or_else(|| Facts::said(&sets, shown));
        Ok(Self { host, _lock, generation: record.number, sets, facts, is_written, maps })
    }

    /// What is known, by id: groups and workloads that rules name, and those that were
    /// changed while a rule did.
    pub fn groups(&self) -> impl Iterator<Item = (u64, &Group)> {
        self.facts.groups.iter().map(|(id, group)| (*id, group))
    }

    /// What becomes of it if these have these members, and the others stay as they are.
    ///
    /// # Errors
    /// [`Error::NoSet`]; [`Error::TooManySets`], [`Error::TooManyMembers`],
    /// [`Error::TwoWorkloads`], [`Error::Barred`]; what failed.
    pub fn plan(&self, wanted: &[Members]) -> Result<Change, Error> {
        let mut facts = self.facts.clone();
        facts.change += 1;
        let mut patched = Vec::new();
        for Members { id, prefixes } in wanted {
            let group = facts.groups.get_mut(id).ok_or(Error::NoSet)?;
            let after = Group {
                members: prefixes.clone(),
                patched: Some(seconds_since_1970()),
                ..group.clone()
            };
            patched.push(Patched {
                before: std::mem::replace(group, after),
                members: prefixes.clone(),
                is_named: self.sets.iter().any(|set| set.id == *id),
            });
        }
        let view = match &self.maps {
            Some(maps) => members::view_of(&self.sets, &facts, maps, self.host.kernel)?,
            None => View::default(),
        };
        Ok(Change { facts, view, patched })
    }

    /// Makes it so.
    ///
    /// # Errors
    /// [`Error::HalfPatched`]; what failed: nothing changed then.
    pub fn make(self, change: &Change) -> Result<(), Error> {
        self.store(change)?.settle()
    }

    /// Makes it so for packets that come from now on. That is to be settled.
    ///
    /// # Errors
    /// The same.
    pub fn store(self, change: &Change) -> Result<Stored<'a, K>, Error> {
        let kernel = self.host.kernel;
        let seen = |maps| match self.is_written {
            true => members::seen(&self.sets, &self.facts, maps, kernel),
            false => maps.seen(kernel),
        };
        let seen = self.maps.as_ref().map(seen).transpose()?;
        let stored = members::begin(self.host, self.generation, &change.facts);
        let stored = stored.and_then(|()| match self.maps.as_ref().zip(seen.as_ref()) {
            Some((maps, seen)) => maps.store(kernel, seen, &change.view),
            None => Ok(()),
        });
        let it = Stored { patch: self, seen, change: change.facts.change };
        match stored {
            Ok(()) => Ok(it),
            Err(error) => Err(it.undo(error)),
        }
    }
}

/// A change that packets are judged by already.
pub struct Stored<'a, K: Kernel> {
    patch: Patch<'a, K>,
    /// What programs saw before.
    seen: Option<View>,
    change: u64,
}

impl<K: Kernel> fmt::Debug for Stored<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("change", &self.change).finish_non_exhaustive()
    }
}

impl<K: Kernel> Stored<'_, K> {
    /// Makes it survive a crash of the machine, and waits until no program looks at what
    /// was before.
    ///
    /// # Errors
    /// [`Error::HalfPatched`]; what failed: nothing changed then.
    pub fn settle(self) -> Result<(), Error> {
        let Patch { host, generation, maps, .. } = &self.patch;
        let settled = members::settle(host, *generation).and_then(|()| match maps {
            Some(maps) => maps.done(host.kernel, self.change),
            None => Ok(()),
        });
        settled.map_err(|error| self.undo(error))
    }

    /// Programs see what they saw, and that is what is known.
    fn undo(&self, error: Error) -> Error {
        let Patch { host, generation, maps, facts, .. } = &self.patch;
        let undone = || {
            if let Some((maps, seen)) = maps.as_ref().zip(self.seen.as_ref()) {
                maps.store(host.kernel, &maps.seen(host.kernel)?, seen)?;
            }
            members::write(host, *generation, facts)
        };
        match undone() {
            Ok(()) => error,
            Err(_) => Error::HalfPatched { error: Box::new(error) },
        }
    }
}

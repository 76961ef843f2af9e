//! Giving run-time sets other members while policy is live, without another program.
//!
//! Guarantees: at any time a packet is judged with its peer in the sets it was in before
//! or in those it is in afterwards; on return, with the latter. What is refused changes
//! nothing. A command that is killed on the way leaves some addresses changed and others
//! not; the same command, given again, finishes.
//! Does not know: where the members come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policyc_bpf::manifest::RuntimeSet;
use policyc_bpf::sets::{MEMBERS, Member, Prefix, SETS};
use policyc_sys::Kernel;

use crate::apply::refuse_pending;
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::members;
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover};
use crate::restore::read_copy;

/// The members that a set is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members {
    /// The set's id.
    pub id: u64,
    /// Every one of them.
    pub prefixes: Vec<Prefix>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patched {
    /// The generation that is live.
    pub generation: u64,
    /// For each set that was given, how many members it had and has.
    pub members: Vec<(usize, usize)>,
}

/// Gives these sets these members, and leaves the others as they are.
///
/// # Errors
/// [`Error::NothingLive`]; [`Error::NoSet`] for a set that what is live does not name;
/// [`Error::TooManySets`], [`Error::TooManyMembers`], [`Error::Barred`]: nothing changed
/// then; what failed.
pub fn patch<K: Kernel>(host: &Host<'_, K>, wanted: &[Members]) -> Result<Patched, Error> {
    let _lock = host.lock("patch")?;
    check_privileges(host, &host.read_journal()?)?;
    let Recovered { journal, .. } = recover(host)?;
    let (Some(state), Some(record)) = (host.open_state()?, journal.active.as_ref()) else {
        return Err(Error::NothingLive);
    };
    refuse_pending(host.kernel, &journal, host.read_state(&state)?)?;
    let (artifact, _) = read_copy(host, record)?.ok_or(Error::NothingLive)?;
    let sets = &artifact.manifest().sets;
    for members in wanted {
        let set = sets.iter().find(|set| set.id == members.id).ok_or(Error::NoSet)?;
        refuse_barred(set, &members.prefixes)?;
    }
    let map = |name: &str| {
        let reason = "is not pinned any more".to_owned();
        let missing = || Error::Map { map: name.to_owned(), reason };
        members::open(host, record.number, name)?.ok_or_else(missing)
    };
    let (facts, view) = (map(MEMBERS)?, map(SETS)?);
    let known = members::read(host, &facts)?;

    let now = host.kernel.now();
    let next = sets.iter().map(|set| match wanted.iter().find(|members| members.id == set.id) {
        Some(members) => members.prefixes.iter().copied().map(Member::forever).collect(),
        None => {
            let members = known.get(&set.id).map_or(&[][..], |known| &known.members);
            members.iter().filter(|member| member.expires > now).copied().collect()
        }
    });
    let next = members::view(sets, &next.collect::<Vec<_>>())?;
    // What is there and not what should be: a command may have been killed.
    let before = members::read_view(host, &view)?;
    let mut counts = Vec::new();
    for Members { id, prefixes } in wanted {
        let known = known.get(id).cloned().unwrap_or_default();
        members::change_facts(host.kernel, &facts, *id, &known, prefixes)?;
        counts.push((known.members.len(), prefixes.iter().collect::<BTreeSet<_>>().len()));
    }
    members::change_view(host.kernel, &view, &before, &next)?;
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    Ok(Patched { generation: record.number, members: counts })
}

/// What is said of some addresses is in the tables already.
fn refuse_barred(set: &RuntimeSet, prefixes: &[Prefix]) -> Result<(), Error> {
    let inside = |address: &&IpAddr| prefixes.iter().any(|prefix| prefix.has(**address));
    match set.barred.iter().find(inside) {
        None => Ok(()),
        Some(address) => Err(Error::Barred { group: set.name.clone(), address: *address }),
    }
}

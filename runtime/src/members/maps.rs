//! Members as the programs of a generation see them.
//!
//! Guarantees: while one view becomes another, the longest prefix around an address has
//! its old value or its new one. The number of the change is stored when no program
//! looks at what was before; until then the next command stores it all once more.

use std::collections::BTreeMap;

use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::{
    Change, FACT, KEY, MEMBERS, Member, ROOM, SETS, SHOWN, VALUE, View, fact, read_fact,
};
use policyc_bpf::{MapKind, MapSpec};
use policyc_sys::Kernel;

use super::{Beginning, Facts};
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::{Journal, Record};
use crate::restore::read_copy;

/// The maps of a generation.
#[derive(Debug)]
pub(crate) struct Maps<M> {
    view: M,
    beside: M,
}

const CHANGING: &str = "change the members of run-time sets";
const READING: &str = "read the members of run-time sets";

impl<M> Maps<M> {
    /// Those of a generation; `None` where no rule names a set.
    pub(crate) fn open<K: Kernel<Map = M>>(
        host: &Host<'_, K>,
        generation: u64,
    ) -> Result<Option<Self>, Error> {
        let pins = host.dirs.generation_maps(generation);
        let open = |name| {
            let map = host.kernel.open_map(&pins.join(name));
            map.or_doing("open the members of run-time sets")
        };
        Ok(open(SETS)?.zip(open(MEMBERS)?).map(|(view, beside)| Self { view, beside }))
    }

    /// The number of the change that is shown, at all places and to all programs.
    pub(crate) fn shown<K: Kernel<Map = M>>(&self, kernel: &K) -> Result<u64, Error> {
        let value = kernel.map_lookup(&self.beside, &SHOWN).or_doing(READING)?;
        let number = value.and_then(|value| value.try_into().ok()).map(u64::from_ne_bytes);
        // Changes count from 1.
        Ok(number.unwrap_or_default())
    }

    /// What was learnt and ends.
    pub(crate) fn learnt<K: Kernel<Map = M>>(
        &self,
        kernel: &K,
    ) -> Result<Vec<(u64, Member)>, Error> {
        let entries = kernel.map_entries(&self.beside).or_doing(READING)?;
        let mut learnt = Vec::new();
        for (key, value) in entries.iter() {
            let (Ok(fact), Ok(word)) = (read_fact(key), value.try_into()) else {
                return Err(wrong(MEMBERS, "has entries that this release does not know"));
            };
            let expires = u64::from_ne_bytes(word);
            learnt.extend(fact.map(|(id, prefix)| (id, Member { prefix, expires })));
        }
        Ok(learnt)
    }

    /// What programs see. After a command was killed that need not be what is known.
    pub(crate) fn seen<K: Kernel<Map = M>>(&self, kernel: &K) -> Result<View, Error> {
        let entries = kernel.map_entries(&self.view).or_doing(READING)?;
        let view = View::read(entries.iter());
        view.map_err(|_| wrong(SETS, "has entries that this release does not know"))
    }

    /// Stores what is different.
    pub(crate) fn store<K: Kernel<Map = M>>(
        &self,
        kernel: &K,
        from: &View,
        to: &View,
    ) -> Result<(), Error> {
        let changed = from.changes(to).into_iter().try_for_each(|change| match change {
            Change::Put(key, value) => kernel.map_update(&self.view, &key, &value),
            Change::Delete(key) => kernel.map_delete(&self.view, &key).map(drop),
        });
        changed.or_doing(CHANGING)
    }

    /// Waits until no program looks at what was before, and says what is shown.
    pub(crate) fn done<K: Kernel<Map = M>>(&self, kernel: &K, change: u64) -> Result<(), Error> {
        kernel.grace_period().or_doing("wait for running programs to end")?;
        kernel.map_update(&self.beside, &SHOWN, &change.to_ne_bytes()).or_doing(CHANGING)
    }
}

/// The view of members; refuses what programs would not follow.
pub(crate) fn view(sets: &[RuntimeSet], members: &[Vec<Member>]) -> Result<View, Error> {
    let mut workloads = BTreeMap::new();
    for (set, members) in sets.iter().zip(members) {
        refuse_barred(set, members)?;
        for member in members.iter().filter(|_| set.kind != SetKind::Group) {
            if let Some(other) = workloads.insert(member.prefix, &set.name) {
                return Err(Error::TwoWorkloads {
                    address: member.prefix,
                    first: other.clone(),
                    second: set.name.clone(),
                });
            }
        }
    }
    let count: usize = members.iter().map(Vec::len).sum();
    if count > ROOM as usize {
        return Err(Error::TooManyMembers { members: count, room: ROOM });
    }
    View::new(members).map_err(Error::TooManySets)
}

/// What is said of some addresses is in the tables already.
fn refuse_barred(set: &RuntimeSet, members: &[Member]) -> Result<(), Error> {
    let inside = |address| members.iter().any(|member| member.prefix.has(address));
    match set.barred.iter().find(|address| inside(**address)) {
        None => Ok(()),
        Some(address) => Err(Error::Barred { group: set.name.clone(), address: *address }),
    }
}

/// Fills a fresh map of a generation.
pub(crate) fn fill<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    sets: &[RuntimeSet],
    beginning: &Beginning,
) -> Result<(), Error> {
    let Beginning { facts, learnt, .. } = beginning;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    if spec.name == SETS {
        shape(spec, MapKind::LpmTrie, (KEY, VALUE))?;
        let view = view(sets, &facts.members(sets, learnt))?;
        for change in View::default().changes(&view) {
            if let Change::Put(key, value) = change {
                keys.extend(key);
                values.extend(value);
            }
        }
    } else {
        shape(spec, MapKind::Hash, (FACT, 8))?;
        keys.extend(SHOWN);
        values.extend(facts.change.to_ne_bytes());
        for (id, Member { prefix, expires }) in learnt {
            keys.extend(fact(*id, *prefix));
            values.extend(expires.to_ne_bytes());
        }
    }
    let filled = match keys.is_empty() {
        true => Ok(()),
        false => kernel.map_update_batch(map, &keys, &values),
    };
    filled.or_doing("fill the members of run-time sets")
}

/// Whether a command was killed that was changing members.
pub(crate) fn is_unfinished<K: Kernel>(host: &Host<'_, K>, record: &Record) -> Result<bool, Error> {
    let Some(known) = super::read(host, record)? else { return Ok(false) };
    let Some(maps) = Maps::open(host, record.number)? else { return Ok(false) };
    let is_seen = known.change == maps.shown(host.kernel)?;
    Ok(!is_seen || super::begun(host, record, &known)?.is_some())
}

/// Finishes a change that was killed: the live generation knows what it was to know, and
/// its programs see that.
pub(crate) fn finish<K: Kernel>(host: &Host<'_, K>, journal: &Journal) -> Result<(), Error> {
    let Some(live) = &journal.active else { return Ok(()) };
    let known = match super::read(host, live) {
        // Whoever needs them says so.
        Ok(None) | Err(Error::Members { .. }) => return Ok(()),
        known => known?.unwrap_or_default(),
    };
    let begun = super::begun(host, live, &known)?;
    let facts = begun.as_ref().unwrap_or(&known);
    let maps = Maps::open(host, live.number)?;
    if let Some(maps) = &maps {
        if facts.change == maps.shown(host.kernel)? {
            return Ok(());
        }
        let Some((artifact, _)) = read_copy(host, live)? else { return Ok(()) };
        let to = of(&artifact.manifest().sets, facts, maps, host.kernel)?;
        maps.store(host.kernel, &maps.seen(host.kernel)?, &to)?;
    }
    if begun.is_some() {
        super::settle(host, live.number)?;
    }
    maps.map_or(Ok(()), |maps| maps.done(host.kernel, facts.change))
}

/// What programs see where nothing is unfinished and these facts were written down: that
/// is what a view of them is, unless something was learnt besides, which is read.
pub(crate) fn seen<K: Kernel>(
    sets: &[RuntimeSet],
    facts: &Facts,
    maps: &Maps<K::Map>,
    kernel: &K,
) -> Result<View, Error> {
    match maps.learnt(kernel)?.is_empty() {
        true => view(sets, &facts.members(sets, &[])),
        false => maps.seen(kernel),
    }
}

/// The view of what is known and of what was learnt.
pub(crate) fn of<K: Kernel>(
    sets: &[RuntimeSet],
    facts: &Facts,
    maps: &Maps<K::Map>,
    kernel: &K,
) -> Result<View, Error> {
    let now = kernel.now();
    let mut learnt = maps.learnt(kernel)?;
    learnt.retain(|(_, member)| member.expires > now);
    view(sets, &facts.members(sets, &learnt))
}

fn shape(spec: &MapSpec, kind: MapKind, sizes: (usize, usize)) -> Result<(), Error> {
    if spec.kind == kind && (spec.key_size as usize, spec.value_size as usize) == sizes {
        return Ok(());
    }
    Err(wrong(&spec.name, "has not the shape this release fills"))
}

fn wrong(map: &str, reason: &str) -> Error {
    Error::Map { map: map.to_owned(), reason: reason.to_owned() }
}

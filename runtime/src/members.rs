//! The members of run-time sets: facts under stable ids, carried from generation to
//! generation, and the view that a generation's programs look at.
//!
//! Guarantees: a new generation begins with the members that the live one has, unless
//! its artifact says something else of a set than the last one said: then it is taken at
//! its word.
//! Does not know: what a set stands for, or who says what its members are.

use std::collections::{BTreeMap, BTreeSet};

use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::{
    Change, FACT, KEY, MEMBERS, Member, NEVER, Prefix, ROOM, SETS, VALUE, View, digest, fact,
    marker, read_fact,
};
use policyc_bpf::{Artifact, MapKind, MapSpec};
use policyc_sys::Kernel;

use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::Journal;

/// What is known of one set.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Known {
    /// Number of what its artifact said, see [`digest`].
    said: u64,
    /// Its members.
    pub(crate) members: Vec<Member>,
}

/// What is known of all sets, by their ids.
pub(crate) type Facts = BTreeMap<u64, Known>;

/// The members with which a generation of this artifact begins, by the numbers of its
/// sets.
pub(crate) fn next<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    journal: &Journal,
) -> Result<Vec<Vec<Member>>, Error> {
    let sets = &artifact.manifest().sets;
    let live = journal.active.as_ref().filter(|_| !sets.is_empty());
    let map = live.map(|record| open(host, record.number, MEMBERS)).transpose()?.flatten();
    let facts = map.map(|map| read(host, &map)).transpose()?.unwrap_or_default();
    let now = host.kernel.now();
    let members = sets.iter().map(|set| match facts.get(&set.id) {
        Some(known) if known.said == digest(&set.members) => {
            known.members.iter().filter(|member| member.expires > now).copied().collect()
        }
        _ => set.members.iter().copied().map(Member::forever).collect(),
    });
    let members: Vec<Vec<Member>> = members.collect();
    view(sets, &members)?;
    Ok(members)
}

/// The view of members; refuses what programs would not follow.
pub(crate) fn view(sets: &[RuntimeSet], members: &[Vec<Member>]) -> Result<View, Error> {
    let mut workloads = BTreeMap::new();
    for (set, members) in sets.iter().zip(members).filter(|(set, _)| set.kind != SetKind::Group) {
        for member in members {
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

/// A map of a generation, if it has one.
pub(crate) fn open<K: Kernel>(
    host: &Host<'_, K>,
    generation: u64,
    name: &str,
) -> Result<Option<K::Map>, Error> {
    let path = host.dirs.generation_maps(generation).join(name);
    host.kernel.open_map(&path).or_doing("open the members of run-time sets")
}

/// What a map of facts holds.
pub(crate) fn read<K: Kernel>(host: &Host<'_, K>, map: &K::Map) -> Result<Facts, Error> {
    let entries = host.kernel.map_entries(map).or_doing("read the members of run-time sets")?;
    let mut facts = Facts::new();
    for (key, value) in entries.iter() {
        let (Ok((id, prefix)), Ok(word)) = (read_fact(key), value.try_into()) else {
            return Err(wrong(MEMBERS, "has entries that this release does not know"));
        };
        let word = u64::from_ne_bytes(word);
        let known = facts.entry(id).or_default();
        match prefix {
            None => known.said = word,
            Some(prefix) => known.members.push(Member { prefix, expires: word }),
        }
    }
    facts.values_mut().for_each(|known| known.members.sort());
    Ok(facts)
}

/// What a map of a view holds.
pub(crate) fn read_view<K: Kernel>(host: &Host<'_, K>, map: &K::Map) -> Result<View, Error> {
    let entries = host.kernel.map_entries(map).or_doing("read the members of run-time sets")?;
    let view = View::read(entries.iter());
    view.map_err(|_| wrong(SETS, "has entries that this release does not know"))
}

/// Fills the fresh maps of a generation.
pub(crate) fn fill<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    sets: &[RuntimeSet],
    members: &[Vec<Member>],
) -> Result<(), Error> {
    if spec.name == SETS {
        shape(spec, MapKind::LpmTrie, (KEY, VALUE))?;
        return change_view(kernel, map, &View::default(), &view(sets, members)?);
    }
    shape(spec, MapKind::Hash, (FACT, 8))?;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (set, members) in sets.iter().zip(members) {
        keys.extend(marker(set.id));
        values.extend(digest(&set.members).to_ne_bytes());
        for member in members {
            keys.extend(fact(set.id, member.prefix));
            values.extend(member.expires.to_ne_bytes());
        }
    }
    kernel.map_update_batch(map, &keys, &values).or_doing("fill the members of run-time sets")
}

/// Stores what is different in another view.
pub(crate) fn change_view<K: Kernel>(
    kernel: &K,
    map: &K::Map,
    from: &View,
    to: &View,
) -> Result<(), Error> {
    let changed = from.changes(to).into_iter().try_for_each(|change| match change {
        Change::Put(key, value) => kernel.map_update(map, &key, &value),
        Change::Delete(key) => kernel.map_delete(map, &key).map(drop),
    });
    changed.or_doing("change the members of run-time sets")
}

/// Makes these prefixes the members of a set for good.
pub(crate) fn change_facts<K: Kernel>(
    kernel: &K,
    map: &K::Map,
    id: u64,
    known: &Known,
    to: &[Prefix],
) -> Result<(), Error> {
    let doing = "change the members of run-time sets";
    let before: BTreeSet<Member> = known.members.iter().copied().collect();
    let after: BTreeSet<Prefix> = to.iter().copied().collect();
    for prefix in &after {
        if !before.contains(&Member::forever(*prefix)) {
            kernel.map_update(map, &fact(id, *prefix), &NEVER.to_ne_bytes()).or_doing(doing)?;
        }
    }
    for member in before.iter().filter(|member| !after.contains(&member.prefix)) {
        kernel.map_delete(map, &fact(id, member.prefix)).or_doing(doing)?;
    }
    Ok(())
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

//! Writing into the tables of connections from user space, beside programs that run.
//!
//! Guarantees: what programs know of a connection is left as it is; an entry has a place
//! that names it, or is given up.
//! Does not know: where connections come from. Cannot take the locks of places, which are
//! the programs' own (`stdlib-bpf/bir/connection.bir`): so it takes places whose turn is
//! far away, and looks at them again when all programs have ended that may have been at
//! them.

use policyc_sys::Kernel;

use super::entry::{self, Entry, KEY};
use super::existing::{Existing, TCP};
use super::{Ends, FULL, HALF};
use crate::error::{Error, OrDoing};
use crate::generation::Generation;
use crate::host::{Host, KEY_0};

const SECOND: u64 = 1_000_000_000;
/// How long a connection lives without a packet of its opener, as in
/// `stdlib-bpf/bir/connection.bir`: TCP, others, what is not answered twice, what ends.
const STREAM: u64 = 8000 * SECOND;
const OTHER: u64 = 180 * SECOND;
const HALF_OPEN: u64 = 60 * SECOND;
const CLOSING: u64 = 10 * SECOND;

/// What became of one.
pub(super) enum Added {
    Yes,
    Known,
    NoRoom,
}

/// The tables, and where the next place is looked for.
pub(super) struct Tables<'t, K: Kernel> {
    kernel: &'t K,
    half: &'t K::Map,
    full: &'t K::Map,
    ring: &'t K::Map,
    places: Places,
    /// Added to a place: how far this has come.
    next: u32,
    /// The adoption's.
    number: u32,
    /// Places that were taken, and for which keys.
    taken: Vec<(u32, [u8; KEY])>,
}

impl<'t, K: Kernel> Tables<'t, K> {
    /// `None` if the generation keeps no connections.
    pub(super) fn open(
        host: &Host<'t, K>,
        generation: &'t Generation<K>,
        number: u32,
    ) -> Result<Option<Self>, Error> {
        let map = |name| generation.map(name);
        let (Some(half), Some(full), Some(ring), Some(clock)) =
            (map(HALF), map(FULL), map("ct_ring"), map("ct_clock"))
        else {
            return Ok(None);
        };
        let kernel = host.kernel;
        let places = kernel.map_info(ring).or_doing("look at the places")?.max_entries;
        let places = Places::of(places.max(1));
        let turn = kernel.map_lookup(clock, &KEY_0).or_doing("look at the places")?;
        let turn = turn.and_then(|turn| Some(u32::from_ne_bytes(*turn.first_chunk()?)));
        // Programs that run meanwhile take the places whose turn it is.
        let next = turn.unwrap_or_default().wrapping_add(places.common / 2);
        Ok(Some(Self { kernel, half, full, ring, places, next, number, taken: Vec::new() }))
    }

    /// Writes an entry, unless programs know the connection.
    pub(super) fn add(&mut self, ends: &Ends, existing: &Existing) -> Result<Added, Error> {
        let (kernel, now, key) = (self.kernel, self.kernel.now(), ends.key());
        for table in [self.half, self.full] {
            let Some(value) = kernel.map_lookup(table, &key).or_doing("look for a connection")?
            else {
                continue;
            };
            if Entry::read(&value).is_some_and(|entry| entry.expires > now) {
                return Ok(Added::Known);
            }
            kernel.map_delete(table, &key).or_doing("forget a connection")?;
        }
        let Existing { opened, finished, is_established } = *existing;
        let lives = match (finished, is_established, ends.protocol) {
            ([true, true], ..) => CLOSING,
            (_, false, _) => HALF_OPEN,
            (_, true, TCP) => STREAM,
            (_, true, _) => OTHER,
        };
        let (expires, made, replied, cut) = (now.saturating_add(lives), now, true, false);
        let adoption = self.number;
        let entry = Entry { expires, made, opened, replied, finished, cut, adoption };
        let (table, place) = match is_established {
            false => (self.half, Some(0)),
            true => (self.full, self.place(ends.subject, &key, now)?),
        };
        let Some(place) = place else { return Ok(Added::NoRoom) };
        let added = kernel.map_insert(table, &key, &entry.value(place));
        let added = added.or_doing("adopt a connection")?;
        if added && is_established {
            self.taken.push((place, key));
        }
        Ok(if added { Added::Yes } else { Added::Known })
    }

    /// Gives up entries whose place a program took at the same time, which nothing would
    /// ever reclaim; how many. Locks are the programs' own. Those that run later find the
    /// entry at its place and leave it.
    pub(super) fn give_up_lost(&mut self) -> Result<usize, Error> {
        if self.taken.is_empty() {
            return Ok(0);
        }
        self.kernel.grace_period().or_doing("wait for running programs to end")?;
        let mut lost = 0;
        for (at, key) in std::mem::take(&mut self.taken) {
            let index = at.to_ne_bytes();
            let name = self.kernel.map_lookup(self.ring, &index).or_doing("look at a place")?;
            if name.is_some_and(|name| name == key) {
                continue;
            }
            let value = self.kernel.map_lookup(self.full, &key).or_doing("look at a place")?;
            let is_there = value.is_some_and(|value| {
                let adoption = Entry::read(&value).map(|entry| entry.adoption);
                entry::place(&value) == Some(at) && adoption == Some(self.number)
            });
            if is_there && self.kernel.map_delete(self.full, &key).or_doing("give up a place")? {
                lost += 1;
            }
        }
        Ok(lost)
    }

    /// Takes a place in the ring whose entry is gone: one of those that all share, else
    /// one of the subject's; `None` if all are in use.
    fn place(&mut self, subject: u64, key: &[u8], now: u64) -> Result<Option<u32>, Error> {
        for (first, count) in self.places.of_subject(subject) {
            for _ in 0..count {
                let place = first + self.next % count;
                self.next = self.next.wrapping_add(1);
                if self.take(place, key, now)? {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    fn take(&self, place: u32, key: &[u8], now: u64) -> Result<bool, Error> {
        let (kernel, index) = (self.kernel, place.to_ne_bytes());
        let name = kernel.map_lookup(self.ring, &index).or_doing("look for a place")?;
        let Some(name) = name else { return Ok(false) };
        let owner = kernel.map_lookup(self.full, &name).or_doing("look for a place")?;
        if let Some(owner) = owner.filter(|value| entry::place(value) == Some(place)) {
            if Entry::read(&owner).is_some_and(|entry| entry.expires > now) {
                return Ok(false);
            }
            kernel.map_delete(self.full, &name).or_doing("forget a connection")?;
        }
        kernel.map_update(self.ring, &index, key).or_doing("take a place")?;
        Ok(true)
    }
}

/// How places are shared, as in `stdlib-bpf/bir/connection.bir`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Places {
    /// The first ones, for all.
    common: u32,
    /// Then so many for each part of the subjects.
    share: u32,
}

impl Places {
    /// Parts of the subjects.
    const SHARES: u32 = 64;

    /// Of a ring with so many places: a power of two for all, and a quarter of it in
    /// shares, but one at least. Another number is for all.
    fn of(places: u32) -> Self {
        let share = |common: u32| (common / (4 * Self::SHARES)).max(1);
        let commons = (0..31).map(|bit| 1_u32 << bit);
        let mut shared = commons.map(|common| Self { common, share: share(common) });
        let is_it = |p: &Self| p.common.saturating_add(p.share * Self::SHARES) == places;
        shared.find(is_it).unwrap_or(Self { common: places, share: 0 })
    }

    /// The first place and the number of those for all, and of those of a subject.
    const fn of_subject(self, subject: u64) -> [(u32, u32); 2] {
        let part = (subject % Self::SHARES as u64) as u32;
        [(0, self.common), (self.common + part * self.share, self.share)]
    }
}

#[cfg(test)]
mod tests;

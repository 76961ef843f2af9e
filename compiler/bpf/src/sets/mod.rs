//! Run-time sets as maps hold them: which prefixes are in which set.
//!
//! Two maps. `sets` is the view of one generation, a trie: for each prefix of some set
//! the numbers that this generation gives to all sets around it, so that one lookup
//! answers. `members` says which change of the groups' members the view shows, and holds
//! what was learnt besides and ends: this prefix is in the group of this id, until then.
//!
//! Guarantees: an address has the longest prefix around it, and with it every set whose
//! prefix contains it. No prefix has more than [`MOST`] sets: a view with more is an
//! error. Between two views an address is at any time in the sets of the old one or of
//! the new one ([`View::changes`]).
//! Does not know: what a set stands for.

mod prefix;

use std::cmp::Reverse;
use std::collections::BTreeMap;

pub use prefix::{NotAPrefix, Prefix};

/// Name of the map beside the view.
pub const MEMBERS: &str = "members";
/// Name of the map of the view.
pub const SETS: &str = "sets";
/// Most sets that an address can be in.
pub const MOST: usize = 8;
/// Most sets of an artifact: their numbers + 1 fit 16 bits.
pub const MOST_SETS: usize = 0xffff;
/// Most members of all sets together.
pub const ROOM: u32 = 1 << 16;
/// Bytes of a key of `sets`, `struct bpf_lpm_trie_key`: length in bits, then 32 bits of
/// the IP version, then the address in network order, IPv4 in front.
pub const KEY: usize = 24;
/// Bytes of a value of `sets`: an entry for each set, then zeros.
pub const VALUE: usize = 8 * MOST;
/// Bytes of a key of `members`: the id of a group, then a key of `sets`.
pub const FACT: usize = 8 + KEY;
/// The key of `members` whose value is the number of the change that the view shows.
pub const SHOWN: [u8; FACT] = [0; FACT];
/// Bits of a key of `sets` that no key has more of.
pub const KEY_BITS: u32 = 160;
/// The end of what has no end, in nanoseconds of `CLOCK_MONOTONIC`.
pub const NEVER: u64 = u64::MAX >> 1;
/// The bits of an entry that hold the number of the set + 1; the others are those of
/// the time until which it counts.
pub const NUMBER: u64 = 0xffff;

/// A prefix that is in a set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member {
    /// Which addresses.
    pub prefix: Prefix,
    /// Until when, in nanoseconds of `CLOCK_MONOTONIC`, to within 66 µs.
    pub expires: u64,
}

impl Member {
    /// A member for good.
    pub const fn forever(prefix: Prefix) -> Self {
        Self { prefix, expires: NEVER }
    }
}

/// An address would be in too many sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{prefix}` is in {sets} run-time sets, and {MOST} is the most")]
pub struct TooManySets {
    /// Which addresses.
    pub prefix: Prefix,
    /// In how many.
    pub sets: usize,
}

/// What `sets` holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View(BTreeMap<Prefix, Vec<u64>>);

/// One store of a map, or a removal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The key has this value now.
    Put([u8; KEY], [u8; VALUE]),
    /// There is no such key now.
    Delete([u8; KEY]),
}

impl View {
    /// The view of sets with these members, by their numbers.
    ///
    /// # Errors
    /// An address is in more than [`MOST`] sets.
    pub fn new(sets: &[Vec<Member>]) -> Result<Self, TooManySets> {
        let mut own: BTreeMap<Prefix, Vec<u64>> = BTreeMap::new();
        for (number, members) in sets.iter().enumerate() {
            for member in members {
                own.entry(member.prefix).or_default().push(entry(number, member.expires));
            }
        }
        // A prefix comes before those inside it, so what is around one is a stack.
        let mut around: Vec<(Prefix, Vec<u64>)> = Vec::new();
        let mut view = BTreeMap::new();
        for (prefix, own) in own {
            while around.last().is_some_and(|(outer, _)| !outer.contains(prefix)) {
                around.pop();
            }
            let inherited = around.last().map_or(&[][..], |(_, entries)| entries);
            let entries = distinct(inherited.iter().copied().chain(own));
            if entries.len() > MOST {
                return Err(TooManySets { prefix, sets: entries.len() });
            }
            view.insert(prefix, entries.clone());
            around.push((prefix, entries));
        }
        Ok(Self(view))
    }

    /// The view that a map holds.
    ///
    /// # Errors
    /// A key is none.
    pub fn read<'a>(
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, NotAPrefix> {
        let entry = |(key, value): (&[u8], &[u8])| {
            let (entries, _) = value.as_chunks::<8>();
            let entries = entries.iter().map(|entry| u64::from_ne_bytes(*entry));
            Ok((Prefix::from_key(key)?, entries.filter(|entry| *entry != 0).collect()))
        };
        entries.map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What leads from this view to another, in this order. New values go in before old
    /// keys go, the longest first, and of the old keys the shortest first: so the longest
    /// key around an address has the address's old value or its new one all the while.
    pub fn changes(&self, to: &Self) -> Vec<Change> {
        let mut put: Vec<_> =
            to.0.iter().filter(|(prefix, entries)| self.0.get(prefix) != Some(entries)).collect();
        put.sort_by_key(|(prefix, _)| Reverse(prefix.length()));
        let put =
            put.into_iter().map(|(prefix, entries)| Change::Put(prefix.key(), value(entries)));
        let mut gone: Vec<_> = self.0.keys().filter(|prefix| !to.0.contains_key(prefix)).collect();
        gone.sort_by_key(|prefix| prefix.length());
        put.chain(gone.into_iter().map(|prefix| Change::Delete(prefix.key()))).collect()
    }
}

/// The key of a fact in `members`.
pub fn fact(id: u64, prefix: Prefix) -> [u8; FACT] {
    let mut fact = [0; FACT];
    fact[..8].copy_from_slice(&id.to_ne_bytes());
    fact[8..].copy_from_slice(&prefix.key());
    fact
}

/// The group and the prefix of a key of `members`; none for [`SHOWN`].
///
/// # Errors
/// It is not one.
pub fn read_fact(key: &[u8]) -> Result<Option<(u64, Prefix)>, NotAPrefix> {
    if key == SHOWN {
        return Ok(None);
    }
    let (id, key) = key.split_first_chunk().ok_or(NotAPrefix)?;
    Ok(Some((u64::from_ne_bytes(*id), Prefix::from_key(key)?)))
}

/// A number of a list of members that another list does not have.
pub fn digest(members: &[Prefix]) -> u64 {
    let keys: Vec<_> = members.iter().map(|prefix| prefix.key()).collect();
    let parts: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let digest = crate::artifact::Digest::of(&parts).0;
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// An entry of a value.
fn entry(number: usize, expires: u64) -> u64 {
    expires.min(NEVER) & !NUMBER | (number as u64 + 1) & NUMBER
}

/// Each set once, with the latest end; ascending by number.
fn distinct(entries: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut latest: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in entries {
        let kept = latest.entry(entry & NUMBER).or_default();
        *kept = entry.max(*kept);
    }
    latest.into_values().collect()
}

fn value(entries: &[u64]) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    for (bytes, entry) in value.chunks_exact_mut(8).zip(entries) {
        bytes.copy_from_slice(&entry.to_ne_bytes());
    }
    value
}

#[cfg(test)]
mod tests;

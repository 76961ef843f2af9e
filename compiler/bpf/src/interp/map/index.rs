//! How a map finds the slot of a key, one variant for each way.
//!
//! Source: `kernel/bpf/{arraymap,hashtab,lpm_trie}.c`, Linux 6.18.

use std::collections::BTreeMap;

use super::Errno;

/// What [`Index::insert`] may do, from the flags of an update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Any,
    /// `BPF_NOEXIST`
    New,
    /// `BPF_EXIST`
    Replace,
}

/// Keys and the slots of their values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Index {
    /// The key is the slot.
    Array,
    Hash(BTreeMap<Vec<u8>, u64>),
    /// With the time of the last use, by slot.
    Lru(BTreeMap<Vec<u8>, u64>, BTreeMap<u64, u64>),
    /// By prefix length and masked bytes.
    Lpm(BTreeMap<(u32, Vec<u8>), u64>),
    /// Nothing is found by key.
    None,
}

impl Index {
    /// The slot of a key.
    pub(super) fn find(&self, key: &[u8], max_entries: u32) -> Option<u64> {
        match self {
            Self::Array => array_slot(key, max_entries),
            Self::Hash(slots) | Self::Lru(slots, _) => slots.get(key).copied(),
            Self::Lpm(slots) => {
                let (length, bits) = split_prefix(key)?;
                (0..=length).rev().find_map(|n| slots.get(&(n, mask(bits, n))).copied())
            }
            Self::None => None,
        }
    }

    /// Number of entries, where entries come and go.
    fn len(&self) -> usize {
        match self {
            Self::Hash(slots) | Self::Lru(slots, _) => slots.len(),
            Self::Lpm(slots) => slots.len(),
            Self::Array | Self::None => 0,
        }
    }

    /// Whether a key may be put here, before anything changes.
    pub(super) fn admit(&self, key: &[u8], mode: Mode, max_entries: u32) -> Result<(), Errno> {
        let full = self.len() >= max_entries as usize;
        match self {
            Self::Array if array_slot(key, max_entries).is_none() => Err(Errno::E2BIG),
            Self::Array if mode == Mode::New => Err(Errno::EEXIST),
            Self::Array => Ok(()),
            Self::Lpm(slots) => {
                let (length, bits) = split_prefix(key).ok_or(Errno::EINVAL)?;
                let known = slots.contains_key(&(length, mask(bits, length)));
                admit_entry(known, mode)?;
                if full && !known { Err(Errno::ENOSPC) } else { Ok(()) }
            }
            Self::Hash(slots) => {
                let known = slots.contains_key(key);
                admit_entry(known, mode)?;
                if full && !known { Err(Errno::E2BIG) } else { Ok(()) }
            }
            Self::Lru(slots, _) => admit_entry(slots.contains_key(key), mode),
            Self::None => Err(Errno::EINVAL),
        }
    }

    /// Lets a key point to a slot; returns the slot it pointed to.
    pub(super) fn insert(&mut self, key: &[u8], slot: u64) -> Option<u64> {
        match self {
            Self::Hash(slots) | Self::Lru(slots, _) => slots.insert(key.to_vec(), slot),
            Self::Lpm(slots) => {
                let (length, bits) = split_prefix(key)?;
                slots.insert((length, mask(bits, length)), slot)
            }
            Self::Array | Self::None => None,
        }
    }

    /// Forgets a key; returns the slot it pointed to.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<u64, Errno> {
        match self {
            Self::Hash(slots) => slots.remove(key).ok_or(Errno::ENOENT),
            Self::Lru(slots, uses) => {
                let slot = slots.remove(key).ok_or(Errno::ENOENT)?;
                uses.remove(&slot);
                Ok(slot)
            }
            Self::Lpm(slots) => {
                let (length, bits) = split_prefix(key).ok_or(Errno::EINVAL)?;
                slots.remove(&(length, mask(bits, length))).ok_or(Errno::ENOENT)
            }
            Self::Array | Self::None => Err(Errno::EINVAL),
        }
    }

    /// Notes that a slot was used.
    pub(super) fn touch(&mut self, slot: u64, now: u64) {
        if let Self::Lru(_, uses) = self {
            uses.insert(slot, now);
        }
    }

    /// The key to evict for one more entry. Exactly the least recently used, where
    /// the kernel takes one that was not used lately.
    pub(super) fn victim(&self, max_entries: u32) -> Option<Vec<u8>> {
        let Self::Lru(slots, uses) = self else { return None };
        if slots.len() < max_entries as usize {
            return None;
        }
        let age = |slot: &u64| uses.get(slot).copied().unwrap_or(0);
        slots.iter().min_by_key(|(_, slot)| age(slot)).map(|(key, _)| key.clone())
    }

    /// Every key's slot, in the order of keys; arrays have none.
    pub(super) fn slots(&self) -> Vec<u64> {
        match self {
            Self::Hash(slots) | Self::Lru(slots, _) => slots.values().copied().collect(),
            Self::Lpm(slots) => slots.values().copied().collect(),
            Self::Array | Self::None => Vec::new(),
        }
    }
}

const fn admit_entry(known: bool, mode: Mode) -> Result<(), Errno> {
    match (mode, known) {
        (Mode::New, true) => Err(Errno::EEXIST),
        (Mode::Replace, false) => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

fn array_slot(key: &[u8], max_entries: u32) -> Option<u64> {
    let index = u32::from_le_bytes(key.try_into().ok()?);
    (index < max_entries).then_some(index.into())
}

/// Prefix length and bits of a key, `struct bpf_lpm_trie_key`; `None` if it is
/// longer than the bits.
fn split_prefix(key: &[u8]) -> Option<(u32, &[u8])> {
    let (length, bits) = key.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    (length as usize <= bits.len() * 8).then_some((length, bits))
}

/// The first `length` bits, the rest zero.
fn mask(bits: &[u8], length: u32) -> Vec<u8> {
    let whole = (length / 8) as usize;
    let rest = length % 8;
    let keep = |(i, byte): (usize, &u8)| match i {
        i if i < whole => *byte,
        i if i == whole && rest != 0 => byte & !(0xff >> rest),
        _ => 0,
    };
    bits.iter().enumerate().map(keep).collect()
}

//! Maps and their contents.

use std::collections::BTreeMap;

use crate::types::{MapDecl, MapKind};

/// Why a map did not do what it was asked: the kernel's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapError {
    /// `ENOENT`
    #[error("no such entry")]
    NoEntry,
    /// `EEXIST`
    #[error("the entry exists")]
    Exists,
    /// `E2BIG`
    #[error("the map is full, or the index is beyond it")]
    TooBig,
    /// `EINVAL`
    #[error("the key, the value or the flags are not possible")]
    Invalid,
}

impl MapError {
    /// The number that a helper returns, in two's complement.
    pub const fn code(self) -> u64 {
        let code: i64 = match self {
            Self::NoEntry => -2,
            Self::TooBig => -7,
            Self::Exists => -17,
            Self::Invalid => -22,
        };
        code as u64
    }
}

/// A map with its contents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapState {
    decl: MapDecl,
    /// Entries, also those that were removed while the program runs: it may still
    /// hold pointers to them.
    entries: Vec<Entry>,
    /// Keys and where their entries are. Keys of prefix maps have no bits behind the prefix.
    index: BTreeMap<Vec<u8>, usize>,
    /// Counts uses, for eviction.
    clock: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    /// One value, or one for each CPU that was asked for.
    values: BTreeMap<u32, Vec<u8>>,
    used: u64,
}

/// How an update treats an entry that exists.
mod flags {
    pub(super) const ANY: u64 = 0;
    pub(super) const NOEXIST: u64 = 1;
    pub(super) const EXIST: u64 = 2;
}

impl MapState {
    /// A map with nothing in it; the values of arrays are 0.
    pub(super) fn new(decl: &MapDecl) -> Self {
        Self { decl: decl.clone(), entries: vec![], index: BTreeMap::new(), clock: 0 }
    }

    /// Its declaration.
    pub const fn decl(&self) -> &MapDecl {
        &self.decl
    }

    /// Number of entries that were made.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no entry was made.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The value of a key, by exact key; of CPU 0, if each has its own.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_on(key, 0)
    }

    /// The value of a key on a CPU, by exact key.
    pub fn get_on(&self, key: &[u8], cpu: u32) -> Option<Vec<u8>> {
        let zeros = || vec![0; self.decl.value_size as usize];
        if self.is_array() {
            self.array_index(key)?;
        }
        match self.index.get(&self.normal(key)?) {
            Some(entry) => {
                let values = &self.entries.get(*entry)?.values;
                Some(values.get(&self.cpu(cpu)).cloned().unwrap_or_else(zeros))
            }
            None => self.is_array().then(zeros),
        }
    }

    /// Sets the value of a key; of CPU 0, if each has its own.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), MapError> {
        self.set_on(key, value, 0)
    }

    /// Sets the value of a key on a CPU.
    pub fn set_on(&mut self, key: &[u8], value: &[u8], cpu: u32) -> Result<(), MapError> {
        self.update(key, value, flags::ANY, cpu)
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), MapError> {
        if self.is_array() {
            return Err(MapError::Invalid);
        }
        let key = self.normal(key).ok_or(MapError::NoEntry)?;
        self.index.remove(&key).map(|_| ()).ok_or(MapError::NoEntry)
    }

    /// Every key that has an entry, in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.index.keys().map(Vec::as_slice)
    }

    /// The entry that a program finds for a key.
    pub(super) fn lookup(&mut self, key: &[u8]) -> Option<usize> {
        self.clock += 1;
        let found = match self.decl.kind {
            MapKind::LpmTrie => self.longest_prefix(key),
            _ if self.is_array() => self.array_entry(key),
            _ => self.index.get(key).copied(),
        };
        if let Some(entry) = found.and_then(|entry| self.entries.get_mut(entry)) {
            entry.used = self.clock;
        }
        found
    }

    /// The bytes of an entry on a CPU.
    pub(super) fn value_mut(&mut self, entry: usize, cpu: u32) -> Option<&mut Vec<u8>> {
        let cpu = self.cpu(cpu);
        let size = self.decl.value_size as usize;
        let values = &mut self.entries.get_mut(entry)?.values;
        Some(values.entry(cpu).or_insert_with(|| vec![0; size]))
    }

    /// What a program's update does.
    pub(super) fn update(
        &mut self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        cpu: u32,
    ) -> Result<(), MapError> {
        if !self.decl.kind.is_keyed()
            || flags > flags::EXIST
            || value.len() != self.decl.value_size as usize
        {
            return Err(MapError::Invalid);
        }
        let cpu = self.cpu(cpu);
        if self.is_array() {
            let entry = self.array_entry(key).ok_or(MapError::TooBig)?;
            if flags == flags::NOEXIST {
                return Err(MapError::Exists);
            }
            self.entries[entry].values.insert(cpu, value.to_vec());
            return Ok(());
        }
        let key = self.normal(key).ok_or(MapError::Invalid)?;
        match (self.index.get(&key), flags) {
            (Some(_), flags::NOEXIST) => return Err(MapError::Exists),
            (None, flags::EXIST) => return Err(MapError::NoEntry),
            (None, _) if self.index.len() >= self.decl.max_entries as usize => {
                if self.decl.kind != MapKind::LruHash {
                    return Err(MapError::TooBig);
                }
                self.evict();
            }
            _ => {}
        }
        // The kernel too replaces the element: pointers to the old one see the old value.
        let entry = self.new_entry(BTreeMap::from([(cpu, value.to_vec())]));
        self.index.insert(key, entry);
        Ok(())
    }

    /// Forgets removed entries. Only between runs: no pointer is left.
    pub(super) fn sweep(&mut self) {
        if self.entries.len() == self.index.len() {
            return;
        }
        let old = std::mem::take(&mut self.entries);
        for entry in self.index.values_mut() {
            self.entries.push(old[*entry].clone());
            *entry = self.entries.len() - 1;
        }
    }

    fn new_entry(&mut self, values: BTreeMap<u32, Vec<u8>>) -> usize {
        self.clock += 1;
        self.entries.push(Entry { values, used: self.clock });
        self.entries.len() - 1
    }

    const fn is_array(&self) -> bool {
        matches!(self.decl.kind, MapKind::Array | MapKind::PercpuArray)
    }

    const fn cpu(&self, cpu: u32) -> u32 {
        if matches!(self.decl.kind, MapKind::PercpuArray) { cpu } else { 0 }
    }

    fn array_index(&self, key: &[u8]) -> Option<u32> {
        let index = u32::from_le_bytes(key.try_into().ok()?);
        (index < self.decl.max_entries).then_some(index)
    }

    /// The entry of an index, made when it is first asked for.
    fn array_entry(&mut self, key: &[u8]) -> Option<usize> {
        self.array_index(key)?;
        if let Some(entry) = self.index.get(key) {
            return Some(*entry);
        }
        let entry = self.new_entry(BTreeMap::new());
        self.index.insert(key.to_vec(), entry);
        Some(entry)
    }

    fn evict(&mut self) {
        let oldest = self.index.iter().min_by_key(|(_, entry)| self.entries[**entry].used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.index.remove(&key);
        }
    }

    /// The key under which an entry is kept; `None` if it cannot be a key.
    fn normal(&self, key: &[u8]) -> Option<Vec<u8>> {
        if key.len() != self.decl.key_size as usize {
            return None;
        }
        if self.decl.kind != MapKind::LpmTrie {
            return Some(key.to_vec());
        }
        let (bits, data) = prefix(key)?;
        if bits as usize > data.len() * 8 {
            return None;
        }
        Some(with_prefix(bits, data))
    }

    fn longest_prefix(&self, key: &[u8]) -> Option<usize> {
        let (bits, data) = prefix(key)?;
        let longest = bits.min(data.len() as u32 * 8);
        (0..=longest).rev().find_map(|bits| self.index.get(&with_prefix(bits, data)).copied())
    }
}

/// Length and data of a prefix map's key (`struct bpf_lpm_trie_key`).
fn prefix(key: &[u8]) -> Option<(u32, &[u8])> {
    let (bits, data) = key.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*bits), data))
}

/// A key with the first `bits` bits of `data`.
fn with_prefix(bits: u32, data: &[u8]) -> Vec<u8> {
    let mut key = bits.to_le_bytes().to_vec();
    key.extend(data.iter().zip(0u32..).map(|(byte, i)| {
        let kept = bits.saturating_sub(i * 8).min(8);
        byte & !(0xffu32 >> kept) as u8
    }));
    key
}

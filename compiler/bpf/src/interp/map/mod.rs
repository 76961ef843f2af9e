//! Maps: contents, and the operations of helpers and user space on them.
//!
//! Guarantees: results and errors of the kernel's operations; an address of a
//! value stays good for the whole run, even after its entry is gone.
//! Does not know: concurrency; an LRU map evicts the least recently used entry
//! exactly, where the kernel only comes near.

mod errno;
mod index;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{MapKind, MapSpec};
pub use errno::Errno;
use index::{Index, Mode};

/// CPUs that a per-CPU map has values for.
pub const MAX_CPUS: u32 = 64;

/// Bytes of all values of a map on one CPU, at most.
const MAX_VALUES: u64 = 1 << 32;

/// Why a map cannot be created; the kernel refuses it too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MapError {
    /// Sizes that the kind does not allow.
    #[error("key or value has a size that this kind of map does not have")]
    Size,
    /// No entry, or a ring buffer whose size is no power of two of pages.
    #[error("a map of this kind cannot have that many entries")]
    Entries,
    /// More than 4 GiB of values.
    #[error("the values take more than 4 GiB")]
    TooLarge,
    /// Contents that do not fit.
    #[error("the contents are longer than the values, or the map is no array")]
    Contents,
}

/// One map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Map {
    spec: MapSpec,
    index: Index,
    /// Values by slot; what is absent from an array is zero.
    values: BTreeMap<u64, Entry>,
    /// Slots of removed entries.
    free: Vec<u64>,
    next: u64,
    /// Counts operations, for LRU.
    now: u64,
    /// Programs by slot, for program arrays.
    programs: BTreeMap<u32, usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Map {
    /// An empty map, or an array with the contents of its blueprint.
    ///
    /// # Errors
    /// A blueprint that the kernel would refuse.
    pub fn new(spec: &MapSpec) -> Result<Self, MapError> {
        check(spec)?;
        let index = match spec.kind {
            MapKind::Array | MapKind::PercpuArray => Index::Array,
            MapKind::Hash => Index::Hash(BTreeMap::new()),
            MapKind::LruHash => Index::Lru(BTreeMap::new(), BTreeMap::new()),
            MapKind::LpmTrie => Index::Lpm(BTreeMap::new()),
            MapKind::ProgArray | MapKind::Ringbuf => Index::None,
        };
        let mut values = BTreeMap::new();
        if !spec.contents.is_empty() {
            for (slot, bytes) in spec.contents.chunks(spec.value_size.max(1) as usize).enumerate() {
                let mut value = bytes.to_vec();
                value.resize(spec.value_size as usize, 0);
                values.insert(slot as u64, Entry { key: Vec::new(), value });
            }
        }
        let spec = MapSpec { contents: Vec::new(), ..spec.clone() };
        let (free, programs) = (Vec::new(), BTreeMap::new());
        Ok(Self { spec, index, values, free, next: 0, now: 0, programs })
    }

    /// Its blueprint, without contents.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// The value of a key, in a per-CPU map that of CPU 0.
    pub fn lookup(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lookup_on(key, 0)
    }

    /// The value of a key on a CPU; on any CPU the same if the map is not per CPU.
    pub fn lookup_on(&self, key: &[u8], cpu: u32) -> Option<Vec<u8>> {
        let slot = self.slot(key, cpu)?;
        Some(
            self.value(slot).map_or_else(|| vec![0; self.spec.value_size as usize], <[u8]>::to_vec),
        )
    }

    /// Sets the value of a key, in a per-CPU map that of CPU 0. `flags` are those of
    /// `bpf_map_update_elem`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.update_on(key, value, flags, 0)
    }

    /// Sets the value of a key on a CPU.
    ///
    /// # Errors
    /// The kernel's; `EINVAL` too for a key or value of another size.
    pub fn update_on(
        &mut self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        cpu: u32,
    ) -> Result<(), Errno> {
        let mode = match flags {
            0 => Mode::Any,
            1 => Mode::New,
            2 => Mode::Replace,
            _ => return Err(Errno::EINVAL),
        };
        let (key_size, value_size) = (self.spec.key_size as usize, self.spec.value_size as usize);
        if key.len() != key_size || value.len() != value_size || cpu >= MAX_CPUS {
            return Err(Errno::EINVAL);
        }
        self.index.admit(key, mode, self.spec.max_entries)?;
        let entry = Entry { key: key.to_vec(), value: value.to_vec() };
        if self.index == Index::Array {
            let slot = self.slot(key, cpu).ok_or(Errno::E2BIG)?;
            self.values.insert(slot, entry);
            return Ok(());
        }
        // KERNEL: an update puts a new element in place of the old one; pointers to
        // the old value keep seeing the old bytes.
        let known = self.index.find(key, self.spec.max_entries).is_some();
        if !known && let Some(victim) = self.index.victim(self.spec.max_entries) {
            self.delete(&victim)?;
        }
        let slot = self.free_slot();
        self.values.insert(slot, entry);
        self.free.extend(self.index.insert(key, slot));
        self.now += 1;
        self.index.touch(slot, self.now);
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The kernel's.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        if key.len() != self.spec.key_size as usize {
            return Err(Errno::EINVAL);
        }
        let slot = self.index.remove(key)?;
        self.free.push(slot);
        Ok(())
    }

    /// Every entry of a hash or trie in the order of its keys; of an array those
    /// that were ever written, keys as 32-bit numbers, per CPU one after another.
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        if self.index == Index::Array {
            let key = |slot: &u64| ((slot % u64::from(self.spec.max_entries)) as u32).to_le_bytes();
            let entry = |(slot, e): (&u64, &Entry)| (key(slot).to_vec(), e.value.clone());
            return self.values.iter().map(entry).collect();
        }
        let slots = self.index.slots();
        let entries = slots.iter().filter_map(|slot| self.values.get(slot));
        entries.map(|e| (e.key.clone(), e.value.clone())).collect()
    }

    /// The program of a slot of a program array.
    pub(super) fn program(&self, slot: u32) -> Option<usize> {
        self.programs.get(&slot).copied()
    }

    /// Sets or empties a slot of a program array.
    pub(super) fn set_program(&mut self, slot: u32, program: Option<usize>) -> Result<(), Errno> {
        if self.spec.kind != MapKind::ProgArray {
            return Err(Errno::EINVAL);
        }
        if slot >= self.spec.max_entries {
            return Err(Errno::E2BIG);
        }
        match program {
            Some(program) => self.programs.insert(slot, program),
            None => self.programs.remove(&slot),
        };
        Ok(())
    }

    /// A lookup by a program: counts as a use.
    pub(super) fn lookup_slot(&mut self, key: &[u8], cpu: u32) -> Option<u64> {
        let slot = self.slot(key, cpu)?;
        self.now += 1;
        self.index.touch(slot, self.now);
        Some(slot)
    }

    /// The slot of a key's value.
    fn slot(&self, key: &[u8], cpu: u32) -> Option<u64> {
        let slot = self.index.find(key, self.spec.max_entries)?;
        match self.spec.kind {
            MapKind::PercpuArray if cpu < MAX_CPUS => {
                Some(u64::from(cpu) * u64::from(self.spec.max_entries) + slot)
            }
            MapKind::PercpuArray => None,
            _ => Some(slot),
        }
    }

    fn free_slot(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Bytes from one slot to the next.
    pub(super) fn stride(&self) -> u64 {
        u64::from(self.spec.value_size).next_multiple_of(8).max(8)
    }

    /// The bytes of a slot; `None` while they are all zero and were never written.
    pub(super) fn value(&self, slot: u64) -> Option<&[u8]> {
        self.values.get(&slot).map(|entry| entry.value.as_slice())
    }

    /// The bytes of a slot that exists, to be written.
    pub(super) fn value_mut(&mut self, slot: u64) -> Option<&mut [u8]> {
        if !self.has_slot(slot) {
            return None;
        }
        let zero = || Entry { key: Vec::new(), value: vec![0; self.spec.value_size as usize] };
        Some(self.values.entry(slot).or_insert_with(zero).value.as_mut_slice())
    }

    /// Whether a slot has ever held a value.
    pub(super) fn has_slot(&self, slot: u64) -> bool {
        let entries = u64::from(self.spec.max_entries);
        match self.spec.kind {
            MapKind::Array => slot < entries,
            MapKind::PercpuArray => slot < entries * u64::from(MAX_CPUS),
            _ => self.values.contains_key(&slot),
        }
    }
}

/// What `BPF_MAP_CREATE` checks.
fn check(spec: &MapSpec) -> Result<(), MapError> {
    let (key, value, entries) = (spec.key_size, spec.value_size, spec.max_entries);
    let sizes = match spec.kind {
        MapKind::Array | MapKind::PercpuArray => key == 4 && value > 0,
        MapKind::Hash | MapKind::LruHash => key > 0 && value > 0,
        MapKind::LpmTrie => (5..=260).contains(&key) && value > 0,
        MapKind::ProgArray => key == 4 && value == 4,
        MapKind::Ringbuf => key == 0 && value == 0,
    };
    if !sizes {
        return Err(MapError::Size);
    }
    let ring = spec.kind == MapKind::Ringbuf;
    if entries == 0 || ring && !(entries.is_power_of_two() && entries.is_multiple_of(4096)) {
        return Err(MapError::Entries);
    }
    if u64::from(entries).saturating_mul(u64::from(value).next_multiple_of(8)) > MAX_VALUES {
        return Err(MapError::TooLarge);
    }
    let contents = spec.contents.len() as u64;
    let room = if spec.kind == MapKind::Array { u64::from(entries) * u64::from(value) } else { 0 };
    if contents > room { Err(MapError::Contents) } else { Ok(()) }
}

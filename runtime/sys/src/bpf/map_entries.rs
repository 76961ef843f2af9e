//! Every entry of a hash map, while programs go on changing it.
//!
//! Guarantees: what is there from the beginning to the end is found, and each key
//! once. What comes or goes meanwhile may be found or not.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use super::attr::{self, address_mut};
use super::{Command, Map, call, raw};
use crate::SysError;

/// Keys and values of a map, packed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Entries {
    key_size: usize,
    value_size: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Entries {
    /// None yet, of keys and values of so many bytes.
    pub fn of_sizes(key_size: usize, value_size: usize) -> Self {
        Self { key_size, value_size, keys: Vec::new(), values: Vec::new() }
    }

    /// One more, whose sizes are right.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend(key);
        self.values.extend(value);
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.key_size.max(1));
        keys.zip(self.values.chunks_exact(self.value_size.max(1)))
    }
}

/// Entries asked for at a time; as many as are in one bucket have to fit.
const BATCH: usize = 4096;

impl Map {
    /// Every entry of a hash map. Asks for many at a time where the kernel can.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn entries(&self) -> Result<Entries, SysError> {
        let mut found = Entries::of_sizes(self.info.key_size as usize, self.user_value_size);
        self.visit(&mut |key, value| found.push(key, value))?;
        Ok(found)
    }

    /// Shows every entry of a hash map, without keeping them. On an error some have been
    /// shown.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn visit(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), SysError> {
        let mut is_first = true;
        let result = self.visit_in_batches(&mut |key, value| {
            is_first = false;
            show(key, value);
        });
        match result {
            // KERNEL: >= 5.6 has batches; ENOTSUPP is the kernel-internal 524.
            Err(error)
                if is_first && [libc::EINVAL, libc::EOPNOTSUPP, 524].contains(&error.errno) =>
            {
                let entries = self.entries_one_by_one()?;
                entries.iter().for_each(|(key, value)| show(key, value));
                Ok(())
            }
            other => other,
        }
    }

    fn visit_in_batches(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), SysError> {
        let (key_size, value_size) = (self.info.key_size as usize, self.user_value_size);
        // Where the kernel goes on: the number of a bucket, 4 bytes, for hash maps; a
        // key for others.
        let (mut from, mut next) = (vec![0_u8; key_size.max(4)], vec![0_u8; key_size.max(4)]);
        let (mut is_first, mut room) = (true, BATCH);
        loop {
            let (mut keys, mut values) = (vec![0; room * key_size], vec![0; room * value_size]);
            let mut attr = attr::MapBatch {
                in_batch: if is_first { 0 } else { address_mut(&mut from) },
                out_batch: address_mut(&mut next),
                keys: address_mut(&mut keys),
                values: address_mut(&mut values),
                count: room as u32,
                map_fd: raw(self.as_fd()),
                ..Default::default()
            };
            let result = call(Command::MapLookupBatch, &mut attr);
            let count = (attr.count as usize).min(room);
            match &result {
                // A bucket with more entries than there is room for.
                Err(error) if error.is(libc::ENOSPC) && room < BATCH << 8 => {
                    room *= 2;
                    continue;
                }
                Err(error) if !error.is(libc::ENOENT) => {
                    return Err(error.clone().about(&self.info.name));
                }
                _ => {}
            }
            let entries =
                keys.chunks_exact(key_size.max(1)).zip(values.chunks_exact(value_size.max(1)));
            entries.take(count).for_each(|(key, value)| show(key, value));
            // ENOENT says that these were the last.
            if result.is_err() {
                return Ok(());
            }
            std::mem::swap(&mut from, &mut next);
            is_first = false;
        }
    }

    /// A key that goes while it is looked behind makes the kernel begin anew.
    fn entries_one_by_one(&self) -> Result<Entries, SysError> {
        let mut found = Entries::of_sizes(self.info.key_size as usize, self.user_value_size);
        let mut seen = BTreeSet::new();
        // It ends, whatever others do meanwhile.
        let mut left = (self.info.max_entries as usize).saturating_mul(4);
        let mut key = self.next_key(None)?;
        while let Some(at) = key.filter(|_| left > 0) {
            left -= 1;
            if !seen.contains(&at)
                && let Some(value) = self.lookup(&at)?
            {
                found.push(&at, &value);
                seen.insert(at.clone());
            }
            key = self.next_key(Some(&at))?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;

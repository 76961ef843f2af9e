//! The connections that programs keep: to be listed, and to be forgotten.
//!
//! Guarantees: a connection that is there from the beginning to the end is listed, and
//! each once; one that was to be forgotten and whose packets had all been judged
//! before is gone on return. Programs go on meanwhile.
//! Does not know: what policy says about a connection, or the names of subjects.

mod adopt;
mod entry;
mod existing;
mod fill;
mod tables;
mod take_back;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use policyc_bpf::Direction;
use policyc_sys::Kernel;
use policyc_sys::bpf::{Entries, MapInfo};
use policyc_sys::host::Capability;

pub use adopt::Adopted;
pub(crate) use adopt::adopt;
pub use entry::Ends;
use entry::{Entry, KEY, VALUE};
pub use fill::{Fill, fill};
pub(crate) use take_back::take_back;

use crate::error::{Error, OrDoing};
use crate::host::Host;

/// Those whose opener has not answered an answer yet.
const HALF: &str = "ct_half";
/// The others.
const FULL: &str = "ct";

/// A connection that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Whose, between which ends.
    pub ends: Ends,
    /// Which direction its first packet had, seen from the subject.
    pub opened: Direction,
    /// Whether the other end answered.
    pub replied: bool,
    /// How far it is.
    pub stage: Stage,
    /// How long ago it was opened.
    pub age: Duration,
    /// When it is forgotten if its opener says nothing more.
    pub expires: Duration,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Its opener has not answered an answer yet; it may be forgotten early.
    HalfOpen,
    /// It is.
    Established,
    /// Both ends have finished, or one has reset it.
    Closing,
    /// Policy has denied its opener's last packet: replies are no replies now.
    Cut,
}

impl<K: Kernel> Host<'_, K> {
    fn table(&self, name: &'static str) -> Result<K::Map, Error> {
        let path = self.dirs.shared().join(name);
        let map = self.kernel.open_map(&path).or_doing("open the tables of connections")?;
        map.ok_or(Error::NoConnections("what is live keeps none"))
    }

    /// Both tables, half-open ones first: an entry that moves from there while both are
    /// read is found in one of them.
    fn connection_tables(&self) -> Result<[K::Map; 2], Error> {
        let missing = self.kernel.missing_capabilities(&[Capability::Bpf]);
        let missing = missing.or_doing("read the capabilities")?;
        if !missing.is_empty() {
            return Err(Error::Privileges(missing));
        }
        if self.find_home(&self.read_journal()?)?.state().is_none() {
            return Err(Error::NoConnections("nothing is live"));
        }
        Ok([self.table(HALF)?, self.table(FULL)?])
    }

    /// What a table is, if it has the form that this release reads.
    fn form(&self, table: &K::Map) -> Result<MapInfo, Error> {
        let info = self.kernel.map_info(table).or_doing("look at a table of connections")?;
        if (info.key_size as usize, info.value_size as usize) != (KEY, VALUE) {
            let reason = "has not the form this release reads".to_owned();
            return Err(Error::Map { map: info.name, reason });
        }
        Ok(info)
    }

    fn entries(&self, table: &K::Map) -> Result<Entries, Error> {
        self.form(table)?;
        self.kernel.map_entries(table).or_doing("read a table of connections")
    }
}

/// Every connection that programs know now, by its ends.
///
/// # Errors
/// [`Error::Privileges`]; [`Error::NoConnections`] when no table is there; what failed.
pub fn connections<K: Kernel>(host: &Host<'_, K>) -> Result<Vec<Connection>, Error> {
    let [half, full] = host.connection_tables()?;
    // What is in both has just moved.
    let mut found = BTreeMap::new();
    for (table, is_full) in [(&half, false), (&full, true)] {
        let now = host.kernel.now();
        for (key, value) in host.entries(table)?.iter() {
            let read = connection(key, value, is_full, now);
            if let Some(connection) = read.filter(Connection::is_known) {
                found.insert(connection.ends, connection);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Forgets the connections that are wanted gone. The number of those that were there.
/// Entries of connections that are gone already, and which nobody reclaimed, go with
/// them: they are asked for as they last were.
///
/// # Errors
/// As [`connections`].
pub fn forget<K: Kernel>(
    host: &Host<'_, K>,
    unwanted: impl Fn(&Connection) -> bool,
) -> Result<usize, Error> {
    let [half, full] = host.connection_tables()?;
    let mut forgotten = BTreeSet::new();
    forget_in(host, &half, false, &unwanted, &mut forgotten)?;
    // A program that read an entry before may still move it.
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    forget_in(host, &full, true, &unwanted, &mut forgotten)?;
    Ok(forgotten.len())
}

fn forget_in<K: Kernel>(
    host: &Host<'_, K>,
    table: &K::Map,
    is_full: bool,
    unwanted: impl Fn(&Connection) -> bool,
    forgotten: &mut BTreeSet<Ends>,
) -> Result<(), Error> {
    let now = host.kernel.now();
    for (key, value) in host.entries(table)?.iter() {
        let Some(found) = connection(key, value, is_full, now).filter(&unwanted) else { continue };
        if !found.is_known() && !is_still(host, table, key, value)? {
            continue;
        }
        let was_there = host.kernel.map_delete(table, key).or_doing("forget a connection")?;
        if was_there && found.is_known() {
            forgotten.insert(found.ends);
        }
    }
    Ok(())
}

/// Whether an entry is as it was read: its ends may have begun anew meanwhile.
fn is_still<K: Kernel>(
    host: &Host<'_, K>,
    table: &K::Map,
    key: &[u8],
    value: &[u8],
) -> Result<bool, Error> {
    let now = host.kernel.map_lookup(table, key).or_doing("look for a connection")?;
    Ok(now.is_some_and(|now| now == value))
}

impl Connection {
    /// Whether it is not gone yet.
    const fn is_known(&self) -> bool {
        !self.expires.is_zero()
    }
}

/// The connection of an entry, which may be gone.
fn connection(key: &[u8], value: &[u8], is_full: bool, now: u64) -> Option<Connection> {
    let (ends, entry) = (Ends::read(key)?, Entry::read(value)?);
    let stage = match (entry.cut, entry.finished, is_full) {
        (true, ..) => Stage::Cut,
        (_, [true, true], _) => Stage::Closing,
        (.., true) => Stage::Established,
        (.., false) => Stage::HalfOpen,
    };
    Some(Connection {
        ends,
        opened: entry.opened,
        replied: entry.replied,
        stage,
        age: Duration::from_nanos(now.saturating_sub(entry.made)),
        expires: Duration::from_nanos(entry.expires.saturating_sub(now)),
    })
}

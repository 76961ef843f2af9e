//! Reading the events that programs report.
//!
//! Guarantees: records in the order they were reported, whole, each once, over
//! any number of generations. What they mean is the reader's to decode, by the
//! artifact's `events_layout`.
//! Does not know: how many records the kernel had no room for, unless the
//! artifact counts them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use policyc_sys::bpf::{Map, obj_get};
use policyc_sys::host::DirLock;
use policyc_sys::ringbuf::Ringbuf;
use policyc_sys::{Kernel, errno};

use crate::error::{Error, OrDoing};
use crate::host::{Dirs, Host};

/// The map that counts records without room.
const LOST: &str = "events_lost";

/// The only reader of the events of a host.
#[derive(Debug)]
pub struct Events {
    shared: PathBuf,
    ring: Ringbuf,
    lost: Option<Map>,
    /// Of the directory of the ring, not to share the records with another
    /// reader.
    _lock: DirLock,
}

impl Events {
    /// Opens the ring that every generation shares.
    ///
    /// # Errors
    /// [`Error::NoEvents`] when nothing is live or it reports no events;
    /// [`Error::Observed`] when there is another reader.
    pub fn open(dirs: &Dirs) -> Result<Self, Error> {
        Self::open_in(dirs.shared())
    }

    fn open_in(shared: PathBuf) -> Result<Self, Error> {
        let none = || Error::NoEvents("no event ring is pinned");
        let ring = open(&shared, "events")?.ok_or_else(none)?;
        let lock = DirLock::acquire(&shared).or_doing("lock the event ring")?;
        let ring = Ringbuf::new(ring).or_doing("map the event ring")?;
        let lost = open(&shared, LOST)?;
        Ok(Self { shared, ring, lost, _lock: lock.ok_or(Error::Observed)? })
    }

    /// The next record, or `None` when none came within `timeout` or a signal
    /// did. When none came and the pinned ring is another one by now (after
    /// `remove` and `apply`), later records are read from that.
    ///
    /// # Errors
    /// What poll said; as [`Events::open`] for another ring.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, Error> {
        if let Some(record) = self.ring.next_record() {
            return Ok(Some(record));
        }
        match self.ring.wait(timeout) {
            Ok(true) => Ok(self.ring.next_record()),
            Ok(false) => self.follow().map(|()| None),
            Err(error) if error.is(errno::EINTR) => Ok(None),
            Err(error) => Err(Error::sys("wait for events", error)),
        }
    }

    fn follow(&mut self) -> Result<(), Error> {
        let pinned = open(&self.shared, "events")?;
        if pinned.is_some_and(|ring| ring.info().id != self.ring.id()) {
            *self = Self::open_in(self.shared.clone())?;
        }
        Ok(())
    }

    /// Records the kernel had no room for since the ring was made, over all
    /// CPUs: the shared map `events_lost`, one `u64` per CPU. `None` if the
    /// artifact does not count them.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        let Some(map) = &self.lost else { return Ok(None) };
        let value = map.lookup(&[0; 4]).or_doing("count lost events")?.unwrap_or_default();
        Ok(Some(sum(&value)))
    }
}

/// Records that are there already, without waiting.
impl Iterator for Events {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.ring.next_record()
    }
}

/// Records the kernel had no room for, as [`Events::lost`] says, for who does not read the
/// ring. `None` where nothing counts them.
///
/// # Errors
/// What the kernel said.
pub fn lost_events<K: Kernel>(host: &Host<'_, K>) -> Result<Option<u64>, Error> {
    let doing = "count lost events";
    let Some(map) = host.kernel.open_map(&host.dirs.shared().join(LOST)).or_doing(doing)? else {
        return Ok(None);
    };
    let value = host.kernel.map_lookup(&map, &[0; 4]).or_doing(doing)?;
    Ok(Some(sum(&value.unwrap_or_default())))
}

/// The sum over all CPUs.
fn sum(value: &[u8]) -> u64 {
    let (words, _) = value.as_chunks::<8>();
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}

fn open(shared: &Path, name: &str) -> Result<Option<Map>, Error> {
    let found = match obj_get(&shared.join(name)) {
        Ok(fd) => Map::from_fd(fd).map(Some),
        Err(error) if error.is(errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    };
    found.or_doing("open the event ring")
}

//! Reading the events that programs report.
//!
//! Guarantees: records in the order they were reported, whole, each once, over
//! any number of generations. What they mean is the reader's to decode, by the
//! artifact's `events_layout`.
//! Does not know: how many records the kernel had no room for, unless the
//! artifact counts them.

use std::time::Duration;

use policyc_sys::bpf::{Map, obj_get};
use policyc_sys::errno;
use policyc_sys::ringbuf::Ringbuf;

use crate::error::{Error, OrDoing};
use crate::host::Dirs;

/// The only reader of the events of a host.
#[derive(Debug)]
pub struct Events {
    ring: Ringbuf,
    lost: Option<Map>,
}

impl Events {
    /// Opens the ring that every generation shares.
    ///
    /// # Errors
    /// [`Error::NoEvents`] when nothing is live or it reports no events.
    pub fn open(dirs: &Dirs) -> Result<Self, Error> {
        let open = |name: &str| match obj_get(&dirs.shared().join(name)) {
            Ok(fd) => Map::from_fd(fd).map(Some),
            Err(error) if error.is(errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        };
        let ring = open("events").or_doing("open the event ring")?;
        let ring = ring.ok_or(Error::NoEvents("no event ring is pinned"))?;
        let ring = Ringbuf::new(ring).or_doing("map the event ring")?;
        Ok(Self { ring, lost: open("events_lost").or_doing("open the counter of lost events")? })
    }

    /// The next record, or `None` when none came within `timeout` or a signal
    /// did.
    ///
    /// # Errors
    /// What poll said.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, Error> {
        if let Some(record) = self.ring.next_record() {
            return Ok(Some(record));
        }
        match self.ring.wait(timeout) {
            Ok(_) => Ok(self.ring.next_record()),
            Err(error) if error.is(errno::EINTR) => Ok(None),
            Err(error) => Err(Error::sys("wait for events", error)),
        }
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
        let (words, _) = value.as_chunks::<8>();
        Ok(Some(words.iter().map(|word| u64::from_ne_bytes(*word)).sum()))
    }
}

/// Records that are there already, without waiting.
impl Iterator for Events {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.ring.next_record()
    }
}

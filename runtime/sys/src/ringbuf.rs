//! Reading a `BPF_MAP_TYPE_RINGBUF`.
//!
//! Guarantees: records come in order and whole; a discarded one is skipped; a
//! record is handed back to the producer only after it was copied.
//! Source: `kernel/bpf/ringbuf.c`: one consumer page, one producer page, then
//! the data, mapped twice in a row so that no record is ever split.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use crate::SysError;
use crate::bpf::{Map, MapType};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: u64 = 8;

/// The only consumer of a ring buffer.
#[derive(Debug)]
pub struct Ringbuf {
    map: Map,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    mask: u64,
}

impl Ringbuf {
    /// Starts reading where the last reader stopped.
    ///
    /// # Errors
    /// `EINVAL` for another kind of map; what mmap said.
    pub fn new(map: Map) -> Result<Self, SysError> {
        if map.info().map_type != MapType::RINGBUF {
            return Err(SysError::new("mmap", libc::EINVAL).about(&map.info().name));
        }
        let page = rustix::param::page_size();
        let size = map.info().max_entries as usize;
        let consumer = Mapping::new(map.as_fd(), page, 0, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::new(map.as_fd(), page + 2 * size, page, libc::PROT_READ)?;
        Ok(Self { map, consumer, producer, page, mask: size as u64 - 1 })
    }

    /// Id of the map.
    pub fn id(&self) -> u32 {
        self.map.info().id
    }

    /// Waits until there is something to read, or `timeout` passed; whether
    /// there is.
    ///
    /// # Errors
    /// What poll said; `EINTR` on a signal.
    pub fn wait(&self, timeout: Duration) -> Result<bool, SysError> {
        let mut poll =
            libc::pollfd { fd: self.map.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one live pollfd is passed, and its count.
        let ready = unsafe { libc::poll(&mut poll, 1, timeout) };
        if ready < 0 { Err(SysError::last("poll")) } else { Ok(ready > 0) }
    }

    /// The next finished record, or `None` if there is none yet.
    pub fn next_record(&mut self) -> Option<Vec<u8>> {
        loop {
            let at = self.consumer.word().load(Ordering::Relaxed);
            // Relaxed loads and a fence: of memory that may not be written, Rust
            // allows no other.
            let end = self.producer.word().load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if at >= end {
                return None;
            }
            let header = self.header(at).load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let length = header & !(BUSY | DISCARD);
            let record = (header & DISCARD == 0).then(|| self.copy(at + HEADER, length));
            let next = at + (u64::from(length) + HEADER).next_multiple_of(8);
            self.consumer.word().store(next, Ordering::Release);
            if record.is_some() {
                return record;
            }
        }
    }

    fn header(&self, at: u64) -> &AtomicU32 {
        let offset = self.page + (at & self.mask & !7) as usize;
        // SAFETY: the data follows the producer page for twice its size, a
        // header at a masked position is inside the first and aligned, whatever
        // is in the consumer page; the kernel writes it atomically.
        unsafe { &*self.producer.start.as_ptr().add(offset).cast::<AtomicU32>() }
    }

    fn copy(&self, at: u64, length: u32) -> Vec<u8> {
        let offset = self.page + (at & self.mask) as usize;
        let length = (length as usize).min(self.mask as usize + 1);
        let mut record = vec![0; length];
        // SAFETY: the record starts in the first mapping of the data and is no
        // longer than it, so it ends inside the second; it is finished (not
        // busy), and the producer does not reuse it before the consumer
        // position moves past it.
        unsafe {
            let source = self.producer.start.as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(source, record.as_mut_ptr(), length);
        }
        record
    }
}

/// A shared memory mapping.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is owned by the value and reached only through it; what
// the kernel writes is read with atomics or after its release.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(
        fd: BorrowedFd<'_>,
        length: usize,
        offset: usize,
        protection: i32,
    ) -> Result<Self, SysError> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches
        // no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(SysError::last("mmap")),
        }
    }

    /// The position at the start of the consumer and of the producer page.
    fn word(&self) -> &AtomicU64 {
        // SAFETY: both mappings are at least a page, page-aligned, and begin
        // with a position of 8 bytes that both sides access atomically.
        unsafe { &*self.start.as_ptr().cast::<AtomicU64>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

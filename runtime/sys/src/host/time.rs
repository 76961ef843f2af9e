//! Time as programs see it, and the time every running program needs to end.

use std::os::fd::{AsFd, AsRawFd};

use rustix::time::{ClockId, clock_gettime};

use crate::SysError;
use crate::bpf::{MapDef, MapType, map_create, map_create_of};

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` returns it.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The kernel's name of this boot.
///
/// # Errors
/// What read said.
pub fn boot_id() -> Result<String, SysError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH);
    text.map(|id| id.trim().to_owned()).map_err(|e| SysError::from_io("read", &e).about(PATH))
}

/// Returns after every BPF program that was running when it was called has
/// ended: the kernel ends an update of a map of maps with an RCU grace period
/// (`maybe_wait_bpf_programs`). KERNEL: >= 4.20. `membarrier` would not do: it
/// waits for nothing on one CPU, and refuses where there are `nohz_full` ones.
///
/// # Errors
/// What the kernel said when it made or updated two small maps.
pub fn grace_period() -> Result<(), SysError> {
    let def = |map_type, name: &str| MapDef {
        map_type,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        flags: 0,
        name: name.to_owned(),
    };
    let inner = map_create(&def(MapType::ARRAY, "inner"))?;
    let outer = map_create_of(&def(MapType::ARRAY_OF_MAPS, "grace"), &inner)?;
    outer.update(&[0; 4], &inner.as_fd().as_raw_fd().to_ne_bytes(), 0)
}

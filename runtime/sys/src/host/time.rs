//! Time as programs see it, and the time every running program needs to end.

use rustix::thread::{MembarrierCommand, membarrier};
use rustix::time::{ClockId, clock_gettime};

use crate::SysError;

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` returns it.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// Returns after every BPF program that was running when it was called has
/// ended (`MEMBARRIER_CMD_GLOBAL` waits for an RCU grace period).
///
/// # Errors
/// `EINVAL` on kernels with `nohz_full` CPUs; what membarrier said.
pub fn grace_period() -> Result<(), SysError> {
    membarrier(MembarrierCommand::Global).map_err(|e| SysError::new("membarrier", e.raw_os_error()))
}

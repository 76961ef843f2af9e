//! The errnos that callers tell apart, by the kernel's names.

pub use libc::{EACCES, EBUSY, EEXIST, EINTR, EINVAL, EIO, ENOBUFS, ENODEV, ENOENT, EPERM, ESRCH};

/// Not supported, by the kernel's internal number that some BPF commands let
/// out.
pub const ENOTSUPP: i32 = 524;

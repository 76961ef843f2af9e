//! The machine around the kernel objects: privileges, mounts, cgroups, locks,
//! durable files and time.

mod capability;
mod cgroup;
mod file;
mod invoker;
mod lock;
mod mount;
mod time;

pub use capability::{Capability, missing_capabilities};
pub use cgroup::{cgroup_id, cgroup_ids, cgroup2_mount};
pub use file::{beside, read_optional, remove_if_present, settle, write_beside, write_durable};
pub use invoker::{Invoker, invoker};
pub use lock::{DirLock, FileLock, LockError};
pub use mount::{BPFFS, bpffs, ensure_bpffs, ensure_tracefs, is_bpffs, tracepoint_id};
pub use time::{boot_id, grace_period, monotonic_ns};

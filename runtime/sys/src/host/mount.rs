//! The kernel's own file systems: bpffs and tracefs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use crate::SysError;

const BPFFS_MAGIC: i128 = 0xcafe_4a11;
const TRACEFS_MAGIC: i128 = 0x7472_6163;
/// Where a BPF file system is mounted if there is none.
pub const BPFFS: &str = "/sys/fs/bpf";
const TRACEFS_PATHS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Whether `path` lies in a BPF file system.
pub fn is_bpffs(path: &Path) -> bool {
    has_magic(path, BPFFS_MAGIC)
}

/// The device number of the BPF file system that `path` lies in; `None` if it
/// lies in none, or does not exist.
///
/// # Errors
/// What stat said.
pub fn bpffs(path: &Path) -> Result<Option<u64>, SysError> {
    if !is_bpffs(path) {
        return Ok(None);
    }
    let about = |e| SysError::from_io("stat", &e).about(path.to_string_lossy());
    fs::metadata(path).map(|metadata| Some(metadata.dev())).map_err(about)
}

/// Mounts a BPF file system on `path` unless one is there.
///
/// # Errors
/// `ENOTEMPTY` when the mount would hide what is in `path`; `EINVAL` for a path
/// other than [`BPFFS`], and when this process has its own mount namespace
/// (`ip netns exec`, a container): what is pinned in a mount made there is gone
/// with the namespace. What mount said.
pub fn ensure_bpffs(path: &Path) -> Result<(), SysError> {
    if is_bpffs(path) {
        return Ok(());
    }
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SysError::new("mount", libc::ENOTEMPTY)
            .about(path.to_string_lossy())
            .with_log("no BPF file system here, and one mounted here would hide what is here"));
    }
    if !in_init_mount_namespace() {
        return Err(SysError::new("mount", libc::EINVAL).about(path.to_string_lossy()).with_log(
            "no BPF file system here, and one mounted in this mount namespace would vanish with \
             it; run outside `ip netns exec`, or mount the host's",
        ));
    }
    if path != Path::new(BPFFS) {
        return Err(SysError::new("mount", libc::EINVAL)
            .about(path.to_string_lossy())
            .with_log(format!("no BPF file system here; policyc mounts one on `{BPFFS}` only")));
    }
    mount("bpf", path, "bpf", MountFlags::empty(), None)
        .map_err(|e| SysError::new("mount", e.raw_os_error()).about(path.to_string_lossy()))
}

/// Where tracefs is; mounted on its usual place if it is nowhere.
///
/// # Errors
/// What mount said.
pub fn ensure_tracefs() -> Result<PathBuf, SysError> {
    for path in TRACEFS_PATHS.map(Path::new) {
        if has_magic(path, TRACEFS_MAGIC) {
            return Ok(path.to_owned());
        }
    }
    let path = Path::new(TRACEFS_PATHS[0]);
    mount("tracefs", path, "tracefs", MountFlags::empty(), None)
        .map_err(|e| SysError::new("mount", e.raw_os_error()).about(path.to_string_lossy()))?;
    Ok(path.to_owned())
}

/// The number of a tracepoint for `perf_event_open`.
///
/// # Errors
/// `ENOENT` when the kernel has no such tracepoint; what mount or read said.
pub fn tracepoint_id(category: &str, event: &str) -> Result<u64, SysError> {
    let path = ensure_tracefs()?.join("events").join(category).join(event).join("id");
    let text = fs::read_to_string(&path)
        .map_err(|e| SysError::from_io("read", &e).about(path.to_string_lossy()))?;
    text.trim().parse().map_err(|_| SysError::new("read", libc::EIO).about(path.to_string_lossy()))
}

fn has_magic(path: &Path, magic: i128) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| i128::from(fs.f_type) == magic)
}

fn in_init_mount_namespace() -> bool {
    let own = fs::read_link("/proc/self/ns/mnt");
    let init = fs::read_link("/proc/1/ns/mnt");
    matches!((own, init), (Ok(own), Ok(init)) if own == init)
}

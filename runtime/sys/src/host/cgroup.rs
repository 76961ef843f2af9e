//! Control groups, version 2.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::SysError;

/// Where the version 2 hierarchy is mounted: `/sys/fs/cgroup`, or beside
/// version 1 `/sys/fs/cgroup/unified`.
///
/// # Errors
/// `ENOENT` when it is mounted nowhere.
pub fn cgroup2_mount() -> Result<PathBuf, SysError> {
    const PATH: &str = "/proc/self/mounts";
    let mounts = fs::read_to_string(PATH).map_err(|e| SysError::from_io("read", &e).about(PATH))?;
    mounts
        .lines()
        .find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        })
        .ok_or_else(|| SysError::new("mount", libc::ENOENT).about("cgroup2"))
}

/// The id of a cgroup, as `bpf_skb_cgroup_id` and links say it: the inode
/// number of its directory.
///
/// # Errors
/// `ENOENT` when there is none; `EBADF` when the directory is not of a version
/// 2 hierarchy.
pub fn cgroup_id(path: &Path) -> Result<u64, SysError> {
    const CGROUP2_MAGIC: i128 = 0x6367_7270;
    let about = || path.to_string_lossy().into_owned();
    let metadata = fs::metadata(path).map_err(|e| SysError::from_io("stat", &e).about(about()))?;
    let filesystem = rustix::fs::statfs(path)
        .map_err(|e| SysError::new("statfs", e.raw_os_error()).about(about()))?;
    if i128::from(filesystem.f_type) != CGROUP2_MAGIC {
        return Err(SysError::new("statfs", libc::EBADF)
            .about(about())
            .with_log("not a directory of a cgroup version 2 hierarchy"));
    }
    Ok(metadata.ino())
}

/// The ids of a cgroup and of all below it; none if there is none.
///
/// # Errors
/// As [`cgroup_id`]; what readdir said.
pub fn cgroup_ids(path: &Path) -> Result<Vec<u64>, SysError> {
    let (mut ids, mut left) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = left.pop() {
        match cgroup_id(&path) {
            Ok(id) => ids.push(id),
            // It may go while this looks.
            Err(error) if error.is(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        }
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(directories.map(|entry| entry.path()));
    }
    Ok(ids)
}

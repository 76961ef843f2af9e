//! Network namespaces: which one a path means, and entering one.
//!
//! A thread that changed its namespace is never used for anything else: the
//! closure runs on a thread of its own, which ends with it.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::SysError;

/// This thread's own namespace, and where `ip netns` keeps names.
const OWN: &str = "/proc/thread-self/ns/net";
const NAMES: &str = "/run/netns";

/// Which network namespace: device and inode number of its file in nsfs. No two
/// that exist at the same time have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetnsId {
    /// Device of nsfs.
    pub dev: u64,
    /// Inode number in it.
    pub ino: u64,
}

/// A network namespace, and a way there. Equal ones are the same namespace,
/// whatever leads there.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Which.
    pub id: NetnsId,
    /// Where it was found; `None` for the one that this process was in. It may
    /// be gone from there, or be another one now.
    pub path: Option<PathBuf>,
}

impl PartialEq for Netns {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Netns {}

impl PartialOrd for Netns {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Netns {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

/// The namespace that a path means now, or this thread's own for `None`.
///
/// # Errors
/// `ENOENT` when there is nothing; what stat said.
pub fn netns_id(path: Option<&Path>) -> Result<NetnsId, SysError> {
    let path = path.unwrap_or(Path::new(OWN));
    let about = |e: &std::io::Error| SysError::from_io("stat", e).about(path.to_string_lossy());
    let metadata = fs::metadata(path).map_err(|e| about(&e))?;
    Ok(NetnsId { dev: metadata.dev(), ino: metadata.ino() })
}

/// Runs `f` in a namespace, by whatever leads there: the path, a name of `ip
/// netns`, or a process in it.
///
/// # Errors
/// `ESRCH` when nothing leads there, which does not mean that it is gone; when
/// it cannot be entered; what `f` returns.
pub fn in_netns_of<T: Send>(
    netns: &Netns,
    f: impl FnOnce() -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    if netns_id(None)? == netns.id {
        return f();
    }
    let found = netns.path.iter().cloned().chain(ways()).find(|path| leads_to(path, netns.id));
    let Some(path) = found else {
        let path = netns.path.as_deref().unwrap_or(Path::new("net"));
        return Err(SysError::new("setns", libc::ESRCH)
            .about(path.to_string_lossy())
            .with_log("no path, name or process leads to the network namespace"));
    };
    in_netns(Some(&path), f)
}

/// One way to each namespace that can be seen from here, this one's included.
pub fn visible_netns() -> Vec<Netns> {
    let mut found = Vec::new();
    for path in std::iter::once(PathBuf::from(OWN)).chain(ways()) {
        let Ok(id) = netns_id(Some(&path)) else { continue };
        let netns = Netns { id, path: Some(path) };
        if !found.contains(&netns) {
            found.push(netns);
        }
    }
    found
}

/// The names of `ip netns`, then every process.
fn ways() -> impl Iterator<Item = PathBuf> {
    let entries = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries(NAMES).map(|entry| entry.path());
    let is_process = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    };
    let processes = entries("/proc").map(|entry| entry.path()).filter(is_process);
    names.chain(processes.map(|path| path.join("ns/net")))
}

fn leads_to(path: &Path, id: NetnsId) -> bool {
    netns_id(Some(path)).is_ok_and(|found| found == id)
}

/// Runs `f` in the network namespace that `path` names (`/run/netns/blue`,
/// `/proc/7/ns/net`), or here for `None`.
///
/// # Errors
/// When the namespace cannot be opened or entered; what `f` returns.
pub fn in_netns<T: Send>(
    path: Option<&Path>,
    f: impl FnOnce() -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    let Some(path) = path else { return f() };
    let namespace = File::open(path)
        .map_err(|e| SysError::from_io("open", &e).about(path.to_string_lossy()))?;
    on_own_thread(|| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| SysError::new("setns", e.raw_os_error()).about(path.to_string_lossy()))?;
        f()
    })
}

/// Runs `f` in a new, empty network namespace, which is gone afterwards unless
/// something keeps it.
///
/// # Errors
/// When it cannot be made (CAP_SYS_ADMIN); what `f` returns.
pub fn in_new_netns<T: Send>(
    f: impl FnOnce() -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    on_own_thread(|| {
        // SAFETY: only the network namespace of this thread changes; it shares
        // no file table or memory assumption with the others.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if result < 0 {
            return Err(SysError::last("unshare"));
        }
        f()
    })
}

fn on_own_thread<T: Send>(f: impl FnOnce() -> Result<T, SysError> + Send) -> Result<T, SysError> {
    std::thread::scope(|scope| match scope.spawn(f).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

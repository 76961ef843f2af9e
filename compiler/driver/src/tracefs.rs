//! The trace file system, which has the formats of the kernel's tracepoints.
//!
//! Guarantees: nothing is left behind and nobody else sees a change. Where no
//! trace file system is mounted, one is mounted without a place in the tree; it
//! goes with the value.
//! Source: `fsopen(2)`, `fsmount(2)`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{fsconfig_create, fsmount, fsopen, unmount};

/// Where it is mounted by custom.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A trace file system that can be read.
#[derive(Debug)]
pub struct Tracefs {
    /// Folder of the categories.
    events: PathBuf,
    /// What keeps a mount without a place.
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// The mounted one, or one of our own.
    ///
    /// # Errors
    /// `PermissionDenied` when this process may not read it, or not mount one;
    /// else what the kernel said.
    pub fn open() -> io::Result<Self> {
        for place in PLACES {
            let events = Path::new(place).join("events");
            match fs::read_dir(&events) {
                Ok(_) => return Ok(Self { events, _mount: None }),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(_) => {}
            }
        }
        let mount = detached()?;
        let events = PathBuf::from(format!("/proc/self/fd/{}/events", mount.as_raw_fd()));
        Ok(Self { events, _mount: Some(mount) })
    }

    /// Every tracepoint with a format, as `category/event`.
    pub fn tracepoints(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for category in folders(&self.events) {
            let events = folders(&self.events.join(&category));
            let name = |event: String| format!("{category}/{event}");
            found.extend(events.into_iter().map(name).filter(|n| self.format(n).is_some()));
        }
        found
    }

    /// The format of `category/event`; `None` if the kernel has no such tracepoint.
    pub fn format(&self, name: &str) -> Option<String> {
        let (category, event) = name.split_once('/')?;
        // Names come from policies: each is one folder, not a path.
        if [category, event].iter().any(|name| name.contains('/') || name.starts_with('.')) {
            return None;
        }
        fs::read_to_string(self.events.join(category).join(event).join("format")).ok()
    }
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A trace file system that only this process can reach.
fn detached() -> io::Result<OwnedFd> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Takes away, when dropped, a trace file system that was mounted meanwhile where
/// none had been: attaching to a tracepoint by its number mounts one.
#[derive(Debug)]
pub struct Unmount(());

impl Unmount {
    /// `None` where one is mounted already, which stays.
    pub fn later() -> Option<Self> {
        let is_mounted = PLACES.iter().any(|place| Path::new(place).join("events").is_dir());
        (!is_mounted).then_some(Self(()))
    }
}

impl Drop for Unmount {
    fn drop(&mut self) {
        // It may not have come to that; and whoever uses it by now keeps it.
        let _ = unmount(PLACES[0], rustix::mount::UnmountFlags::empty());
    }
}

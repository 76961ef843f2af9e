//! Entering another network namespace.
//!
//! A thread that changed its namespace is never used for anything else: the
//! closure runs on a thread of its own, which ends with it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::SysError;

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

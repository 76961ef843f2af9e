//! Pins: names in a BPF file system that keep an object alive.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Command, attr, call, call_fd, raw};
use crate::SysError;

/// Gives the object behind `fd` a name in a BPF file system.
///
/// # Errors
/// `EEXIST` when the name is taken; what the kernel said.
pub fn obj_pin(fd: BorrowedFd<'_>, path: &Path) -> Result<(), SysError> {
    let name = c_path(path, "BPF_OBJ_PIN")?;
    let mut attr =
        attr::Obj { pathname: name.as_ptr() as u64, bpf_fd: raw(fd), ..Default::default() };
    call(Command::ObjPin, &mut attr).map_err(|e| e.about(path.to_string_lossy()))?;
    Ok(())
}

/// Opens a pinned object of any kind.
///
/// # Errors
/// `ENOENT` when there is none; what the kernel said.
pub fn obj_get(path: &Path) -> Result<OwnedFd, SysError> {
    let name = c_path(path, "BPF_OBJ_GET")?;
    let mut attr = attr::Obj { pathname: name.as_ptr() as u64, ..Default::default() };
    call_fd(Command::ObjGet, &mut attr).map_err(|e| e.about(path.to_string_lossy()))
}

fn c_path(path: &Path, call: &'static str) -> Result<CString, SysError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SysError::new(call, libc::EINVAL).about(path.to_string_lossy()))
}

//! Small files that survive a crash whole: the old contents or the new ones.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::SysError;

/// Replaces a file: write beside it, sync, rename over it, sync the directory.
/// Missing parents are made.
///
/// # Errors
/// What the system said; the old contents are then still there.
pub fn write_durable(path: &Path, contents: &[u8]) -> Result<(), SysError> {
    write(path, contents).map_err(|e| SysError::from_io("write", &e).about(path.to_string_lossy()))
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    put(path, contents)?;
    replace(path)
}

/// The first half of [`write_durable`]: the new contents are beside the file, and every
/// process sees them there. A crash of the machine may lose them.
///
/// # Errors
/// What the system said; there may be a part of them.
pub fn write_beside(path: &Path, contents: &[u8]) -> Result<(), SysError> {
    put(path, contents).map_err(|e| SysError::from_io("write", &e).about(path.to_string_lossy()))
}

/// The second half: what is beside the file replaces it, for good.
///
/// # Errors
/// What the system said; the old contents are then still there.
pub fn settle(path: &Path) -> Result<(), SysError> {
    replace(path).map_err(|e| SysError::from_io("write", &e).about(path.to_string_lossy()))
}

/// Where new contents of a file are until they replace it.
pub fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn put(path: &Path, contents: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(parent)?;
    fs::write(beside(path), contents)
}

fn replace(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = beside(path);
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(parent)?.sync_all()
}

/// The contents of a file, or `None` if there is none.
///
/// # Errors
/// What the system said.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, SysError> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SysError::from_io("read", &error).about(path.to_string_lossy())),
    }
}

/// Removes a file, or an empty directory; `false` if there was none.
///
/// # Errors
/// `ENOTEMPTY` for a directory that is not; what the system said.
pub fn remove_if_present(path: &Path) -> Result<bool, SysError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SysError::from_io("unlink", &error).about(path.to_string_lossy())),
    }
}

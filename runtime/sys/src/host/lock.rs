//! One command at a time: an advisory lock that says who holds it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::SysError;

/// A held lock; it ends with the value, and with the process.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    /// Says so rather than only closing: a child that another thread is just
    /// starting holds a copy of the descriptor until it executes. The name goes
    /// first, so that it is never taken for the next holder's.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Why a lock was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LockError {
    /// Another process holds it and wrote this into it.
    Held(String),
    /// The file could not be opened or locked.
    Sys(SysError),
}

impl FileLock {
    /// Takes the lock on `path` without waiting and writes `holder` into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with what the holder wrote; else what failed.
    pub fn acquire(path: &Path, holder: &str) -> Result<Self, LockError> {
        let io = |call| {
            move |e: std::io::Error| {
                LockError::Sys(SysError::from_io(call, &e).about(path.to_string_lossy()))
            }
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io("mkdir"))?;
        }
        let mut file = locked(path)?.ok_or_else(|| {
            LockError::Sys(SysError::new("flock", libc::ESTALE).about(path.to_string_lossy()))
        })?;
        file.set_len(0).map_err(io("ftruncate"))?;
        file.seek(SeekFrom::Start(0)).map_err(io("lseek"))?;
        writeln!(file, "{holder}").map_err(io("write"))?;
        Ok(Self { file })
    }
}

/// A held lock of a directory, which leaves no file; it ends with the value.
#[derive(Debug)]
pub struct DirLock {
    /// Keeps it.
    _dir: File,
}

impl DirLock {
    /// Takes the lock of a directory without waiting; `None` if somebody has it.
    ///
    /// # Errors
    /// `ENOENT` when there is no directory; what open or flock said.
    pub fn acquire(path: &Path) -> Result<Option<Self>, SysError> {
        let about = || path.to_string_lossy().into_owned();
        let dir = File::open(path).map_err(|e| SysError::from_io("open", &e).about(about()))?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _dir: dir })),
            Err(error) if error.raw_os_error() == libc::EWOULDBLOCK => Ok(None),
            Err(error) => Err(SysError::new("flock", error.raw_os_error()).about(about())),
        }
    }
}

/// The file of the path, locked. `remove --all` takes the file away, and a lock on
/// what has no name any more keeps nobody out: then again, with the new file. `None`
/// if it goes away every time.
fn locked(path: &Path) -> Result<Option<File>, LockError> {
    let failed = |error| LockError::Sys(SysError::about(error, path.to_string_lossy()));
    for _ in 0..100 {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path);
        let mut file = file.map_err(|error| failed(SysError::from_io("open", &error)))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(error) if error.raw_os_error() == libc::EWOULDBLOCK => {
                return Err(LockError::Held(holder_in(&mut file)));
            }
            Err(error) => return Err(failed(SysError::new("flock", error.raw_os_error()))),
        }
    }
    Ok(None)
}

/// Whether the path still leads to the file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::metadata(path)) else { return false };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

/// What the holder wrote. Whoever took the lock just now writes it at once.
fn holder_in(file: &mut File) -> String {
    let mut by = String::new();
    for _ in 0..100 {
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut by));
        if read.is_err() || by.ends_with('\n') {
            break;
        }
        by.clear();
        thread::sleep(Duration::from_millis(1));
    }
    by.trim().to_owned()
}

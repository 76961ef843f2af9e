//! Reading what the user named: files, folders, standard input.
//!
//! The only place where the compiler's side reads files. Names stay as the user
//! typed them, so that the same command gives the same bytes from any home; the
//! order is that of the arguments, and inside a folder that of the names.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use policyc_base::{FileId, SourceMap};

/// Most bytes of one file. A policy file is kilobytes; what is larger is not one.
pub const MAX_FILE: u64 = 32 << 20;
/// Most bytes of an artifact.
const MAX_ARTIFACT: u64 = 1 << 30;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system said no.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// As typed.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not text.
    #[error("`{path}` is not UTF-8 text: the first bad byte is at offset {offset}")]
    NotText {
        /// As typed.
        path: String,
        /// Where.
        offset: usize,
    },
    /// Too large.
    #[error("`{path}` is too large: at most {} MiB are read", .most >> 20)]
    TooLarge {
        /// As typed.
        path: String,
        /// How many bytes are read at most.
        most: u64,
    },
    /// A folder without `-R`.
    #[error(
        "`{path}` is a folder with no `.yaml`, `.yml` or `.json` file in it; folders inside it are only read with `-R`"
    )]
    EmptyFolder {
        /// As typed.
        path: String,
    },
}

/// Reads every named file into the map, in order. One that is there already is not read
/// again: it is the same file.
///
/// # Errors
/// The first file that cannot be read.
pub fn read_all(
    paths: &[PathBuf],
    recursive: bool,
    sources: &mut SourceMap,
) -> Result<Vec<FileId>, InputError> {
    let mut ids = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            ids.push(known("-", sources).map_or_else(|| read_stdin(sources), Ok)?);
        } else if path.is_dir() {
            let mut files = Vec::new();
            list_folder(path, recursive, &mut files)?;
            if files.is_empty() {
                return Err(InputError::EmptyFolder { path: display(path) });
            }
            for file in files {
                ids.push(read_file(&file, sources)?);
            }
        } else {
            ids.push(read_file(path, sources)?);
        }
    }
    Ok(ids)
}

/// Reads one file that is not text, such as an artifact.
///
/// # Errors
/// When it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, InputError> {
    read_at_most(path, MAX_ARTIFACT)
}

/// Reads a file whose size is not to be trusted: a pipe or a device says 0.
fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, InputError> {
    let io = |source| InputError::Io { path: display(path), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(io)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(InputError::TooLarge { path: display(path), most });
    }
    Ok(bytes)
}

/// Reads one text file.
///
/// # Errors
/// When it cannot be read, is no text, or is too large.
pub fn read_text(path: &Path) -> Result<String, InputError> {
    text(display(path), read_at_most(path, MAX_FILE)?)
}

fn read_file(path: &Path, sources: &mut SourceMap) -> Result<FileId, InputError> {
    let name = display(path);
    match known(&name, sources) {
        Some(file) => Ok(file),
        None => Ok(sources.add(name, read_text(path)?)),
    }
}

fn known(name: &str, sources: &SourceMap) -> Option<FileId> {
    sources.iter().find(|(_, file)| file.name == name).map(|(id, _)| id)
}

fn read_stdin(sources: &mut SourceMap) -> Result<FileId, InputError> {
    let mut bytes = Vec::new();
    let limited = std::io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes);
    limited.map_err(|source| InputError::Io { path: "-".into(), source })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(InputError::TooLarge { path: "-".into(), most: MAX_FILE });
    }
    Ok(sources.add("-", text("-".into(), bytes)?))
}

fn text(path: String, bytes: Vec<u8>) -> Result<String, InputError> {
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        InputError::NotText { path, offset }
    })
}

/// The policy files of a folder by name; folders in it after its files. Links to
/// folders are not followed: they may lead back.
///
/// # Errors
/// When a folder cannot be read.
pub fn list_folder(
    folder: &Path,
    recursive: bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), InputError> {
    let io = |source| InputError::Io { path: display(folder), source };
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(io)?.collect();
    let mut paths: Vec<_> = entries.map_err(io)?.into_iter().map(|e| e.path()).collect();
    paths.sort();
    let (folders, plain): (Vec<_>, Vec<_>) = paths.into_iter().partition(|p| p.is_dir());
    let folders = folders.into_iter().filter(|folder| !folder.is_symlink());
    files.extend(plain.into_iter().filter(|p| is_policy_file(p)));
    if recursive {
        for inner in folders {
            list_folder(&inner, recursive, files)?;
        }
    }
    Ok(())
}

fn is_policy_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

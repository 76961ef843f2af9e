//! Where commands write.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::Error;

/// Writes to standard output.
///
/// # Errors
/// When it is closed.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::Write { path: "-".into(), source })
}

/// Writes a JSON document to standard output.
///
/// # Errors
/// When it is closed.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    // INVARIANT: plain strings and numbers always serialise.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    print(&format!("{text}\n"))
}

/// Writes a line to standard error; nobody can be told if that fails.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whether people read standard output in colour (<https://no-color.org>).
pub(super) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Writes a file so that it is either the old one or the new one, whole, whatever
/// happens in between. The old one's mode stays; of a link the target changes. What
/// is no file (a pipe, a terminal, `/dev/null`) is written to.
///
/// # Errors
/// When it cannot be written; the old file is as it was.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |source| Error::Write { path: path.to_string_lossy().into_owned(), source };
    let old = fs::metadata(path);
    if old.as_ref().is_ok_and(|old| !old.is_file()) {
        return fs::write(path, bytes).map_err(io);
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let result = write_synced(&beside, bytes)
        .and_then(|()| old.map_or(Ok(()), |old| fs::set_permissions(&beside, old.permissions())))
        .and_then(|()| fs::rename(&beside, &target));
    if result.is_err() {
        // The error that is reported is the first one.
        let _ = fs::remove_file(&beside);
    }
    result.map_err(io)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

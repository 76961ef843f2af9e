//! What the commands about the live host share.

use std::fmt::Write as _;
use std::path::Path;

use policyc_bpf::Artifact;
use policyc_runtime::{Adopted, Dirs, Error as RuntimeError, Point};

use super::Error;
use super::args::StateArgs;
use crate::render::plural;

impl StateArgs {
    /// The places, as the runtime takes them: the last folder of `pins` is ours,
    /// what is before it is the mount point.
    pub(super) fn dirs(&self) -> Result<Dirs, Error> {
        let (Some(bpffs), Some(name)) = (self.pins.parent(), self.pins.file_name()) else {
            let help = "`--pins` must be a folder on a BPF file system: `/sys/fs/bpf/policyc`";
            return Err(Error::Message(help.into()));
        };
        let name = name.to_string_lossy().into_owned();
        Ok(Dirs { bpffs: bpffs.to_path_buf(), name, state: self.state.clone() })
    }
}

/// The artifact in the bytes of a file.
pub(super) fn artifact(path: &Path, bytes: &[u8]) -> Result<Artifact, Error> {
    Artifact::from_bytes(bytes)
        .map_err(|error| Error::Message(format!("`{}`: {error}", path.display())))
}

/// Who is judged at a point; `None` when that is gone.
pub(super) fn subject<'a>(name: Option<&'a str>, point: Option<&Point>) -> &'a str {
    match (name, point) {
        (Some(name), _) => name,
        (None, Some(point)) if point.judges_packets() => "unknown subjects",
        (None, _) => "events",
    }
}

/// Where a generation judges, a line each.
pub(super) fn write_points(text: &mut String, points: &[(Point, Option<String>)]) {
    for (point, name) in points {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {point}: {}", subject(name.as_deref(), Some(point)));
    }
}

/// What became of connections that existed, a line each; nothing if nobody asked.
pub(super) fn adopted(adopted: Option<&Adopted>) -> String {
    let Some(adopted) = adopted else { return String::new() };
    let count = plural(adopted.connections, "connection");
    let left_out = adopted.left_out.iter().map(|what| format!("  not adopted: {what}\n"));
    std::iter::once(format!("  adopted {count}\n")).chain(left_out).collect()
}

/// A runtime error with what to do about it, and the kernel's log if there is one.
pub(super) fn failed(error: &RuntimeError) -> Error {
    let mut text = format!("{error}\n  help: {}", error.help());
    if let Some(log) = error.log() {
        // The end of a verifier's log says why.
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(20)..] {
            text.push_str("\n  | ");
            text.push_str(line);
        }
    }
    Error::Message(text)
}

//! The copies of what was applied: to name rules when nobody has the artifact
//! at hand, and to apply it again after boot.

use policyc_bpf::Artifact;
use policyc_sys::Kernel;

use crate::bindings::Bindings;
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::Record;

/// File names in the copy of a generation.
pub(crate) const ARTIFACT: &str = "artifact";
pub(crate) const BINDINGS: &str = "bindings.json";

/// The artifact of the generation whose number ends in these 32 bits, as records
/// carry them; `None` unless it is the one that judges or the one before.
///
/// # Errors
/// [`Error::Artifact`] when the copy was altered; what failed.
pub fn artifact_of<K: Kernel>(host: &Host<'_, K>, number: u32) -> Result<Option<Artifact>, Error> {
    let copies = host.dirs.copies();
    let names = host.kernel.list_dir(&copies).or_doing("list a directory")?;
    let is_it = |name: &&String| name.parse::<u64>().is_ok_and(|n| n as u32 == number);
    let Some(name) = names.iter().find(is_it) else { return Ok(None) };
    let path = copies.join(name).join(ARTIFACT);
    let bytes = host.kernel.read_file(&path).or_doing("read a copy")?;
    let artifact = bytes.map(|bytes| Artifact::from_bytes(&bytes)).transpose();
    artifact.map_err(|error| Error::Artifact(error.to_string()))
}

/// The artifact and bindings of the generation that judges now; after boot, of
/// the one that did. `None` if there is neither.
///
/// # Errors
/// [`Error::Artifact`] when a copy was altered; what failed.
pub fn last_applied<K: Kernel>(host: &Host<'_, K>) -> Result<Option<(Artifact, Bindings)>, Error> {
    let journal = host.read_journal()?;
    let live = match host.find_home(&journal)?.state() {
        Some(state) => {
            let active = host.read_state(&state)?.active(host.kernel.now());
            journal.generation(active)
        }
        None => journal.confirmed(),
    };
    let Some(record) = live.or(journal.lost.as_ref()) else { return Ok(None) };
    read_copy(host, record)
}

/// What a generation was made from.
pub(crate) fn read_copy<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
) -> Result<Option<(Artifact, Bindings)>, Error> {
    read_copy_of(host, record.number)
}

/// The same, by its number.
pub(crate) fn read_copy_of<K: Kernel>(
    host: &Host<'_, K>,
    number: u64,
) -> Result<Option<(Artifact, Bindings)>, Error> {
    let path = host.dirs.copy(number).join(ARTIFACT);
    let artifact = host.kernel.read_file(&path).or_doing("read a copy")?;
    let (Some(artifact), Some(bindings)) = (artifact, read_bindings(host, number)?) else {
        return Ok(None);
    };
    let artifact = Artifact::from_bytes(&artifact).map_err(|e| Error::Artifact(e.to_string()))?;
    Ok(Some((artifact, bindings)))
}

/// Where a generation was bound.
pub(crate) fn read_bindings<K: Kernel>(
    host: &Host<'_, K>,
    number: u64,
) -> Result<Option<Bindings>, Error> {
    let path = host.dirs.copy(number).join(BINDINGS);
    let bindings = host.kernel.read_file(&path).or_doing("read a copy")?;
    let bindings = bindings.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    bindings.map_err(|error| Error::Artifact(error.to_string()))
}

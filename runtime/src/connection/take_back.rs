//! Taking back what an adoption wrote: the generation that it was for did not stay.
//!
//! Guarantees: what programs made, what was known before and what other adoptions wrote
//! is left. Can be interrupted and called again.
//! Does not know: which adoption's generation stays.

use policyc_sys::Kernel;

use super::entry::Entry;
use super::{FULL, HALF};
use crate::error::{Error, OrDoing};
use crate::host::Host;

/// Forgets what the adoption of this number wrote; nothing if there was none.
pub(crate) fn take_back<K: Kernel>(host: &Host<'_, K>, adoption: Option<u32>) -> Result<(), Error> {
    let Some(adoption) = adoption else { return Ok(()) };
    let is_its = |value: &[u8]| Entry::read(value).is_some_and(|e| e.adoption == adoption);
    for name in [HALF, FULL] {
        // They are not there yet if it was killed early.
        let path = host.dirs.shared().join(name);
        let table = host.kernel.open_map(&path).or_doing("open the tables of connections")?;
        let Some(table) = table else { continue };
        let entries = host.kernel.map_entries(&table).or_doing("read a table of connections")?;
        for (key, _) in entries.iter().filter(|(_, value)| is_its(value)) {
            // Reading all of it took time, in which the same ends may have begun anew.
            let now = host.kernel.map_lookup(&table, key).or_doing("look for a connection")?;
            if now.is_some_and(|value| is_its(&value)) {
                host.kernel.map_delete(&table, key).or_doing("take a connection back")?;
            }
        }
    }
    Ok(())
}

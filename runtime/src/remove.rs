//! Taking everything off the host.

use policyc_sys::Kernel;

use crate::discard::{discard, sweep, tear_down};
use crate::error::{Error, OrDoing};
use crate::generation::unpin;
use crate::host::Host;
use crate::journal::Journal;

/// Detaches every gate and removes every program, map, link, filter, qdisc and
/// pin that is policyc's. Without `all` the state directory keeps the last
/// artifact and its bindings; with it, that goes too, a journal that cannot be
/// read included. Whether anything was live.
///
/// # Errors
/// What failed; the command can be given again.
pub fn remove<K: Kernel>(host: &Host<'_, K>, all: bool) -> Result<bool, Error> {
    let lock = host.lock("remove")?;
    let mut journal = match host.read_journal() {
        Err(Error::Journal { .. }) if all => Journal::default(),
        other => other?,
    };
    let was_live = host.open_state()?.is_some();
    if was_live && journal.is_bare() && !all {
        let (pins, state) = (host.dirs.pins(), host.dirs.state.clone());
        return Err(Error::ForeignPins { pins, state });
    }

    tear_down(host, &std::mem::take(&mut journal.gates))?;
    if !all && let Some(active) = journal.active.take() {
        unpin(host, active.number)?;
        journal.lost = Some(active);
    }
    let records = [journal.active.take(), journal.previous.take(), journal.next.take()];
    for record in records.into_iter().flatten() {
        discard(host, &mut journal, &record)?;
    }
    if all {
        remove_unknown(host)?;
        if let Some(lost) = journal.lost.take() {
            host.remove_dir(&host.dirs.copy(lost.number))?;
        }
    }
    sweep(host, &journal)?;
    host.write_journal(&journal)?;
    if all {
        host.remove(&host.dirs.lock())?;
        drop(lock);
        // Not ours alone, perhaps: it goes only when it is empty.
        let _ = host.kernel.remove(&host.dirs.state);
    }
    Ok(was_live)
}

/// Pins that no journal knows: gates attached by link, and generations.
fn remove_unknown<K: Kernel>(host: &Host<'_, K>) -> Result<(), Error> {
    let (gates, generations) = (host.dirs.gates(), host.dirs.generations());
    for name in host.kernel.list_dir(&gates).or_doing("list a directory")? {
        host.remove_dir(&gates.join(name))?;
    }
    for name in host.kernel.list_dir(&generations).or_doing("list a directory")? {
        if let Ok(number) = name.parse() {
            unpin(host, number)?;
        }
    }
    Ok(())
}

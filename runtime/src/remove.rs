//! Taking everything off the host.

use policyc_sys::Kernel;

use crate::discard::{discard, sweep, tear_down, tear_down_unknown};
use crate::error::{Error, OrDoing};
use crate::generation::unpin;
use crate::history::Ended;
use crate::host::{Found, Host};
use crate::journal::{Journal, Record};
use crate::privileges::check_privileges;

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
    check_privileges(host, &journal)?;
    let state = find_state(host, &journal, all)?;
    let was_live = state.is_some();
    if let Some(lost) = was_judging(host, &journal, state.as_ref())? {
        journal.lost = Some(lost);
    }
    journal.removed = journal.lost.is_some();
    drop(state);
    journal.audits.clear();
    if !journal.is_bare() {
        // Before anything goes: a boot must not bring back what was half removed. On a
        // full disk it can be removed all the same.
        let _ = host.write_journal(&journal);
    }

    let unseen = tear_down(host, &std::mem::take(&mut journal.gates))?;
    let records = [journal.active.take(), journal.previous.take(), journal.next.take()];
    for record in records.into_iter().flatten() {
        journal.has_ended(record.number, Ended::Removed);
        discard(host, &mut journal, &record)?;
    }
    let mut names: Vec<String> = unseen.iter().map(|gate| gate.point.to_string()).collect();
    journal.gates = unseen;
    if all {
        names.extend(remove_unknown(host, &journal)?);
        journal.lost = None;
        journal.history.clear();
    }
    if !names.is_empty() {
        host.write_journal(&journal)?;
        return Err(Error::Unseen { gates: names });
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

/// The state word. With `all`, pins that the journal does not know are taken for
/// its own, and what it says is pinned in another BPF file system at the same
/// path is taken for gone.
fn find_state<K: Kernel>(
    host: &Host<'_, K>,
    journal: &Journal,
    all: bool,
) -> Result<Option<K::Map>, Error> {
    match host.find_home(journal) {
        Err(Error::ForeignPins { .. }) if all => host.open_state(),
        Err(Error::OtherPins { pins, .. })
            if all && pins == host.dirs.pins() && is_bpffs(host)? =>
        {
            host.open_state()
        }
        other => other.map(Found::state),
    }
}

fn is_bpffs<K: Kernel>(host: &Host<'_, K>) -> Result<bool, Error> {
    let bpffs = host.kernel.bpffs(&host.dirs.bpffs).or_doing("look for the BPF file system")?;
    Ok(bpffs.is_some())
}

/// The generation that judges now.
fn was_judging<K: Kernel>(
    host: &Host<'_, K>,
    journal: &Journal,
    state: Option<&K::Map>,
) -> Result<Option<Record>, Error> {
    let Some(state) = state else { return Ok(None) };
    let parity = host.read_state(state)?.active(host.kernel.now());
    let judging = journal.generation(parity).filter(|record| record.stands_for.is_none());
    Ok(judging.cloned())
}

/// Pins that no journal knows: gates and generations. The gates that cannot be
/// found.
fn remove_unknown<K: Kernel>(host: &Host<'_, K>, journal: &Journal) -> Result<Vec<String>, Error> {
    let unseen = tear_down_unknown(host, journal)?;
    let generations = host.dirs.generations();
    for name in host.kernel.list_dir(&generations).or_doing("list a directory")? {
        if let Ok(number) = name.parse() {
            unpin(host, number)?;
        }
    }
    Ok(unseen)
}

//! What every changing command does first: finish or undo what a killed one
//! left.
//!
//! The journal says what was being done, the state word whether the flip
//! happened.

use policyc_sys::Kernel;

use crate::discard::{close_slot, discard, sweep, tear_down};
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::Journal;
use crate::state::StateWord;
use crate::status::drift;

/// The journal, true to the host.
pub(crate) fn recover<K: Kernel>(host: &Host<'_, K>) -> Result<Journal, Error> {
    let mut journal = host.read_journal()?;
    let Some(state) = host.open_state()? else {
        nothing_live(host, &mut journal)?;
        return Ok(journal);
    };
    if journal.is_bare() {
        return Err(Error::ForeignPins { pins: host.dirs.pins(), state: host.dirs.state.clone() });
    }
    let word = host.read_state(&state)?;
    finish_flip(host, &mut journal, word)?;
    settle(host, &mut journal, &state, word)?;
    bury_dead_gates(host, &mut journal)?;
    Ok(journal)
}

/// No state word is pinned: after boot, or when a first apply was killed early.
fn nothing_live<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    if journal.is_bare() {
        return Ok(());
    }
    let next = journal.next.take();
    if let Some(active) = journal.active.take() {
        journal.lost = Some(active);
    }
    for record in [next, journal.previous.take()].into_iter().flatten() {
        discard(host, journal, &record)?;
    }
    tear_down(host, &std::mem::take(&mut journal.gates))?;
    sweep(host, journal)?;
    host.write_journal(journal)
}

/// A generation was being brought up: it is live if the store happened.
fn finish_flip<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    word: StateWord,
) -> Result<(), Error> {
    match &journal.next {
        None => Ok(()),
        Some(next) if next.parity == word.parity() => {
            adopt(host, journal)?;
            host.write_journal(journal)
        }
        Some(_) => abandon(host, journal),
    }
}

/// The next generation is live now; the one before it is still on the host.
pub(crate) fn adopt<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let Some(next) = journal.next.take() else { return Ok(()) };
    journal.previous = journal.active.replace(next);
    match journal.lost.take() {
        Some(lost) => host.remove_dir(&host.dirs.copy(lost.number)),
        None => Ok(()),
    }
}

/// The next generation did not get live: the host is as it was before.
pub(crate) fn abandon<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let Some(next) = journal.next.take() else { return Ok(()) };
    discard(host, journal, &next)?;
    sweep(host, journal)?;
    host.write_journal(journal)
}

/// The previous generation is kept while a confirmation is pending, comes back
/// when that was missed, and goes otherwise.
fn settle<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    state: &K::Map,
    word: StateWord,
) -> Result<(), Error> {
    let Some(active) = &journal.active else { return Ok(()) };
    if active.parity != word.parity() {
        // A rollback was interrupted after its store.
        return drop_active(host, journal);
    }
    match word.deadline() {
        Some(deadline) if host.kernel.now() < deadline => Ok(()),
        Some(_) => roll_back(host, journal, state, word),
        None if journal.previous.is_some() => retire(host, journal),
        None => Ok(()),
    }
}

/// Removes the previous generation, and gates that only it used. On return no
/// packet or event is judged by it any more.
pub(crate) fn retire<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    // A program that read the state word before the store may still run.
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    if let Some(previous) = journal.previous.take() {
        discard(host, journal, &previous)?;
    } else if let Some(active) = &journal.active {
        for gate in &journal.gates {
            close_slot(host, gate, active.parity.other())?;
        }
    }
    host.write_journal(journal)
}

/// Makes the previous generation active for good and removes the other. With
/// no previous one, nothing is left.
pub(crate) fn roll_back<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    state: &K::Map,
    word: StateWord,
) -> Result<(), Error> {
    host.write_state(state, word.settled(word.parity().other()))?;
    drop_active(host, journal)
}

/// The second half of a rollback: the state word is back already.
fn drop_active<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    let previous = journal.previous.take();
    if let Some(failed) = std::mem::replace(&mut journal.active, previous) {
        discard(host, journal, &failed)?;
    }
    sweep(host, journal)?;
    host.write_journal(journal)
}

/// Gates whose interface or cgroup is gone, or that somebody detached: they do
/// nothing, and their place may have to get a new one.
fn bury_dead_gates<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let mut dead = Vec::new();
    for gate in &journal.gates {
        if drift::of_gate(host, gate)?.is_some() {
            dead.push(gate.clone());
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    tear_down(host, &dead)?;
    journal.gates.retain(|gate| !dead.contains(gate));
    host.write_journal(journal)
}

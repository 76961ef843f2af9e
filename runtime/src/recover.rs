//! What every changing command does first: finish or undo what a killed one
//! left.
//!
//! The journal says what was being done, the state word whether the flip
//! happened.

use policyc_sys::Kernel;

use crate::attach;
use crate::connection;
use crate::discard::{close_slot, discard, prune_copies, sweep, tear_down};
use crate::error::{Error, OrDoing};
use crate::follow;
use crate::history::Ended;
use crate::host::{Found, Host};
use crate::journal::{Gate, Journal};
use crate::members;
use crate::state::StateWord;
use crate::status::drift::{self, Drift};

/// What recovery found and did.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// True to the host now.
    pub(crate) journal: Journal,
    /// The generation whose confirmation was missed, and that is rolled back
    /// now.
    pub(crate) missed: Option<u64>,
}

/// Finishes or undoes what was begun.
pub(crate) fn recover<K: Kernel>(host: &Host<'_, K>) -> Result<Recovered, Error> {
    let mut journal = host.read_journal()?;
    let mut missed = None;
    match host.find_home(&journal)? {
        Found::Nothing => {}
        Found::State(state) => {
            let word = host.read_state(&state)?;
            attach::undo(host, &mut journal)?;
            finish_flip(host, &mut journal, word)?;
            missed = settle(host, &mut journal, &state, word)?;
            bury_dead_gates(host, &mut journal)?;
            members::finish(host, &journal)?;
        }
        Found::Booted => {
            journal.lose();
            // What the journal says of gates is about another boot.
            journal.gates.clear();
            journal.attaching.clear();
            nothing_live(host, &mut journal)?;
        }
        Found::Unpinned => {
            journal.lose();
            nothing_live(host, &mut journal)?;
        }
    }
    Ok(Recovered { journal, missed })
}

/// The pins are gone: after boot, or when a first apply was killed early.
fn nothing_live<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    journal.audits.clear();
    journal.adopting = None;
    let lost = journal.confirmed().map(|record| record.number);
    for record in [journal.active.clone(), journal.previous.clone()].into_iter().flatten() {
        let how = match record.tentative {
            true => Ended::NotConfirmed,
            false if lost.is_some_and(|lost| lost != record.number) => Ended::Superseded,
            false => Ended::Lost,
        };
        journal.has_ended(record.number, how);
    }
    let records = [journal.next.take(), journal.active.take(), journal.previous.take()];
    for record in records.into_iter().flatten() {
        discard(host, journal, &record)?;
    }
    journal.gates = tear_down(host, &std::mem::take(&mut journal.gates))?;
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
        Some(next) if next.parity == word.parity() => adopt(host, journal),
        Some(_) => abandon(host, journal),
    }
}

/// The next generation is live now; the one before it is still on the host.
pub(crate) fn adopt<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let Some(next) = journal.next.take() else { return Ok(()) };
    journal.remember(&next);
    journal.previous = journal.active.replace(next);
    journal.forget_lost();
    // The journal first: a boot in between may ask for the copy that it names.
    host.write_journal(journal)?;
    prune_copies(host, journal)
}

/// The next generation did not get live: the host is as it was before.
pub(crate) fn abandon<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let Some(next) = journal.next.take() else { return Ok(()) };
    connection::take_back(host, next.adoption)?;
    discard(host, journal, &next)?;
    sweep(host, journal)?;
    host.write_journal(journal)
}

/// The previous generation is kept while a confirmation is pending, comes back
/// when that was missed, and goes otherwise. The generation that missed it.
fn settle<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    state: &K::Map,
    word: StateWord,
) -> Result<Option<u64>, Error> {
    let Some(active) = &journal.active else { return Ok(None) };
    if active.parity != word.parity() {
        // The second half of a rollback.
        drop_active(host, journal, Ended::RolledBack)?;
        return Ok(None);
    }
    match word.deadline() {
        Some(deadline) if host.kernel.now() < deadline => Ok(None),
        Some(_) => {
            let missed = active.number;
            roll_back(host, journal, state, word)?;
            Ok(Some(missed))
        }
        None if journal.previous.is_some() || active.tentative => {
            retire(host, journal)?;
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Removes the previous generation, and gates that only it used. On return no
/// packet or event is judged by it any more.
pub(crate) fn retire<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    // A program that read the state word before the store may still run.
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    if let Some(active) = &mut journal.active {
        active.tentative = false;
    }
    journal.forget_lost();
    if let Some(previous) = journal.previous.take() {
        journal.former = Some(previous.number);
        journal.has_ended(previous.number, Ended::Superseded);
        discard(host, journal, &previous)?;
    } else if let Some(active) = &journal.active {
        for gate in &journal.gates {
            close_slot(host, gate, active.parity.other())?;
        }
    }
    host.write_journal(journal)
}

/// Makes the previous generation active for good and removes the other, which was not
/// confirmed in time. With no previous one, nothing is left.
pub(crate) fn roll_back<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    state: &K::Map,
    word: StateWord,
) -> Result<(), Error> {
    host.write_state(state, word.settled(word.parity().other()))?;
    drop_active(host, journal, Ended::NotConfirmed)
}

/// The second half of a rollback: the state word is back already.
fn drop_active<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    how: Ended,
) -> Result<(), Error> {
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    let previous = journal.previous.take();
    if let Some(failed) = std::mem::replace(&mut journal.active, previous) {
        connection::take_back(host, failed.adoption)?;
        journal.has_ended(failed.number, how);
        discard(host, journal, &failed)?;
    }
    sweep(host, journal)?;
    host.write_journal(journal)
}

/// Gates whose interface or cgroup is gone, or that somebody detached: they do
/// nothing, and their place may have to get a new one. A gate that cannot be
/// looked at may be at work.
fn bury_dead_gates<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    let is_dead = |gate: &Gate| {
        let drift = drift::of_gate(host, gate);
        matches!(drift, Some(Drift::Detached | Drift::Replaced | Drift::Unpinned))
    };
    let (dead, others): (Vec<_>, Vec<_>) = journal.gates.iter().cloned().partition(is_dead);
    if dead.is_empty() {
        return Ok(());
    }
    let unseen = tear_down(host, &dead)?;
    follow::retire(host, &others)?;
    journal.gates = others;
    unseen.into_iter().for_each(|gate| journal.add_gate(gate));
    sweep(host, journal)?;
    host.write_journal(journal)
}

//! Ending the time in which a generation waits for its confirmation, and going back to
//! an earlier one.

use policyc_sys::Kernel;

use crate::apply::{Job, Options, Outcome, check_bpffs, check_privileges as check_places};
use crate::apply::{make_live, resolve_everything};
use crate::error::Error;
use crate::host::Host;
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover, retire, roll_back};
use crate::restore::read_copy_of;

/// Makes the generation that waits for its confirmation live for good, and
/// returns its number.
///
/// # Errors
/// [`Error::NothingPending`]; [`Error::TooLate`] when its deadline has passed;
/// what failed.
pub fn confirm<K: Kernel>(host: &Host<'_, K>) -> Result<u64, Error> {
    let _lock = host.lock("confirm")?;
    check_privileges(host, &host.read_journal()?)?;
    let Recovered { mut journal, missed } = recover(host)?;
    if let Some(generation) = missed {
        return Err(Error::TooLate { generation });
    }
    let active = journal.active.as_ref().map(|record| record.number);
    let (Some(generation), Some(state)) = (active, host.open_state()?) else {
        return Err(Error::NothingPending);
    };
    let word = host.read_state(&state)?;
    let deadline = word.deadline().ok_or(Error::NothingPending)?;
    // Recovery took time.
    if host.kernel.now() >= deadline {
        roll_back(host, &mut journal, &state, word)?;
        return Err(Error::TooLate { generation });
    }
    host.write_state(&state, word.settled(word.parity()))?;
    retire(host, &mut journal)
        .map_err(|error| Error::AfterFlip { generation, error: Box::new(error) })?;
    Ok(generation)
}

/// Goes back to the generation before the one that waits for its confirmation,
/// and returns the number of the one that is live then; `None` if none was.
///
/// # Errors
/// [`Error::NothingPending`]; what failed.
pub fn rollback<K: Kernel>(host: &Host<'_, K>) -> Result<Option<u64>, Error> {
    let _lock = host.lock("rollback")?;
    let journal = host.read_journal()?;
    check_privileges(host, &journal)?;
    let Some(state) = host.find_home(&journal)?.state() else {
        recover(host)?;
        return Err(Error::NothingPending);
    };
    let word = host.read_state(&state)?;
    let is_pending = word.deadline().is_some_and(|deadline| host.kernel.now() < deadline);
    if is_pending {
        // First of all: what else there is to do may fail or take time.
        host.write_state(&state, word.settled(word.parity().other()))?;
    }
    let Recovered { journal, .. } = recover(host)?;
    if is_pending {
        Ok(journal.active.map(|record| record.number))
    } else {
        Err(Error::NothingPending)
    }
}

/// Makes an earlier generation live again, from its copy, as another one.
///
/// # Errors
/// [`Error::NotKept`]; as `apply`. What was live still is.
pub fn rollback_to<K: Kernel>(host: &Host<'_, K>, generation: u64) -> Result<Outcome, Error> {
    let _lock = host.lock("rollback")?;
    check_privileges(host, &host.read_journal()?)?;
    check_bpffs(host)?;
    let Recovered { journal, .. } = recover(host)?;
    let kept: Vec<_> = journal.kept().cloned().collect();
    let live = journal.judging().map(|record| record.number);
    let past = kept.iter().find(|past| past.generation == generation && live != Some(generation));
    let copy = match past {
        Some(past) => read_copy_of(host, generation)?.map(|copy| (past, copy)),
        None => None,
    };
    let Some((past, (artifact, bindings))) = copy else {
        let others = kept.iter().map(|past| past.generation).filter(|other| live != Some(*other));
        let is_live = live == Some(generation);
        return Err(Error::NotKept { generation, is_live, kept: others.collect() });
    };
    if artifact.hash() != past.hash {
        return Err(Error::Artifact("its copy is not what was applied".to_owned()));
    }
    check_places(host, &bindings)?;
    let options = Options { report_forwarded: past.report_forwarded, ..Options::default() };
    let job = Job { artifact: &artifact, bindings: &bindings, options, stands_for: None };
    make_live(host, journal, &job, || resolve_everything(host, &artifact, &bindings))
}

//! Ending the time in which a generation waits for its confirmation.

use policyc_sys::Kernel;

use crate::error::Error;
use crate::host::Host;
use crate::recover::{recover, retire, roll_back};

/// Makes the generation that waits for its confirmation live for good, and
/// returns its number.
///
/// # Errors
/// [`Error::NothingPending`]; [`Error::TooLate`] when its deadline has passed;
/// what failed.
pub fn confirm<K: Kernel>(host: &Host<'_, K>) -> Result<u64, Error> {
    let _lock = host.lock("confirm")?;
    let waited = host.read_journal()?.active.map(|record| record.number);
    let mut journal = recover(host)?;
    let active = journal.active.as_ref().map(|record| record.number);
    if let Some(generation) = waited.filter(|_| waited != active) {
        return Err(Error::TooLate { generation });
    }
    let (Some(generation), Some(state)) = (active, host.open_state()?) else {
        return Err(Error::NothingPending);
    };
    let word = host.read_state(&state)?;
    if word.deadline().is_none() {
        return Err(Error::NothingPending);
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
    let mut journal = recover(host)?;
    let state = host.open_state()?.ok_or(Error::NothingPending)?;
    let word = host.read_state(&state)?;
    if word.deadline().is_none() {
        return Err(Error::NothingPending);
    }
    roll_back(host, &mut journal, &state, word)?;
    Ok(journal.active.map(|record| record.number))
}

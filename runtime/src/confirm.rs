//! Ending the time in which a generation waits for its confirmation.

use policyc_sys::Kernel;

use crate::error::Error;
use crate::host::Host;
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover, retire, roll_back};

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

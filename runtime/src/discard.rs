//! Taking generations and gates off the host. Every function here can be
//! interrupted and called again.

use policyc_sys::{Kernel, SysError, errno};

use crate::error::{Error, OrDoing};
use crate::gate::load_closed;
use crate::generation::unpin;
use crate::host::Host;
use crate::journal::{Gate, Journal, Record};
use crate::point::Mechanism;
use crate::state::Parity;

/// Removes what a generation has on the host: gates that no generation left in
/// the journal uses, its programs in the slots of the others, its pins, and its
/// copies. The caller took it out of the journal and made sure that it is not
/// running.
pub(crate) fn discard<K: Kernel>(
    host: &Host<'_, K>,
    journal: &mut Journal,
    record: &Record,
) -> Result<(), Error> {
    let in_use = |gate: &Gate| journal.generations().any(|other| other.uses(gate.id));
    let (kept, unused): (Vec<_>, Vec<_>) = journal.gates.iter().cloned().partition(in_use);
    for gate in &kept {
        close_slot(host, gate, record.parity)?;
    }
    tear_down(host, &unused)?;
    journal.gates = kept;
    unpin(host, record.number)?;
    let is_lost = journal.lost.as_ref().is_some_and(|lost| lost.number == record.number);
    if !is_lost {
        host.remove_dir(&host.dirs.copy(record.number))?;
    }
    Ok(())
}

/// Removes gates: first what attaches them, then, when none can be running any
/// more, their slots. A gate with an empty slot denies.
pub(crate) fn tear_down<K: Kernel>(host: &Host<'_, K>, gates: &[Gate]) -> Result<(), Error> {
    if gates.is_empty() {
        return Ok(());
    }
    for gate in gates {
        detach(host, gate)?;
    }
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    for gate in gates {
        host.remove_dir(&host.dirs.gate(gate.id))?;
    }
    Ok(())
}

fn detach<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<(), Error> {
    let pin = host.dirs.gate(gate.id).join("link");
    // The descriptor is the last reference: closing it detaches now, where
    // removing the pin last would detach some time later.
    let link = host.kernel.open_link(&pin).or_doing("open a link")?;
    host.remove(&pin)?;
    drop(link);
    if gate.mechanism == Some(Mechanism::Tcx) {
        return Ok(());
    }
    remove_filter(host, gate)
}

fn remove_filter<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<(), Error> {
    let Some(place) = gate.point.filter() else { return Ok(()) };
    let removed = host.kernel.filter_remove(&place).and_then(|_| {
        if gate.own_qdisc { host.kernel.clsact_remove_if_empty(&place.port) } else { Ok(false) }
    });
    match removed {
        Err(error) if is_gone(&error) => Ok(()),
        other => other.map(drop).or_doing("remove a filter"),
    }
}

/// The namespace or interface is not there any more, and so nothing on it.
pub(crate) fn is_gone(error: &SysError) -> bool {
    let no_namespace = error.call == "setns" && error.is(errno::EINVAL);
    error.is(errno::ENOENT) || error.is(errno::ENODEV) || no_namespace
}

/// Closes a gate's slot of a parity that is not active; what was in it is freed.
pub(crate) fn close_slot<K: Kernel>(
    host: &Host<'_, K>,
    gate: &Gate,
    parity: Parity,
) -> Result<(), Error> {
    let path = host.dirs.gate(gate.id).join("slots");
    let Some(slots) = host.kernel.open_map(&path).or_doing("open the slots of a gate")? else {
        return Ok(());
    };
    let closed = load_closed(host.kernel, &gate.point.kind()).or_doing("load a closed slot")?;
    host.kernel.set_slot(&slots, parity.slot(), &closed).or_doing("close a slot")
}

/// When no generation is left: the state word, shared maps and directories go
/// too.
pub(crate) fn sweep<K: Kernel>(host: &Host<'_, K>, journal: &Journal) -> Result<(), Error> {
    let dirs = host.dirs;
    if !journal.is_bare() {
        return Ok(());
    }
    host.remove_dir(&dirs.shared())?;
    host.remove_dir(&dirs.gates())?;
    host.remove_dir(&dirs.generations())?;
    host.remove(&dirs.state_word())?;
    host.remove(&dirs.pins())?;
    if journal.lost.is_none() {
        host.remove(&dirs.copies())?;
    }
    Ok(())
}

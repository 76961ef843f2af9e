//! Taking generations and gates off the host. Every function here can be
//! interrupted and called again.

use std::path::Path;

use policyc_bpf::ProgramKind;
use policyc_sys::{Kernel, errno};

use crate::error::{Error, OrDoing};
use crate::follow;
use crate::gate::{load_absent, load_closed};
use crate::generation::unpin;
use crate::host::Host;
use crate::journal::{Gate, HeldBy, Journal, Record};
use crate::state::Parity;

/// Removes what a generation has on the host: gates that no generation left in
/// the journal uses, its programs in the slots of the others, and its pins. The caller took it out of the journal and made sure that it is not
/// running. Gates that cannot be found stay in the journal.
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
    let unseen = tear_down(host, &unused)?;
    follow::retire(host, &kept)?;
    journal.gates = kept;
    unseen.into_iter().for_each(|gate| journal.add_gate(gate));
    unpin(host, record.number)?;
    prune_copies(host, journal)
}

/// Removes gates: first what attaches them, then, when none can be running any
/// more, their slots. A gate with an empty slot denies; so one whose filter
/// cannot be found keeps its slots, with programs in them that pass everything
/// on. Returns those.
pub(crate) fn tear_down<K: Kernel>(host: &Host<'_, K>, gates: &[Gate]) -> Result<Vec<Gate>, Error> {
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    let mut unseen = Vec::new();
    for gate in gates {
        detach(host, &host.dirs.gate(gate.id))?;
        if let HeldBy::Filter { program, .. } = gate.held_by
            && !remove_filter(host, gate, program)?
            && !let_go(host, &host.dirs.gate(gate.id), program)?
        {
            unseen.push(gate.clone());
        }
    }
    follow::forget(host, gates)?;
    host.kernel.grace_period().or_doing("wait for running programs to end")?;
    for gate in gates.iter().filter(|gate| !unseen.contains(gate)) {
        host.remove_dir(&host.dirs.gate(gate.id))?;
    }
    Ok(unseen)
}

/// Removes gates that no journal knows, by what is pinned of them. Returns the
/// names of those that cannot be found.
pub(crate) fn tear_down_unknown<K: Kernel>(
    host: &Host<'_, K>,
    journal: &Journal,
) -> Result<Vec<String>, Error> {
    let gates = host.dirs.gates();
    let mut unseen = Vec::new();
    for name in host.kernel.list_dir(&gates).or_doing("list a directory")? {
        if journal.gates.iter().any(|gate| gate.id.to_string() == name) {
            continue;
        }
        let dir = gates.join(&name);
        let by_link = detach(host, &dir)?;
        let program = host.kernel.open_prog(&dir.join("program")).or_doing("open a gate")?;
        if let Some(program) = program.filter(|_| !by_link) {
            let id = host.kernel.prog_info(&program).or_doing("look at a gate")?.id;
            drop(program);
            for place in host.kernel.find_filters(id).or_doing("look for filters")? {
                host.kernel.filter_remove(id, &place).or_doing("remove a filter")?;
            }
            if !let_go(host, &dir, id)? {
                unseen.push(format!("gate {name}"));
                continue;
            }
        }
        host.kernel.grace_period().or_doing("wait for running programs to end")?;
        host.remove_dir(&dir)?;
    }
    Ok(unseen)
}

/// Detaches a gate's link, if it has one; whether it had.
fn detach<K: Kernel>(host: &Host<'_, K>, dir: &Path) -> Result<bool, Error> {
    let pin = dir.join("link");
    let Some(link) = host.kernel.open_link(&pin).or_doing("open a link")? else {
        return Ok(false);
    };
    // Whoever else holds it; tracing links end with the last descriptor, which
    // is this one.
    host.kernel.detach(&link).or_doing("detach a link")?;
    host.remove(&pin)?;
    drop(link);
    Ok(true)
}

/// Removes a gate's filter, and the qdisc if that is policyc's; `false` if
/// nothing leads to its place.
fn remove_filter<K: Kernel>(host: &Host<'_, K>, gate: &Gate, program: u32) -> Result<bool, Error> {
    let Some(place) = gate.point.filter() else { return Ok(true) };
    let removed = host.kernel.filter_remove(program, &place).and_then(|_| {
        if gate.owns_qdisc() { host.kernel.clsact_remove_if_empty(&place.port) } else { Ok(false) }
    });
    match removed {
        // With the interface its filters went.
        Err(error) if error.is(errno::ENODEV) => Ok(true),
        Err(error) if error.is(errno::ESRCH) => Ok(false),
        other => other.map(|_| true).or_doing("remove a filter"),
    }
}

/// Makes a gate whose filter cannot be found pass everything on, and unpins its
/// program; whether the program is gone then, and so the filter.
fn let_go<K: Kernel>(host: &Host<'_, K>, dir: &Path, program: u32) -> Result<bool, Error> {
    let slots = host.kernel.open_map(&dir.join("slots")).or_doing("open the slots of a gate")?;
    if let Some(slots) = slots {
        let absent = load_absent(host.kernel, &ProgramKind::Tc).or_doing("open a gate")?;
        for parity in [Parity::Even, Parity::Odd] {
            host.kernel.set_slot(&slots, parity.slot(), &absent).or_doing("open a gate")?;
        }
    }
    host.remove(&dir.join("program"))?;
    host.kernel.prog_exists(program).map(|exists| !exists).or_doing("look for a gate")
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
    host.remove_dir(&dirs.followed())?;
    host.remove_dir(&dirs.shared())?;
    host.remove_dir(&dirs.gates())?;
    host.remove_dir(&dirs.generations())?;
    host.remove(&dirs.state_word())?;
    host.remove(&dirs.pins())?;
    prune_copies(host, journal)?;
    if journal.lost.is_none() {
        host.remove(&dirs.copies())?;
    }
    Ok(())
}

/// Removes copies that nobody will ask for.
pub(crate) fn prune_copies<K: Kernel>(host: &Host<'_, K>, journal: &Journal) -> Result<(), Error> {
    let copies = host.dirs.copies();
    for name in host.kernel.list_dir(&copies).or_doing("list a directory")? {
        if !name.parse().is_ok_and(|number| journal.keeps_copy(number)) {
            host.remove_dir(&copies.join(name))?;
        }
    }
    Ok(())
}

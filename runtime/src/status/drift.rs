//! Whether gates are still as they were put.

use std::fmt;

use policyc_sys::Kernel;
use policyc_sys::bpf::LinkDetails;

use crate::discard::is_gone;
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::{Gate, Judged, Record};
use crate::point::{Mechanism, Point};

/// How a gate differs from what was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drift {
    /// It is not attached any more: its interface or cgroup is gone, or
    /// somebody detached it.
    Detached,
    /// Another program is attached in its name.
    Replaced,
    /// Its slot does not hold the generation's program.
    Slot,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detached => "not attached any more",
            Self::Replaced => "another program is attached",
            Self::Slot => "its slot holds another program",
        })
    }
}

/// Looks at a gate's attachment.
pub(crate) fn of_gate<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<Drift>, Error> {
    let dir = host.dirs.gate(gate.id);
    let slots = host.kernel.open_map(&dir.join("slots")).or_doing("look at a gate")?;
    let program = host.kernel.open_prog(&dir.join("program")).or_doing("look at a gate")?;
    let (Some(_), Some(program)) = (slots, program) else {
        return Ok(Some(Drift::Detached));
    };
    let own = host.kernel.prog_info(&program).or_doing("look at a gate")?.id;
    let running = if gate.mechanism == Some(Mechanism::Clsact) {
        filter_program(host, gate)?
    } else {
        link_program(host, gate)?
    };
    Ok(match running {
        None => Some(Drift::Detached),
        Some(id) if id != own => Some(Drift::Replaced),
        Some(_) => None,
    })
}

/// Looks at the slot of a generation at a gate.
pub(super) fn of_slot<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
    judged: &Judged,
) -> Result<Option<Drift>, Error> {
    let (kernel, dirs) = (host.kernel, host.dirs);
    let path = dirs.generation_programs(record.number).join(&judged.program);
    let program = kernel.open_prog(&path).or_doing("look at a program")?;
    let slots = dirs.gate(judged.gate).join("slots");
    let (Some(program), Some(slots)) =
        (program, kernel.open_map(&slots).or_doing("look at a slot")?)
    else {
        return Ok(Some(Drift::Slot));
    };
    let own = kernel.prog_info(&program).or_doing("look at a program")?.id;
    let key = record.parity.slot().to_ne_bytes();
    let found = kernel.map_lookup(&slots, &key).or_doing("look at a slot")?;
    Ok((found != Some(own.to_ne_bytes().to_vec())).then_some(Drift::Slot))
}

/// The program that the gate's filter runs.
fn filter_program<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<u32>, Error> {
    let Some(place) = gate.point.filter() else { return Ok(None) };
    match host.kernel.filter_prog(&place) {
        // The interface or its namespace is gone.
        Err(error) if is_gone(&error) => Ok(None),
        other => other.or_doing("look at a filter"),
    }
}

/// The program that the gate's link runs, if the link is attached.
fn link_program<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<u32>, Error> {
    let pin = host.dirs.gate(gate.id).join("link");
    let Some(link) = host.kernel.open_link(&pin).or_doing("look at a link")? else {
        return Ok(None);
    };
    let info = host.kernel.link_info(&link).or_doing("look at a link")?;
    let attached = match (&gate.point, &info.details) {
        (Point::Tc { interface, .. }, LinkDetails::Tcx { ifindex, .. })
        | (Point::Xdp { interface }, LinkDetails::Xdp { ifindex }) => interface.index == *ifindex,
        (Point::CgroupSkb { id, .. }, LinkDetails::Cgroup { cgroup_id, .. }) => id == cgroup_id,
        (Point::RawTracepoint { .. }, LinkDetails::RawTracepoint { .. })
        | (Point::Tracepoint { .. }, LinkDetails::PerfEvent) => true,
        _ => false,
    };
    Ok(attached.then_some(info.prog_id))
}

//! Whether gates are still as they were put.

use std::fmt;

use policyc_sys::bpf::LinkDetails;
use policyc_sys::{Kernel, SysError, errno};

use crate::follow::Follower;
use crate::host::Host;
use crate::journal::{Gate, HeldBy, Journal, Judged, Record};
use crate::point::{InterfaceId, Point};

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
    /// It is attached, but what the binding names is another place now, or
    /// nothing.
    Renamed,
    /// The cgroup that is at its path now is not the one that it judges.
    Unfollowed,
    /// The program with this id comes before it, and may let packets pass that
    /// it would deny.
    Behind(u32),
    /// Something of it, or of its program, is not pinned any more: it goes on as long as
    /// the kernel keeps it.
    Unpinned,
    /// It cannot be looked at.
    Unseen,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detached => "not attached any more",
            Self::Replaced => "another program is attached",
            Self::Slot => "its slot holds another program",
            Self::Renamed => "its name means another place now, or none",
            Self::Unfollowed => "does not follow its cgroup any more",
            Self::Behind(id) => return write!(f, "program {id} comes first and may let pass"),
            Self::Unpinned => "a pin of it is gone",
            Self::Unseen => "cannot be looked at",
        })
    }
}

/// Looks at a gate's attachment.
pub(crate) fn of_gate<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Option<Drift> {
    look(host, gate).unwrap_or(Some(Drift::Unseen))
}

/// Looks at a gate's attachment, and says why that cannot be done.
pub(crate) fn look<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<Drift>, SysError> {
    let slots = host.kernel.open_map(&host.dirs.gate(gate.id).join("slots"))?;
    let (Some(_), Some(own)) = (slots, program_id(host, gate)?) else {
        return Ok(Some(Drift::Unpinned));
    };
    let running = match (&gate.held_by, gate.point.filter()) {
        (HeldBy::Filter { .. }, Some(place)) => match host.kernel.chain(&place) {
            Err(error) if error.is(errno::ENODEV) => None,
            chain => chain?.into_iter().find(|id| *id == own),
        },
        _ => link_program(host, gate)?,
    };
    Ok(match running {
        None => Some(Drift::Detached),
        Some(id) if id != own => Some(Drift::Replaced),
        Some(_) => None,
    })
}

/// Id of a gate's program, while it is pinned.
fn program_id<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<u32>, SysError> {
    let program = host.kernel.open_prog(&host.dirs.gate(gate.id).join("program"))?;
    program.map(|program| host.kernel.prog_info(&program).map(|info| info.id)).transpose()
}

/// Looks at what comes before a gate that is attached. Gates of the journal let
/// nothing pass that the next would deny.
pub(super) fn of_chain<K: Kernel>(
    host: &Host<'_, K>,
    gate: &Gate,
    journal: &Journal,
) -> Option<Drift> {
    let place = gate.point.filter()?;
    let Ok(chain) = host.kernel.chain(&place) else { return Some(Drift::Unseen) };
    let id = |gate| program_id(host, gate).ok().flatten();
    let own = id(gate);
    let gates: Vec<u32> = journal.gates.iter().filter_map(id).collect();
    let mut before = chain.into_iter().take_while(|id| Some(*id) != own);
    before.find(|id| !gates.contains(id)).map(Drift::Behind)
}

/// Looks at what the names of a gate's point mean now.
pub(super) fn of_names<K: Kernel>(host: &Host<'_, K>, point: &Point) -> Option<Drift> {
    let is_same = match point {
        Point::Tc { interface, .. } | Point::Host { interface, .. } | Point::Xdp { interface } => {
            is_called_so(host, interface)
        }
        Point::CgroupSkb { path, id, .. } | Point::Followed { at: path, id, .. } => {
            host.kernel.cgroup_id(path).map(|found| found == *id)
        }
        Point::RawTracepoint { .. } | Point::Tracepoint { .. } => Ok(true),
    };
    match is_same {
        Ok(true) => None,
        Ok(false) => Some(Drift::Renamed),
        Err(error) if error.is(errno::ENOENT) || error.is(errno::ENODEV) => Some(Drift::Renamed),
        Err(_) => Some(Drift::Unseen),
    }
}

/// Looks whether a gate that follows a cgroup does.
pub(super) fn of_following<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Option<Drift> {
    let Point::Followed { path, .. } = &gate.point else { return None };
    let is_followed = || -> Result<bool, SysError> {
        let Some(follower) = Follower::open(host)? else { return Ok(false) };
        match host.kernel.cgroup_id(path) {
            Err(error) if error.is(errno::ENOENT) => Ok(true),
            id => Ok(id? == follower.member(host.kernel, gate.id)?),
        }
    };
    match is_followed() {
        Ok(true) => None,
        Ok(false) => Some(Drift::Unfollowed),
        Err(_) => Some(Drift::Unseen),
    }
}

fn is_called_so<K: Kernel>(host: &Host<'_, K>, interface: &InterfaceId) -> Result<bool, SysError> {
    let netns = interface.netns();
    let path = netns.path.as_deref();
    if path.is_some() && host.kernel.netns(path)? != netns.id {
        return Ok(false);
    }
    Ok(host.kernel.interface(&netns, &interface.name)?.index == interface.index)
}

/// Looks at the slot of a generation at a gate.
pub(super) fn of_slot<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
    judged: &Judged,
) -> Option<Drift> {
    match holds(host, record, judged) {
        Ok(Some(true)) => None,
        Ok(Some(false)) => Some(Drift::Slot),
        Ok(None) => Some(Drift::Unpinned),
        Err(_) => Some(Drift::Unseen),
    }
}

/// Whether the slot holds the generation's program; `None` if a pin is gone.
fn holds<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
    judged: &Judged,
) -> Result<Option<bool>, SysError> {
    let (kernel, dirs) = (host.kernel, host.dirs);
    let path = dirs.generation_programs(record.number).join(&judged.program);
    let slots = dirs.gate(judged.gate).join("slots");
    let (Some(program), Some(slots)) = (kernel.open_prog(&path)?, kernel.open_map(&slots)?) else {
        return Ok(None);
    };
    let own = kernel.prog_info(&program)?.id;
    let found = kernel.map_lookup(&slots, &record.parity.slot().to_ne_bytes())?;
    Ok(Some(found == Some(own.to_ne_bytes().to_vec())))
}

/// The program that the gate's link runs, if the link is attached.
fn link_program<K: Kernel>(host: &Host<'_, K>, gate: &Gate) -> Result<Option<u32>, SysError> {
    let pin = host.dirs.gate(gate.id).join("link");
    let Some(link) = host.kernel.open_link(&pin)? else { return Ok(None) };
    let info = host.kernel.link_info(&link)?;
    let attached = match (&gate.point, &info.details) {
        (
            Point::Tc { interface, .. } | Point::Host { interface, .. },
            LinkDetails::Tcx { ifindex, .. },
        )
        | (Point::Xdp { interface }, LinkDetails::Xdp { ifindex }) => interface.index == *ifindex,
        (
            Point::CgroupSkb { id, .. } | Point::Followed { id, .. },
            LinkDetails::Cgroup { cgroup_id, .. },
        ) => id == cgroup_id,
        (Point::RawTracepoint { .. }, LinkDetails::RawTracepoint { .. })
        | (Point::Tracepoint { .. }, LinkDetails::PerfEvent) => true,
        _ => false,
    };
    Ok(attached.then_some(info.prog_id))
}

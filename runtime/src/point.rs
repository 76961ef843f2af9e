//! Attach points: where a gate sits.

use std::fmt;
use std::path::PathBuf;

use policyc_bpf::{Direction, ProgramKind};
use policyc_sys::bpf::Direction as SysDirection;
use policyc_sys::kernel::{FilterPlace, Hook, Port};
use serde::{Deserialize, Serialize};

/// A place in the kernel that has one gate. Equal points are the same place:
/// an interface that was deleted and made again is another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// One direction of an interface, by tcx or clsact.
    Tc {
        /// The interface.
        interface: InterfaceId,
        /// As the interface's network stack sees it.
        direction: Direction,
    },
    /// What an interface receives.
    Xdp {
        /// The interface.
        interface: InterfaceId,
    },
    /// One direction of a cgroup.
    CgroupSkb {
        /// Its directory.
        path: PathBuf,
        /// Its inode number.
        id: u64,
        /// As the cgroup's sockets see it.
        direction: Direction,
    },
    /// A raw tracepoint.
    RawTracepoint {
        /// `sched_process_exec`
        name: String,
    },
    /// A tracepoint.
    Tracepoint {
        /// `syscalls`
        category: String,
        /// `sys_enter_execve`
        event: String,
    },
}

/// An interface that exists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct InterfaceId {
    /// Path of its network namespace; `None` for the one policyc runs in.
    pub netns: Option<PathBuf>,
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
}

/// How a gate at [`Point::Tc`] is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// A tcx link. KERNEL: >= 6.6.
    Tcx,
    /// A filter of the `clsact` qdisc.
    Clsact,
}

impl Point {
    /// The kind of the programs in the gate's slots, and of the gate.
    pub(crate) fn kind(&self) -> ProgramKind {
        match self {
            Self::Tc { .. } => ProgramKind::Tc,
            Self::Xdp { .. } => ProgramKind::Xdp,
            Self::CgroupSkb { direction, .. } => ProgramKind::CgroupSkb(*direction),
            Self::RawTracepoint { name } => ProgramKind::RawTracepoint(name.clone()),
            Self::Tracepoint { category, event } => {
                ProgramKind::Tracepoint { category: category.clone(), event: event.clone() }
            }
        }
    }

    /// Where a link attaches.
    pub(crate) fn hook(&self) -> Hook {
        match self {
            Self::Tc { interface, direction } => {
                Hook::Tcx { port: interface.port(), direction: to_sys(*direction) }
            }
            Self::Xdp { interface } => Hook::Xdp { port: interface.port() },
            Self::CgroupSkb { path, direction, .. } => {
                Hook::CgroupSkb { path: path.clone(), direction: to_sys(*direction) }
            }
            Self::RawTracepoint { name } => Hook::RawTracepoint { name: name.clone() },
            Self::Tracepoint { category, event } => {
                Hook::Tracepoint { category: category.clone(), event: event.clone() }
            }
        }
    }

    /// Where a filter attaches; `None` for points without filters.
    pub(crate) fn filter(&self) -> Option<FilterPlace> {
        match self {
            Self::Tc { interface, direction } => {
                Some(FilterPlace { port: interface.port(), direction: to_sys(*direction) })
            }
            _ => None,
        }
    }

    /// The interface, where it is one.
    pub fn interface(&self) -> Option<&InterfaceId> {
        match self {
            Self::Tc { interface, .. } | Self::Xdp { interface } => Some(interface),
            _ => None,
        }
    }
}

impl InterfaceId {
    fn port(&self) -> Port {
        Port { netns: self.netns.clone(), ifindex: self.index }
    }
}

fn to_sys(direction: Direction) -> SysDirection {
    match direction {
        Direction::Ingress => SysDirection::Ingress,
        Direction::Egress => SysDirection::Egress,
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.netns {
            Some(netns) => write!(f, "{} in {}", self.name, netns.display()),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |direction: &Direction| match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        match self {
            Self::Tc { interface, direction } => write!(f, "tc {} of {interface}", name(direction)),
            Self::Xdp { interface } => write!(f, "xdp of {interface}"),
            Self::CgroupSkb { path, direction, .. } => {
                write!(f, "{} of cgroup {}", name(direction), path.display())
            }
            Self::RawTracepoint { name } => write!(f, "raw tracepoint {name}"),
            Self::Tracepoint { category, event } => write!(f, "tracepoint {category}/{event}"),
        }
    }
}

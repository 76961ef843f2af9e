//! Attach points: where a gate sits.
//!
//! A point has an identity, which is all that makes two points equal, and
//! names, which people read and which lead there: names change, have aliases,
//! and come to mean other places.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use policyc_bpf::{Direction, ProgramKind};
use policyc_sys::bpf::Direction as SysDirection;
use policyc_sys::kernel::{FilterPlace, Hook, Port};
use policyc_sys::net::{Netns, NetnsId};
use serde::{Deserialize, Serialize};

/// A place in the kernel that has one gate. Equal points are the same place,
/// whatever they are called: an interface or namespace that was deleted and made
/// again is another.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
        /// A directory of it.
        path: PathBuf,
        /// Its inode number, which identifies it.
        id: u64,
        /// As the cgroup's sockets see it.
        direction: Direction,
    },
    /// One direction of whatever cgroup is at a path, judged at one above.
    Followed {
        /// Where it is, or will be.
        path: PathBuf,
        /// Where it is judged.
        at: PathBuf,
        /// The inode number of that.
        id: u64,
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// How many directories `path` is below the mount.
        level: u32,
        /// As the cgroup's sockets see it.
        direction: Direction,
    },
    /// What the host itself takes or sends by an interface.
    Host {
        /// The interface.
        interface: InterfaceId,
        /// As the host's network stack sees it.
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

/// An interface, identified by its namespace and index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InterfaceId {
    /// Device and inode number of its network namespace.
    pub namespace: (u64, u64),
    /// Its index there.
    pub index: u32,
    /// Its name when it was looked up.
    pub name: String,
    /// The path by which its namespace was found; `None` for the one that
    /// policyc ran in.
    pub netns: Option<PathBuf>,
}

/// What makes a point the place that it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum PlaceId<'a> {
    Tc { namespace: (u64, u64), index: u32, direction: Direction },
    Xdp { namespace: (u64, u64), index: u32 },
    CgroupSkb { id: u64, direction: Direction },
    Followed { path: &'a Path, id: u64, direction: Direction },
    Host { namespace: (u64, u64), index: u32, direction: Direction },
    RawTracepoint { name: &'a str },
    Tracepoint { category: &'a str, event: &'a str },
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Point {}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
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
    fn place(&self) -> PlaceId<'_> {
        match self {
            Self::Tc { interface: InterfaceId { namespace, index, .. }, direction } => {
                PlaceId::Tc { namespace: *namespace, index: *index, direction: *direction }
            }
            Self::Xdp { interface: InterfaceId { namespace, index, .. } } => {
                PlaceId::Xdp { namespace: *namespace, index: *index }
            }
            Self::CgroupSkb { id, direction, .. } => {
                PlaceId::CgroupSkb { id: *id, direction: *direction }
            }
            Self::Followed { path, id, direction, .. } => {
                PlaceId::Followed { path, id: *id, direction: *direction }
            }
            Self::Host { interface: InterfaceId { namespace, index, .. }, direction } => {
                PlaceId::Host { namespace: *namespace, index: *index, direction: *direction }
            }
            Self::RawTracepoint { name } => PlaceId::RawTracepoint { name },
            Self::Tracepoint { category, event } => PlaceId::Tracepoint { category, event },
        }
    }

    /// The kind of the programs in the gate's slots, and of the gate.
    pub(crate) fn kind(&self) -> ProgramKind {
        match self {
            Self::Tc { .. } | Self::Host { .. } => ProgramKind::Tc,
            Self::Xdp { .. } => ProgramKind::Xdp,
            Self::CgroupSkb { direction, .. } | Self::Followed { direction, .. } => {
                ProgramKind::CgroupSkb(*direction)
            }
            Self::RawTracepoint { name } => ProgramKind::RawTracepoint(name.clone()),
            Self::Tracepoint { category, event } => {
                ProgramKind::Tracepoint { category: category.clone(), event: event.clone() }
            }
        }
    }

    /// Where a link attaches.
    pub(crate) fn hook(&self) -> Hook {
        match self {
            Self::Tc { interface, direction } | Self::Host { interface, direction } => {
                Hook::Tcx { port: interface.port(), direction: to_sys(*direction) }
            }
            Self::Xdp { interface } => Hook::Xdp { port: interface.port() },
            Self::CgroupSkb { path, direction, .. }
            | Self::Followed { at: path, direction, .. } => {
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
            Self::Tc { interface, direction } | Self::Host { interface, direction } => {
                Some(FilterPlace { port: interface.port(), direction: to_sys(*direction) })
            }
            _ => None,
        }
    }

    /// Whether packets are judged there, and not events reported.
    pub const fn judges_packets(&self) -> bool {
        !matches!(self, Self::RawTracepoint { .. } | Self::Tracepoint { .. })
    }

    /// The interface, where it is one.
    pub fn interface(&self) -> Option<&InterfaceId> {
        match self {
            Self::Tc { interface, .. } | Self::Host { interface, .. } | Self::Xdp { interface } => {
                Some(interface)
            }
            _ => None,
        }
    }
}

impl InterfaceId {
    /// Its network namespace.
    pub(crate) fn netns(&self) -> Netns {
        let (dev, ino) = self.namespace;
        Netns { id: NetnsId { dev, ino }, path: self.netns.clone() }
    }

    fn port(&self) -> Port {
        Port { netns: self.netns(), ifindex: self.index }
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
            Self::Followed { path, at, direction, .. } => {
                let (path, at) = (path.display(), at.display());
                write!(f, "{} of cgroup {path}, at {at}", name(direction))
            }
            Self::Host { interface, direction } => {
                write!(f, "{} of the host by {interface}", name(direction))
            }
            Self::RawTracepoint { name } => write!(f, "raw tracepoint {name}"),
            Self::Tracepoint { category, event } => write!(f, "tracepoint {category}/{event}"),
        }
    }
}

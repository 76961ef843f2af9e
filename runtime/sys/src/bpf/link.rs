//! Links: attaching, replacing and detaching programs.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use super::{AttachType, Command, Direction, attr, call, call_fd, raw};
use crate::SysError;

/// `BPF_F_BEFORE`: with no neighbour named, the head of the chain.
const BEFORE: u32 = 1 << 3;
/// `BPF_F_REPLACE` of `BPF_LINK_UPDATE`: only if the old program is still there.
const REPLACE: u32 = 1 << 2;

/// How XDP runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum XdpMode {
    /// The driver's own if it has one, else generic.
    Auto,
    /// In the network stack, on any interface.
    Generic,
    /// In the driver.
    Native,
}

impl XdpMode {
    const fn flags(self) -> u32 {
        match self {
            Self::Auto => 0,
            Self::Generic => 1 << 1,
            Self::Native => 1 << 2,
        }
    }
}

/// Where a link attaches a program. Interface indices are those of the calling
/// thread's network namespace.
#[derive(Clone, Copy, Debug)]
pub enum LinkTarget<'a> {
    /// Head of the interface's tcx chain. KERNEL: >= 6.6.
    Tcx {
        /// Interface.
        ifindex: u32,
        /// Which chain.
        direction: Direction,
    },
    /// XDP of the interface.
    Xdp {
        /// Interface.
        ifindex: u32,
        /// Driver or generic.
        mode: XdpMode,
    },
    /// A cgroup v2 directory.
    CgroupSkb {
        /// The open directory.
        cgroup: BorrowedFd<'a>,
        /// Which packets.
        direction: Direction,
    },
    /// A perf event, as [`perf_event_open`] returns it. KERNEL: >= 5.15.
    PerfEvent(BorrowedFd<'a>),
}

/// Attaches a program. It stays while the descriptor or a pin of it lives.
///
/// # Errors
/// What the kernel said.
pub fn link_create(prog: BorrowedFd<'_>, target: LinkTarget<'_>) -> Result<OwnedFd, SysError> {
    let (target, attach_type, flags) = match target {
        LinkTarget::Tcx { ifindex, direction } => (ifindex, direction.tcx(), BEFORE),
        LinkTarget::Xdp { ifindex, mode } => (ifindex, AttachType::XDP, mode.flags()),
        LinkTarget::CgroupSkb { cgroup, direction } => (raw(cgroup), direction.cgroup_skb(), 0),
        LinkTarget::PerfEvent(event) => (raw(event), AttachType::PERF_EVENT, 0),
    };
    let mut attr = attr::LinkCreate {
        prog_fd: raw(prog),
        target,
        attach_type: attach_type.0,
        flags,
        ..Default::default()
    };
    call_fd(Command::LinkCreate, &mut attr)
}

/// Attaches a `RAW_TRACEPOINT` program; the result is a link like any other.
///
/// # Errors
/// `ENOENT` when the kernel has no such raw tracepoint; what the kernel said.
pub fn raw_tracepoint_open(prog: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, SysError> {
    let call_name = Command::RawTracepointOpen.name();
    let c_name =
        CString::new(name).map_err(|_| SysError::new(call_name, libc::EINVAL).about(name))?;
    let mut attr = attr::RawTracepoint {
        name: c_name.as_ptr() as u64,
        prog_fd: raw(prog),
        ..Default::default()
    };
    call_fd(Command::RawTracepointOpen, &mut attr).map_err(|e| e.about(name))
}

/// Opens the perf event of a tracepoint on every process of CPU 0's namespace;
/// a BPF program attached to it sees the events of all CPUs.
///
/// `id` is what tracefs says in `events/CATEGORY/EVENT/id`.
///
/// # Errors
/// What the kernel said; needs CAP_PERFMON.
pub fn perf_event_open(id: u64) -> Result<OwnedFd, SysError> {
    const TYPE_TRACEPOINT: u32 = 2;
    const FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    // `struct perf_event_attr`, version 0: type, size, config, then zeros with
    // sample_period 1 at 16 and wakeup_events 1 at 48.
    let mut attr = [0_u8; 64];
    attr[0..4].copy_from_slice(&TYPE_TRACEPOINT.to_ne_bytes());
    attr[4..8].copy_from_slice(&64_u32.to_ne_bytes());
    attr[8..16].copy_from_slice(&id.to_ne_bytes());
    attr[16..24].copy_from_slice(&1_u64.to_ne_bytes());
    attr[48..52].copy_from_slice(&1_u32.to_ne_bytes());
    // SAFETY: `attr` is 64 live bytes and says so in its size field; the other
    // arguments are numbers.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, attr.as_mut_ptr(), -1, 0, -1, FLAG_FD_CLOEXEC)
    };
    if fd < 0 {
        return Err(SysError::last("perf_event_open"));
    }
    // SAFETY: a non-negative result is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Replaces a link's program in one step; with `old`, only if that one is still
/// there.
///
/// # Errors
/// `EPERM` when `old` is not the current one; what the kernel said.
pub fn link_update(
    link: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), SysError> {
    let mut attr = attr::LinkUpdate {
        link_fd: raw(link),
        new_prog_fd: raw(new),
        flags: if old.is_some() { REPLACE } else { 0 },
        old_prog_fd: old.map_or(0, raw),
    };
    call(Command::LinkUpdate, &mut attr)?;
    Ok(())
}

/// Detaches now, even while descriptors or pins of the link remain.
///
/// # Errors
/// `EOPNOTSUPP` for links that only end with their last reference (raw
/// tracepoints, perf events); what the kernel said.
pub fn link_detach(link: BorrowedFd<'_>) -> Result<(), SysError> {
    let mut attr = attr::LinkFd { link_fd: raw(link) };
    call(Command::LinkDetach, &mut attr)?;
    Ok(())
}

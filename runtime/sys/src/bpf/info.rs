//! What the kernel says about an object behind a descriptor.
//!
//! `struct bpf_*_info` grow with the kernel; fields are read by their offset
//! from a zeroed buffer, so what an older kernel does not fill is zero.

use std::os::fd::BorrowedFd;

use super::attr::{self, address_mut};
use super::{AttachType, Command, ProgType, call, raw, text};
use crate::SysError;

/// A filled info struct.
pub(super) struct Info<const N: usize>([u8; N]);

impl<const N: usize> Info<N> {
    // INVARIANT: callers read inside N, with constant offsets; the tests read
    // every field.
    pub(super) fn u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(bytes)
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_ne_bytes(bytes)
    }

    pub(super) fn text(&self, at: usize, len: usize) -> String {
        text(&self.0[at..at + len])
    }
}

/// `BPF_OBJ_GET_INFO_BY_FD` into a copy of `request`, whose non-zero bytes ask
/// the kernel to fill further buffers.
pub(super) fn read<const N: usize>(
    fd: BorrowedFd<'_>,
    request: [u8; N],
) -> Result<Info<N>, SysError> {
    let mut info = request;
    let mut attr = attr::Info { bpf_fd: raw(fd), info_len: N as u32, info: address_mut(&mut info) };
    call(Command::ObjGetInfoByFd, &mut attr)?;
    Ok(Info(info))
}

/// What the kernel says about a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgInfo {
    /// Unique while the program lives.
    pub id: u32,
    /// Kernel type.
    pub prog_type: ProgType,
    /// First eight bytes of a hash of its instructions.
    pub tag: [u8; 8],
    /// Name, at most 15 bytes.
    pub name: String,
    /// Instructions the verifier processed; 0 before kernel 5.16.
    pub verified_insns: u32,
    /// Bytes of machine code; 0 when interpreted.
    pub jited_size: u32,
}

/// What the kernel says about the program behind a descriptor.
///
/// # Errors
/// What the kernel said.
pub fn prog_info(fd: BorrowedFd<'_>) -> Result<ProgInfo, SysError> {
    let info = read(fd, [0; 232])?;
    let mut tag = [0; 8];
    tag.copy_from_slice(&info.0[8..16]);
    Ok(ProgInfo {
        prog_type: ProgType(info.u32(0)),
        id: info.u32(4),
        tag,
        name: info.text(64, 16),
        verified_insns: info.u32(216),
        jited_size: info.u32(16),
    })
}

/// Nanoseconds spent in a program and its runs, both 0 unless
/// `kernel.bpf_stats_enabled` is set.
///
/// # Errors
/// What the kernel said.
pub fn prog_run_stats(fd: BorrowedFd<'_>) -> Result<(u64, u64), SysError> {
    let info = read(fd, [0; 232])?;
    Ok((info.u64(192), info.u64(200)))
}

/// What the kernel says about a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Unique while the link lives.
    pub id: u32,
    /// The program it runs.
    pub prog_id: u32,
    /// Where it is attached.
    pub details: LinkDetails,
}

/// Where a link is attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkDetails {
    /// A raw tracepoint, by name.
    RawTracepoint {
        /// `sched_process_exec`
        name: String,
    },
    /// A cgroup.
    Cgroup {
        /// Inode number of the cgroup directory.
        cgroup_id: u64,
        /// Direction.
        attach_type: AttachType,
    },
    /// XDP of an interface; index 0 when the interface is gone.
    Xdp {
        /// Interface index in the interface's network namespace.
        ifindex: u32,
    },
    /// tcx of an interface; index 0 when the interface is gone.
    Tcx {
        /// Interface index in the interface's network namespace.
        ifindex: u32,
        /// Direction.
        attach_type: AttachType,
    },
    /// A perf event, which tracepoints are.
    PerfEvent,
    /// Any other, by `enum bpf_link_type`.
    Other(u32),
}

/// What the kernel says about the link behind a descriptor.
///
/// # Errors
/// What the kernel said.
pub fn link_info(fd: BorrowedFd<'_>) -> Result<LinkInfo, SysError> {
    const RAW_TRACEPOINT: u32 = 1;
    let info = read(fd, [0; 48])?;
    let details = match info.u32(0) {
        RAW_TRACEPOINT => LinkDetails::RawTracepoint { name: raw_tracepoint_name(fd)? },
        3 => LinkDetails::Cgroup { cgroup_id: info.u64(16), attach_type: AttachType(info.u32(24)) },
        6 => LinkDetails::Xdp { ifindex: info.u32(16) },
        7 => LinkDetails::PerfEvent,
        11 => LinkDetails::Tcx { ifindex: info.u32(16), attach_type: AttachType(info.u32(20)) },
        other => LinkDetails::Other(other),
    };
    Ok(LinkInfo { id: info.u32(4), prog_id: info.u32(8), details })
}

/// The kernel copies the name to a buffer that the request points to.
fn raw_tracepoint_name(fd: BorrowedFd<'_>) -> Result<String, SysError> {
    let mut name = [0_u8; 128];
    let mut request = [0; 48];
    request[16..24].copy_from_slice(&address_mut(&mut name).to_ne_bytes());
    request[24..28].copy_from_slice(&(name.len() as u32).to_ne_bytes());
    read(fd, request)?;
    Ok(text(&name))
}

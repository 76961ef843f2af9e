//! What this host can do, found out by doing it.
//!
//! Guarantees: nothing is left behind: network hooks are tried on the loopback
//! of a network namespace that ends with the probe, cgroups on one made for it.
//! Versions and configurations are never asked: distributions backport and
//! switch off.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};

use crate::SysError;
use crate::bpf::{
    AttachType, Direction, LinkTarget, ProgLoad, ProgType, XdpMode, link_create, perf_event_open,
    prog_load, raw_tracepoint_open,
};
use crate::host::{cgroup2_mount, tracepoint_id};
use crate::net::tc::{FilterKey, clsact_add, filter_add};
use crate::net::{in_new_netns, interface_by_name};

/// A way to attach programs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Feature {
    /// Links in an interface's tcx chains.
    Tcx,
    /// Filters of the `clsact` qdisc.
    Clsact,
    /// XDP in the network stack.
    XdpGeneric,
    /// Packets of a cgroup.
    CgroupSkb,
    /// Raw tracepoints.
    RawTracepoint,
    /// Tracepoints by perf event.
    Tracepoint,
}

impl Feature {
    /// Every feature, in the order profiles list them.
    pub const ALL: [Self; 6] = [
        Self::Tcx,
        Self::Clsact,
        Self::XdpGeneric,
        Self::CgroupSkb,
        Self::RawTracepoint,
        Self::Tracepoint,
    ];

    /// Its name in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::XdpGeneric => "xdp-generic",
            Self::CgroupSkb => "cgroup-skb",
            Self::RawTracepoint => "raw-tracepoint",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// What helps where it is missing.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Tcx => "tcx came with Linux 6.6; clsact is used instead",
            Self::Clsact => "load the modules `sch_ingress` and `cls_bpf`",
            Self::XdpGeneric => "XDP needs a kernel with CONFIG_NET and CONFIG_BPF_SYSCALL",
            Self::CgroupSkb => {
                "needs CONFIG_CGROUP_BPF and a mounted cgroup version 2 hierarchy \
                 (`mount -t cgroup2 none /sys/fs/cgroup/unified` beside version 1)"
            }
            Self::RawTracepoint => "needs CONFIG_BPF_EVENTS and CAP_PERFMON",
            Self::Tracepoint => {
                "needs CONFIG_BPF_EVENTS, CONFIG_PERF_EVENTS, tracefs, Linux 5.15 and CAP_PERFMON"
            }
        }
    }
}

/// Attaches a program that does nothing, and detaches it.
///
/// # Errors
/// What failed; `EPERM` is about this process, others about the kernel.
pub fn probe(feature: Feature) -> Result<(), SysError> {
    match feature {
        Feature::Tcx => in_new_netns(|| {
            let prog = nothing(ProgType::SCHED_CLS, None)?;
            let target = LinkTarget::Tcx { ifindex: lo()?, direction: Direction::Ingress };
            link_create(prog.as_fd(), target).map(drop)
        }),
        Feature::Clsact => in_new_netns(|| {
            let prog = nothing(ProgType::SCHED_CLS, None)?;
            let (ifindex, direction) = (lo()?, Direction::Ingress);
            clsact_add(ifindex)?;
            let key = FilterKey { ifindex, direction, priority: 1, handle: 1 };
            filter_add(key, prog.as_fd(), "probe")
        }),
        Feature::XdpGeneric => in_new_netns(|| {
            let prog = nothing(ProgType::XDP, None)?;
            let target = LinkTarget::Xdp { ifindex: lo()?, mode: XdpMode::Generic };
            link_create(prog.as_fd(), target).map(drop)
        }),
        Feature::CgroupSkb => cgroup_skb(),
        Feature::RawTracepoint => {
            let prog = nothing(ProgType::RAW_TRACEPOINT, None)?;
            raw_tracepoint_open(prog.as_fd(), "sched_process_exec").map(drop)
        }
        Feature::Tracepoint => {
            let prog = nothing(ProgType::TRACEPOINT, None)?;
            let event = perf_event_open(tracepoint_id("sched", "sched_process_exec")?)?;
            link_create(prog.as_fd(), LinkTarget::PerfEvent(event.as_fd())).map(drop)
        }
    }
}

fn cgroup_skb() -> Result<(), SysError> {
    let prog = nothing(ProgType::CGROUP_SKB, Some(AttachType::CGROUP_INET_EGRESS))?;
    let path = cgroup2_mount()?.join(format!("policyc-probe-{}", std::process::id()));
    let about = |call, e: std::io::Error| SysError::from_io(call, &e).about(path.to_string_lossy());
    fs::create_dir(&path).map_err(|e| about("mkdir", e))?;
    let attached = File::open(&path).map_err(|e| about("open", e)).and_then(|cgroup| {
        let direction = Direction::Egress;
        let target = LinkTarget::CgroupSkb { cgroup: cgroup.as_fd(), direction };
        link_create(prog.as_fd(), target).map(drop)
    });
    fs::remove_dir(&path).map_err(|e| about("rmdir", e))?;
    attached
}

fn lo() -> Result<u32, SysError> {
    Ok(interface_by_name("lo")?.index)
}

/// `return 0` as a program of the type.
fn nothing(prog_type: ProgType, attach: Option<AttachType>) -> Result<OwnedFd, SysError> {
    const RETURN_0: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let load = ProgLoad {
        expected_attach_type: attach,
        name: "probe",
        ..ProgLoad::new(prog_type, "MIT OR Apache-2.0", &RETURN_0)
    };
    Ok(prog_load(&load)?.fd)
}

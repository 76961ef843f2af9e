//! Capabilities held by this process.

use std::fmt;

use rustix::thread::{CapabilitySet, capabilities};

use crate::SysError;

/// A capability that BPF work needs, by the kernel's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Capability {
    /// `CAP_BPF`: load programs, create maps.
    Bpf,
    /// `CAP_NET_ADMIN`: network programs and where they attach.
    NetAdmin,
    /// `CAP_PERFMON`: tracing programs.
    Perfmon,
    /// `CAP_SYS_ADMIN`: mount, enter namespaces, open objects by id.
    SysAdmin,
}

impl Capability {
    const fn set(self) -> CapabilitySet {
        match self {
            Self::Bpf => CapabilitySet::BPF,
            Self::NetAdmin => CapabilitySet::NET_ADMIN,
            Self::Perfmon => CapabilitySet::PERFMON,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        })
    }
}

/// Those of `needed` that are not effective. `CAP_SYS_ADMIN` stands for
/// `CAP_BPF` and `CAP_PERFMON`, as in the kernel.
///
/// # Errors
/// What capget said.
pub fn missing_capabilities(needed: &[Capability]) -> Result<Vec<Capability>, SysError> {
    let held = capabilities(None).map_err(|e| SysError::new("capget", e.raw_os_error()))?.effective;
    let admin = held.contains(CapabilitySet::SYS_ADMIN);
    let implied = |c: Capability| admin && matches!(c, Capability::Bpf | Capability::Perfmon);
    Ok(needed.iter().copied().filter(|&c| !held.contains(c.set()) && !implied(c)).collect())
}

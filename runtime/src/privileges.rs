//! Which capabilities a command needs.

use policyc_sys::Kernel;
use policyc_sys::host::Capability;

use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::Journal;

/// Those of every command that changes something, with those of the journal's
/// gates.
pub(crate) fn check_privileges<K: Kernel>(
    host: &Host<'_, K>,
    journal: &Journal,
) -> Result<(), Error> {
    let interfaces = journal.gates.iter().filter_map(|gate| gate.point.interface());
    require(host, interfaces.into_iter().any(|interface| interface.netns.is_some()))
}

/// `admin` is for entering network namespaces and for mounting.
pub(crate) fn require<K: Kernel>(host: &Host<'_, K>, admin: bool) -> Result<(), Error> {
    // The verifier takes what programs and gates do with pointers only from a
    // process with CAP_PERFMON.
    let mut needed = vec![Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];
    if admin {
        needed.push(Capability::SysAdmin);
    }
    let missing = host.kernel.missing_capabilities(&needed).or_doing("read the capabilities")?;
    if missing.is_empty() { Ok(()) } else { Err(Error::Privileges(missing)) }
}

//! Each program runs once before it is live.
//!
//! The programs are loaded a second time, against the same tables and throw-away
//! scratch and shared maps, so that the run is neither counted nor reported.

use std::collections::BTreeSet;

use policyc_bpf::{Artifact, MapRole, ProgramKind};
use policyc_sys::bpf::TestRun;
use policyc_sys::{Kernel, errno};

use super::load::{def, load_programs};
use crate::error::{Error, OrDoing};
use crate::gate::verdicts;
use crate::generation::{Generation, LoadedProgram};
use crate::host::Host;

/// Runs every program of a generation on one packet, or on arguments that are
/// all zero.
pub(super) fn dry_run<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    generation: &Generation<K>,
) -> Result<(), Error> {
    let used: BTreeSet<usize> = generation.programs.iter().map(|program| program.index).collect();
    let maps: Vec<&K::Map> = generation.maps.iter().map(|loaded| &loaded.map).collect();
    dry_run_with(host, artifact, &maps, &used)
}

/// Runs some programs, with these maps for their tables.
pub(super) fn dry_run_with<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    loaded: &[&K::Map],
    used: &BTreeSet<usize>,
) -> Result<(), Error> {
    let object = artifact.object();
    let mut throw_away = Vec::new();
    for spec in object.maps.values() {
        throw_away.push(match spec.role {
            MapRole::Table | MapRole::Binding => None,
            MapRole::Scratch | MapRole::Shared => {
                Some(host.kernel.map_create(&def(spec)).or_doing("create a map")?)
            }
        });
    }
    let maps: Vec<&K::Map> =
        throw_away.iter().zip(loaded).map(|(own, loaded)| own.as_ref().unwrap_or(loaded)).collect();
    for program in load_programs(host.kernel, object, used, &maps)? {
        run(host.kernel, &program)?;
    }
    Ok(())
}

fn run<K: Kernel>(kernel: &K, program: &LoadedProgram<K::Prog>) -> Result<(), Error> {
    let is_tracing = match program.kind {
        ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(_) => false,
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => true,
    };
    let input = if is_tracing {
        TestRun { ctx: &[0; 8 * 12], ..TestRun::default() }
    } else {
        TestRun { data: &PACKET, ..TestRun::default() }
    };
    let retval = match kernel.test_run(&program.prog, &input) {
        Ok(result) => result.retval,
        // The program type has no test run.
        Err(error) if error.is(errno::ENOTSUPP) => return Ok(()),
        Err(error) => return Err(Error::sys("test-run a program", error)),
    };
    let verdicts = verdicts(&program.kind);
    let known = [Some(verdicts.allow), Some(verdicts.deny), verdicts.answer];
    if is_tracing || known.contains(&Some(retval.cast_signed())) {
        return Ok(());
    }
    Err(Error::DryRun { program: program.name.clone(), retval })
}

/// UDP from 192.0.2.1:1 to 192.0.2.2:1 (RFC 5737), padded to the least an
/// Ethernet frame has.
const PACKET: [u8; 60] = {
    let mut packet = [0; 60];
    let header = [
        // Ethernet: two locally administered addresses, IPv4.
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, //
        // IPv4: 28 bytes, do not fragment, 64 hops, UDP.
        0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0xb6, 0xcd, 192, 0, 2, 1, 192, 0, 2, 2, //
        // UDP: ports, 8 bytes, no checksum.
        0, 1, 0, 1, 0, 8, 0, 0,
    ];
    let mut at = 0;
    while at < header.len() {
        packet[at] = header[at];
        at += 1;
    }
    packet
};

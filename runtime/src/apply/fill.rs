//! What is in the maps of a generation before it is live.

use policyc_bpf::manifest::{Manifest, subject_identity};
use policyc_bpf::sets::{MEMBERS, SETS};
use policyc_bpf::{Direction, MapKind, MapRole, MapSpec};
use policyc_sys::Kernel;

use super::Options;
use super::plan::Plan;
use crate::audit;
use crate::error::{Error, OrDoing};
use crate::host::KEY_0;
use crate::members;
use crate::point::Point;

/// Where contents come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) plan: &'a Plan,
    pub(super) options: Options,
}

/// Fills a fresh map by its role. Tables are frozen; shared and scratch maps
/// are left to the programs.
pub(super) fn fill<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    contents: &Contents<'_>,
) -> Result<(), Error> {
    let Contents { manifest, plan, options } = *contents;
    match (spec.role, spec.name.as_str()) {
        (MapRole::Table, _) => table(kernel, spec, map),
        (MapRole::Binding, "subjects") => subjects(kernel, spec, map, manifest, plan),
        (MapRole::Binding, "config") => config(kernel, spec, map, plan, options),
        (MapRole::Binding, audit::MAP) => audit::fill(kernel, spec, map, manifest, &plan.audits),
        (MapRole::Binding, MEMBERS | SETS) => {
            members::fill(kernel, spec, map, &manifest.sets, &plan.members)
        }
        (MapRole::Binding, _) => {
            Err(wrong(spec, "is filled from the bindings in a way this release does not know"))
        }
        (MapRole::Scratch | MapRole::Shared, _) => Ok(()),
    }
}

/// The artifact's own contents, from key 0 on.
fn table<K: Kernel>(kernel: &K, spec: &MapSpec, map: &K::Map) -> Result<(), Error> {
    let size = spec.value_size as usize;
    let count = spec.contents.len().checked_div(size).unwrap_or_default();
    if !spec.contents.is_empty() {
        let fits = spec.kind == MapKind::Array
            && count * size == spec.contents.len()
            && count <= spec.max_entries as usize;
        if !fits {
            return Err(wrong(spec, "has contents that do not fit it"));
        }
        let keys: Vec<u8> = (0..count as u32).flat_map(u32::to_ne_bytes).collect();
        kernel.map_update_batch(map, &keys, &spec.contents).or_doing("fill a table")?;
    }
    kernel.map_freeze(map).or_doing("freeze a table")
}

/// Bytes of an entry of `subjects`.
const SUBJECT: usize = 16;

/// Attach id to behaviour row + 1, where 0 is nobody; then to the hook at which an
/// interface's packets are met; then to the number by which the subject's connections are
/// known in every generation.
pub(super) fn subjects<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<(), Error> {
    shape(spec, (4, SUBJECT as u32))?;
    let answers = manifest.decisions.iter().any(|decision| decision.answer.is_some());
    let bound = plan.gates.iter().filter_map(|gate| Some((gate, gate.wanted.subject.as_ref()?)));
    // Ids ascend. Tracing has none of a subject, and needs no room.
    let packets = plan.gates.iter().rfind(|gate| gate.wanted.point.judges_packets());
    if let Some(last) = packets.filter(|gate| gate.id >= spec.max_entries) {
        let points = last.id.saturating_add(1);
        return Err(Error::TooManyPoints { points, room: spec.max_entries });
    }
    for (gate, (name, row)) in bound {
        let mut value = [0; SUBJECT];
        value[..4].copy_from_slice(&row.saturating_add(1).to_ne_bytes());
        let hook = if answers { hook(kernel, &gate.wanted.point)? } else { 0 };
        value[4..8].copy_from_slice(&hook.to_ne_bytes());
        value[8..].copy_from_slice(&subject_identity(name).to_ne_bytes());
        kernel.map_update(map, &gate.id.to_ne_bytes(), &value).or_doing("fill the subjects")?;
    }
    Ok(())
}

/// The number of the hook, for programs that send answers back by the interface: 0 where
/// none can be, 3 where the gate of the other direction lets pass what came in.
fn hook<K: Kernel>(kernel: &K, point: &Point) -> Result<u32, Error> {
    Ok(match point {
        Point::Tc { direction: Direction::Ingress, .. } => 1,
        Point::Tc { direction: Direction::Egress, interface } => {
            // What is flooded to a port is for others too: an answer in their name would
            // have the bridge look for them there.
            let links = kernel.interfaces(&interface.netns()).or_doing("list interfaces")?;
            let link = links.iter().find(|link| link.index == interface.index);
            if link.is_some_and(|link| link.master.is_some()) { 0 } else { 2 }
        }
        Point::Host { direction: Direction::Ingress, .. } => 3,
        Point::Host { direction: Direction::Egress, .. } => 2,
        Point::Xdp { .. }
        | Point::CgroupSkb { .. }
        | Point::Followed { .. }
        | Point::RawTracepoint { .. }
        | Point::Tracepoint { .. } => 0,
    })
}

/// Two words: the generation, and whether forwarded packets are reported.
fn config<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    plan: &Plan,
    options: Options,
) -> Result<(), Error> {
    shape(spec, (4, 8))?;
    let words = [plan.number as u32, u32::from(options.report_forwarded)];
    let value: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    kernel.map_update(map, &KEY_0, &value).or_doing("fill the configuration")
}

fn shape(spec: &MapSpec, sizes: (u32, u32)) -> Result<(), Error> {
    if spec.kind == MapKind::Array && (spec.key_size, spec.value_size) == sizes {
        return Ok(());
    }
    Err(wrong(spec, "has not the shape this release fills"))
}

fn wrong(spec: &MapSpec, reason: &str) -> Error {
    Error::Map { map: spec.name.clone(), reason: reason.to_owned() }
}

//! Blueprints as the kernel takes them.

use policyc_bpf::{Direction, MapKind, MapSpec, ProgramKind, btf};
use policyc_sys::SysError;
use policyc_sys::bpf::{AttachType, Map, MapDef, MapType, ProgType, map_create};

/// A map, with its contents if it is a table.
pub(super) fn create(spec: &MapSpec) -> Result<Map, SysError> {
    let map = map_create(&MapDef {
        map_type: MapType(btf::map_type(spec.kind)),
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        name: spec.name.clone(),
    })?;
    if spec.kind == MapKind::Array && spec.value_size > 0 {
        let values = (spec.contents.len() / spec.value_size as usize) as u32;
        let keys: Vec<u8> = (0..values).flat_map(u32::to_ne_bytes).collect();
        map.update_batch(&keys, &spec.contents)?;
    }
    Ok(map)
}

/// Kernel type, and attach type where the kernel wants one at load.
pub(super) fn kernel_type(kind: &ProgramKind) -> (ProgType, Option<AttachType>) {
    match kind {
        ProgramKind::Tc => (ProgType::SCHED_CLS, None),
        ProgramKind::Xdp => (ProgType::XDP, None),
        ProgramKind::CgroupSkb(Direction::Ingress) => {
            (ProgType::CGROUP_SKB, Some(AttachType::CGROUP_INET_INGRESS))
        }
        ProgramKind::CgroupSkb(Direction::Egress) => {
            (ProgType::CGROUP_SKB, Some(AttachType::CGROUP_INET_EGRESS))
        }
        ProgramKind::RawTracepoint(_) => (ProgType::RAW_TRACEPOINT, None),
        ProgramKind::Tracepoint { .. } => (ProgType::TRACEPOINT, None),
    }
}

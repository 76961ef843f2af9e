//! Programs offered to the running kernel.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::AsFd;

use policyc_bpf::{Direction, MapId, MapKind, Object, Program, ProgramKind, RelocTarget};
use policyc_sys::SysError;
use policyc_sys::bpf::{
    AttachType, Map, MapDef, MapType, ProgLoad, ProgLoaded, ProgType, TestRun, map_create,
    prog_load, prog_test_run, set_map,
};

/// Whether programs can be loaded here; says so if not, and panics where
/// `POLICYC_REQUIRE_KERNEL` is set.
pub(crate) fn is_there(test: &str) -> bool {
    let returning_0 = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    match prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &returning_0)) {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
            assert!(!required, "{test} needs bpf(2): {error}");
            eprintln!("SKIPPED {test}: {error}");
            false
        }
    }
}

/// Loads a program with fresh maps.
pub(crate) fn load(object: &Object, program: &Program) -> Result<ProgLoaded, SysError> {
    let mut insns: Vec<_> = program.insns.iter().map(|insn| insn.to_bytes()).collect();
    let mut maps: BTreeMap<MapId, Map> = BTreeMap::new();
    for reloc in &program.relocs {
        let (id, offset) = match reloc.target {
            RelocTarget::Map(id) => (id, None),
            RelocTarget::MapValue(id, offset) => (id, Some(offset)),
        };
        let map = match maps.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(create(object, id)?),
        };
        set_map(&mut insns, reloc.insn as usize, map, offset)?;
    }
    let (prog_type, attach) = match &program.kind {
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
    };
    let mut load = ProgLoad::new(prog_type, program.license.as_str(), &insns);
    load.expected_attach_type = attach;
    load.name = &program.name;
    prog_load(&load)
}

/// What the program returns for a packet.
pub(crate) fn run(loaded: &ProgLoaded, packet: &[u8]) -> Result<u32, SysError> {
    let run = TestRun { data: packet, ..TestRun::default() };
    prog_test_run(loaded.fd.as_fd(), &run).map(|result| result.retval)
}

fn create(object: &Object, id: MapId) -> Result<Map, SysError> {
    let spec = &object.maps[id];
    map_create(&MapDef {
        map_type: match spec.kind {
            MapKind::Array => MapType::ARRAY,
            MapKind::PercpuArray => MapType::PERCPU_ARRAY,
            MapKind::Hash => MapType::HASH,
            MapKind::LruHash => MapType::LRU_HASH,
            MapKind::LpmTrie => MapType::LPM_TRIE,
            MapKind::ProgArray => MapType::PROG_ARRAY,
            MapKind::Ringbuf => MapType::RINGBUF,
        },
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        name: spec.name.clone(),
    })
}

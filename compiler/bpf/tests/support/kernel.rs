//! An object in the running kernel: its maps, and its programs on one packet.

use std::os::fd::AsFd;

use policyc_bpf::{Direction, MapKind, Object, Program, ProgramKind, RelocTarget};
use policyc_sys::SysError;
use policyc_sys::bpf::{
    AttachType, Map, MapDef, MapType, ProgLoad, ProgType, TestRun, map_create, prog_load,
    prog_test_run, set_map,
};

use policyc_base::EntityId;

/// Maps of an object, created in the kernel.
pub(crate) struct Loaded<'a> {
    object: &'a Object,
    pub(crate) maps: Vec<Map>,
}

/// How a program ended in the kernel.
#[derive(Debug)]
pub(crate) enum Run {
    /// Its 32-bit result.
    Result(u32),
    /// The verifier's log.
    Refused(String),
}

/// Why bpf(2) cannot be used here; `None` if it can.
pub(crate) fn not_permitted() -> Option<String> {
    let exit = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let loaded = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "GPL", &exit));
    let fd = match loaded {
        Ok(loaded) => loaded.fd,
        Err(error) => return Some(error.to_string()),
    };
    let run = TestRun { data: &[0; 64], ..TestRun::default() };
    prog_test_run(fd.as_fd(), &run).err().map(|e| e.to_string())
}

/// Says that a test is skipped, and fails where it must not be.
#[allow(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip(reason: &str) {
    let required = std::env::var("POLICYC_REQUIRE_KERNEL").is_ok_and(|v| v == "1");
    assert!(!required, "POLICYC_REQUIRE_KERNEL=1, but bpf(2) is not permitted: {reason}");
    eprintln!("SKIPPED: bpf(2) is not permitted: {reason}");
}

impl<'a> Loaded<'a> {
    pub(crate) fn new(object: &'a Object) -> Result<Self, SysError> {
        let mut maps = Vec::new();
        for spec in object.maps.values() {
            let map = map_create(&MapDef {
                map_type: map_type(spec.kind),
                key_size: spec.key_size,
                value_size: spec.value_size,
                max_entries: spec.max_entries,
                flags: spec.flags,
                name: spec.name.clone(),
            })?;
            for (key, value) in spec.contents.chunks(spec.value_size.max(1) as usize).enumerate() {
                map.update(&(key as u32).to_le_bytes(), value, 0)?;
            }
            maps.push(map);
        }
        Ok(Self { object, maps })
    }

    pub(crate) fn run(&self, program: &Program, packet: &[u8]) -> Result<Run, SysError> {
        let mut insns: Vec<[u8; 8]> = program.insns.iter().map(|i| i.to_bytes()).collect();
        for reloc in &program.relocs {
            let (map, offset) = match reloc.target {
                RelocTarget::Map(map) => (map, None),
                RelocTarget::MapValue(map, offset) => (map, Some(offset)),
            };
            assert!(map.index() < self.object.maps.len());
            set_map(&mut insns, reloc.insn as usize, &self.maps[map.index()], offset)?;
        }
        let (prog_type, attach) = match program.kind {
            ProgramKind::Xdp => (ProgType::XDP, None),
            ProgramKind::CgroupSkb(Direction::Ingress) => {
                (ProgType::CGROUP_SKB, Some(AttachType::CGROUP_INET_INGRESS))
            }
            ProgramKind::CgroupSkb(Direction::Egress) => {
                (ProgType::CGROUP_SKB, Some(AttachType::CGROUP_INET_EGRESS))
            }
            _ => (ProgType::SCHED_CLS, None),
        };
        let mut load = ProgLoad::new(prog_type, "GPL", &insns);
        load.expected_attach_type = attach;
        let loaded = match prog_load(&load) {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Run::Refused(error.to_string())),
        };
        let run = TestRun { data: packet, ..TestRun::default() };
        Ok(Run::Result(prog_test_run(loaded.fd.as_fd(), &run)?.retval))
    }
}

const fn map_type(kind: MapKind) -> MapType {
    match kind {
        MapKind::Array => MapType::ARRAY,
        MapKind::PercpuArray => MapType::PERCPU_ARRAY,
        MapKind::Hash => MapType::HASH,
        MapKind::LruHash => MapType::LRU_HASH,
        MapKind::LpmTrie => MapType::LPM_TRIE,
        MapKind::ProgArray => MapType::PROG_ARRAY,
        MapKind::Ringbuf => MapType::RINGBUF,
    }
}

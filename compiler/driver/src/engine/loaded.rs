//! An object in this kernel, for test runs: attached nowhere, gone with the value.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use policyc_bpf::{
    Direction, MapKind, MapRole, MapSpec, Object, Program, ProgramKind, RelocTarget, btf,
};
use policyc_sys::SysError;
use policyc_sys::bpf::{
    AttachType, Map, MapDef, MapType, ProgLoad, ProgType, map_create, prog_load, set_map,
};

/// Maps and programs by name.
#[derive(Debug)]
pub struct Loaded {
    maps: BTreeMap<String, Map>,
    programs: BTreeMap<String, OwnedFd>,
}

impl Loaded {
    /// Creates the maps, fills those that are tables, and loads the programs whose
    /// names `wanted` accepts.
    ///
    /// # Errors
    /// What the kernel said; of a program with the verifier's log.
    pub fn new(object: &Object, wanted: impl Fn(&str) -> bool) -> Result<Self, SysError> {
        let mut maps = Vec::new();
        for spec in object.maps.values() {
            maps.push(create(spec)?);
        }
        let mut programs = BTreeMap::new();
        for program in object.programs.iter().filter(|p| wanted(&p.name)) {
            programs.insert(program.name.clone(), load(program, &maps)?);
        }
        let names = object.maps.values().map(|spec| spec.name.clone());
        Ok(Self { maps: names.zip(maps).collect(), programs })
    }

    /// A program by name.
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.programs.get(name).map(AsFd::as_fd)
    }

    /// A map by name.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name)
    }
}

fn create(spec: &MapSpec) -> Result<Map, SysError> {
    let map = map_create(&MapDef {
        map_type: MapType(btf::map_type(spec.kind)),
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        name: spec.name.clone(),
    })?;
    if spec.kind == MapKind::Array && spec.role == MapRole::Table {
        let values = spec.contents.chunks_exact(spec.value_size.max(1) as usize);
        for (key, value) in values.enumerate() {
            map.update(&(key as u32).to_ne_bytes(), value, 0)?;
        }
    }
    Ok(map)
}

fn load(program: &Program, maps: &[Map]) -> Result<OwnedFd, SysError> {
    use policyc_base::EntityId;
    let mut insns: Vec<[u8; 8]> = program.insns.iter().map(|insn| insn.to_bytes()).collect();
    for reloc in &program.relocs {
        let (id, offset) = match reloc.target {
            RelocTarget::Map(id) => (id, None),
            RelocTarget::MapValue(id, offset) => (id, Some(offset)),
        };
        // INVARIANT: objects are made with every map that they refer to.
        let Some(map) = maps.get(id.index()) else { continue };
        set_map(&mut insns, reloc.insn as usize, map, offset)?;
    }
    let (prog_type, expected_attach_type) = kernel_type(&program.kind);
    let load = ProgLoad {
        expected_attach_type,
        name: &program.name,
        ..ProgLoad::new(prog_type, program.license.as_str(), &insns)
    };
    Ok(prog_load(&load)?.fd)
}

fn kernel_type(kind: &ProgramKind) -> (ProgType, Option<AttachType>) {
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

//! An object in this kernel, for test runs: attached nowhere, gone with the value.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use policyc_bpf::{Object, Program, RelocTarget};
use policyc_sys::SysError;
use policyc_sys::bpf::{Map, ProgLoad, prog_load, set_map};

use super::blueprint::{create, kernel_type};

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

//! Where each program and map of an object lies in the ELF file.
//!
//! Guarantees: an object that has a layout is consistent: names are unique
//! identifiers, relocations point at a `lddw` and at a map, contents fit.
//! Source: the section names of libbpf 1.x and aya 0.14.

use std::collections::{BTreeMap, BTreeSet};

use policyc_base::EntityId;

use super::ObjectError;
use crate::{
    Direction, Insn, MapId, MapKind, MapRole, MapSpec, Object, Program, ProgramKind, RelocTarget,
    code,
};

/// Bytes of one instruction slot.
pub(crate) const SLOT: u64 = 8;

/// The largest section that offsets of BTF and relocations (`i32`) can address.
const MAX_SECTION: u64 = i32::MAX as u64;

/// `BPF_OBJ_NAME_LEN` without its final zero.
const MAX_NAME: usize = 15;

/// Where a map lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MapHome {
    /// A definition in `.maps`; loaders create it and relocate to the map.
    Definition,
    /// A section of its own, whose bytes are its only value; loaders relocate to
    /// the value.
    Data,
}

/// The programs of one section, which lie one behind the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProgramSection {
    /// Name of the section, which tells loaders the kind.
    pub(crate) name: String,
    /// Index of the program in the object, and its first slot in the section.
    pub(crate) programs: Vec<(usize, u32)>,
    /// Slots of all its programs.
    pub(crate) slots: u32,
}

/// Where everything lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Program sections, in the order of their first program.
    pub(crate) sections: Vec<ProgramSection>,
    /// For each map, its home.
    pub(crate) maps: Vec<MapHome>,
}

impl Layout {
    /// The layout of an object.
    pub(crate) fn of(object: &Object) -> Result<Self, ObjectError> {
        check_names(object)?;
        for map in object.maps.values() {
            check_map(map)?;
        }
        for program in &object.programs {
            check_program(program, object)?;
        }
        Ok(Self { sections: program_sections(object)?, maps: map_homes(object)? })
    }

    /// Where a map lies.
    pub(crate) fn home(&self, map: MapId) -> &MapHome {
        // INVARIANT: `of` gave every map of the object a home.
        &self.maps[map.index()]
    }
}

/// The section name that both loaders take for a kind.
pub(crate) fn section_name(kind: &ProgramKind) -> String {
    match kind {
        // `tc` is libbpf's newer word, `classifier` the only one aya knows.
        ProgramKind::Tc => "classifier".into(),
        ProgramKind::Xdp => "xdp".into(),
        ProgramKind::CgroupSkb(Direction::Ingress) => "cgroup_skb/ingress".into(),
        ProgramKind::CgroupSkb(Direction::Egress) => "cgroup_skb/egress".into(),
        ProgramKind::RawTracepoint(name) => format!("raw_tp/{name}"),
        ProgramKind::Tracepoint { category, event } => format!("tracepoint/{category}/{event}"),
    }
}

/// The kind that a section name stands for; the reverse of [`section_name`].
pub(crate) fn kind_of_section(name: &str) -> Option<ProgramKind> {
    let pieces: Vec<&str> = name.split('/').collect();
    Some(match pieces.as_slice() {
        ["classifier"] => ProgramKind::Tc,
        ["xdp"] => ProgramKind::Xdp,
        ["cgroup_skb", "ingress"] => ProgramKind::CgroupSkb(Direction::Ingress),
        ["cgroup_skb", "egress"] => ProgramKind::CgroupSkb(Direction::Egress),
        ["raw_tp", name] => ProgramKind::RawTracepoint((*name).into()),
        ["tracepoint", category, event] => {
            ProgramKind::Tracepoint { category: (*category).into(), event: (*event).into() }
        }
        _ => return None,
    })
}

/// The section of a map whose home is [`MapHome::Data`]: constant for tables.
pub(crate) fn data_section_name(map: &MapSpec) -> String {
    let prefix = if map.role == MapRole::Table { ".rodata" } else { ".data" };
    format!("{prefix}.{}", map.name)
}

/// Whether `insn` is the first half of a `lddw`.
pub(crate) const fn is_lddw(insn: Insn) -> bool {
    insn.code == code::LD | code::DW | code::IMM
}

fn program_sections(object: &Object) -> Result<Vec<ProgramSection>, ObjectError> {
    let mut sections: Vec<ProgramSection> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    for (index, program) in object.programs.iter().enumerate() {
        let name = section_name(&program.kind);
        let at = *by_name.entry(name.clone()).or_insert_with(|| {
            sections.push(ProgramSection { name, programs: Vec::new(), slots: 0 });
            sections.len() - 1
        });
        // INVARIANT: `at` was taken from `sections`, which never shrinks.
        let section = &mut sections[at];
        let slots = u64::from(section.slots) + program.insns.len() as u64;
        within("programs", slots * SLOT, MAX_SECTION)?;
        section.programs.push((index, section.slots));
        section.slots = slots as u32;
    }
    Ok(sections)
}

/// A flat map lies in a section of its own when programs address its value: the
/// only form in which libbpf and aya relocate to values. They cannot relocate
/// to such a map itself, nor to the value of a definition.
fn map_homes(object: &Object) -> Result<Vec<MapHome>, ObjectError> {
    let mut by_map = BTreeSet::new();
    let mut by_value = BTreeSet::new();
    for reloc in object.programs.iter().flat_map(|p| &p.relocs) {
        match reloc.target {
            RelocTarget::Map(map) => by_map.insert(map),
            RelocTarget::MapValue(map, _) => by_value.insert(map),
        };
    }
    let home = |(id, map): (MapId, &MapSpec)| {
        let named = by_map.contains(&id);
        let addressed = by_value.contains(&id);
        if named && addressed {
            let what = "programs use both the map and the address of its value";
            return Err(map_error(map, what));
        }
        let constant = map.is_flat() && map.role == MapRole::Table && !named;
        Ok(if addressed || constant { MapHome::Data } else { MapHome::Definition })
    };
    object.maps.iter().map(home).collect()
}

fn check_names(object: &Object) -> Result<(), ObjectError> {
    let programs = object.programs.iter().map(|p| &p.name);
    let mut seen = BTreeSet::new();
    for name in programs.chain(object.maps.values().map(|m| &m.name)) {
        if name.len() > MAX_NAME || !is_identifier(name) {
            return Err(ObjectError::Name(name.clone()));
        }
        if !seen.insert(name) {
            return Err(ObjectError::Duplicate(name.clone()));
        }
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && !digit_first && name.bytes().all(word)
}

fn check_map(map: &MapSpec) -> Result<(), ObjectError> {
    let ring = map.kind == MapKind::Ringbuf;
    if map.max_entries == 0 {
        return Err(map_error(map, "it has no entries"));
    }
    if ring != (map.value_size == 0) || ring != (map.key_size == 0) {
        return Err(map_error(
            map,
            "key and value sizes are zero for ring buffers, and only there",
        ));
    }
    if map.contents.is_empty() {
        return Ok(());
    }
    if map.role != MapRole::Table || map.kind != MapKind::Array {
        return Err(map_error(map, "only arrays that are tables have contents"));
    }
    if map.contents.len() as u64 > u64::from(map.value_size) * u64::from(map.max_entries) {
        return Err(map_error(map, "its contents are larger than its values"));
    }
    Ok(())
}

fn check_program(program: &Program, object: &Object) -> Result<(), ObjectError> {
    let fail = |what| Err(ObjectError::Program { program: program.name.clone(), what });
    check_hook(program)?;
    if program.insns.is_empty() {
        return fail("it has no instruction");
    }
    if program.origins.len() != program.insns.len() {
        return fail("its origins do not match its instructions");
    }
    if program.origins.iter().flatten().any(|o| o.index() >= object.lines.len()) {
        return fail("an origin has no line");
    }
    if !program.relocs.is_sorted_by(|a, b| a.insn < b.insn) {
        return fail("its relocations are not in ascending order");
    }
    for reloc in &program.relocs {
        let at = reloc.insn as usize;
        let blank = program.insns.get(at).is_some_and(|i| is_lddw(*i) && i.src == 0 && i.imm == 0);
        if !blank || program.insns.get(at + 1).is_none_or(|i| i.code != 0) {
            return fail("a relocation is not at a blank `lddw`");
        }
        if !target_exists(&reloc.target, object) {
            return fail("a relocation is to no map, or to no byte of a flat map");
        }
    }
    Ok(())
}

fn check_hook(program: &Program) -> Result<(), ObjectError> {
    let hook = match &program.kind {
        ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(_) => return Ok(()),
        ProgramKind::RawTracepoint(name) if is_identifier(name) => return Ok(()),
        ProgramKind::RawTracepoint(name) => name.clone(),
        ProgramKind::Tracepoint { category, event } => {
            if is_identifier(category) && is_identifier(event) {
                return Ok(());
            }
            format!("{category}/{event}")
        }
    };
    Err(ObjectError::Hook { program: program.name.clone(), hook })
}

fn target_exists(target: &RelocTarget, object: &Object) -> bool {
    match target {
        RelocTarget::Map(map) => object.maps.get(*map).is_some(),
        RelocTarget::MapValue(map, offset) => {
            let fits = |m: &MapSpec| m.is_flat() && *offset < m.value_size.min(i32::MAX as u32);
            object.maps.get(*map).is_some_and(fits)
        }
    }
}

/// Fails if `size` is over `limit`, both in bytes.
pub(crate) fn within(what: &'static str, size: u64, limit: u64) -> Result<(), ObjectError> {
    if size > limit { Err(ObjectError::TooLarge { what, size, limit }) } else { Ok(()) }
}

fn map_error(map: &MapSpec, what: &'static str) -> ObjectError {
    ObjectError::Map { map: map.name.clone(), what }
}

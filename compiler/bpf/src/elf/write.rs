//! Writes an object.

use object::write::{self, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};
use policyc_base::EntityId;

use super::layout::{Layout, MapHome, SLOT, data_section_name};
use super::{ObjectError, R_BPF_64_64};
use crate::{License, MapSpec, Object, Program, RelocTarget, btf};

/// The object as a relocatable ELF file.
///
/// # Errors
/// The object contradicts itself, or does not fit the format.
pub fn write_elf(object: &Object) -> Result<Vec<u8>, ObjectError> {
    let layout = Layout::of(object)?;
    let info = btf::encode_with(object, &layout)?;
    let mut file = write::Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let maps = add_maps(&mut file, object, &layout);
    let sections = add_programs(&mut file, object, &layout, &maps)?;
    add_program_symbols(&mut file, object, &layout, &sections);
    add_section(&mut file, "license", SectionKind::Data, &license(object));
    if !(object.programs.is_empty() && object.maps.is_empty()) {
        add_section(&mut file, ".BTF", SectionKind::Other, &info.types);
    }
    if !object.programs.is_empty() {
        add_section(&mut file, ".BTF.ext", SectionKind::Other, &info.ext);
    }
    file.write().map_err(|e| ObjectError::Write(e.to_string()))
}

/// A file has one licence: that of the program that needs most.
fn license(object: &Object) -> Vec<u8> {
    let gpl = object.programs.iter().any(|p| p.license == License::DualMitGpl);
    let license = if gpl { License::DualMitGpl } else { License::Permissive };
    [license.as_str().as_bytes(), &[0]].concat()
}

/// Adds every map with its symbol; symbols come in the order of the maps, which
/// is how the reader gets their ids back.
fn add_maps(file: &mut write::Object<'_>, object: &Object, layout: &Layout) -> Vec<SymbolId> {
    let definitions: u32 = btf::maps_at(object, layout, &MapHome::Definition)
        .map(|(_, m)| btf::definition_size(m))
        .sum();
    let definitions_section = (definitions > 0)
        .then(|| add_section(file, ".maps", SectionKind::Data, &vec![0; definitions as usize]));
    let mut next = 0;
    let mut symbols = Vec::with_capacity(object.maps.len());
    for (id, map) in object.maps.iter() {
        let (section, value, size) = match (layout.home(id), definitions_section) {
            (MapHome::Definition, Some(section)) => {
                let value = next;
                next += u64::from(btf::definition_size(map));
                (section, value, next - value)
            }
            _ => (add_data_section(file, map), 0, u64::from(map.value_size)),
        };
        symbols.push(file.add_symbol(symbol(&map.name, SymbolKind::Data, section, value, size)));
    }
    symbols
}

fn add_data_section(file: &mut write::Object<'_>, map: &MapSpec) -> SectionId {
    let name = data_section_name(map);
    let constant = name.starts_with(".rodata");
    let kind = if constant { SectionKind::ReadOnlyData } else { SectionKind::Data };
    let mut value = map.contents.clone();
    value.resize(map.value_size as usize, 0);
    add_section(file, &name, kind, &value)
}

/// Adds the sections of the layout, in its order, with their relocations.
fn add_programs(
    file: &mut write::Object<'_>,
    object: &Object,
    layout: &Layout,
    maps: &[SymbolId],
) -> Result<Vec<SectionId>, ObjectError> {
    let mut ids = Vec::with_capacity(layout.sections.len());
    for section in &layout.sections {
        // INVARIANT: the layout names programs of the object.
        let programs = section.programs.iter().map(|(i, first)| (&object.programs[*i], *first));
        let code: Vec<u8> = programs.clone().flat_map(|(program, _)| code_bytes(program)).collect();
        let id = add_section(file, &section.name, SectionKind::Text, &code);
        for (program, first) in programs {
            add_relocations(file, id, program, first, maps)?;
        }
        ids.push(id);
    }
    Ok(ids)
}

fn add_relocations(
    file: &mut write::Object<'_>,
    section: SectionId,
    program: &Program,
    first: u32,
    maps: &[SymbolId],
) -> Result<(), ObjectError> {
    for reloc in &program.relocs {
        let (RelocTarget::Map(map) | RelocTarget::MapValue(map, _)) = reloc.target;
        let relocation = Relocation {
            offset: (u64::from(first) + u64::from(reloc.insn)) * SLOT,
            // INVARIANT: the layout checked that the map is of the object.
            symbol: maps[map.index()],
            addend: 0,
            flags: RelocationFlags::Elf { r_type: elf::RelocationType(R_BPF_64_64) },
        };
        let added = file.add_relocation(section, relocation);
        added.map_err(|e| ObjectError::Write(e.to_string()))?;
    }
    Ok(())
}

/// Adds the programs' symbols in the order of the object, which is how the
/// reader gets it back.
fn add_program_symbols(
    file: &mut write::Object<'_>,
    object: &Object,
    layout: &Layout,
    sections: &[SectionId],
) {
    let mut places: Vec<(usize, SectionId, u32)> = Vec::with_capacity(object.programs.len());
    for (section, id) in layout.sections.iter().zip(sections) {
        places.extend(section.programs.iter().map(|(index, first)| (*index, *id, *first)));
    }
    places.sort_by_key(|(index, ..)| *index);
    for (program, (_, section, first)) in object.programs.iter().zip(places) {
        let (value, size) = (u64::from(first) * SLOT, program.insns.len() as u64 * SLOT);
        file.add_symbol(symbol(&program.name, SymbolKind::Text, section, value, size));
    }
}

/// The code, with the offset in a map's value in the immediate of its `lddw`,
/// where loaders look for the addend.
fn code_bytes(program: &Program) -> Vec<u8> {
    let mut insns = program.insns.clone();
    for reloc in &program.relocs {
        if let RelocTarget::MapValue(_, offset) = reloc.target {
            // INVARIANT: the layout checked the slot, and that the offset fits.
            insns[reloc.insn as usize].imm = offset as i32;
        }
    }
    insns.iter().flat_map(|insn| insn.to_bytes()).collect()
}

fn add_section(
    file: &mut write::Object<'_>,
    name: &str,
    kind: SectionKind,
    data: &[u8],
) -> SectionId {
    let id = file.add_section(Vec::new(), name.into(), kind);
    file.append_section_data(id, data, SLOT);
    id
}

/// Global, with default visibility: libbpf takes a program of a hidden symbol
/// for a static one.
fn symbol(name: &str, kind: SymbolKind, section: SectionId, value: u64, size: u64) -> Symbol {
    Symbol {
        name: name.into(),
        value,
        size,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    }
}

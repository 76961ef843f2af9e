//! Reads back what [`write_elf`](super::write_elf) wrote.

use std::collections::BTreeMap;

use object::read::elf::ElfFile64;
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use object::{Architecture, LittleEndian, ObjectKind, RelocationFlags, SymbolKind, elf};
use policyc_base::PrimaryMap;

use super::layout::{SLOT, is_lddw, kind_of_section};
use super::{ElfError, R_BPF_64_64};
use crate::btf::read::{Definition, definitions, kind_of_map_type};
use crate::{
    Direction, Insn, Judges, License, MapId, MapKind, MapRole, MapSpec, Object, Program,
    ProgramKind, Reloc, RelocTarget,
};

type File<'a> = ElfFile64<'a, LittleEndian>;
type Section<'a, 'f> = object::read::elf::ElfSection64<'a, 'f, LittleEndian>;
type Symbol<'a, 'f> = object::read::elf::ElfSymbol64<'a, 'f, LittleEndian>;

/// By index of the section and byte offset, the index of the symbol.
type Relocations = BTreeMap<(usize, u64), usize>;

/// A map that relocations may name.
#[derive(Clone, Copy)]
struct MapSymbol {
    id: MapId,
    /// Whether relocations to it are to its value.
    is_data: bool,
}

/// The object in an ELF file. What the format does not carry (see the
/// [module](super)) has the nearest neutral value: programs judge what their
/// hook is called, tables are what lies in `.rodata`, every other map is
/// scratch, no instruction has an origin.
///
/// # Errors
/// The bytes are not an ELF file that policyc wrote.
pub fn read_elf(bytes: &[u8]) -> Result<Object, ElfError> {
    let file = File::parse(bytes).map_err(elf_error)?;
    if file.architecture() != Architecture::Bpf || file.kind() != ObjectKind::Relocatable {
        return Err(ElfError::NotBpf);
    }
    let mut reader = Reader {
        definitions: read_definitions(&file)?,
        relocations: BTreeMap::new(),
        maps: PrimaryMap::new(),
        symbols: BTreeMap::new(),
        license: read_license(&file)?,
        unread: bytes.len() as u64,
    };
    for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Data) {
        reader.map(&file, &symbol)?;
    }
    reader.relocations = read_relocations(&file)?;
    let functions = file.symbols().filter(|s| s.kind() == SymbolKind::Text);
    let programs = functions.map(|s| reader.program(&file, &s)).collect::<Result<_, _>>()?;
    Ok(Object { programs, maps: reader.maps, lines: Vec::new() })
}

struct Reader {
    definitions: BTreeMap<String, Definition>,
    relocations: Relocations,
    maps: PrimaryMap<MapId, MapSpec>,
    /// By index of the symbol.
    symbols: BTreeMap<usize, MapSymbol>,
    license: License,
    /// Bytes that symbols may still claim: all of them share the file.
    unread: u64,
}

impl Reader {
    fn map(&mut self, file: &File<'_>, symbol: &Symbol<'_, '_>) -> Result<(), ElfError> {
        let name = symbol.name().map_err(elf_error)?;
        let section = section_of(file, symbol)?;
        let section_name = section.name().map_err(elf_error)?;
        let is_data = section_name != ".maps";
        let map = if is_data {
            let constant = match section_name.rsplit_once('.') {
                Some((".rodata", of)) if of == name => true,
                Some((".data", of)) if of == name => false,
                _ => return Err(ElfError::Map(name.into())),
            };
            let value = self.bytes_of(&section, symbol)?;
            flat_map(name, value, constant)
        } else {
            self.definitions.get(name).and_then(|d| defined_map(name, d))
        };
        let map = map.ok_or_else(|| ElfError::Map(name.into()))?;
        let id = self.maps.push(map);
        self.symbols.insert(symbol.index().0, MapSymbol { id, is_data });
        Ok(())
    }

    fn program(&mut self, file: &File<'_>, symbol: &Symbol<'_, '_>) -> Result<Program, ElfError> {
        let name = symbol.name().map_err(elf_error)?;
        let section = section_of(file, symbol)?;
        let section_name = section.name().map_err(elf_error)?;
        let kind = kind_of_section(section_name)
            .ok_or_else(|| ElfError::UnknownSection(section_name.into()))?;
        let (slots, rest) = self.bytes_of(&section, symbol)?.as_chunks::<8>();
        if !rest.is_empty() || slots.is_empty() {
            return Err(ElfError::Symbol(name.into()));
        }
        let mut insns: Vec<Insn> = slots.iter().map(|b| Insn::from_bytes(*b)).collect();
        let start = symbol.address();
        let section = section.index().0;
        // INVARIANT: the sum is the end of bytes that are there.
        let range = (section, start)..(section, start + symbol.size());
        let mut relocs = Vec::new();
        for ((_, offset), target) in self.relocations.range(range) {
            let offset = offset - start;
            let reloc = self.reloc(&mut insns, offset, *target);
            let broken = || ElfError::Relocation { program: name.into(), offset };
            relocs.push(reloc.ok_or_else(broken)?);
        }
        Ok(Program {
            name: name.into(),
            judges: judges_of(&kind),
            kind,
            license: self.license,
            origins: vec![None; insns.len()],
            insns,
            relocs,
        })
    }

    /// The relocation at a byte of a program; takes the addend out of its `lddw`.
    fn reloc(&self, insns: &mut [Insn], offset: u64, target: usize) -> Option<Reloc> {
        let slot = usize::try_from(offset / SLOT).ok().filter(|_| offset.is_multiple_of(SLOT))?;
        let insn = insns.get_mut(slot).filter(|insn| is_lddw(**insn) && insn.src == 0)?;
        let addend = u32::try_from(std::mem::take(&mut insn.imm)).ok()?;
        let map = self.symbols.get(&target)?;
        let target = match map.is_data {
            true => RelocTarget::MapValue(map.id, addend),
            false if addend == 0 => RelocTarget::Map(map.id),
            false => return None,
        };
        Some(Reloc { insn: u32::try_from(slot).ok()?, target })
    }

    /// The bytes of a symbol. Overlapping symbols cannot make more of a file
    /// than there is.
    fn bytes_of<'f>(
        &mut self,
        section: &Section<'f, '_>,
        symbol: &Symbol<'_, '_>,
    ) -> Result<&'f [u8], ElfError> {
        let data = section.data().map_err(elf_error)?;
        let bytes = usize::try_from(symbol.address()).ok().and_then(|start| {
            let end = start.checked_add(usize::try_from(symbol.size()).ok()?)?;
            data.get(start..end)
        });
        self.unread.checked_sub(symbol.size()).zip(bytes).map_or_else(
            || Err(ElfError::Symbol(symbol.name().unwrap_or_default().into())),
            |(unread, bytes)| {
                self.unread = unread;
                Ok(bytes)
            },
        )
    }
}

fn section_of<'a, 'f>(
    file: &'f File<'a>,
    symbol: &Symbol<'_, '_>,
) -> Result<Section<'a, 'f>, ElfError> {
    let index = symbol.section_index();
    let section = index.and_then(|index| file.section_by_index(index).ok());
    section.ok_or_else(|| ElfError::Symbol(symbol.name().unwrap_or_default().into()))
}

fn read_definitions(file: &File<'_>) -> Result<BTreeMap<String, Definition>, ElfError> {
    let Some(section) = file.section_by_name(".BTF") else { return Ok(BTreeMap::new()) };
    definitions(section.data().map_err(elf_error)?).map_err(ElfError::Btf)
}

fn read_license(file: &File<'_>) -> Result<License, ElfError> {
    let section = file.section_by_name("license").ok_or(ElfError::License)?;
    let data = section.data().map_err(elf_error)?;
    let text = data.strip_suffix(&[0]).unwrap_or(data);
    let known = [License::Permissive, License::DualMitGpl];
    known.into_iter().find(|l| l.as_str().as_bytes() == text).ok_or(ElfError::License)
}

fn read_relocations(file: &File<'_>) -> Result<Relocations, ElfError> {
    let of_maps = RelocationFlags::Elf { r_type: elf::RelocationType(R_BPF_64_64) };
    let mut out = BTreeMap::new();
    for section in file.sections() {
        for (offset, relocation) in section.relocations() {
            let symbol = match relocation.target() {
                RelocationTarget::Symbol(symbol) if relocation.flags() == of_maps => symbol,
                _ => return Err(ElfError::Elf("a relocation of an unknown type".into())),
            };
            out.insert((section.index().0, offset), symbol.0);
        }
    }
    Ok(out)
}

fn flat_map(name: &str, value: &[u8], constant: bool) -> Option<MapSpec> {
    // What is not constant is written as zeros: its contents are made at run time.
    let foreign = !constant && value.iter().any(|b| *b != 0);
    if value.is_empty() || foreign {
        return None;
    }
    Some(MapSpec {
        name: name.into(),
        kind: MapKind::Array,
        key_size: 4,
        value_size: u32::try_from(value.len()).ok()?,
        max_entries: 1,
        flags: 0,
        role: if constant { MapRole::Table } else { MapRole::Scratch },
        contents: if constant { value.into() } else { Vec::new() },
    })
}

fn defined_map(name: &str, definition: &Definition) -> Option<MapSpec> {
    Some(MapSpec {
        name: name.into(),
        kind: kind_of_map_type(definition.map_type)?,
        key_size: definition.key_size,
        value_size: definition.value_size,
        max_entries: definition.max_entries,
        flags: definition.flags,
        role: MapRole::Scratch,
        contents: Vec::new(),
    })
}

const fn judges_of(kind: &ProgramKind) -> Judges {
    match kind {
        ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(Direction::Ingress) => {
            Judges::Ingress
        }
        ProgramKind::CgroupSkb(Direction::Egress) => Judges::Egress,
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => Judges::Events,
    }
}

fn elf_error(error: object::read::Error) -> ElfError {
    ElfError::Elf(error.to_string())
}

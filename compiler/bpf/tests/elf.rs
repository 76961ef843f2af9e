//! What is in the ELF file, and that it reads back.

mod common;

use std::collections::BTreeMap;

use common::{TABLE_WORD, map, sample, without_elf_losses};
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use policyc_base::EntityId;
use policyc_bpf::{
    ElfError, License, MapId, MapKind, MapRole, Object, ObjectError, ProgramKind, Reloc,
    RelocTarget, read_elf, write_elf,
};
use proptest::prelude::*;

#[test]
fn the_same_object_gives_the_same_bytes_and_reads_back() {
    let object = sample();
    let elf = write_elf(&object).unwrap();
    assert_eq!(elf, write_elf(&sample()).unwrap());
    assert_eq!(read_elf(&elf).unwrap(), without_elf_losses(&object));
}

#[test]
fn an_empty_object_reads_back() {
    let elf = write_elf(&Object::default()).unwrap();
    assert_eq!(read_elf(&elf).unwrap(), Object::default());
}

#[test]
fn sections_symbols_and_relocations_are_what_loaders_expect() {
    let object = sample();
    let elf = write_elf(&object).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    assert_eq!(file.architecture(), object::Architecture::Bpf);
    let names: Vec<_> = file.sections().map(|s| s.name().unwrap().to_owned()).collect();
    for expected in [
        "classifier",
        "xdp",
        "cgroup_skb/ingress",
        "cgroup_skb/egress",
        "raw_tp/sched_process_exec",
        "tracepoint/syscalls/sys_enter_execve",
        ".maps",
        ".rodata.classes",
        ".data.frame",
        "license",
        ".BTF",
        ".BTF.ext",
    ] {
        let count = names.iter().filter(|n| *n == expected).count();
        assert_eq!(count, 1, "{expected} in {names:?}");
    }
    let table = file.section_by_name(".rodata.classes").unwrap().data().unwrap();
    assert_eq!((table.len(), &table[4..8]), (64, &TABLE_WORD.to_le_bytes()[..]));
    assert_eq!(file.section_by_name("license").unwrap().data().unwrap(), b"MIT OR Apache-2.0\0");

    let symbols: BTreeMap<_, _> = file.symbols().map(|s| (s.name().unwrap(), s)).collect();
    for program in &object.programs {
        let symbol = &symbols[&*program.name];
        assert!(symbol.is_global() && symbol.kind() == object::SymbolKind::Text);
        assert_eq!(symbol.size(), program.insns.len() as u64 * 8);
    }
    let classifier = file.section_by_name("classifier").unwrap();
    let relocated: Vec<_> = classifier
        .relocations()
        .map(|(offset, relocation)| {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { panic!() };
            (offset / 8, file.symbol_by_index(symbol).unwrap().name().unwrap())
        })
        .collect();
    assert_eq!(relocated, [(1, "classes"), (7, "cells"), (13, "slots")]);
}

#[test]
fn one_gpl_program_makes_the_file_gpl() {
    let mut object = sample();
    object.programs[3].license = License::DualMitGpl;
    let read = read_elf(&write_elf(&object).unwrap()).unwrap();
    assert!(read.programs.iter().all(|p| p.license == License::DualMitGpl));
}

#[test]
fn inconsistent_objects_are_refused() {
    let broken = |change: &dyn Fn(&mut Object)| {
        let mut object = sample();
        change(&mut object);
        write_elf(&object).unwrap_err().to_string()
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Object));
    let cases: [Case<'_>; 14] = [
        ("is no name", &|o| o.programs[0].name = "sixteen_letters_".into()),
        ("is no name", &|o| o.programs[0].name = "1st".into()),
        ("is no name", &|o| o.programs[0].name = "a-b".into()),
        ("names two things", &|o| o.programs[0].name = "hits".into()),
        ("no tracing event", &|o| o.programs[2].kind = ProgramKind::RawTracepoint("a/b".into())),
        ("no instruction", &|o| {
            o.programs[5].insns.clear();
            o.programs[5].origins.clear();
        }),
        ("origins do not match", &|o| o.programs[0].origins.clear()),
        ("origin has no line", &|o| o.lines.clear()),
        ("ascending", &|o| {
            let reloc = o.programs[0].relocs[0];
            o.programs[0].relocs.push(reloc);
        }),
        ("not at a blank `lddw`", &|o| o.programs[0].relocs[0].insn = 0),
        ("to no map", &|o| {
            o.programs[0].relocs[0].target = RelocTarget::Map(MapId::from_index(99));
        }),
        ("no byte of a flat map", &|o| {
            o.programs[6].relocs[0].target = RelocTarget::MapValue(MapId::from_index(2), 16);
        }),
        ("both the map and the address", &|o| {
            o.programs[0].relocs[0].target = RelocTarget::Map(MapId::from_index(2));
        }),
        ("larger than its values", &|o| {
            o.maps.iter_mut().next().unwrap().1.contents = vec![1; 65];
        }),
    ];
    for (expected, change) in cases {
        let message = broken(change);
        assert!(message.contains(expected), "{message:?} does not contain {expected:?}");
    }
}

#[test]
fn maps_that_contradict_their_kind_are_refused() {
    let cases = [
        map("m", MapKind::Hash, (4, 4), 0, MapRole::Binding),
        map("m", MapKind::Ringbuf, (4, 0), 4096, MapRole::Shared),
        map("m", MapKind::Array, (4, 0), 1, MapRole::Table),
    ];
    for case in cases {
        let mut object = Object::default();
        object.maps.push(case);
        assert!(matches!(write_elf(&object), Err(ObjectError::Map { .. })));
    }
}

#[test]
fn foreign_files_are_refused() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(read_elf(&own), Err(ElfError::NotBpf));
    assert!(matches!(read_elf(b""), Err(ElfError::Elf(_))));
    assert!(matches!(read_elf(b"\x7fELF"), Err(ElfError::Elf(_))));
}

#[test]
fn relocations_keep_their_offset_in_a_value() {
    let read = read_elf(&write_elf(&sample()).unwrap()).unwrap();
    let tc_in = read.programs.iter().find(|p| p.name == "tc_in").unwrap();
    let target = RelocTarget::MapValue(MapId::from_index(0), 4);
    assert_eq!(tc_in.relocs[0], Reloc { insn: 1, target });
    assert_eq!(tc_in.insns[1].imm, 0);
}

proptest! {
    #[test]
    fn any_change_of_bytes_is_read_without_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut elf = write_elf(&sample()).unwrap();
        let index = at.index(elf.len());
        elf[index] = byte;
        let _ = read_elf(&elf);
        elf.truncate(cut.index(elf.len()));
        let _ = read_elf(&elf);
    }
}

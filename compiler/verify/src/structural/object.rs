//! What must hold of an object before its code is looked at: names, maps,
//! relocations, origins.
//!
//! Does not know: what instructions do.
//!
//! Source: `kernel/bpf/syscall.c`: `bpf_obj_name_cpy`, `map_create`; the
//! `*_map_alloc_check` functions of `kernel/bpf/{arraymap,hashtab,lpm_trie,ringbuf}.c`.

use std::collections::BTreeSet;

use policyc_base::{EntityId, Origin};
use policyc_bpf::{MapKind, MapRole, MapSpec, Object, Program, RelocTarget, code};

use super::Fault;
use super::obligation::Obligation;

/// `BPF_OBJ_NAME_LEN` without the closing zero.
const MAX_NAME: usize = 15;
/// `BPF_F_NO_PREALLOC`, without which an LPM trie is refused.
const NO_PREALLOC: u32 = 1;
/// Largest key of an LPM trie: prefix length and 256 bytes.
const LPM_KEY_BYTES: std::ops::RangeInclusive<u32> = 5..=260;
const PAGE: u32 = 4_096;

/// Names and maps of the object itself.
pub(crate) fn check_object(object: &Object) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_names("program", object.programs.iter().map(|p| p.name.as_str()), &mut faults);
    check_names("map", object.maps.values().map(|m| m.name.as_str()), &mut faults);
    for map in object.maps.values() {
        if let Err(explanation) = check_map(map) {
            let explanation = format!("map `{}`: {explanation}", map.name);
            faults.push(Fault::program(Obligation::ValidMap, explanation));
        }
    }
    faults
}

fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for name in names {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let explanation = if name.is_empty() || name.len() > MAX_NAME || !plain {
            format!("{what} `{name}`: not 1 to {MAX_NAME} of [A-Za-z0-9_]")
        } else if !seen.insert(name) {
            format!("two {what}s are called `{name}`")
        } else {
            continue;
        };
        faults.push(Fault::program(Obligation::ValidName, explanation));
    }
}

fn check_map(map: &MapSpec) -> Result<(), String> {
    let sizes = |ok: bool, rule: &str| if ok { Ok(()) } else { Err(rule.to_owned()) };
    sizes(map.max_entries > 0, "no entries")?;
    match map.kind {
        MapKind::Array | MapKind::PercpuArray => {
            sizes(map.key_size == 4 && map.value_size > 0, "an array has 4-byte keys and values")?;
        }
        MapKind::ProgArray => {
            sizes(map.key_size == 4 && map.value_size == 4, "keys and values are 4 bytes")?;
        }
        MapKind::Hash | MapKind::LruHash => {
            sizes(map.key_size > 0 && map.value_size > 0, "a hash has keys and values")?;
        }
        MapKind::LpmTrie => {
            sizes(LPM_KEY_BYTES.contains(&map.key_size), "a trie's key is 5 to 260 bytes")?;
            sizes(map.value_size > 0, "a trie has values")?;
            sizes(map.flags & NO_PREALLOC != 0, "a trie needs BPF_F_NO_PREALLOC")?;
        }
        MapKind::Ringbuf => {
            sizes(
                map.key_size == 0 && map.value_size == 0,
                "a ring buffer has neither key nor value",
            )?;
            let pages = map.max_entries.is_power_of_two() && map.max_entries >= PAGE;
            sizes(pages, "a ring buffer's size is a power of two of pages")?;
        }
    }
    check_contents(map)
}

fn check_contents(map: &MapSpec) -> Result<(), String> {
    if map.contents.is_empty() {
        return Ok(());
    }
    if map.kind != MapKind::Array || map.role != MapRole::Table {
        return Err("contents belong to arrays of role `table`".into());
    }
    let (bytes, value) = (map.contents.len() as u64, u64::from(map.value_size));
    if bytes > value * u64::from(map.max_entries) || !bytes.is_multiple_of(value) {
        return Err(format!("{bytes} bytes of contents are no whole values of {value} bytes"));
    }
    Ok(())
}

/// Origins and relocations of one program.
pub(crate) fn check_program(object: &Object, program: &Program) -> Vec<Fault> {
    let mut faults = Vec::new();
    if program.origins.len() != program.insns.len() {
        let explanation =
            format!("{} origins for {} slots", program.origins.len(), program.insns.len());
        faults.push(Fault::program(Obligation::OriginPerSlot, explanation));
    }
    let nowhere =
        |origin: &Option<Origin>| origin.is_some_and(|origin| origin.index() >= object.lines.len());
    if let Some(slot) = program.origins.iter().position(nowhere) {
        let explanation = format!("the origin of slot {slot} has no line");
        faults.push(Fault::program(Obligation::OriginPerSlot, explanation));
    }
    let mut previous = None;
    for reloc in &program.relocs {
        let slot = reloc.insn as usize;
        let on_lddw = program.insns.get(slot).is_some_and(|insn| {
            insn.code == code::LD | code::IMM | code::DW && insn.src == 0 && insn.imm == 0
        });
        let second_zero = program.insns.get(slot + 1).is_some_and(|insn| insn.imm == 0);
        if !on_lddw || !second_zero {
            let explanation = "relocation on what is no empty `lddw`".to_owned();
            faults.push(Fault::at(slot, Obligation::RelocOnLddw, explanation));
        } else if previous >= Some(reloc.insn) {
            let explanation = "relocations are not in ascending order".to_owned();
            faults.push(Fault::at(slot, Obligation::RelocOnLddw, explanation));
        }
        previous = Some(reloc.insn);
        if let Err(explanation) = check_target(object, reloc.target) {
            faults.push(Fault::at(slot, Obligation::RelocFitsMap, explanation));
        }
    }
    faults
}

fn check_target(object: &Object, target: RelocTarget) -> Result<(), String> {
    let (RelocTarget::Map(id) | RelocTarget::MapValue(id, _)) = target;
    let map = object.maps.get(id).ok_or_else(|| format!("there is no {id}"))?;
    match target {
        RelocTarget::MapValue(..) if !map.is_flat() => {
            Err(format!("`{}` has no single value to point into", map.name))
        }
        RelocTarget::MapValue(_, offset) if offset >= map.value_size => {
            Err(format!("byte {offset} of `{}`, whose value has {}", map.name, map.value_size))
        }
        _ => Ok(()),
    }
}

//! Puts an object together from the manifest, the ELF file and the tables, and
//! checks that they are of one build.

use policyc_base::{EntityId, Origin};

use super::container::Content;
use super::{ArtifactError, tables};
use crate::elf::layout::Layout;
use crate::{Decision, Manifest, MapSpec, Object, Program, ProgramEntry, read_elf};

/// The object of an artifact.
pub(super) fn restore(manifest: &Manifest, content: &Content) -> Result<Object, ArtifactError> {
    check_indices(manifest)?;
    let mut object = read_elf(&content.object)?;
    object.lines.clone_from(&manifest.lines);
    check(object.maps.len() == manifest.maps.len(), || "its object has other maps".into())?;
    for ((_, map), spec) in object.maps.iter_mut().zip(&manifest.maps) {
        restore_map(map, spec)?;
    }
    let same = object.programs.len() == manifest.programs.len();
    check(same, || "its object has other programs".into())?;
    for (program, entry) in object.programs.iter_mut().zip(&manifest.programs) {
        restore_program(program, entry)?;
    }
    tables::read(&content.tables, &mut object)?;
    // The layout's own checks hold for every object that is written.
    Layout::of(&object).map_err(|e| ArtifactError::Contradiction(e.to_string()))?;
    Ok(object)
}

/// Role and flags are the manifest's to say; the rest is in both.
fn restore_map(map: &mut MapSpec, spec: &MapSpec) -> Result<(), ArtifactError> {
    let sizes = |m: &MapSpec| (m.name.clone(), m.kind, m.key_size, m.value_size, m.max_entries);
    check(sizes(map) == sizes(spec), || format!("map `{}` differs in its object", spec.name))?;
    map.role = spec.role;
    map.flags = spec.flags;
    Ok(())
}

fn restore_program(program: &mut Program, entry: &ProgramEntry) -> Result<(), ArtifactError> {
    let same = program.name == entry.name
        && program.kind == entry.kind
        && program.insns.len() as u64 == u64::from(entry.insns);
    check(same, || format!("program `{}` differs in its object", entry.name))?;
    program.judges = entry.judges;
    program.license = entry.license;
    program.origins = origins(entry).ok_or_else(|| {
        ArtifactError::Contradiction(format!("the origins of program `{}` are broken", entry.name))
    })?;
    Ok(())
}

/// The origin of each slot. Runs begin at slot 0 and ascend.
fn origins(entry: &ProgramEntry) -> Option<Vec<Option<Origin>>> {
    let slots = entry.insns as usize;
    let starts = || entry.origins.iter().map(|(first, _)| *first as usize);
    if starts().next() != Some(0) || !starts().is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut out = Vec::with_capacity(slots);
    for (end, (_, line)) in starts().skip(1).chain([slots]).zip(&entry.origins) {
        if end > slots {
            return None;
        }
        out.resize(end, line.map(|line| Origin::from_index(line as usize)));
    }
    Some(out)
}

/// Every index in the manifest has its element.
fn check_indices(manifest: &Manifest) -> Result<(), ArtifactError> {
    let lines = manifest.lines.len() as u64;
    let known = |line: Option<u32>| line.is_none_or(|line| u64::from(line) < lines);
    let decisions = manifest.decisions.iter().all(|d| known(d.line));
    check(decisions, || "a decision has no line".into())?;
    // A decision that refers to a later one could refer to itself by way of it.
    let before = |(index, decision): (usize, &Decision)| {
        decision.unless_audited.is_none_or(|other| (other as usize) < index)
    };
    let ordered = manifest.decisions.iter().enumerate().all(before);
    check(ordered, || "a decision refers to a later one".into())?;
    let mut origins = manifest.programs.iter().flat_map(|p| &p.origins);
    check(origins.all(|(_, line)| known(*line)), || "code has no line".into())
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), ArtifactError> {
    if holds { Ok(()) } else { Err(ArtifactError::Contradiction(what())) }
}

//! Contents of tables that an ELF file has no place for: those of arrays that
//! are `.maps` definitions.
//!
//! One record per such table that is not all zero, ascending by map: map id and
//! size in bytes as `u32`, then the bytes.

use policyc_base::EntityId;

use super::ArtifactError;
use crate::elf::layout::{Layout, MapHome};
use crate::{MapId, MapKind, MapRole, MapSpec, Object, ObjectError};

/// The section.
pub(super) fn write(object: &Object) -> Result<Vec<u8>, ObjectError> {
    let layout = Layout::of(object)?;
    let mut out = Vec::new();
    for (id, map) in object.maps.iter() {
        if *layout.home(id) == MapHome::Definition && !map.contents.is_empty() {
            for word in [id.index() as u32, map.contents.len() as u32] {
                out.extend(word.to_le_bytes());
            }
            out.extend_from_slice(&map.contents);
        }
    }
    Ok(out)
}

/// Puts the contents into the maps of `object`.
pub(super) fn read(mut section: &[u8], object: &mut Object) -> Result<(), ArtifactError> {
    let broken = |what: &str| ArtifactError::Contradiction(format!("its tables {what}"));
    let mut next = 0;
    while !section.is_empty() {
        let (id, rest) = word(section).ok_or_else(|| broken("are cut off"))?;
        let (size, rest) = word(rest).ok_or_else(|| broken("are cut off"))?;
        let (contents, rest) =
            rest.split_at_checked(size as usize).ok_or_else(|| broken("are cut off"))?;
        if id < next || contents.is_empty() {
            return Err(broken("are out of order"));
        }
        next = id + 1;
        let map = MapId::from_index(id as usize);
        let is_table = |m: &MapSpec| m.role == MapRole::Table && m.kind == MapKind::Array;
        if !object.maps.get(map).is_some_and(is_table) {
            return Err(broken("are of a map that has none"));
        }
        // INVARIANT: the map was just found.
        object.maps[map].contents = contents.into();
        section = rest;
    }
    Ok(())
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

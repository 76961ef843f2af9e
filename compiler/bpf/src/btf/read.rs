//! Reads map definitions back from a `.BTF` section.
//!
//! Guarantees: total on any bytes; work and memory are linear in their number.
//! Does not know: types that [`encode`](super::encode) does not write.

use std::collections::BTreeMap;

use super::types::{HEADER, MAGIC, VERSION, kind};
use crate::MapKind;

/// What a map's definition says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Definition {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
}

/// The map kind of a `BPF_MAP_TYPE_*`; the reverse of [`map_type`](super::map_type).
pub(crate) const fn kind_of_map_type(map_type: u32) -> Option<MapKind> {
    Some(match map_type {
        1 => MapKind::Hash,
        2 => MapKind::Array,
        3 => MapKind::ProgArray,
        6 => MapKind::PercpuArray,
        9 => MapKind::LruHash,
        11 => MapKind::LpmTrie,
        27 => MapKind::Ringbuf,
        _ => return None,
    })
}

/// One type: `struct btf_type` and the words behind it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    target: u32,
    words: &'a [u8],
}

/// A section whose types were found.
struct Section<'a> {
    types: Vec<Type<'a>>,
    strings: &'a [u8],
}

/// The definitions of section `.maps`, by map name.
///
/// # Errors
/// What is broken, in a few words.
pub(crate) fn definitions(btf: &[u8]) -> Result<BTreeMap<String, Definition>, &'static str> {
    let section = Section::parse(btf)?;
    let is_maps = |t: &&Type| t.kind == kind::DATASEC && section.string(t.name) == Some(".maps");
    let Some(maps) = section.types.iter().find(is_maps) else {
        return Ok(BTreeMap::new());
    };
    let entries = maps.words.chunks_exact(12);
    entries.map(|entry| section.definition(word(entry, 0).unwrap_or(0))).collect()
}

impl<'a> Section<'a> {
    fn parse(btf: &'a [u8]) -> Result<Self, &'static str> {
        let header = btf.get(..HEADER as usize).ok_or("it is shorter than its header")?;
        let [m0, m1, version, _, ..] = *header else { return Err("it has no header") };
        if u16::from_le_bytes([m0, m1]) != MAGIC || version != VERSION {
            return Err("it is no BTF of version 1");
        }
        let field = |at| word(header, at).map(|w| w as usize).ok_or("it has no header");
        let body = btf.get(field(4)?..).ok_or("its header ends outside of it")?;
        let part = |offset: usize, len: usize| {
            let end = offset.checked_add(len)?;
            body.get(offset..end)
        };
        let types = part(field(8)?, field(12)?).ok_or("its types end outside of it")?;
        let strings = part(field(16)?, field(20)?).ok_or("its strings end outside of it")?;
        Ok(Self { types: parse_types(types)?, strings })
    }

    fn string(&self, offset: u32) -> Option<&'a str> {
        let rest = self.strings.get(offset as usize..)?;
        let end = rest.iter().position(|b| *b == 0)?;
        str::from_utf8(rest.get(..end)?).ok()
    }

    fn of_kind(&self, id: u32, kind: u32) -> Option<Type<'a>> {
        let index = id.checked_sub(1)? as usize;
        self.types.get(index).copied().filter(|t| t.kind == kind)
    }

    fn definition(&self, var: u32) -> Result<(String, Definition), &'static str> {
        let var = self.of_kind(var, kind::VAR).ok_or("a map is no variable")?;
        let name = self.string(var.name).ok_or("a map has no name")?;
        let body = self.of_kind(var.target, kind::STRUCT).ok_or("a map is no struct")?;
        let mut definition = Definition::default();
        for member in body.words.chunks_exact(12) {
            let value = self.number(member).ok_or("a map's member is no number")?;
            let field = match word(member, 0).and_then(|name| self.string(name)) {
                Some("type") => &mut definition.map_type,
                Some("key_size") => &mut definition.key_size,
                Some("value_size") => &mut definition.value_size,
                Some("max_entries") => &mut definition.max_entries,
                Some("map_flags") => &mut definition.flags,
                _ => return Err("a map has an unknown member"),
            };
            *field = value;
        }
        Ok((name.into(), definition))
    }

    /// A number in a definition is written as a pointer to an array of that length.
    fn number(&self, member: &[u8]) -> Option<u32> {
        let pointer = self.of_kind(word(member, 4)?, kind::PTR)?;
        let array = self.of_kind(pointer.target, kind::ARRAY)?;
        word(array.words, 8)
    }
}

fn parse_types(mut rest: &[u8]) -> Result<Vec<Type<'_>>, &'static str> {
    let mut types = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(12).ok_or("a type is cut off")?;
        let (Some(name), Some(info), Some(target)) = (word(head, 0), word(head, 4), word(head, 8))
        else {
            return Err("a type is cut off");
        };
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let len = match kind {
            kind::PTR | kind::FUNC => 0,
            kind::INT | kind::VAR => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::DATASEC => vlen * 12,
            kind::FUNC_PROTO => vlen * 8,
            _ => return Err("a type is of an unknown kind"),
        };
        let (words, next) = tail.split_at_checked(len).ok_or("a type is cut off")?;
        types.push(Type { name, kind, target, words });
        rest = next;
    }
    Ok(types)
}

/// The little-endian word at byte `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    word.try_into().ok().map(u32::from_le_bytes)
}

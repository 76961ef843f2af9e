//! BTF: types, map definitions, function and line information for the kernel,
//! for loaders, and for people who read a verifier log.
//!
//! Guarantees: every program has a `FUNC` with the kernel's own context type, so
//! that the verifier's log has no complaint of it, and a line for every
//! instruction (`lines.rs`); equal types and strings are written once; the same
//! object gives the same bytes.
//! Does not know: CO-RE relocations, types of map values.
//! Source: `Documentation/bpf/btf.rst`; the pitfalls of libbpf and aya are named
//! where they apply.

mod ext;
mod lines;
pub(crate) mod read;
mod types;

use crate::elf::layout::{Layout, MapHome, data_section_name, within};
use crate::{MapKind, MapSpec, Object, ObjectError, ProgramKind};
use types::{TypeId, Types};

/// Bytes of one record of [`ProgramInfo::func_info`] (`struct bpf_func_info`).
pub const FUNC_INFO_SIZE: u32 = 8;
/// Bytes of one record of [`ProgramInfo::line_info`] (`struct bpf_line_info`).
pub const LINE_INFO_SIZE: u32 = 16;

/// `BTF_MAX_SIZE` and, for strings, `BTF_MAX_NAME_OFFSET`.
const MAX_SIZE: u64 = 16 << 20;

/// The BTF of an object, for a file and for the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Btf {
    /// The `.BTF` section, which is also the blob of `BPF_BTF_LOAD`.
    pub types: Vec<u8>,
    /// The `.BTF.ext` section, by ELF section, offsets in bytes.
    pub ext: Vec<u8>,
    /// What `BPF_PROG_LOAD` takes for each program of the object, in its order.
    pub programs: Vec<ProgramInfo>,
}

/// Arrays of records as `BPF_PROG_LOAD` takes them, offsets in slots from the
/// start of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramInfo {
    /// Records of [`FUNC_INFO_SIZE`].
    pub func_info: Vec<u8>,
    /// Records of [`LINE_INFO_SIZE`].
    pub line_info: Vec<u8>,
}

/// The BTF of an object.
///
/// # Errors
/// The object contradicts itself, or its types and lines do not fit the
/// kernel's 16 MiB.
pub fn encode(object: &Object) -> Result<Btf, ObjectError> {
    encode_with(object, &Layout::of(object)?)
}

/// [`encode`] when the layout is already known.
pub(crate) fn encode_with(object: &Object, layout: &Layout) -> Result<Btf, ObjectError> {
    let mut types = Types::new();
    add_definitions(object, layout, &mut types);
    add_data_sections(object, layout, &mut types);
    let records: Vec<ext::Records> = object
        .programs
        .iter()
        .map(|program| ext::Records {
            func: func(&program.name, &program.kind, &mut types),
            lines: lines::line_infos(program, &object.lines, &mut types.strings),
        })
        .collect();
    let ext = ext::encode(layout, &records, &mut types.strings);
    within("types and lines", types.len(), MAX_SIZE)?;
    let programs = records.iter().map(ext::Records::to_program_info).collect();
    Ok(Btf { types: types.to_bytes(), ext, programs })
}

/// Bytes that a map's definition takes in `.maps`.
pub(crate) fn definition_size(map: &MapSpec) -> u32 {
    definition_members(map).len() as u32 * 8
}

/// `BPF_MAP_TYPE_*`.
pub const fn map_type(kind: MapKind) -> u32 {
    match kind {
        MapKind::Hash => 1,
        MapKind::Array => 2,
        MapKind::ProgArray => 3,
        MapKind::PercpuArray => 6,
        MapKind::LruHash => 9,
        MapKind::LpmTrie => 11,
        MapKind::Ringbuf => 27,
    }
}

/// The members of a map definition. Sizes are given as numbers, not as types:
/// the kernel has rules for the types of keys (an array's is a 32-bit int, a
/// trie's a struct) which say nothing that the sizes do not. A ring buffer has
/// neither, and libbpf refuses even zero.
fn definition_members(map: &MapSpec) -> Vec<(&'static str, u32)> {
    let all = [
        ("type", map_type(map.kind)),
        ("key_size", map.key_size),
        ("value_size", map.value_size),
        ("max_entries", map.max_entries),
        ("map_flags", map.flags),
    ];
    all.into_iter().filter(|(_, value)| *value != 0).collect()
}

fn add_definitions(object: &Object, layout: &Layout, types: &mut Types) {
    let mut vars = Vec::new();
    for (_, map) in maps_at(object, layout, &MapHome::Definition) {
        let members: Vec<(&str, TypeId)> = definition_members(map)
            .into_iter()
            .map(|(name, value)| {
                let array = types.bytes(value);
                (name, types.ptr(array))
            })
            .collect();
        let definition = types.struct_of_ptrs("", &members);
        vars.push((types.var(&map.name, definition), definition_size(map)));
    }
    if !vars.is_empty() {
        types.datasec(".maps", &vars);
    }
}

fn add_data_sections(object: &Object, layout: &Layout, types: &mut Types) {
    for (_, map) in maps_at(object, layout, &MapHome::Data) {
        let value = types.bytes(map.value_size);
        let var = types.var(&map.name, value);
        types.datasec(&data_section_name(map), &[(var, map.value_size)]);
    }
}

/// The maps of one home, in order.
pub(crate) fn maps_at<'a>(
    object: &'a Object,
    layout: &'a Layout,
    home: &'a MapHome,
) -> impl Iterator<Item = (crate::MapId, &'a MapSpec)> {
    object.maps.iter().filter(move |(id, _)| layout.home(*id) == home)
}

/// `int name(struct context *ctx)`. The kernel compares the struct's name with
/// that of the program type's context. Tracing programs take no parameter: what
/// a kernel accepts there differs (`__u64 *` before 6.9).
fn func(name: &str, kind: &ProgramKind, types: &mut Types) -> TypeId {
    let context = match kind {
        ProgramKind::Tc | ProgramKind::CgroupSkb(_) => "__sk_buff",
        ProgramKind::Xdp => "xdp_md",
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => {
            return types.func(name, &[]);
        }
    };
    let context = types.struct_of_ptrs(context, &[]);
    let context = types.ptr(context);
    types.func(name, &[("ctx", context)])
}

#[cfg(test)]
mod tests;

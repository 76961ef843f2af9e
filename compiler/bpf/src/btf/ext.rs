//! The `.BTF.ext` section: function and line records by ELF section.
//!
//! Loaders find the records of a section by its name, so programs of one kind
//! share one section.

use super::lines::LineInfo;
use super::types::{MAGIC, Strings, TypeId, VERSION};
use super::{FUNC_INFO_SIZE, LINE_INFO_SIZE, ProgramInfo};
use crate::elf::layout::{Layout, SLOT};

/// Bytes of `struct btf_ext_header` with its CO-RE fields.
const HEADER: u32 = 32;

/// What is known of one program.
#[derive(Clone, Debug)]
pub(super) struct Records {
    /// Its `FUNC`.
    pub(super) func: TypeId,
    /// Its lines.
    pub(super) lines: Vec<LineInfo>,
}

impl Records {
    /// As `BPF_PROG_LOAD` takes them.
    pub(super) fn to_program_info(&self) -> ProgramInfo {
        ProgramInfo {
            func_info: func_record(0, self.func).to_vec(),
            line_info: self.lines.iter().flat_map(|line| line.to_bytes(line.slot)).collect(),
        }
    }
}

/// The section; `records` are those of the object's programs, in their order.
pub(super) fn encode(layout: &Layout, records: &[Records], strings: &mut Strings) -> Vec<u8> {
    let mut funcs = FUNC_INFO_SIZE.to_le_bytes().to_vec();
    let mut lines = LINE_INFO_SIZE.to_le_bytes().to_vec();
    for section in &layout.sections {
        let name = strings.intern(&section.name).0;
        let mut section_funcs = Vec::new();
        let mut section_lines = Vec::new();
        for (index, first) in &section.programs {
            // INVARIANT: the layout names programs of the object, each with its records.
            let program = &records[*index];
            section_funcs.push(func_record(byte_offset(*first), program.func));
            let at = |line: &LineInfo| line.to_bytes(byte_offset(first + line.slot));
            section_lines.extend(program.lines.iter().map(at));
        }
        append(&mut funcs, name, &section_funcs);
        append(&mut lines, name, &section_lines);
    }
    let (funcs_len, lines_len) = (funcs.len() as u32, lines.len() as u32);
    let end = funcs_len + lines_len;
    let mut out = MAGIC.to_le_bytes().to_vec();
    out.extend([VERSION, 0]);
    for word in [HEADER, 0, funcs_len, funcs_len, lines_len, end, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(funcs);
    out.extend(lines);
    out
}

/// `struct btf_ext_info_sec` and its records.
fn append<const N: usize>(out: &mut Vec<u8>, section_name: u32, records: &[[u8; N]]) {
    out.extend(section_name.to_le_bytes());
    out.extend((records.len() as u32).to_le_bytes());
    out.extend(records.iter().flatten());
}

/// `struct bpf_func_info`.
fn func_record(insn_off: u32, func: TypeId) -> [u8; 8] {
    let [a, b, c, d] = insn_off.to_le_bytes();
    let [e, f, g, h] = func.0.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// INVARIANT: the layout bounds a section's bytes below `i32::MAX`.
fn byte_offset(slot: u32) -> u32 {
    slot * SLOT as u32
}

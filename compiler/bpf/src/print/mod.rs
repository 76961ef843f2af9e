//! Programs and objects as text: the kernel's own assembly, with labels, map
//! names, and the rule each instruction was made for.
//!
//! ```text
//! .map verdicts kind array key 4 value 8 entries 1 flags 0x0 role table
//! .program allow_dns kind tc judges egress license permissive
//!    0: r6 = r1                              ; !3 dns.yaml:12
//!    1: r1 = map[verdicts][0]+8              ; !3 dns.yaml:12
//!    3: if r2 > 0x35 goto L1                 ; !4 dns.yaml:14
//! L1:
//! ```
//!
//! Guarantees: total; [`parse`](crate::parse) reads back the same object, if its
//! relocations are as [`Program`] promises and the style keeps the contents. A
//! slot that is no instruction is written as `.raw` bytes.
//! Does not know: the width of a terminal.
//! Source: `kernel/bpf/disasm.c`, bpftool's `xlated_dumper.c`.

mod insn;
mod labels;
mod object;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::fmt::Write;

use policyc_base::{EntityId, Origin};

use crate::decode::{Imm64, Instruction, decode};
use crate::{Insn, Object, Program, Reloc, RelocTarget, SourceLine};
use labels::destination;
pub(crate) use object::{direction_word, judges_word, license_word, map_role_word};

/// Column at which origins begin.
const ORIGIN_COLUMN: usize = 44;

/// What is written besides the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// The number of the slot before each instruction, as verifier logs name it.
    pub slots: bool,
    /// File and line behind each origin.
    pub places: bool,
    /// Contents of maps; without them, their size.
    pub contents: bool,
}

impl Style {
    /// For files that are read back and compared: nothing that moves when an
    /// instruction is added.
    pub const PLAIN: Self = Self { slots: false, places: false, contents: true };
    /// For people.
    pub const DUMP: Self = Self { slots: true, places: true, contents: false };
}

/// An object as text: maps, programs, source lines.
pub fn print_object(object: &Object, style: Style) -> String {
    let mut out = String::new();
    for map in object.maps.values() {
        infallible(object::write_map(&mut out, map, style));
    }
    for program in &object.programs {
        blank_line(&mut out);
        out.push_str(&print_program(object, program, style));
    }
    for (index, line) in object.lines.iter().enumerate() {
        if index == 0 {
            blank_line(&mut out);
        }
        infallible(object::write_line(&mut out, index, line));
    }
    out
}

/// One program of an object as text.
pub fn print_program(object: &Object, program: &Program, style: Style) -> String {
    let mut out = String::new();
    infallible(object::write_program_head(&mut out, program));
    let rows = rows(program);
    let code = rows.iter().filter_map(|row| row.insn.as_ref().map(|i| (row.pc, i)));
    let labels = labels::name_labels(code);
    for row in &rows {
        if let Some(label) = labels.get(&row.pc) {
            infallible(writeln!(out, "{label}:"));
        }
        let mut line = if style.slots { format!("{:5}: ", row.pc) } else { "  ".into() };
        line.push_str(&row_text(object, row, &labels));
        if let Some(note) = origin_note(program, row, &object.lines, style) {
            let _ =
                write!(line, "{:1$}; {note}", "", ORIGIN_COLUMN.saturating_sub(line.len()).max(1));
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Slots as text, without labels; what is no instruction as `.raw`.
pub fn print_slots(slots: &[Insn]) -> String {
    let mut out = String::new();
    let mut pc = 0;
    while let Some(rest) = slots.get(pc..).filter(|rest| !rest.is_empty()) {
        let insn = decode(rest).ok();
        infallible(match &insn {
            Some(insn) => writeln!(out, "{insn}"),
            None => writeln!(out, "{}", raw(rest[0])),
        });
        pc += insn.map_or(1, |i| i.slots() as usize);
    }
    out
}

/// One instruction, or one slot that is none.
struct Row {
    pc: u32,
    slot: Insn,
    insn: Option<Instruction>,
    reloc: Option<RelocTarget>,
}

impl Row {
    fn slots(&self) -> usize {
        self.insn.map_or(1, |insn| insn.slots() as usize)
    }
}

fn rows(program: &Program) -> Vec<Row> {
    let relocs: BTreeMap<u32, &Reloc> = program.relocs.iter().map(|r| (r.insn, r)).collect();
    let mut rows = Vec::new();
    let mut pc = 0;
    while let Some(rest) = program.insns.get(pc..).filter(|rest| !rest.is_empty()) {
        let at = pc as u32;
        let reloc = relocs.get(&at).map(|r| r.target);
        let row = Row { pc: at, slot: rest[0], insn: decode(rest).ok(), reloc };
        pc += row.slots();
        rows.push(row);
    }
    rows
}

fn row_text(object: &Object, row: &Row, labels: &BTreeMap<u32, String>) -> String {
    let Some(insn) = &row.insn else { return raw(row.slot) };
    let mut text = String::new();
    if let (Some(reloc), Instruction::LoadImm { dst, value: Imm64::Value(0) }) = (row.reloc, insn) {
        let (map, offset) = match reloc {
            RelocTarget::Map(map) => (map, None),
            RelocTarget::MapValue(map, offset) => (map, Some(offset)),
        };
        if let Some(name) = object::map_name(object, map) {
            infallible(match offset {
                None => write!(text, "{dst} = map[{name}]"),
                Some(offset) => write!(text, "{dst} = map[{name}][0]+{offset}"),
            });
            return text;
        }
    }
    let target = destination(row.pc, insn).and_then(|(slot, _)| labels.get(&slot));
    infallible(insn::write_insn(&mut text, insn, target.map(String::as_str)));
    text
}

fn raw(slot: Insn) -> String {
    let bytes = slot.to_bytes().map(|b| format!(" {b:02x}"));
    format!(".raw{}", bytes.concat())
}

/// `!3 dns.yaml:12`, or `!3/-` when the two slots of a `lddw` differ.
fn origin_note(program: &Program, row: &Row, lines: &[SourceLine], style: Style) -> Option<String> {
    let of = |pc: usize| program.origins.get(pc).copied().flatten();
    let pc = row.pc as usize;
    let (first, last) = (of(pc), of(pc + row.slots() - 1));
    let word = |origin: Option<Origin>| origin.map_or("-".into(), |o| o.to_string());
    if first != last {
        return Some(format!("{}/{}", word(first), word(last)));
    }
    let line = lines.get(first?.index()).filter(|line| style.places && line.line != 0);
    let place = line.map(|line| format!(" {}:{}", printable(&line.file), line.line));
    Some(word(first) + &place.unwrap_or_default())
}

/// A file name on one line.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn blank_line(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

/// Writing to a `String` cannot fail.
fn infallible(result: std::fmt::Result) {
    debug_assert!(result.is_ok(), "a String takes every text");
}

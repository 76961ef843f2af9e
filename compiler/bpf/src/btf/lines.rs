//! Line info: which line of which policy each instruction was made for.
//!
//! Guarantees the kernel's rules: the first record is at slot 0, slots ascend
//! strictly, none is the second half of a `lddw`, strings have no zero byte.
//! Source: `check_btf_line` in `kernel/bpf/verifier.c`.

use policyc_base::EntityId;

use super::types::{StrId, Strings};
use crate::elf::layout::is_lddw;
use crate::{Program, SourceLine};

/// Columns have ten bits in `bpf_line_info.line_col`, lines the other 22.
const MAX_COLUMN: u32 = (1 << 10) - 1;
const MAX_LINE: u32 = (1 << 22) - 1;

/// Texts are for people who read a log: longer ones are cut.
const MAX_TEXT: usize = 240;

/// The file of code that no policy asked for.
const OWN_FILE: &str = "policyc";

/// `struct bpf_line_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LineInfo {
    /// First slot it is true for.
    pub(super) slot: u32,
    /// What it says.
    pub(super) place: Place,
}

/// What a record says: file, text, line and column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    file: StrId,
    text: StrId,
    line_col: u32,
}

impl LineInfo {
    /// The record, with the instruction's place in the caller's unit.
    pub(super) fn to_bytes(self, insn_off: u32) -> [u8; 16] {
        let words = [insn_off, self.place.file.0, self.place.text.0, self.place.line_col];
        let mut out = [0; 16];
        for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// The records of a program: one for each run of instructions of one line.
/// Code without an origin is named by its program.
pub(super) fn line_infos(
    program: &Program,
    lines: &[SourceLine],
    strings: &mut Strings,
) -> Vec<LineInfo> {
    let own = Place {
        file: strings.intern(OWN_FILE),
        text: strings.intern(&format!("program {}", program.name)),
        line_col: 0,
    };
    let mut infos: Vec<LineInfo> = Vec::new();
    let mut last_origin = None;
    let mut second_half = false;
    for (slot, (insn, origin)) in program.insns.iter().zip(&program.origins).enumerate() {
        if second_half {
            second_half = false;
            continue;
        }
        second_half = is_lddw(*insn);
        if last_origin == Some(*origin) {
            continue;
        }
        last_origin = Some(*origin);
        let line = origin.and_then(|o| lines.get(o.index()));
        let place = line.map_or(own, |line| place_of(line, strings));
        if infos.last().is_none_or(|last| last.place != place) {
            infos.push(LineInfo { slot: slot as u32, place });
        }
    }
    infos
}

fn place_of(line: &SourceLine, strings: &mut Strings) -> Place {
    let file = if line.file.is_empty() { OWN_FILE } else { &line.file };
    let text = match line.text.trim() {
        "" => format!("{} {}", line.policy, line.rule),
        text => text.into(),
    };
    Place {
        file: strings.intern(&printable(file)),
        text: strings.intern(&printable(&text)),
        line_col: line.line.min(MAX_LINE) << 10 | line.column.min(MAX_COLUMN),
    }
}

/// One line without control characters, cut to [`MAX_TEXT`] bytes.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_TEXT));
    for c in text.chars() {
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

//! The directives of an object: maps, their contents, and source lines.

use std::fmt::{self, Write};

use super::Style;
use crate::{Direction, Judges, License, MapRole, MapSpec, Program, ProgramKind};
use crate::{MapId, Object, SourceLine};

/// Bytes of contents on one line.
const BYTES_PER_LINE: usize = 32;

/// `.program` with its attributes.
pub(super) fn write_program_head(f: &mut String, program: &Program) -> fmt::Result {
    write!(f, ".program {} kind ", Name(&program.name))?;
    match &program.kind {
        ProgramKind::Tc => f.write_str("tc")?,
        ProgramKind::Xdp => f.write_str("xdp")?,
        ProgramKind::CgroupSkb(direction) => {
            write!(f, "cgroup_skb {}", direction_word(*direction))?;
        }
        ProgramKind::RawTracepoint(name) => write!(f, "raw_tracepoint {}", Name(name))?,
        ProgramKind::Tracepoint { category, event } => {
            write!(f, "tracepoint {}/{}", Name(category), Name(event))?;
        }
    }
    let (judges, license) = (judges_word(program.judges), license_word(program.license));
    writeln!(f, " judges {judges} license {license}")
}

/// `.map` with its attributes and contents.
pub(super) fn write_map(f: &mut String, map: &MapSpec, style: Style) -> fmt::Result {
    let (name, kind, role) = (Name(&map.name), map.kind.name(), map_role_word(map.role));
    write!(f, ".map {name} kind {kind} key {} value {}", map.key_size, map.value_size)?;
    write!(f, " entries {} flags {:#x} role {role}", map.max_entries, map.flags)?;
    if !style.contents && !map.contents.is_empty() {
        write!(f, "  ; {} bytes of contents", map.contents.len())?;
    }
    f.push('\n');
    if style.contents { write_contents(f, &map.contents) } else { Ok(()) }
}

/// Whole lines of zeros are counted, not written.
fn write_contents(f: &mut String, contents: &[u8]) -> fmt::Result {
    let mut zeros = 0;
    for line in contents.chunks(BYTES_PER_LINE) {
        if line.iter().all(|b| *b == 0) {
            zeros += line.len();
            continue;
        }
        write_zeros(f, &mut zeros)?;
        f.write_str("  .bytes")?;
        line.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?;
        f.push('\n');
    }
    write_zeros(f, &mut zeros)
}

fn write_zeros(f: &mut String, count: &mut usize) -> fmt::Result {
    if *count != 0 {
        writeln!(f, "  .zero {count}")?;
        *count = 0;
    }
    Ok(())
}

/// `.line`, in the order of the origins.
pub(super) fn write_line(f: &mut String, index: usize, line: &SourceLine) -> fmt::Result {
    let (policy, rule, file) = (Quoted(&line.policy), Quoted(&line.rule), Quoted(&line.file));
    let (place, text) = (format_args!("{}:{}", line.line, line.column), Quoted(&line.text));
    writeln!(f, ".line !{index} {policy} {rule} {file} {place} {text}")
}

/// The name that a program's text uses for a map; `None` if the object has none.
pub(super) fn map_name(object: &Object, map: MapId) -> Option<Name<'_>> {
    object.maps.get(map).map(|spec| Name(&spec.name))
}

/// A name, quoted when it has other characters than letters, digits and `_`.
pub(super) struct Name<'a>(pub(super) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            f.write_str(self.0)
        } else {
            Quoted(self.0).fmt(f)
        }
    }
}

/// A string in quotes, control characters escaped.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// The word of a direction.
pub(crate) const fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// The word of what a program judges.
pub(crate) const fn judges_word(judges: Judges) -> &'static str {
    match judges {
        Judges::Ingress => "ingress",
        Judges::Egress => "egress",
        Judges::Events => "events",
    }
}

/// The word of a licence.
pub(crate) const fn license_word(license: License) -> &'static str {
    match license {
        License::Permissive => "permissive",
        License::DualMitGpl => "dual_mit_gpl",
    }
}

/// The word of a map's role.
pub(crate) const fn map_role_word(role: MapRole) -> &'static str {
    match role {
        MapRole::Table => "table",
        MapRole::Binding => "binding",
        MapRole::Scratch => "scratch",
        MapRole::Shared => "shared",
    }
}

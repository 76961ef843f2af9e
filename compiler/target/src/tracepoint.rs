//! Tracepoint formats: the text of tracefs' `events/CATEGORY/EVENT/format`.
//!
//! Guarantees: any text gives a format or an error with its line; a field lies
//! inside 64 KiB, as the kernel's records do. A field prints as the line it was
//! read from, so that a profile shows the kernel's own words.
//! Does not know: which types can be observed (see [`crate::hooks`]).
//! Source: Linux `kernel/trace/trace_events.c`, `f_show`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One field of a tracepoint's record.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FormatField {
    /// The C type, arrays with their brackets: `const char *`, `char[16]`,
    /// `__data_loc char[]`.
    pub type_name: String,
    /// Its name.
    pub name: String,
    /// Byte offset in the record.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether the kernel calls it signed.
    pub signed: bool,
}

/// The record of one tracepoint, in the order the kernel lists its fields: the
/// common ones first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Format {
    /// The event's name.
    pub event: String,
    /// Its fields.
    pub fields: Vec<FormatField>,
}

/// Why a text is not a tracepoint's format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// No `name:` line.
    #[error("the format has no `name:` line")]
    NoName,
    /// No field.
    #[error("the format lists no field")]
    NoFields,
    /// A `field:` line that cannot be read.
    #[error("line {line}: {reason}")]
    Field {
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: FieldError,
    },
}

/// Why a line is not a field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FieldError {
    /// It has no such part.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A part is not a number.
    #[error("`{0}` is not a number")]
    Number(&'static str),
    /// The declaration has no name or no type.
    #[error("`{0}` is not a declaration")]
    Declaration(String),
    /// It ends beyond what a record can hold.
    #[error("the field ends beyond {} bytes", MAX_RECORD)]
    TooFar,
}

/// The kernel keeps records within a page; anything near this is not a record.
const MAX_RECORD: u32 = 1 << 16;

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut name = None;
        let mut fields = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("name:") {
                name.get_or_insert_with(|| rest.trim().to_owned());
            } else if line.starts_with("field:") {
                let field = line.parse();
                fields
                    .push(field.map_err(|reason| FormatError::Field { line: index + 1, reason })?);
            } else if line.starts_with("print fmt:") {
                // INVARIANT: the print format is free text and comes last; what
                // follows could look like a field.
                break;
            }
        }
        let event = name.filter(|name| !name.is_empty()).ok_or(FormatError::NoName)?;
        if fields.is_empty() {
            return Err(FormatError::NoFields);
        }
        Ok(Self { event, fields })
    }
}

impl FromStr for FormatField {
    type Err = FieldError;

    /// Reads `field:int pid; offset:12; size:4; signed:1;`.
    fn from_str(line: &str) -> Result<Self, FieldError> {
        let parts = || line.split(';').map(str::trim);
        let part = |key: &'static str| {
            let value = parts().find_map(|part| part.strip_prefix(key)?.strip_prefix(':'));
            value.map(str::trim).ok_or(FieldError::Missing(key))
        };
        let number = |key: &'static str| part(key)?.parse().map_err(|_| FieldError::Number(key));
        let (type_name, name) = split_declaration(part("field")?)?;
        let (offset, size): (u32, u32) = (number("offset")?, number("size")?);
        if offset.checked_add(size).is_none_or(|end| end > MAX_RECORD) {
            return Err(FieldError::TooFar);
        }
        // Kernels before 2.6.32 had no `signed:`.
        let signed = part("signed").is_ok_and(|value| value != "0");
        Ok(Self { type_name, name, offset, size, signed })
    }
}

impl fmt::Display for FormatField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, offset, size, signed, .. } = self;
        // `__data_loc char[] name` carries its brackets in the type, every other
        // array behind the name.
        let in_front = has_brackets_in_front(&self.type_name);
        let at = if in_front { None } else { self.type_name.find('[') };
        let (base, brackets) = self.type_name.split_at(at.unwrap_or(self.type_name.len()));
        write!(f, "field:{base} {name}{brackets}; ")?;
        write!(f, "offset:{offset}; size:{size}; signed:{};", u8::from(*signed))
    }
}

impl From<FormatField> for String {
    fn from(field: FormatField) -> Self {
        field.to_string()
    }
}

impl TryFrom<String> for FormatField {
    type Error = FieldError;

    fn try_from(line: String) -> Result<Self, FieldError> {
        line.parse()
    }
}

/// Whether a declaration of this type has its brackets before the name.
fn has_brackets_in_front(type_name: &str) -> bool {
    type_name.starts_with("__data_loc") || type_name.starts_with("__rel_loc")
}

/// `char comm[16]` → (`char[16]`, `comm`); spaces of the type are made single.
fn split_declaration(text: &str) -> Result<(String, String), FieldError> {
    let wrong = || FieldError::Declaration(text.to_owned());
    let (plain, brackets) = match text.find('[') {
        // Brackets before the last word belong to the type already.
        Some(at) if !text[at..].contains(' ') => text.split_at(at),
        _ => (text, ""),
    };
    let plain = plain.trim_end();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let name_at = plain.rfind(|c: char| !is_word(c)).map(|at| {
        let boundary = plain[at..].chars().next().map_or(1, char::len_utf8);
        at + boundary
    });
    let (type_name, name) = plain.split_at(name_at.ok_or_else(wrong)?);
    let type_name = type_name.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_odd = type_name.contains('[') && !has_brackets_in_front(&type_name);
    if type_name.is_empty() || name.is_empty() || is_odd {
        return Err(wrong());
    }
    Ok((type_name + brackets, name.to_owned()))
}

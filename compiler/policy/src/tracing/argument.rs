//! A declared argument held against the field it is read from.

use policyc_base::{Diagnostic, Sink};
use policyc_target::{Access, Field, Hook, IntType, Kind, Schema};

use super::codes;
use super::doc::{ArgDoc, ArgType};
use super::types::{Arg, ArgKind};

/// The argument, or a finding that says why it cannot be read as declared.
pub(super) fn argument(doc: &ArgDoc, hook: &Hook, schema: &Schema, sink: &mut Sink) -> Option<Arg> {
    let Some(field) = schema.fields.get(doc.index.value as usize) else {
        let message = match schema.fields.len() {
            0 => format!("{hook} has no field"),
            count => format!(
                "{hook} has {count} fields, 0 to {}; there is no field {}",
                count - 1,
                doc.index.value
            ),
        };
        let finding = Diagnostic::error(codes::INDEX, doc.index.span, message);
        sink.push(finding.with_help(fields_of(schema)));
        return None;
    };
    match kind(doc.ty.value, field) {
        Ok(kind) => Some(Arg { field: field.clone(), kind, label: doc.label.clone() }),
        Err(mismatch) => {
            let mut finding =
                Diagnostic::error(codes::ARGUMENT_TYPE, doc.ty.span, mismatch.message);
            finding.help = mismatch.help;
            sink.push(finding);
            None
        }
    }
}

/// The fields that can be read, with their indices.
fn fields_of(schema: &Schema) -> String {
    const MOST: usize = 12;
    let fields = schema.fields.iter().enumerate();
    let readable = fields.filter(|(_, field)| !matches!(field.kind, Kind::Opaque(_)));
    let shown: Vec<_> =
        readable.take(MOST).map(|(index, field)| format!("{index} `{}`", field.name)).collect();
    match shown.is_empty() {
        true => "none of its fields can be read".to_owned(),
        false => format!("its fields are {}", shown.join(", ")),
    }
}

/// Why a type does not fit a field.
struct Mismatch {
    message: String,
    help: Option<String>,
}

fn mismatch<T>(message: String, help: impl Into<Option<String>>) -> Result<T, Mismatch> {
    Err(Mismatch { message, help: help.into() })
}

fn kind(ty: ArgType, field: &Field) -> Result<ArgKind, Mismatch> {
    let name = &field.name;
    match (ty, field.kind) {
        (_, Kind::Opaque(reason)) => mismatch(format!("the field `{name}` {reason}"), None),
        (_, Kind::Address { .. }) => {
            mismatch(format!("the field `{name}` is an address of a packet"), None)
        }
        (ArgType::Auto, Kind::Int(int)) => Ok(ArgKind::Int(int)),
        (ArgType::Int(int), Kind::Int(has)) => narrow(int, has, field),
        (ArgType::Int(int), Kind::IntArray { element, .. }) => narrow(int, element, field),
        (ArgType::Int(int), Kind::Pointer) => narrow(int, IntType::unsigned(8), field),
        (ArgType::Auto, Kind::IntArray { element, .. }) => mismatch(
            format!("the field `{name}` is an array, which cannot be read as a whole"),
            format!("write `type: {element}` to read its first element"),
        ),
        (ArgType::Auto, Kind::Pointer) => mismatch(
            format!("the field `{name}` is a pointer (`{}`)", field.type_name),
            "write `type: uint64` to read the pointer itself".to_owned(),
        ),
        (ArgType::Auto, Kind::Text) if is_pointer(field) => mismatch(
            format!(
                "the field `{name}` points to text or to bytes of a length; its type does not say"
            ),
            "write `type: string` if it is text".to_owned(),
        ),
        (ArgType::DataLoc, Kind::Text) if !matches!(field.access, Access::DataLoc { .. }) => {
            mismatch(
                format!("the field `{name}` is no `__data_loc` field but `{}`", field.type_name),
                "write `type: string`".to_owned(),
            )
        }
        (ArgType::Auto | ArgType::String | ArgType::DataLoc, Kind::Text) => Ok(ArgKind::Text),
        (ArgType::Int(_), Kind::Text) => mismatch(
            format!("the field `{name}` is text (`{}`), not an integer", field.type_name),
            "write `type: string`".to_owned(),
        ),
        (ArgType::String | ArgType::DataLoc, _) => {
            mismatch(format!("the field `{name}` is not text but `{}`", field.type_name), None)
        }
    }
}

/// An integer as it is declared, if the field has as many bytes. What lies behind
/// them belongs to another field, or is whatever the caller left in a register.
fn narrow(int: IntType, has: IntType, field: &Field) -> Result<ArgKind, Mismatch> {
    if int.bytes <= has.bytes {
        return Ok(ArgKind::Int(int));
    }
    let message =
        format!("`{int}` has {} bytes, the field `{}` has {}", int.bytes, field.name, has.bytes);
    mismatch(message, format!("write `type: {has}`"))
}

fn is_pointer(field: &Field) -> bool {
    matches!(field.access, Access::UserText { .. } | Access::KernelText { .. })
}

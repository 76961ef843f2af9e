//! A field of a record → what it holds and where it is read.

use super::{Access, Field, IntType, Kind};
use crate::tracepoint::FormatField;

/// Whose record a field is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecordOf {
    /// A system call's entry or exit: each argument has a slot of its own, whatever
    /// its type, and pointers are the user's.
    Syscall,
    /// Any other tracepoint.
    Tracepoint,
    /// A raw tracepoint.
    RawTracepoint,
}

/// KERNEL: `tp_prog_is_valid_access` hides the first eight bytes (the common
/// fields) and bounds the rest by `PERF_MAX_TRACE_SIZE`.
const HIDDEN: u32 = 8;
const MAX_TRACE: u32 = 8192;
/// KERNEL: `raw_tp_prog_is_valid_access` ends after `MAX_BPF_FUNC_ARGS` slots.
const MAX_ARGUMENTS: u32 = 12 * 8;

/// The schema's view of a record's field.
pub(super) fn classify(field: &FormatField, of: RecordOf) -> Field {
    let (kind, access) = match unreadable(field, of) {
        Some(reason) => (Kind::Opaque(reason), Access::Record { offset: field.offset }),
        None => kind_and_access(field, of),
    };
    Field { name: field.name.clone(), type_name: field.type_name.clone(), kind, access }
}

fn unreadable(field: &FormatField, of: RecordOf) -> Option<&'static str> {
    let (hidden, end) = match of {
        RecordOf::RawTracepoint => (0, MAX_ARGUMENTS),
        RecordOf::Syscall | RecordOf::Tracepoint => (HIDDEN, MAX_TRACE),
    };
    if field.offset < hidden {
        return Some("is hidden from programs by the kernel");
    }
    let is_beyond = field.offset.saturating_add(field.size) > end;
    is_beyond.then_some("lies beyond what programs may read")
}

fn kind_and_access(field: &FormatField, of: RecordOf) -> (Kind, Access) {
    let offset = field.offset;
    let record = Access::Record { offset };
    let ty = field.type_name.as_str();
    if let Some(element) = ty.strip_prefix("__data_loc ") {
        return match element {
            "char[]" => aligned(field, 4, Kind::Text, Access::DataLoc { offset }),
            _ => (Kind::Opaque("has a length found at run time and is not text"), record),
        };
    }
    if ty.starts_with("__rel_loc ") {
        return (Kind::Opaque("has a place relative to itself"), record);
    }
    if let Some((element, count)) = ty.strip_suffix(']').and_then(|ty| ty.rsplit_once('[')) {
        return array(field, element, count);
    }
    if ty.contains('*') {
        let access = match (is_text_pointer(ty), of) {
            (true, RecordOf::Syscall) => Access::UserText { offset },
            (true, _) => Access::KernelText { offset },
            (false, _) => record,
        };
        let kind = if is_text_pointer(ty) { Kind::Text } else { Kind::Pointer };
        return aligned(field, 8, kind, access);
    }
    if ty.starts_with("struct ") || ty.starts_with("union ") {
        return (Kind::Opaque("is a structure"), record);
    }
    match int_type(field, of) {
        Some(int) => aligned(field, u32::from(int.bytes), Kind::Int(int), record),
        None => (Kind::Opaque("has no size that an integer has"), record),
    }
}

/// The kind, if a load of `bytes` at the field's offset is allowed: the verifier
/// refuses loads from a context that are not aligned to their size.
fn aligned(field: &FormatField, bytes: u32, kind: Kind, access: Access) -> (Kind, Access) {
    if field.offset.is_multiple_of(bytes) {
        return (kind, access);
    }
    (Kind::Opaque("is not aligned"), Access::Record { offset: field.offset })
}

fn array(field: &FormatField, element: &str, count: &str) -> (Kind, Access) {
    let record = Access::Record { offset: field.offset };
    if matches!(element, "char" | "const char") {
        return (Kind::Text, Access::RecordText { offset: field.offset, capacity: field.size });
    }
    // A count may be a name of the kernel's source; then the element's size is unknown.
    let count = count.parse().ok().filter(|count| *count > 0);
    let element = count.and_then(|count: u32| {
        let whole = field.size.is_multiple_of(count);
        let is_plain = !element.contains('*') && !element.starts_with("struct ");
        let int = int_of_size(field.size / count, field.signed)?;
        (whole && is_plain).then_some((int, count))
    });
    match element {
        Some((element, count)) => {
            let kind = Kind::IntArray { element, count };
            aligned(field, u32::from(element.bytes), kind, record)
        }
        None => (Kind::Opaque("is an array that is not text or integers"), record),
    }
}

fn is_text_pointer(ty: &str) -> bool {
    matches!(ty, "char *" | "const char *" | "char __user *" | "const char __user *")
}

fn int_of_size(size: u32, signed: bool) -> Option<IntType> {
    let bytes = u8::try_from(size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
    Some(IntType { bytes, signed })
}

/// The type of an integer field. The slot of a system call's argument is as wide as
/// a register, but the kernel looks only at as many bits as the type has; the rest
/// is whatever the caller left there, so it must not be compared.
fn int_type(field: &FormatField, of: RecordOf) -> Option<IntType> {
    let slot = int_of_size(field.size, field.signed)?;
    if of != RecordOf::Syscall {
        return Some(slot);
    }
    Some(c_int_type(&field.type_name).filter(|int| int.bytes <= slot.bytes).unwrap_or(slot))
}

/// The integer types of C and the kernel that system calls take, on 64-bit hosts.
fn c_int_type(name: &str) -> Option<IntType> {
    let int = match name {
        "char" | "signed char" | "s8" | "__s8" => IntType::signed(1),
        "unsigned char" | "u8" | "__u8" | "bool" => IntType::unsigned(1),
        "short" | "s16" | "__s16" => IntType::signed(2),
        "unsigned short" | "u16" | "__u16" | "umode_t" => IntType::unsigned(2),
        "int" | "s32" | "__s32" | "pid_t" | "clockid_t" | "const clockid_t" | "timer_t"
        | "key_serial_t" | "mqd_t" | "rwf_t" => IntType::signed(4),
        "unsigned" | "unsigned int" | "u32" | "__u32" | "uid_t" | "gid_t" | "qid_t" => {
            IntType::unsigned(4)
        }
        "long" | "long int" | "long long" | "s64" | "__s64" | "loff_t" | "off_t" | "ssize_t" => {
            IntType::signed(8)
        }
        "unsigned long" | "u64" | "__u64" | "size_t" | "aio_context_t" => IntType::unsigned(8),
        _ => return None,
    };
    Some(int)
}

//! What BTF says, decoded.

use std::collections::BTreeMap;

/// The number of a type; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeId(pub u32);

/// A member of a structure or union.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Offset of its name in the strings; 0 for an anonymous member.
    pub(super) name: u32,
    /// Its type.
    pub ty: TypeId,
    /// Offset in bits from the start of the structure.
    pub bit_offset: u32,
    /// Width in bits if it is a bit-field, else 0.
    pub bit_width: u32,
}

/// A parameter of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Parameter {
    /// Offset of its name in the strings; 0 if the prototype names none.
    pub(super) name: u32,
    /// Its type; `void` marks the end of a variadic function.
    pub ty: TypeId,
}

/// What kind of type, with what belongs to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BtfKind {
    /// `void`, or "no type".
    Void,
    /// An integer of `size` bytes.
    Int {
        /// Bytes.
        size: u32,
        /// Whether it is signed.
        signed: bool,
    },
    /// A pointer.
    Pointer(TypeId),
    /// An array.
    Array {
        /// The type of its elements.
        element: TypeId,
        /// How many.
        count: u32,
    },
    /// A structure, or a union.
    Struct {
        /// Whether it is a union.
        union: bool,
        /// Bytes.
        size: u32,
        /// Its members, in order.
        members: Vec<Member>,
    },
    /// An enumeration of `size` bytes.
    Enum {
        /// Bytes.
        size: u32,
        /// Whether it is signed.
        signed: bool,
    },
    /// A structure or union declared elsewhere.
    Forward {
        /// Whether it is a union.
        union: bool,
    },
    /// A second name.
    Typedef(TypeId),
    /// `const`, `volatile`, `restrict` or a type tag.
    Qualifier {
        /// Its word in C; empty for a type tag.
        word: &'static str,
        /// What is qualified.
        ty: TypeId,
    },
    /// A function.
    Function {
        /// Its prototype.
        prototype: TypeId,
    },
    /// A prototype.
    Prototype {
        /// What it returns.
        returns: TypeId,
        /// Its parameters, in order.
        parameters: Vec<Parameter>,
    },
    /// A floating-point number of `size` bytes.
    Float {
        /// Bytes.
        size: u32,
    },
    /// A variable, a section of variables or a declaration tag: not a type.
    Other,
}

impl BtfKind {
    /// Whether lookups by structure name find it.
    pub(super) const fn is_struct(&self) -> bool {
        matches!(self, Self::Struct { .. })
    }
}

/// One type with its name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BtfType {
    /// Offset of its name in the strings; 0 if it has none.
    pub(super) name: u32,
    /// What it is.
    pub kind: BtfKind,
}

/// All types of one kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Btf {
    /// NUL-terminated strings, back to back; the first is empty.
    pub(super) strings: Vec<u8>,
    /// By [`TypeId`]; the first is `void`.
    pub(super) types: Vec<BtfType>,
    /// Structures, typedefs and functions by name, in order of their ids.
    pub(super) named: BTreeMap<String, Vec<TypeId>>,
}

//! The type section of BTF: types by id, each written once, and their strings.
//!
//! Source: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`.

use std::collections::BTreeMap;

/// A type's id, from 1; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct TypeId(pub(super) u32);

/// Where a string lies in the string section, in bytes; 0 is the empty string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct StrId(pub(super) u32);

/// `BTF_KIND_*`.
pub(super) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
}

/// `BTF_INT_SIGNED`.
const INT_SIGNED: u32 = 1;
/// `BTF_FUNC_GLOBAL` and `BTF_VAR_GLOBAL_ALLOCATED`.
const GLOBAL: u32 = 1;
/// `BTF_MAGIC`.
pub(super) const MAGIC: u16 = 0xeb9f;
/// `BTF_VERSION`.
pub(super) const VERSION: u8 = 1;
/// Bytes of `struct btf_header`.
pub(super) const HEADER: u32 = 24;

/// Strings, each once, zero-terminated.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    ids: BTreeMap<String, StrId>,
}

impl Strings {
    /// Only the empty string.
    pub(super) fn new() -> Self {
        Self { bytes: vec![0], ids: BTreeMap::from([(String::new(), StrId(0))]) }
    }

    /// The id of a string; `text` must not contain a zero byte.
    pub(super) fn intern(&mut self, text: &str) -> StrId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = StrId(self.bytes.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.ids.insert(text.into(), id);
        id
    }
}

/// The types of one object.
#[derive(Clone, Debug)]
pub(super) struct Types {
    bytes: Vec<u8>,
    count: u32,
    ids: BTreeMap<Vec<u8>, TypeId>,
    /// Names of types, and texts of lines.
    pub(super) strings: Strings,
}

impl Types {
    /// No type yet.
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, ids: BTreeMap::new(), strings: Strings::new() }
    }

    /// `int` of four bytes, signed.
    pub(super) fn int(&mut self) -> TypeId {
        let name = self.strings.intern("int");
        self.add(name, kind::INT, 0, 4, &[INT_SIGNED << 24 | 32])
    }

    /// `unsigned char`.
    pub(super) fn byte(&mut self) -> TypeId {
        let name = self.strings.intern("unsigned char");
        self.add(name, kind::INT, 0, 1, &[8])
    }

    /// `target *`
    pub(super) fn ptr(&mut self, target: TypeId) -> TypeId {
        self.add(StrId(0), kind::PTR, 0, target.0, &[])
    }

    /// `unsigned char [len]`
    pub(super) fn bytes(&mut self, len: u32) -> TypeId {
        let (element, index) = (self.byte(), self.int());
        self.add(StrId(0), kind::ARRAY, 0, 0, &[element.0, index.0, len])
    }

    /// A struct of pointers, one behind the other.
    pub(super) fn struct_of_ptrs(&mut self, name: &str, members: &[(&str, TypeId)]) -> TypeId {
        let name = self.strings.intern(name);
        let mut words = Vec::with_capacity(members.len() * 3);
        for (i, (member, ptr)) in members.iter().enumerate() {
            words.extend([self.strings.intern(member).0, ptr.0, i as u32 * 64]);
        }
        let count = members.len() as u32;
        self.add(name, kind::STRUCT, count, count * 8, &words)
    }

    /// `int name(parameters)`
    pub(super) fn func(&mut self, name: &str, parameters: &[(&str, TypeId)]) -> TypeId {
        let mut words = Vec::with_capacity(parameters.len() * 2);
        for (parameter, ty) in parameters {
            words.extend([self.strings.intern(parameter).0, ty.0]);
        }
        let int = self.int();
        let proto = self.add(StrId(0), kind::FUNC_PROTO, parameters.len() as u32, int.0, &words);
        let name = self.strings.intern(name);
        self.add(name, kind::FUNC, GLOBAL, proto.0, &[])
    }

    /// A global variable.
    pub(super) fn var(&mut self, name: &str, ty: TypeId) -> TypeId {
        let name = self.strings.intern(name);
        self.add(name, kind::VAR, 0, ty.0, &[GLOBAL])
    }

    /// A section with its variables, one behind the other, each with its size
    /// in bytes.
    pub(super) fn datasec(&mut self, name: &str, vars: &[(TypeId, u32)]) -> TypeId {
        let name = self.strings.intern(name);
        let mut words = Vec::with_capacity(vars.len() * 3);
        let mut offset = 0;
        for (var, size) in vars {
            words.extend([var.0, offset, *size]);
            offset += size;
        }
        self.add(name, kind::DATASEC, vars.len() as u32, offset, &words)
    }

    /// `struct btf_type` and what follows it; an equal type is not written again.
    fn add(&mut self, name: StrId, kind: u32, vlen: u32, size: u32, words: &[u32]) -> TypeId {
        let head = [name.0, kind << 24 | vlen, size];
        let record: Vec<u8> =
            head.iter().chain(words).copied().flat_map(u32::to_le_bytes).collect();
        if let Some(id) = self.ids.get(&record) {
            return *id;
        }
        self.count += 1;
        self.bytes.extend_from_slice(&record);
        self.ids.insert(record, TypeId(self.count));
        TypeId(self.count)
    }

    /// The whole section: header, types, strings.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let types = self.bytes.len() as u32;
        let strings = self.strings.bytes.len() as u32;
        let mut out = Vec::with_capacity((HEADER + types + strings) as usize);
        out.extend(MAGIC.to_le_bytes());
        out.extend([VERSION, 0]);
        for word in [HEADER, 0, types, types, strings] {
            out.extend(word.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&self.strings.bytes);
        out
    }

    /// Bytes of the whole section.
    pub(super) fn len(&self) -> u64 {
        u64::from(HEADER) + self.bytes.len() as u64 + self.strings.bytes.len() as u64
    }
}

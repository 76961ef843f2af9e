//! Bytes → [`Btf`].

use std::collections::BTreeMap;

use super::types::{Btf, BtfKind, BtfType, Member, Parameter, TypeId};

const MAGIC: u16 = 0xeb9f;
/// Fields of `struct btf_header` as of version 1.
const HEADER: usize = 24;
/// `struct btf_type`.
const TYPE: usize = 12;
const INT_SIGNED: u32 = 1;

/// Why bytes are not BTF.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BtfError {
    /// The magic number is wrong.
    #[error("the bytes are not BTF")]
    NotBtf,
    /// The magic number is that of the other byte order.
    #[error("the BTF is big-endian; only little-endian hosts are supported")]
    BigEndian,
    /// A version this reader does not know.
    #[error("the BTF has version {0}; only version 1 is known")]
    Version(u8),
    /// A part ends beyond the bytes.
    #[error("the BTF is cut short: {part} ends beyond its {length} bytes")]
    Truncated {
        /// Which part.
        part: &'static str,
        /// How many bytes there are.
        length: usize,
    },
    /// A type of a kind this reader does not know, so that its size is unknown.
    #[error("type {id} of the BTF has the unknown kind {kind}")]
    UnknownKind {
        /// The type.
        id: u32,
        /// The kind's number.
        kind: u32,
    },
}

impl Btf {
    /// Reads raw BTF.
    ///
    /// # Errors
    /// If the bytes are not little-endian BTF of version 1, end early, or hold a
    /// kind of type that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        let header = Header::read(bytes)?;
        let types = header.section(bytes, "the types", header.types)?;
        let strings = header.section(bytes, "the strings", header.strings)?.to_vec();
        let types = Reader { bytes: types, at: 0 }.types()?;
        let mut btf = Self { strings, types, named: BTreeMap::new() };
        btf.named = btf.index();
        Ok(btf)
    }

    fn index(&self) -> BTreeMap<String, Vec<TypeId>> {
        let mut named: BTreeMap<String, Vec<TypeId>> = BTreeMap::new();
        for (id, ty) in (0..).zip(&self.types) {
            let is_wanted = ty.kind.is_struct()
                || matches!(ty.kind, BtfKind::Typedef(_) | BtfKind::Function { .. });
            let name = self.string(ty.name);
            if is_wanted && !name.is_empty() {
                named.entry(name.to_owned()).or_default().push(TypeId(id));
            }
        }
        named
    }
}

/// Where the sections lie: (offset behind the header, length).
struct Header {
    length: usize,
    types: (usize, usize),
    strings: (usize, usize),
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, BtfError> {
        let magic = bytes.first_chunk().copied().ok_or(BtfError::NotBtf)?;
        match u16::from_le_bytes(magic) {
            MAGIC => {}
            other if other.swap_bytes() == MAGIC => return Err(BtfError::BigEndian),
            _ => return Err(BtfError::NotBtf),
        }
        let truncated = BtfError::Truncated { part: "the header", length: bytes.len() };
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(truncated)?;
        if header[2] != 1 {
            return Err(BtfError::Version(header[2]));
        }
        let word = |at: usize| {
            let [a, b, c, d] = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes([a, b, c, d]) as usize
        };
        Ok(Self { length: word(4), types: (word(8), word(12)), strings: (word(16), word(20)) })
    }

    fn section<'a>(
        &self,
        bytes: &'a [u8],
        part: &'static str,
        (offset, length): (usize, usize),
    ) -> Result<&'a [u8], BtfError> {
        let start = self.length.checked_add(offset);
        let range = start.and_then(|start| Some(start..start.checked_add(length)?));
        let section = range.and_then(|range| bytes.get(range));
        section.ok_or(BtfError::Truncated { part, length: bytes.len() })
    }
}

/// Reads types one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn types(mut self) -> Result<Vec<BtfType>, BtfError> {
        let mut types = vec![BtfType { name: 0, kind: BtfKind::Void }];
        while self.at < self.bytes.len() {
            types.push(self.one(types.len() as u32)?);
        }
        Ok(types)
    }

    fn word(&mut self) -> Result<u32, BtfError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let truncated = BtfError::Truncated { part: "a type", length: self.bytes.len() };
        let word = rest.first_chunk().ok_or(truncated)?;
        self.at += 4;
        Ok(u32::from_le_bytes(*word))
    }

    /// `count` records of `words` words each that hold nothing of interest.
    fn skip(&mut self, count: u32, words: usize) -> Result<(), BtfError> {
        let end = (count as usize).checked_mul(words * 4).and_then(|n| n.checked_add(self.at));
        match end {
            Some(end) if end <= self.bytes.len() => self.at = end,
            _ => return Err(BtfError::Truncated { part: "a type", length: self.bytes.len() }),
        }
        Ok(())
    }

    fn one(&mut self, id: u32) -> Result<BtfType, BtfError> {
        if self.bytes.len() - self.at < TYPE {
            return Err(BtfError::Truncated { part: "a type", length: self.bytes.len() });
        }
        let (name, info, word) = (self.word()?, self.word()?, self.word()?);
        let (count, flag) = (info & 0xffff, info >> 31 != 0);
        let ty = TypeId(word);
        let kind = match (info >> 24) & 0x1f {
            1 => BtfKind::Int { size: word, signed: (self.word()? >> 24) & INT_SIGNED != 0 },
            2 => BtfKind::Pointer(ty),
            3 => self.array()?,
            kind @ (4 | 5) => {
                let members = self.members(count, flag)?;
                BtfKind::Struct { union: kind == 5, size: word, members }
            }
            kind @ (6 | 19) => {
                self.skip(count, if kind == 6 { 2 } else { 3 })?;
                BtfKind::Enum { size: word, signed: flag }
            }
            7 => BtfKind::Forward { union: flag },
            8 => BtfKind::Typedef(ty),
            9 => BtfKind::Qualifier { word: "volatile", ty },
            10 => BtfKind::Qualifier { word: "const", ty },
            11 => BtfKind::Qualifier { word: "restrict", ty },
            12 => BtfKind::Function { prototype: ty },
            13 => BtfKind::Prototype { returns: ty, parameters: self.parameters(count)? },
            14 | 17 => {
                self.skip(1, 1)?;
                BtfKind::Other
            }
            15 => {
                self.skip(count, 3)?;
                BtfKind::Other
            }
            16 => BtfKind::Float { size: word },
            18 => BtfKind::Qualifier { word: "", ty },
            kind => return Err(BtfError::UnknownKind { id, kind }),
        };
        Ok(BtfType { name, kind })
    }

    fn array(&mut self) -> Result<BtfKind, BtfError> {
        let element = TypeId(self.word()?);
        let _index_type = self.word()?;
        Ok(BtfKind::Array { element, count: self.word()? })
    }

    fn members(&mut self, count: u32, has_widths: bool) -> Result<Vec<Member>, BtfError> {
        let mut members = Vec::new();
        for _ in 0..count {
            let (name, ty, offset) = (self.word()?, TypeId(self.word()?), self.word()?);
            // With the flag set, a width is packed into the upper eight bits.
            let (bit_width, bit_offset) =
                if has_widths { (offset >> 24, offset & 0x00ff_ffff) } else { (0, offset) };
            members.push(Member { name, ty, bit_offset, bit_width });
        }
        Ok(members)
    }

    fn parameters(&mut self, count: u32) -> Result<Vec<Parameter>, BtfError> {
        (0..count).map(|_| Ok(Parameter { name: self.word()?, ty: TypeId(self.word()?) })).collect()
    }
}

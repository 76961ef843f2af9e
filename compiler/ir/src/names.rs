//! The words of the text form.
//!
//! Printer and parser read the same tables, so a word cannot be printed that is
//! not read back. Helper names are in [`crate::helpers`].

use crate::types::{BinOp, CastOp, CmpOp, MapKind};

/// Whether a name is spelled like an id (`v7`, `b0`, `s2`): unnamed values,
/// blocks and slots print like that, so it cannot be a name.
pub(crate) fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix(['v', 'b', 's']).unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

macro_rules! words {
    ($ty:ident, $($variant:ident = $word:literal),+ $(,)?) => {
        impl $ty {
            /// Every variant, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word of the text form.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The variant of a word of the text form, or `None`.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.name() == name)
            }
        }
    };
}

words!(
    BinOp,
    Add = "add",
    Sub = "sub",
    Mul = "mul",
    Div = "div",
    Mod = "mod",
    And = "and",
    Or = "or",
    Xor = "xor",
    Shl = "shl",
    Lshr = "lshr",
    Ashr = "ashr",
);

words!(CastOp, Zext = "zext", Trunc = "trunc", Swap = "swap");

words!(
    CmpOp,
    Eq = "eq",
    Ne = "ne",
    Ult = "ult",
    Ule = "ule",
    Ugt = "ugt",
    Uge = "uge",
    Slt = "slt",
    Sle = "sle",
    Sgt = "sgt",
    Sge = "sge",
    Set = "set",
);

words!(
    MapKind,
    Array = "array",
    PercpuArray = "percpu_array",
    Hash = "hash",
    LruHash = "lru_hash",
    LpmTrie = "lpm_trie",
    ProgArray = "prog_array",
    Ringbuf = "ringbuf",
);

impl MapKind {
    /// Sizes of key and value that the text form leaves out.
    pub(crate) const fn default_sizes(self) -> (u32, u32) {
        match self {
            Self::ProgArray => (4, 4),
            Self::Array | Self::PercpuArray => (4, 0),
            _ => (0, 0),
        }
    }
}

//! What can be wrong with an object before it is written, and with bytes
//! before they are an object.

/// An [`Object`](crate::Object) that no file can hold: a bug of whoever made it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// A name is empty, too long, or not an identifier.
    #[error(
        "`{0}` is no name of a program or map: 1 to 15 of letters, digits and `_`, no digit first"
    )]
    Name(String),
    /// Two programs or maps have one name.
    #[error("`{0}` names two things of the object")]
    Duplicate(String),
    /// The hook of a tracing program is not a name.
    #[error("program `{program}`: `{hook}` is no tracing event")]
    Hook {
        /// The program.
        program: String,
        /// What it says it hooks.
        hook: String,
    },
    /// A program's code, origins or relocations contradict each other.
    #[error("program `{program}`: {what}")]
    Program {
        /// The program.
        program: String,
        /// The contradiction.
        what: &'static str,
    },
    /// A map's sizes or contents contradict its kind.
    #[error("map `{map}`: {what}")]
    Map {
        /// The map.
        map: String,
        /// The contradiction.
        what: &'static str,
    },
    /// Something does not fit its field in the file.
    #[error("the object's {what} take {size} bytes, and the limit is {limit}")]
    TooLarge {
        /// What does not fit.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// The ELF writer refused.
    #[error("cannot write the object: {0}")]
    Write(String),
}

/// Bytes that are not an ELF object of policyc.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// Not an ELF file, or a broken one.
    #[error("not a readable ELF file: {0}")]
    Elf(String),
    /// An ELF file for something else.
    #[error("not a relocatable little-endian BPF object")]
    NotBpf,
    /// A section that holds code for a hook policyc does not know.
    #[error("section `{0}` is for no known hook")]
    UnknownSection(String),
    /// A symbol points outside of its section.
    #[error("symbol `{0}` does not fit its section")]
    Symbol(String),
    /// A relocation that no `lddw` of a program explains.
    #[error("program `{program}`: the relocation at byte {offset} is not of a map")]
    Relocation {
        /// The program.
        program: String,
        /// Byte offset in the program.
        offset: u64,
    },
    /// The BTF section cannot be read.
    #[error("broken BTF: {0}")]
    Btf(&'static str),
    /// A map definition that BTF does not explain.
    #[error("map `{0}` has no readable definition")]
    Map(String),
    /// The license section is missing or is not one of ours.
    #[error("the object declares no licence that policyc uses")]
    License,
}

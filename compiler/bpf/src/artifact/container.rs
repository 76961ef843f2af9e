//! The bytes around an artifact's sections.
//!
//! ```text
//! 0   magic          8 bytes
//! 8   format         u32, little-endian as all numbers here
//! 12  manifest size  u32
//! 16  object size    u32
//! 20  tables size    u32
//! 24  content hash   SHA-256 of bytes 8 to 24 and of the three sections
//! 56  manifest, object, tables
//!     evidence size  u32
//!     evidence hash  SHA-256 of the evidence
//!     evidence       JSON lines, to the end of the file
//! ```
//!
//! Guarantees: bytes are refused before any section of them is looked at unless
//! their magic, format, sizes and both hashes are right. Total on any bytes.

use super::{ArtifactError, Digest};

/// The format that this release writes and reads.
pub const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"\x7fpolicyc";

/// Whether the bytes begin with the file format's magic.
pub(super) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}
/// Where the hashed part of the header begins.
const FORMAT_AT: usize = 8;
const HASH_AT: usize = 24;
const HASH: usize = 32;
/// Bytes before the first section.
const HEADER: usize = HASH_AT + HASH;
/// Bytes before the evidence.
const EVIDENCE_HEADER: usize = 4 + HASH;

/// Largest sizes in bytes.
const MAX_MANIFEST: u32 = 64 << 20;
const MAX_OBJECT: u32 = 512 << 20;
const MAX_TABLES: u32 = 1 << 30;
const MAX_EVIDENCE: u32 = 64 << 20;

/// The content: what the hash is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Content {
    /// Canonical JSON.
    pub(super) manifest: Vec<u8>,
    /// ELF.
    pub(super) object: Vec<u8>,
    /// Contents of tables that the ELF file has no place for.
    pub(super) tables: Vec<u8>,
}

/// The sections of a file whose hashes are right.
pub(super) struct Sections {
    pub(super) content: Content,
    pub(super) hash: Digest,
    pub(super) evidence: Vec<u8>,
}

impl Content {
    /// The hash of the content.
    pub(super) fn hash(&self) -> Result<Digest, ArtifactError> {
        Ok(self.hash_with(&self.prefix()?))
    }

    fn hash_with(&self, prefix: &[u8]) -> Digest {
        Digest::of(&[prefix, &self.manifest, &self.object, &self.tables])
    }

    /// The header from the format to the hash.
    fn prefix(&self) -> Result<Vec<u8>, ArtifactError> {
        let words = [
            FORMAT,
            size_of("manifest", self.manifest.len(), MAX_MANIFEST)?,
            size_of("object", self.object.len(), MAX_OBJECT)?,
            size_of("tables", self.tables.len(), MAX_TABLES)?,
        ];
        Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
    }
}

/// The file.
pub(super) fn write(content: &Content, evidence: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let prefix = content.prefix()?;
    let evidence_size = size_of("evidence", evidence.len(), MAX_EVIDENCE)?;
    Ok([
        &MAGIC[..],
        &prefix,
        &content.hash_with(&prefix).0,
        &content.manifest,
        &content.object,
        &content.tables,
        &evidence_size.to_le_bytes(),
        &Digest::of(&[evidence]).0,
        evidence,
    ]
    .concat())
}

/// The sections of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Sections, ArtifactError> {
    let mut rest = Rest { bytes, all: bytes.len() };
    check_magic(&mut rest)?;
    let prefix = bytes.get(FORMAT_AT..HASH_AT);
    let format = rest.word()?;
    if format != FORMAT {
        return Err(ArtifactError::Version(format));
    }
    let manifest = size_within("manifest", rest.word()?, MAX_MANIFEST)?;
    let object = size_within("object", rest.word()?, MAX_OBJECT)?;
    let tables = size_within("tables", rest.word()?, MAX_TABLES)?;
    let expected = rest.digest()?;
    let least = HEADER + manifest + object + tables + EVIDENCE_HEADER;
    if bytes.len() < least {
        return Err(truncated(least, bytes.len()));
    }
    let (manifest, object, tables) = (rest.take(manifest)?, rest.take(object)?, rest.take(tables)?);
    let found = Digest::of(&[prefix.unwrap_or_default(), manifest, object, tables]);
    if found != expected {
        return Err(ArtifactError::Altered { expected, found });
    }
    let content =
        Content { manifest: manifest.into(), object: object.into(), tables: tables.into() };
    Ok(Sections { content, hash: found, evidence: read_evidence(&mut rest)? })
}

fn check_magic(rest: &mut Rest<'_>) -> Result<(), ArtifactError> {
    let known = rest.bytes.len().min(MAGIC.len());
    if rest.bytes.get(..known) != MAGIC.get(..known) {
        return Err(ArtifactError::Foreign);
    }
    if rest.bytes.len() < HEADER {
        return Err(truncated(HEADER, rest.bytes.len()));
    }
    rest.take(MAGIC.len()).map(drop)
}

fn read_evidence(rest: &mut Rest<'_>) -> Result<Vec<u8>, ArtifactError> {
    let size = size_within("evidence", rest.word()?, MAX_EVIDENCE)?;
    let expected = rest.digest()?;
    let evidence = rest.take(size)?;
    if !rest.bytes.is_empty() {
        return Err(ArtifactError::Trailing(rest.bytes.len() as u64));
    }
    if Digest::of(&[evidence]) != expected {
        return Err(ArtifactError::EvidenceAltered);
    }
    Ok(evidence.into())
}

/// What is left of a file.
struct Rest<'a> {
    bytes: &'a [u8],
    /// Bytes of the whole file.
    all: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ArtifactError> {
        let read = self.all - self.bytes.len();
        let (taken, rest) =
            self.bytes.split_at_checked(len).ok_or_else(|| truncated(read + len, self.all))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArtifactError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn word(&mut self) -> Result<u32, ArtifactError> {
        self.array().map(u32::from_le_bytes)
    }

    fn digest(&mut self) -> Result<Digest, ArtifactError> {
        self.array().map(Digest)
    }
}

fn size_of(section: &'static str, size: usize, limit: u32) -> Result<u32, ArtifactError> {
    let word = u32::try_from(size).ok().filter(|size| *size <= limit);
    word.ok_or(ArtifactError::TooLarge { section, size: size as u64, limit: limit.into() })
}

fn size_within(section: &'static str, size: u32, limit: u32) -> Result<usize, ArtifactError> {
    size_of(section, size as usize, limit).map(|size| size as usize)
}

fn truncated(expected: usize, found: usize) -> ArtifactError {
    ArtifactError::Truncated { expected: expected as u64, found: found as u64 }
}

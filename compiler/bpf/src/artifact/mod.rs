//! The artifact: what a build makes and a host applies.
//!
//! Guarantees: content is a pure function of what it was built from, and has one
//! hash; evidence is added beside it. Bytes that are cut off, altered, foreign or
//! of another format are refused before anything in them is looked at
//! (`container.rs`, which draws the file). What is accepted is consistent: the
//! object holds the programs and maps of the manifest, and every index in the
//! manifest has its element.
//! Does not know: hosts, interfaces, keys of signers.

mod container;
mod digest;
mod error;
mod evidence;
mod restore;
mod tables;

use crate::{Manifest, MapSpec, Object, ProgramEntry, write_elf};
use container::Content;

pub use container::FORMAT;
pub use digest::{Digest, NotADigest};
pub use error::ArtifactError;
pub use evidence::{Evidence, Finding, Level};

/// A finished build with its evidence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    content: Content,
    hash: Digest,
    manifest: Manifest,
    object: Object,
    evidence: Vec<Evidence>,
}

impl Artifact {
    /// The artifact of an object. Programs, maps and lines of the manifest are
    /// written here, from the object; whatever they held is replaced.
    ///
    /// What the result holds was read back from its own bytes, so a build fails
    /// here rather than on a host.
    ///
    /// # Errors
    /// The object or the manifest contradicts itself, or is too large.
    pub fn build(mut manifest: Manifest, object: &Object) -> Result<Self, ArtifactError> {
        manifest.programs = object.programs.iter().map(ProgramEntry::of).collect();
        manifest.maps = object.maps.values().map(blueprint).collect();
        manifest.lines.clone_from(&object.lines);
        let json = serde_json::to_vec(&manifest);
        let content = Content {
            manifest: json.map_err(|e| ArtifactError::Manifest(e.to_string()))?,
            object: write_elf(object)?,
            tables: tables::write(object)?,
        };
        let hash = content.hash()?;
        Self::from_content(content, hash)
    }

    /// Whether the bytes begin as an artifact does; says nothing about the rest.
    pub fn is_one(bytes: &[u8]) -> bool {
        container::has_magic(bytes)
    }

    /// The artifact in a file.
    ///
    /// # Errors
    /// The bytes are not an artifact that this release reads, or not as they were
    /// written; see [`ArtifactError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let sections = container::read(bytes)?;
        let mut artifact = Self::from_content(sections.content, sections.hash)?;
        let evidence = evidence::from_lines(&sections.evidence);
        for record in evidence.map_err(|e| ArtifactError::Evidence(e.to_string()))? {
            artifact.check_evidence(&record)?;
            artifact.evidence.push(record);
        }
        Ok(artifact)
    }

    /// The file.
    ///
    /// # Errors
    /// There is more evidence than a file may hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let lines = evidence::to_lines(&self.evidence);
        let lines = lines.map_err(|e| ArtifactError::Evidence(e.to_string()))?;
        container::write(&self.content, &lines)
    }

    /// Adds what a check found. A record that is there already is not added.
    ///
    /// # Errors
    /// The record is about other content or no program of this artifact.
    pub fn record(&mut self, evidence: Evidence) -> Result<(), ArtifactError> {
        self.check_evidence(&evidence)?;
        if !self.evidence.contains(&evidence) {
            self.evidence.push(evidence);
        }
        Ok(())
    }

    /// The hash of the content; evidence does not change it.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// What the artifact says about itself.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Programs, maps with their contents, and lines.
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// The ELF file inside, as other loaders take it.
    pub fn elf(&self) -> &[u8] {
        &self.content.object
    }

    /// Every check so far, in the order they were recorded.
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn from_content(content: Content, hash: Digest) -> Result<Self, ArtifactError> {
        let manifest: Manifest = serde_json::from_slice(&content.manifest)
            .map_err(|e| ArtifactError::Manifest(e.to_string()))?;
        let object = restore::restore(&manifest, &content)?;
        Ok(Self { content, hash, manifest, object, evidence: Vec::new() })
    }

    fn check_evidence(&self, evidence: &Evidence) -> Result<(), ArtifactError> {
        if evidence.content != self.hash {
            let (expected, found) = (self.hash, evidence.content);
            return Err(ArtifactError::EvidenceForeign { expected, found });
        }
        if !self.manifest.programs.iter().any(|p| p.name == evidence.program) {
            return Err(ArtifactError::EvidenceProgram(evidence.program.clone()));
        }
        Ok(())
    }
}

/// A map as the manifest holds it: without contents.
fn blueprint(map: &MapSpec) -> MapSpec {
    MapSpec { name: map.name.clone(), contents: Vec::new(), ..*map }
}

#[cfg(test)]
mod tests;

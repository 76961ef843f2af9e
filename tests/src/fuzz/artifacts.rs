//! Readers of finished builds.

use policyc_bpf::{Artifact, Digest};

/// Offset of the sizes of manifest, object and tables, and of the content's hash.
const SIZES: usize = 12;
const HASH: usize = 24;
/// Bytes before the manifest.
const HEADER: usize = 56;

/// Artifacts are refused, or come out as they went in.
pub fn artifact(bytes: &[u8]) {
    let Ok(artifact) = Artifact::from_bytes(bytes) else { return };
    assert_eq!(artifact.to_bytes().as_deref(), Ok(bytes));
}

/// The same with sizes and hashes made right: what a forger could write.
pub fn artifact_resealed(bytes: &[u8]) {
    let Some(bytes) = reseal(bytes) else { return };
    let Ok(artifact) = Artifact::from_bytes(&bytes) else { return };
    let again = artifact.to_bytes().map(|bytes| Artifact::from_bytes(&bytes));
    assert_eq!(again, Ok(Ok(artifact)));
}

fn reseal(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let mut file = header.to_vec();
    let mut sections = Vec::new();
    for at in (SIZES..HASH).step_by(4) {
        let size = u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?);
        let (section, behind) = rest.split_at((size as usize).min(rest.len()));
        file.get_mut(at..at + 4)?.copy_from_slice(&(section.len() as u32).to_le_bytes());
        sections.push(section);
        rest = behind;
    }
    let prefix = file.get(8..HASH)?.to_vec();
    let parts: Vec<&[u8]> = std::iter::once(&prefix[..]).chain(sections.iter().copied()).collect();
    file.get_mut(HASH..HEADER)?.copy_from_slice(&Digest::of(&parts).0);
    let evidence = rest.get(36..).unwrap_or_default();
    file.extend(sections.concat());
    file.extend((evidence.len() as u32).to_le_bytes());
    file.extend(Digest::of(&[evidence]).0);
    file.extend(evidence);
    Some(file)
}

//! One document, all the way.

use policyc_base::{OriginTable, Sink};
use policyc_target::Profile;

use super::types::TracingPolicy;
use super::{check, read};
use crate::documents::Document;

/// The policy of a document whose kind is TracingPolicy or
/// TracingPolicyNamespaced, for the host of a profile.
///
/// Everything that is wrong goes to `sink`, also what only the profile shows if the
/// document could be read; the result is `None` if it was an error.
pub fn load_document(
    document: &Document,
    profile: &Profile,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Option<TracingPolicy> {
    let doc = read(document, sink)?;
    check(&doc, profile, origins, sink)
}

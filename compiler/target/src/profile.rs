//! The profile: a document that says what a host can do.
//!
//! Guarantees: `parse(print(p)) == p`; printing is deterministic; a document with
//! a field, a feature or a version that is not known is refused, because a build
//! for the wrong host is worse than none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::tracepoint::FormatField;
use crate::{Feature, Isa, Layouts};

const API_VERSION: &str = "policyc.io/v1alpha1";
const KIND: &str = "Profile";

/// What a host can do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Profile {
    /// The kernel's release, to be shown; nothing is decided by it.
    pub kernel: String,
    /// The machine's architecture as `uname -m` says it.
    pub architecture: String,
    /// What was tried and worked.
    pub features: BTreeSet<Feature>,
    /// The records of tracepoints by `category/event`, in the kernel's order.
    pub tracepoints: BTreeMap<String, Vec<FormatField>>,
    /// The arguments of raw tracepoints by name. Their record is an array of
    /// 64-bit slots: argument `n` is at offset `8 * n`.
    pub raw_tracepoints: BTreeMap<String, Vec<FormatField>>,
    /// Where fields of kernel structures lie.
    pub layouts: Layouts,
}

/// Why a text is not a profile.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is not YAML or JSON of the right shape; the parser's words.
    #[error("not a profile: {0}")]
    Shape(String),
    /// It is another document.
    #[error("expected `{KIND}` of `{API_VERSION}`, found `{kind}` of `{api_version}`")]
    Kind {
        /// Its kind.
        kind: String,
        /// Its version.
        api_version: String,
    },
}

/// The document as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    kernel: String,
    architecture: String,
    #[serde(default)]
    features: BTreeSet<Feature>,
    #[serde(default)]
    tracepoints: BTreeMap<String, Vec<FormatField>>,
    #[serde(default)]
    raw_tracepoints: BTreeMap<String, Vec<FormatField>>,
    #[serde(default)]
    layouts: Layouts,
}

/// What every document of ours begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
}

impl Profile {
    /// Reads a profile from YAML or JSON.
    ///
    /// # Errors
    /// If the text is another document, or has a field or feature that is not known.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let shape = |error: serde_yaml::Error| ProfileError::Shape(error.to_string());
        let head: Head = serde_yaml::from_str(text).map_err(shape)?;
        if (head.kind.as_str(), head.api_version.as_str()) != (KIND, API_VERSION) {
            return Err(ProfileError::Kind { kind: head.kind, api_version: head.api_version });
        }
        let document: Document = serde_yaml::from_str(text).map_err(shape)?;
        let Document {
            kernel, architecture, features, tracepoints, raw_tracepoints, layouts, ..
        } = document;
        Ok(Self { kernel, architecture, features, tracepoints, raw_tracepoints, layouts })
    }

    /// Writes the profile as YAML.
    ///
    /// # Errors
    /// Never for a profile; the serializer's signature allows it.
    pub fn print(&self) -> Result<String, ProfileError> {
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            kernel: self.kernel.clone(),
            architecture: self.architecture.clone(),
            features: self.features.clone(),
            tracepoints: self.tracepoints.clone(),
            raw_tracepoints: self.raw_tracepoints.clone(),
            layouts: self.layouts.clone(),
        };
        serde_yaml::to_string(&document).map_err(|error| ProfileError::Shape(error.to_string()))
    }

    /// Whether the host can do this.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// The newest instruction set that the host takes.
    pub fn isa(&self) -> Isa {
        let levels =
            [(Feature::IsaV4, Isa::V4), (Feature::IsaV3, Isa::V3), (Feature::IsaV2, Isa::V2)];
        let newest = levels.into_iter().find(|(feature, _)| self.has(*feature));
        newest.map_or(Isa::V1, |(_, isa)| isa)
    }

    /// Byte offset and size of a structure's field: `("task_struct", "tgid")`.
    pub fn field(&self, structure: &str, field: &str) -> Option<crate::FieldLayout> {
        self.layouts.get(structure)?.fields.get(field).copied()
    }
}

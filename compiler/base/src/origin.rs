//! Which rule a decision, an instruction or a table entry came from.
//!
//! An [`Origin`] is an opaque id that travels from the policy to the bytecode;
//! only the driver resolves it to a policy, a rule and a line.

use std::collections::BTreeMap;

use crate::{PrimaryMap, Span, entity};

entity!(
    /// The rule that something was made for.
    pub struct Origin, "!"
);

/// What an [`Origin`] stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginInfo {
    /// The policy as its users name it: `namespace/name`, or `name`.
    pub policy: String,
    /// The rule inside the policy as a path of fields: `spec.ingress[0]`.
    pub rule: String,
    /// Where the rule is written; `None` for what policyc adds itself.
    pub span: Option<Span>,
}

/// Every origin of one compilation.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct OriginTable {
    infos: PrimaryMap<Origin, OriginInfo>,
    logs: BTreeMap<Origin, String>,
}

impl OriginTable {
    /// No origin yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is told to whoever observes a decision of this origin.
    pub fn set_log(&mut self, origin: Origin, log: impl Into<String>) {
        self.logs.insert(origin, log.into());
    }

    /// What is told beside a decision of this origin: the policy's own words.
    pub fn log(&self, origin: Origin) -> Option<&str> {
        self.logs.get(&origin).map(String::as_str)
    }

    /// Adds an origin and returns its id.
    pub fn push(&mut self, info: OriginInfo) -> Origin {
        self.infos.push(info)
    }

    /// What an origin of this table stands for, or `None` for a foreign one.
    pub fn get(&self, origin: Origin) -> Option<&OriginInfo> {
        self.infos.get(origin)
    }

    /// Every origin, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &OriginInfo)> {
        self.infos.iter()
    }

    /// Number of origins.
    pub fn len(&self) -> usize {
        self.infos.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }
}

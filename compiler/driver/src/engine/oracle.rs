//! The oracle as an engine.

use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::{self, Dialect, DirectionVerdict, Flow, Reason, Rule};

use super::{EndVerdict, Engine, EngineError, FlowVerdict};

/// The plain evaluator of policies.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'a> {
    /// The rules.
    pub rules: &'a [Rule],
    /// Everybody.
    pub inventory: &'a Inventory,
    /// Whose reading is meant.
    pub dialect: Dialect,
}

impl Engine for Oracle<'_> {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError> {
        let verdict = network::eval(self.rules, self.inventory, self.dialect, flow);
        // What a pod of Kubernetes sends to itself meets no hook.
        let ends = [flow.source, flow.destination].map(|end| self.inventory.identify(end));
        let is_itself = self.dialect == Dialect::Kubernetes && ends[0] == ends[1];
        let is_itself = is_itself && ends[0] != Identity::World;
        let end = |verdict: DirectionVerdict| {
            let is_subject = verdict.reason != Reason::NotASubject && !is_itself;
            let DirectionVerdict { allowed, reason, audited, response } = verdict;
            is_subject.then_some(EndVerdict { allowed, reason: Some(reason), audited, response })
        };
        Ok(FlowVerdict { egress: end(verdict.egress), ingress: end(verdict.ingress) })
    }
}

//! The oracle as an engine.

use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::{self, Dialect, DirectionVerdict, Flow, Rule};

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
        let end = |address, verdict: DirectionVerdict| {
            let is_subject = self.inventory.identify(address) != Identity::World;
            is_subject
                .then_some(EndVerdict { allowed: verdict.allowed, reason: Some(verdict.reason) })
        };
        Ok(FlowVerdict {
            egress: end(flow.source, verdict.egress),
            ingress: end(flow.destination, verdict.ingress),
        })
    }
}

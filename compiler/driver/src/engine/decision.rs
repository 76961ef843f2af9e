//! The decision graph and its tables as an engine.

use policyc_decision::network::NetworkDecision;
use policyc_policy::network::Flow;

use super::{Engine, EngineError, FlowVerdict, end_verdict};

/// The decision graph, evaluated.
#[derive(Clone, Copy, Debug)]
pub struct DecisionGraph<'a> {
    /// Graph and tables.
    pub decision: &'a NetworkDecision,
}

impl Engine for DecisionGraph<'_> {
    fn name(&self) -> &'static str {
        "decision"
    }

    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError> {
        let end = |index: usize| {
            let decision = &self.decision.decisions[index];
            end_verdict(decision.allowed, Some(decision))
        };
        let [egress, ingress] = self.decision.judge_flow(flow);
        Ok(FlowVerdict { egress: egress.map(end), ingress: ingress.map(end) })
    }
}

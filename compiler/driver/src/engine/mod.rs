//! The engines that can judge a flow, behind one trait.
//!
//! The oracle is the authority; every other engine is held against it. What is
//! compared is the verdict of each end of a flow that is a subject, and, where the
//! engine can say it, the decision behind it.

mod bir;
mod bytecode;
mod decision;
pub mod frame;
mod kernel;
mod oracle;
mod program;

pub use bir::Bir;
pub use bytecode::Bytecode;
pub use decision::DecisionGraph;
pub use kernel::Kernel;
pub use oracle::Oracle;
pub use program::{Answer, PROGRAM_KINDS, PacketEngine, PacketRun, ProgramSet, attach_id, events};

use policyc_decision::network::{Decision, Why};
use policyc_policy::network::{DenyResponse, Fate, Flow, Reason};

/// What an engine says about one end of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndVerdict {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Why, if the engine can say.
    pub reason: Option<Reason>,
    /// Why it would be dropped if every policy were enforced, if that differs and the
    /// engine can say.
    pub audited: Option<Reason>,
    /// What is done about a packet that is dropped, if the engine can say.
    pub response: DenyResponse,
}

impl EndVerdict {
    /// Whether the engine can say who decides; of what is audited that is who would deny.
    pub fn says_why(&self) -> bool {
        self.reason.is_some() || self.audited.is_some()
    }
}

/// What an engine says about a flow. An end that is no subject has no verdict:
/// nothing is enforced there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowVerdict {
    /// At the source.
    pub egress: Option<EndVerdict>,
    /// At the destination.
    pub ingress: Option<EndVerdict>,
}

impl FlowVerdict {
    /// Whether the flow is forwarded.
    pub fn allowed(&self) -> bool {
        [self.egress, self.ingress].iter().flatten().all(|end| end.allowed)
    }

    /// What becomes of the flow.
    pub fn fate(&self) -> Fate {
        let audited = [self.egress, self.ingress].iter().flatten().any(|e| e.audited.is_some());
        Fate::of(self.allowed(), audited)
    }

    /// Whether another engine says the same, as far as both say something.
    pub fn agrees(&self, other: &Self) -> bool {
        agree(self.egress, other.egress) && agree(self.ingress, other.ingress)
    }
}

fn agree(a: Option<EndVerdict>, b: Option<EndVerdict>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() == b.is_none() };
    let reasons = a.reason.zip(b.reason);
    a.allowed == b.allowed
        && reasons.is_none_or(|reasons| reasons.0 == reasons.1 && a.response == b.response)
        && (!a.says_why() || !b.says_why() || a.audited == b.audited)
}

/// What an engine says that answers with a verdict and a decision.
fn end_verdict(allowed: bool, decision: Option<&Decision>) -> EndVerdict {
    let reason = decision.and_then(|d| reason_of(d.why));
    let response = decision.map_or(DenyResponse::Drop, |decision| decision.response);
    EndVerdict { allowed, reason, audited: decision.and_then(|d| d.audited), response }
}

/// The reason of a decision; `None` for what is not policy's word.
fn reason_of(why: Why) -> Option<Reason> {
    match why {
        Why::Policy(reason) => Some(reason),
        Why::UnknownSubject
        | Why::Truncated
        | Why::Malformed
        | Why::Arp
        | Why::UnknownL3
        | Why::Established
        | Why::Related
        | Why::ConntrackFull
        | Why::Fragment
        | Why::Neighbour
        | Why::Unenforced => None,
    }
}

/// Why an engine could not judge: never the policy's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{engine}: {message}")]
pub struct EngineError {
    /// Which engine.
    pub engine: &'static str,
    /// What happened.
    pub message: String,
}

/// Something that can judge flows.
pub trait Engine {
    /// Its name, as users type it.
    fn name(&self) -> &'static str;

    /// The verdict on a flow.
    ///
    /// # Errors
    /// When the engine itself fails.
    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError>;
}

//! Tracing policy as graphs: for each kernel hook, one graph for each policy
//! that hooks it, over shared reads.
//!
//! Every policy on a hook acts on its own, so a hook is a sequence of graphs and
//! never their product. What several graphs ask for is read once, and only when
//! the first of them asks.
//!
//! Guarantees: the graphs of a hook are in the order of the policies; a read is
//! listed once, whatever asks for it.
//! Does not know: where events go, or how a field is loaded.

mod build;
mod print;

pub use build::build;
pub use print::print;

use policyc_base::Origin;
use policyc_policy::tracing::{ArgKind, Test};
use policyc_target::{Access, Hook};

use crate::graph::{DecisionGraph, FieldId};

/// One field that some graph tests or reports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Read {
    /// Where it is read.
    pub access: Access,
    /// What it is read as.
    pub kind: ArgKind,
    /// The field's name in the hook's schema.
    pub name: String,
}

/// A test with what it answers when the field cannot be judged: an unreadable
/// address, or a text longer than programs read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EventTest {
    /// The question.
    pub test: Test,
    /// The answer in doubt.
    pub doubt: bool,
}

/// What a graph ends in: an index into [`EventDecision::outcomes`], or nothing
/// to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventLeaf {
    /// No selector matched.
    Nothing,
    /// A selector matched.
    Selected(usize),
}

/// What happens when a selector matches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventOutcome {
    /// Whether an event is reported.
    pub posts: bool,
    /// The selector.
    pub origin: Origin,
}

/// One policy at one hook.
#[derive(Clone, Debug)]
pub struct EventGraph {
    /// The policy's name.
    pub policy: String,
    /// What its events say.
    pub message: Option<String>,
    /// What its events are labelled with.
    pub tags: Vec<String>,
    /// What its events report: the read, and what the policy calls it.
    pub reports: Vec<(FieldId, Option<String>)>,
    /// The selectors.
    pub graph: DecisionGraph<EventTest, EventLeaf>,
    /// Where the hook is written.
    pub origin: Origin,
}

/// Everything that is asked at one kernel hook.
#[derive(Clone, Debug)]
pub struct HookDecision {
    /// The hook.
    pub hook: Hook,
    /// What is read, by [`FieldId`].
    pub reads: Vec<Read>,
    /// One graph for each policy on the hook.
    pub graphs: Vec<EventGraph>,
}

/// Tracing policy, decided.
#[derive(Clone, Debug, Default)]
pub struct EventDecision {
    /// Hooks, ascending.
    pub hooks: Vec<HookDecision>,
    /// What leaves refer to.
    pub outcomes: Vec<EventOutcome>,
}

//! Which entry decides: the rules of one behaviour, in the order they are asked.
//!
//! Source: Cilium `pkg/policy/repository.go`, `pkg/policy/rules.go` and
//! `pkg/policy/types/entry.go`; the resolution here is written apart from the
//! oracle so that the two can be held against each other.

use policyc_policy::network::{EntryVerdict, Reason, Tier};

/// Index of a distinct [`Peers`](policyc_policy::network::Peers) or
/// [`Ports`](policyc_policy::network::Ports) value.
pub type Predicate = usize;

/// One entry as it is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OrderedEntry {
    /// Tier; lower first.
    pub tier: Tier,
    /// Priority in the tier; lower first.
    pub priority: u32,
    /// Deny before allow before pass.
    pub verdict: EntryVerdict,
    /// Place among all entries of the rule set, so that the order is total.
    pub sequence: usize,
    /// About whom.
    pub peers: Predicate,
    /// About what.
    pub ports: Predicate,
    /// What is reported when it decides.
    pub reason: Reason,
}

/// What one direction of a behaviour says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DirectionRules {
    /// Entries in the order they are asked.
    pub entries: Vec<OrderedEntry>,
    /// Why a flow that nothing matches is allowed or denied.
    pub otherwise: Reason,
}

/// The outcome of a walk over entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Outcome {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// See [`Cell::rank`](crate::tables::Cell::rank).
    pub rank: u32,
}

/// The highest level number; level 0 is asked first.
const LEVELS: u32 = 1 << 24;

impl DirectionRules {
    /// Sorts entries into the order they are asked.
    pub fn new(mut entries: Vec<OrderedEntry>, otherwise: Reason) -> Self {
        entries.sort();
        Self { entries, otherwise }
    }

    /// The entries that speak about one class of peers, with their levels.
    pub fn about(&self, matches: impl Fn(Predicate) -> bool) -> Vec<(u32, &OrderedEntry)> {
        let mut level = 0;
        let mut previous: Option<(Tier, u32)> = None;
        let mut about = Vec::new();
        for entry in &self.entries {
            let place = (entry.tier, entry.priority);
            if previous.is_some_and(|p| p != place) {
                level += 1;
            }
            previous = Some(place);
            if matches(entry.peers) {
                about.push((level, entry));
            }
        }
        about
    }

    /// The outcome for each of `count` classes of ports, among entries already chosen
    /// by peer; `classes` are those that each predicate about ports matches.
    ///
    /// Entry by entry and not class by class, so that the work is what the entries
    /// match and not their product with the classes.
    pub fn decide(
        &self,
        about: &[(u32, &OrderedEntry)],
        classes: &[Vec<usize>],
        count: usize,
    ) -> Vec<Outcome> {
        let mut undecided = vec![Undecided::default(); count];
        for (level, entry) in about {
            let matched = classes.get(entry.ports).into_iter().flatten();
            for class in matched {
                if let Some(state) = undecided.get_mut(*class) {
                    state.ask(entry, *level);
                }
            }
        }
        let allowed = !matches!(self.otherwise, Reason::DefaultDeny(_));
        let otherwise = Outcome { allowed, reason: self.otherwise, rank: 0 };
        undecided.into_iter().map(|state| state.outcome.unwrap_or(otherwise)).collect()
    }
}

/// One class of ports on its way through the entries.
#[derive(Clone, Copy, Default)]
struct Undecided {
    /// The tier that a pass left, and its level.
    passed: Option<(Tier, u32)>,
    outcome: Option<Outcome>,
}

impl Undecided {
    /// Asks the next entry that matches.
    fn ask(&mut self, entry: &OrderedEntry, level: u32) {
        if self.outcome.is_some() || self.passed.is_some_and(|(tier, _)| tier == entry.tier) {
            return;
        }
        // What a pass leads to outranks the rest of the tier it leaves.
        let level = self.passed.map_or(level, |(_, at)| at);
        match entry.verdict {
            EntryVerdict::Deny => self.outcome = Some(Outcome::entry(false, entry, level)),
            EntryVerdict::Allow => self.outcome = Some(Outcome::entry(true, entry, level)),
            EntryVerdict::Pass => self.passed = Some((entry.tier, level)),
        }
    }
}

impl Outcome {
    /// An entry decided at a level. The low byte is Cilium's: 255 for deny, 1 for
    /// a plain allow.
    fn entry(allowed: bool, entry: &OrderedEntry, level: u32) -> Self {
        let byte = if allowed { 1 } else { 255 };
        let rank = (LEVELS.saturating_sub(1).saturating_sub(level)) << 8 | byte;
        Self { allowed, reason: entry.reason, rank }
    }
}

//! Which entry decides: the rules of one behaviour, in the order they are asked.
//!
//! Source: Cilium `pkg/policy/repository.go`, `pkg/policy/rules.go` and
//! `pkg/policy/types/entry.go`; the resolution here is written apart from the
//! oracle so that the two can be held against each other.

use std::collections::BTreeSet;

use policyc_base::Origin;
use policyc_policy::network::{EntryVerdict, Manner, Reason, Tier};

use super::MAX_UNLESS;

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
    /// If it denies: what its policy says about it by annotations.
    pub manner: Manner,
}

/// A rule that denies by default.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DefaultDeny {
    /// What its policy says about it by annotations.
    pub manner: Manner,
    /// The rule.
    pub origin: Origin,
}

/// What one direction of a behaviour says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DirectionRules {
    /// Entries in the order they are asked.
    pub entries: Vec<OrderedEntry>,
    /// For each entry its level: how many distinct places in the order, tier and
    /// priority, come before its own.
    pub levels: Vec<u32>,
    /// The rules that deny by default, in the order they are read.
    pub defaults: Vec<DefaultDeny>,
    /// Why a flow that nothing matches is allowed or denied.
    pub otherwise: Reason,
}

/// The outcome of a walk over entries.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outcome {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// See [`Cell::rank`](crate::tables::Cell::rank).
    pub rank: u32,
    /// Why it would be dropped if audited rules were enforced.
    pub audited: Option<Reason>,
    /// Of what is dropped, what denies it: the rule that decides, then the one that
    /// does without it, and so on.
    pub denied: Vec<Denial>,
    /// Whether it is forwarded without all of those.
    pub ends: bool,
}

/// One rule's denial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Denial {
    /// Whose.
    pub manner: Manner,
    /// By what.
    pub reason: Reason,
}

/// The highest level number; level 0 is asked first.
const LEVELS: u32 = 1 << 24;

impl DirectionRules {
    /// Sorts entries into the order they are asked.
    pub fn new(mut entries: Vec<OrderedEntry>, mut defaults: Vec<DefaultDeny>) -> Self {
        entries.sort();
        let mut seen = BTreeSet::new();
        defaults.retain(|default| seen.insert(default.origin));
        let enforced = defaults.iter().find(|default| !default.manner.audit);
        let otherwise =
            enforced.map_or(Reason::NoPolicy, |default| Reason::DefaultDeny(default.origin));
        let mut level = 0;
        let place = |at: usize| entries.get(at).map(|e: &OrderedEntry| (e.tier, e.priority));
        let levels = (0..entries.len()).map(|at| {
            level += u32::from(at > 0 && place(at) != place(at - 1));
            level
        });
        let levels = levels.collect();
        Self { entries, levels, defaults, otherwise }
    }

    /// Whether anything can be denied.
    pub fn can_deny(&self) -> bool {
        let denies = |entry: &OrderedEntry| entry.verdict == EntryVerdict::Deny;
        !self.defaults.is_empty() || self.entries.iter().any(denies)
    }

    /// The outcome for each of `count` classes of ports, among the entries at the
    /// places `about`, which were chosen by peer; `classes` are those that each
    /// predicate about ports matches.
    ///
    /// Entry by entry and not class by class, so that the work is what the entries
    /// match and not their product with the classes.
    pub fn decide(&self, about: &[usize], classes: &[Vec<usize>], count: usize) -> Vec<Outcome> {
        let mut undecided = vec![Undecided::default(); count];
        for at in about {
            // INVARIANT: the places are those of entries.
            let (entry, level) = (&self.entries[*at], self.levels[*at]);
            let matched = classes.get(entry.ports).into_iter().flatten();
            for class in matched {
                if let Some(state) = undecided.get_mut(*class) {
                    state.ask(entry, level);
                }
            }
        }
        undecided.into_iter().map(|state| state.finish(self)).collect()
    }
}

/// One class of ports on its way through the entries.
#[derive(Clone, Default)]
struct Undecided {
    /// The tier that a pass left, and its level.
    passed: Option<(Tier, u32)>,
    /// What decides if every policy is enforced.
    enforced: Option<(bool, Reason)>,
    /// What decides: whether it forwards, why, and its rank.
    decided: Option<(bool, Reason, u32)>,
    /// See [`Outcome::denied`].
    denied: Vec<Denial>,
    /// Nothing that follows can matter.
    is_settled: bool,
    /// More rules deny than are followed.
    is_cut: bool,
}

impl Undecided {
    /// Asks the next entry that matches.
    fn ask(&mut self, entry: &OrderedEntry, level: u32) {
        if self.is_settled || self.passed.is_some_and(|(tier, _)| tier == entry.tier) {
            return;
        }
        // What a pass leads to outranks the rest of the tier it leaves.
        let level = self.passed.map_or(level, |(_, at)| at);
        match entry.verdict {
            EntryVerdict::Deny => self.deny(entry.manner, entry.reason, rank(false, level)),
            EntryVerdict::Allow => self.allow(entry.reason, rank(true, level)),
            EntryVerdict::Pass => self.passed = Some((entry.tier, level)),
        }
    }

    fn allow(&mut self, reason: Reason, rank: u32) {
        self.enforced.get_or_insert((true, reason));
        self.decided.get_or_insert((true, reason, rank));
        self.is_settled = true;
    }

    /// A rule denies. Without it, the next that matches decides; so the walk goes on
    /// until one allows, or until as many deny as are followed.
    fn deny(&mut self, manner: Manner, reason: Reason, rank: u32) {
        self.enforced.get_or_insert((false, reason));
        if manner.audit {
            return;
        }
        self.decided.get_or_insert((false, reason, rank));
        if self.denied.iter().any(|denial| denial.reason == reason) {
            return;
        }
        if self.denied.len() == MAX_UNLESS {
            (self.is_settled, self.is_cut) = (true, true);
        } else {
            self.denied.push(Denial { manner, reason });
        }
    }

    fn finish(mut self, rules: &DirectionRules) -> Outcome {
        for default in &rules.defaults {
            if !self.is_settled {
                self.deny(default.manner, Reason::DefaultDeny(default.origin), 0);
            }
        }
        let (allowed, reason, rank) = self.decided.unwrap_or((true, Reason::NoPolicy, 0));
        let audited = match self.enforced {
            Some((false, reason)) if allowed => Some(reason),
            _ => None,
        };
        let denied = if allowed { Vec::new() } else { self.denied };
        Outcome { allowed, reason, rank, audited, denied, ends: !self.is_cut }
    }
}

/// The rank of an entry that decides at a level. The low byte is Cilium's: 255 for
/// deny, 1 for a plain allow.
const fn rank(allowed: bool, level: u32) -> u32 {
    let byte = if allowed { 1 } else { 255 };
    (LEVELS.saturating_sub(1).saturating_sub(level)) << 8 | byte
}

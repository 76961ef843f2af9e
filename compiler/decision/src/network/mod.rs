//! Network policy as tables: behaviours, classes, cells.
//!
//! Subjects that no rule can tell apart share a *behaviour*; addresses that no
//! rule can tell apart share an *address class*, protocols and ports a *port
//! class*. A behaviour, a direction and an address class have a *row*; a row has
//! a *cell* for each port class; a cell says what happens. Cost and memory grow
//! with distinct behaviours, not with workloads.
//!
//! Guarantees: total (every packet has a decision), deterministic, and equal to
//! the oracle (`policyc_policy::network::eval`), which tests hold it against.
//! Does not know: how a table lies in memory.

mod addresses;
mod bits;
mod build;
mod classes;
mod judge;
mod ports;
mod print;
mod resolve;
mod services;
mod sets;
mod world;

pub use build::{Viewpoint, World, WorldSubject, build};
pub use judge::Packet;
pub use print::{describe, print};
pub use resolve::{DefaultDeny, Denial, DirectionRules, OrderedEntry, Outcome, Predicate};
pub use sets::{FINAL, SetMembers, SetTables, Word};
pub use world::decide;

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_policy::inventory::Backend;
use policyc_policy::network::{DenyResponse, PerDirection, Reason};

use crate::graph::DecisionGraph;
use crate::intervals::Family;
use crate::tables::{CellTable, DecisionId, IntervalTable, PortTable, RowTable};

/// Indices of the decisions that are there for every policy.
pub mod builtin {
    /// Nobody is bound to the attach point.
    pub const UNKNOWN_SUBJECT: usize = 0;
    /// Headers end before they are complete.
    pub const TRUNCATED: usize = 1;
    /// Headers contradict themselves, or go on for too long.
    pub const MALFORMED: usize = 2;
    /// ARP, which policies do not speak about and IPv4 cannot do without.
    pub const ARP: usize = 3;
    /// Neither IP nor ARP: nothing that policies could judge.
    pub const UNKNOWN_L3: usize = 4;
    /// A reply to a connection that policy allowed earlier.
    pub const ESTABLISHED: usize = 5;
    /// An ICMP error about a connection that policy allowed earlier.
    pub const RELATED: usize = 6;
    /// Policy allows it, but there is no room to remember the connection.
    pub const CONNTRACK_FULL: usize = 7;
    /// A later fragment of which the first was not forwarded, where policy does not
    /// allow every port.
    pub const FRAGMENT: usize = 8;
    /// Neighbour discovery, which policies do not speak about and IPv6 cannot do
    /// without.
    pub const NEIGHBOUR: usize = 9;
    /// Number of built-in decisions.
    pub const COUNT: usize = 10;
}

/// Why a decision is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// See [`builtin::UNKNOWN_SUBJECT`].
    UnknownSubject,
    /// See [`builtin::TRUNCATED`].
    Truncated,
    /// See [`builtin::MALFORMED`].
    Malformed,
    /// See [`builtin::ARP`].
    Arp,
    /// See [`builtin::UNKNOWN_L3`].
    UnknownL3,
    /// See [`builtin::ESTABLISHED`].
    Established,
    /// See [`builtin::RELATED`].
    Related,
    /// See [`builtin::CONNTRACK_FULL`].
    ConntrackFull,
    /// See [`builtin::FRAGMENT`].
    Fragment,
    /// See [`builtin::NEIGHBOUR`].
    Neighbour,
    /// What denies is audited, and where run-time sets have a say it is not known what
    /// forwards instead.
    Unenforced,
    /// The policy said so.
    Policy(Reason),
}

/// One distinct outcome.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decision {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Why.
    pub why: Why,
    /// Why it would be dropped if every rule were enforced; only of a decision that
    /// forwards because a rule is audited.
    pub audited: Option<Reason>,
    /// What is done about the packet if it is dropped.
    pub response: DenyResponse,
    /// The decision that holds if the rule which denies here is audited too: what is
    /// decided without it. It may deny in turn, by another rule, and then says what
    /// holds without that one as well. One decision stands for all that would forward.
    /// `None` where nothing is denied by a rule, and behind [`MAX_UNLESS`] rules that
    /// deny the same: there it stays denied.
    pub unless_audited: Option<DecisionId>,
}

impl Decision {
    /// How bad it is for a packet: dropped, or only told of, or neither; by order.
    pub fn harm(&self) -> (bool, bool) {
        (!self.allowed, self.audited.is_some())
    }
}

/// Most rules, one behind the other, whose denial of one packet is followed.
pub const MAX_UNLESS: usize = 16;

impl Decision {
    /// A decision that has nothing to do with an audit.
    pub const fn plain(allowed: bool, why: Why) -> Self {
        Self { allowed, why, audited: None, response: DenyResponse::Drop, unless_audited: None }
    }
}

/// The ready backends behind an address, IP protocol number and port; never none.
pub type Frontends = BTreeMap<(IpAddr, u8, u16), Vec<Backend>>;

/// Who a subject is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SubjectKind {
    /// A workload of the inventory.
    Workload,
    /// A host of the inventory.
    Node,
}

/// One subject with its behaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectRow {
    /// `namespace/name` of a workload, name of a node.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Index of its behaviour.
    pub behaviour: usize,
}

/// What distinct subjects have in common: the rules of both directions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Behaviour {
    /// The rules.
    pub rules: PerDirection<DirectionRules>,
}

/// One table for each IP version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PerFamily<T> {
    /// For IPv4.
    pub v4: T,
    /// For IPv6.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// The table of a family.
    pub fn get(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// What a network graph can look at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoTest {}

/// What a network graph ends in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Leaf {
    /// A fixed decision: one of [`builtin`].
    Fixed(usize),
    /// The decision of the cell at (row, port class).
    Cell,
    /// The same, unless the peer is in run-time sets: then the best of what is said of
    /// its class and of those.
    Merged,
}

/// Network policy, decided.
#[derive(Clone, Debug)]
pub struct NetworkDecision {
    /// What stands at an address, protocol and port for others: a flow to it is one to
    /// each of them.
    pub services: Frontends,
    /// Every subject, in the inventory's order.
    pub subjects: Vec<SubjectRow>,
    /// Distinct behaviours.
    pub behaviours: Vec<Behaviour>,
    /// Address → class. Both families share one numbering.
    pub addresses: PerFamily<IntervalTable>,
    /// (Protocol, port) → class.
    pub ports: PortTable,
    /// (Behaviour, direction, address class) → row.
    pub rows: RowTable,
    /// (Row, port class) → cell.
    pub cells: CellTable,
    /// What is said of peers by the run-time sets they are in; `None` where no rule names
    /// one.
    pub sets: Option<SetTables>,
    /// What cells refer to; the first are the [`builtin`] ones.
    pub decisions: Vec<Decision>,
    /// Whether a subject's packets to itself meet no hook: a pod of Kubernetes
    /// always reaches itself.
    pub reaches_itself: bool,
    /// How the tables are asked.
    pub graph: DecisionGraph<NoTest, Leaf>,
}

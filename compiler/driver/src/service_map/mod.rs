//! Who talks to whom, from flows that were seen.
//!
//! Guarantees: the same flows give the same map and the same pictures, byte by byte,
//! in whatever order they came; whatever names say is text in every output.
//! Does not know: policies, or what was not reported: a map of drops alone shows drops
//! alone.

mod dot;
mod html;
mod json;
mod layout;
mod read;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

pub use dot::dot;
pub use html::html;
pub use json::json;
pub use read::{Skip, flow};

/// One verdict about a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Who opened what the packet is of.
    pub from: End,
    /// Who was asked.
    pub to: End,
    /// What for.
    pub service: Service,
    /// What became of the packet.
    pub verdict: Verdict,
    /// `namespace/name` of the policies that decided.
    pub policies: Vec<String>,
}

/// One end of a flow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct End {
    /// Who it is.
    pub node: Node,
    /// Its address, as it was written.
    pub address: String,
}

/// Who can be met.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Node {
    /// Those without a name of their own: `world`, `multicast`, Cilium's reserved ones.
    Entity(String),
    /// A workload (`namespace/name`), a node, or a name that was asked for.
    Named(String),
}

impl Node {
    /// What it is called.
    pub fn name(&self) -> &str {
        let (Self::Entity(name) | Self::Named(name)) = self;
        name
    }
}

/// What is asked for: `TCP` and 443; of ICMP a type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Service {
    /// The protocol's name, or its number.
    pub protocol: String,
    /// Destination port, or type of ICMP.
    pub port: Option<u16>,
}

impl Service {
    /// `443/TCP`, `8/ICMPv4`, `GRE`.
    pub fn text(&self) -> String {
        match self.port {
            Some(port) => format!("{port}/{}", self.protocol),
            None => self.protocol.clone(),
        }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It went on.
    Forwarded,
    /// It was dropped.
    Dropped,
    /// It went on because a rule is audited.
    Audit,
}

/// How many verdicts there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// [`Verdict::Forwarded`].
    pub forwarded: u64,
    /// [`Verdict::Dropped`].
    pub dropped: u64,
    /// [`Verdict::Audit`].
    pub audit: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.forwarded = self.forwarded.saturating_add(other.forwarded);
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.audit = self.audit.saturating_add(other.audit);
    }

    /// Of all kinds.
    pub const fn all(&self) -> u64 {
        self.forwarded.saturating_add(self.dropped).saturating_add(self.audit)
    }

    /// What stands for all of them: `dropped` and `audit` if nothing else was seen,
    /// `mixed` if something else was.
    const fn class(&self) -> &'static str {
        match (self.forwarded > 0, self.dropped > 0, self.audit > 0) {
            (_, false, false) => "forwarded",
            (false, true, false) => "dropped",
            (false, false, true) => "audit",
            _ => "mixed",
        }
    }
}

impl From<Verdict> for Counts {
    fn from(verdict: Verdict) -> Self {
        let mut counts = Self::default();
        match verdict {
            Verdict::Forwarded => counts.forwarded = 1,
            Verdict::Dropped => counts.dropped = 1,
            Verdict::Audit => counts.audit = 1,
        }
        counts
    }
}

/// What is known of a kind of flow.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// How often what was said of it.
    pub counts: Counts,
    /// Who decided.
    pub policies: BTreeSet<String>,
}

/// Who talks to whom.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ServiceMap {
    /// Everybody, with the first of the addresses that were seen.
    pub nodes: BTreeMap<Node, BTreeSet<String>>,
    /// What was seen between two, by what was asked for.
    pub edges: BTreeMap<(Node, Node), BTreeMap<Service, Seen>>,
}

impl ServiceMap {
    /// How many addresses of a node are remembered.
    const ADDRESSES: usize = 16;

    /// Notes a flow.
    pub fn add(&mut self, flow: Flow) {
        for End { node, address } in [&flow.from, &flow.to] {
            let addresses = self.nodes.entry(node.clone()).or_default();
            addresses.insert(address.clone());
            // The first ones by order, not by time: any order of flows gives one map.
            if addresses.len() > Self::ADDRESSES {
                addresses.pop_last();
            }
        }
        let between = self.edges.entry((flow.from.node, flow.to.node)).or_default();
        let seen = between.entry(flow.service).or_default();
        seen.counts.add(flow.verdict.into());
        seen.policies.extend(flow.policies);
    }
}

/// What was seen between two, whatever was asked for.
fn together(services: &BTreeMap<Service, Seen>) -> Counts {
    let mut counts = Counts::default();
    services.values().for_each(|seen| counts.add(seen.counts));
    counts
}

#[cfg(test)]
mod tests;

//! The decision engine: a packet's fields through the graph.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policyc_base::{EntityId, Origin};
use policyc_policy::network::{DenyResponse, Direction, Flow, Reason};

use super::{Leaf, NetworkDecision, NoTest, SubjectRow, Why, builtin};
use crate::graph::{DecisionGraph, FieldId, Fields, Node, TableId};
use crate::intervals::{Family, number};
use crate::tables::{AddressClass, DecisionId, PortClass};

/// The fields a network graph looks at.
pub(super) mod field {
    use crate::graph::FieldId;

    pub(crate) const FAMILY: FieldId = FieldId(0);
    pub(crate) const BEHAVIOUR: FieldId = FieldId(1);
    pub(crate) const DIRECTION: FieldId = FieldId(2);
    pub(crate) const PEER: FieldId = FieldId(3);
    pub(crate) const PROTOCOL: FieldId = FieldId(4);
    pub(crate) const PORT: FieldId = FieldId(5);
    pub(crate) const ADDRESS_CLASS: FieldId = FieldId(6);
    pub(crate) const PORT_CLASS: FieldId = FieldId(7);
    pub(crate) const ROW: FieldId = FieldId(8);
    pub(crate) const NAMES: [&str; 9] = [
        "family",
        "behaviour",
        "direction",
        "peer",
        "protocol",
        "port",
        "address_class",
        "port_class",
        "row",
    ];
}

/// The tables a network graph looks things up in.
pub(super) mod table {
    use crate::graph::TableId;

    pub(crate) const ADDRESSES_V4: TableId = TableId(0);
    pub(crate) const ADDRESSES_V6: TableId = TableId(1);
    pub(crate) const PORTS: TableId = TableId(2);
    pub(crate) const ROWS: TableId = TableId(3);
    pub(crate) const NAMES: [&str; 4] = ["addr4", "addr6", "ports", "rows"];
}

/// The graph of every network policy: its shape does not depend on the rules,
/// which are all in the tables; only whether they name run-time sets does.
pub(super) fn graph(has_sets: bool) -> DecisionGraph<NoTest, Leaf> {
    let mut graph = DecisionGraph::new();
    let unknown = graph.add(Node::Leaf(Leaf::Fixed(builtin::UNKNOWN_L3)));
    let arp = graph.add(Node::Leaf(Leaf::Fixed(builtin::ARP)));
    let cell = if has_sets { Leaf::Merged } else { Leaf::Cell };
    let cell = graph.add(Node::Leaf(cell));
    let ports = graph.add(Node::Lookup {
        table: table::PORTS,
        inputs: vec![field::PROTOCOL, field::PORT],
        output: field::PORT_CLASS,
        next: cell,
    });
    let rows = graph.add(Node::Lookup {
        table: table::ROWS,
        inputs: vec![field::BEHAVIOUR, field::DIRECTION, field::ADDRESS_CLASS],
        output: field::ROW,
        next: ports,
    });
    let addresses = [table::ADDRESSES_V4, table::ADDRESSES_V6].map(|table| {
        let inputs = vec![field::PEER];
        graph.add(Node::Lookup { table, inputs, output: field::ADDRESS_CLASS, next: rows })
    });
    let cases = vec![(4, addresses[0]), (6, addresses[1]), (2, arp)];
    graph.root = graph.add(Node::Switch { field: field::FAMILY, cases, default: unknown });
    graph
}

/// What one hook sees of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// Index of the subject's behaviour.
    pub behaviour: usize,
    /// Whether the subject sends or receives.
    pub direction: Direction,
    /// The other end.
    pub peer: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port or ICMP type, host byte order.
    pub port: u16,
}

impl NetworkDecision {
    /// Index of the decision about a packet.
    pub fn judge(&self, packet: &Packet) -> usize {
        let mut state = State { decision: self, packet, computed: [0; 3] };
        match self.graph.evaluate(&mut state) {
            Leaf::Fixed(decision) => *decision,
            Leaf::Cell => state.cell(),
            Leaf::Merged => state.merged().unwrap_or_else(|| state.cell()),
        }
    }

    /// Whether something that is denied is answered.
    pub fn answers(&self) -> bool {
        self.decisions.iter().any(|decision| decision.response != DenyResponse::Drop)
    }

    /// The entries that decide something, or would if some policy was audited, or was
    /// not.
    pub fn deciding(&self) -> BTreeSet<Origin> {
        let reasons = self.decisions.iter().flat_map(|decision| {
            let why = match decision.why {
                Why::Policy(reason) => Some(reason),
                _ => None,
            };
            [why, decision.audited]
        });
        let entries = reasons.flatten().filter_map(|reason| match reason {
            Reason::Entry(origin) => Some(origin),
            _ => None,
        });
        entries.collect()
    }

    /// Whether a flow meets the hooks of its ends at all.
    pub fn meets_hooks(&self, flow: &Flow) -> bool {
        let ends = [flow.source, flow.destination];
        let is_itself = |s: &SubjectRow| ends.iter().all(|end| s.addresses.contains(end));
        !self.reaches_itself || !self.subjects.iter().any(is_itself)
    }

    /// The flows that destinations see of a flow: to each backend, if it is to a service.
    /// A node sees a packet to one of its ports before it is translated.
    pub fn arrivals(&self, flow: &Flow) -> Vec<Flow> {
        let key = (flow.destination, flow.protocol, flow.port);
        let Some(backends) = self.services.get(&key) else { return vec![*flow] };
        let flows = backends.iter().map(|b| Flow { destination: b.address, port: b.port, ..*flow });
        let mut flows: Vec<_> = flows.filter(|flow| self.meets_hooks(flow)).collect();
        if self.subject_at(flow.destination).is_some() {
            flows.insert(0, *flow);
        }
        flows
    }

    /// The subject that has an address.
    pub fn subject_at(&self, address: IpAddr) -> Option<&SubjectRow> {
        self.subjects.iter().find(|s| s.addresses.contains(&address))
    }

    /// The decision at the source's egress and at the destination's ingress; `None`
    /// where that end is no subject, or where no hook is met. Of several that a flow
    /// arrives at the first of the worst decides.
    pub fn judge_flow(&self, flow: &Flow) -> [Option<usize>; 2] {
        if !self.meets_hooks(flow) {
            return [None, None];
        }
        let judge = |flow: &Flow, direction| {
            let (own, peer) = match direction {
                Direction::Egress => (flow.source, flow.destination),
                Direction::Ingress => (flow.destination, flow.source),
            };
            let behaviour = self.subject_at(own)?.behaviour;
            let (protocol, port) = (flow.protocol, flow.port);
            Some(self.judge(&Packet { behaviour, direction, peer, protocol, port }))
        };
        let arrivals = self.arrivals(flow);
        let ingress = arrivals.iter().filter_map(|flow| judge(flow, Direction::Ingress));
        let ingress = ingress.reduce(|worst, next| {
            let harm = |index: usize| self.decisions[index].harm();
            if harm(next) > harm(worst) { next } else { worst }
        });
        [judge(flow, Direction::Egress), ingress]
    }
}

struct State<'a> {
    decision: &'a NetworkDecision,
    packet: &'a Packet,
    /// Address class, port class, row.
    computed: [u64; 3],
}

impl State<'_> {
    /// The decision of the cell.
    fn cell(&self) -> usize {
        let (row, class) = (self.value(field::ROW), self.value(field::PORT_CLASS));
        let row = EntityId::from_index(row as usize);
        self.decision.cells.rows[row][class as usize].decision.index()
    }

    /// The decision that run-time sets have a say in.
    fn merged(&self) -> Option<usize> {
        let sets = self.decision.sets.as_ref()?;
        let Packet { behaviour, direction, peer, .. } = *self.packet;
        let class = AddressClass::from_index(self.value(field::ADDRESS_CLASS) as usize);
        let ports = PortClass::from_index(self.value(field::PORT_CLASS) as usize);
        let egress = direction == Direction::Egress;
        let [enforced, all] = sets.decide(behaviour, egress, class, ports, peer)?;
        let decision = |id: DecisionId| self.decision.decisions[id.index()];
        let is_audited = decision(enforced).allowed && decision(all).audited.is_some();
        Some(if is_audited { all.index() } else { enforced.index() })
    }
}

impl Fields<NoTest> for State<'_> {
    fn value(&self, field: FieldId) -> u64 {
        match field {
            field::FAMILY => match Family::of(self.packet.peer) {
                Family::V4 => 4,
                Family::V6 => 6,
            },
            field::BEHAVIOUR => self.packet.behaviour as u64,
            field::DIRECTION => u64::from(self.packet.direction == Direction::Egress),
            field::PROTOCOL => u64::from(self.packet.protocol),
            field::PORT => u64::from(self.packet.port),
            FieldId(computed) => {
                let first = field::ADDRESS_CLASS.0;
                self.computed.get((computed.wrapping_sub(first)) as usize).copied().unwrap_or(0)
            }
        }
    }

    fn test(&self, _: FieldId, test: &NoTest) -> bool {
        match *test {}
    }

    fn lookup(&mut self, table: TableId, _: &[FieldId], output: FieldId) {
        let (decision, packet) = (self.decision, self.packet);
        let answer = match table {
            table::ADDRESSES_V4 => decision.addresses.v4.lookup(number(packet.peer)).index(),
            table::ADDRESSES_V6 => decision.addresses.v6.lookup(number(packet.peer)).index(),
            table::PORTS => decision.ports.lookup(packet.protocol, packet.port).index(),
            _ => {
                let class = AddressClass::from_index(self.value(field::ADDRESS_CLASS) as usize);
                let egress = packet.direction == Direction::Egress;
                let index = decision.rows.index(packet.behaviour, egress, class);
                decision.rows.rows[index].index()
            }
        };
        let slot = (output.0 - field::ADDRESS_CLASS.0) as usize;
        self.computed[slot] = answer as u64;
    }
}

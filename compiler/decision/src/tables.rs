//! The tables a decision graph looks things up in, as values and before any
//! memory layout.
//!
//! Guarantees: every lookup has an answer; classes are dense from 0.

use policyc_base::{EntityId, PrimaryMap, entity};

use crate::intervals::Family;

entity!(
    /// Addresses that no rule can tell apart.
    pub struct AddressClass, "a"
);
entity!(
    /// Protocols and ports that no rule can tell apart.
    pub struct PortClass, "p"
);
entity!(
    /// One line of cells: what happens to a subject in one direction with one
    /// class of peers. Equal rows are one row.
    pub struct Row, "row"
);
entity!(
    /// A distinct outcome: a verdict with the rule that gave it.
    pub struct DecisionId, "d"
);

/// Address → class, for one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntervalTable {
    /// IP version.
    pub family: Family,
    /// First address of each interval, ascending. INVARIANT: the first is 0.
    pub starts: Vec<u128>,
    /// Class of each interval. INVARIANT: neighbours differ.
    pub classes: Vec<AddressClass>,
}

impl IntervalTable {
    /// A table from intervals in ascending order, the first starting at 0;
    /// neighbours of one class are merged.
    pub fn new(family: Family, intervals: impl IntoIterator<Item = (u128, AddressClass)>) -> Self {
        let mut table = Self { family, starts: Vec::new(), classes: Vec::new() };
        for (start, class) in intervals {
            if table.classes.last() != Some(&class) {
                table.starts.push(start);
                table.classes.push(class);
            }
        }
        table
    }

    /// The class of an address number.
    pub fn lookup(&self, address: u128) -> AddressClass {
        let next = self.starts.partition_point(|start| *start <= address);
        // INVARIANT: the first start is 0, so at least one start is not above.
        self.classes[next.saturating_sub(1)]
    }
}

/// Where the classes of one protocol lie in [`PortTable::classes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PortSlice {
    /// Index of the class of port 0.
    pub base: u32,
    /// Which bits of the port matter: 0xffff, 0xff for ICMP types, 0 when all
    /// ports of the protocol are of one class.
    pub mask: u16,
}

/// (Protocol, port) → class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortTable {
    /// One slice for each protocol number, 256 of them; protocols with equal
    /// classes share one.
    pub protocols: Vec<PortSlice>,
    /// The slices.
    pub classes: Vec<PortClass>,
    /// Number of classes.
    pub count: usize,
}

impl PortTable {
    /// The class of a protocol and a port (or ICMP type).
    pub fn lookup(&self, protocol: u8, port: u16) -> PortClass {
        let slice = self.protocols[usize::from(protocol)];
        self.classes[slice.base as usize + usize::from(port & slice.mask)]
    }
}

/// What happens to a flow, with the weight it has against other cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cell {
    /// Precedence; larger wins (`pkg/policy/types/entry.go` in Cilium). Static
    /// cells are unique per flow; run-time cells will be compared by rank.
    pub rank: u32,
    /// The outcome.
    pub decision: DecisionId,
}

/// Rows of cells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CellTable {
    /// One cell for each [`PortClass`]. INVARIANT: all rows have one length.
    pub rows: PrimaryMap<Row, Vec<Cell>>,
}

/// (Behaviour, direction, address class) → row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowTable {
    /// Number of address classes.
    pub address_classes: usize,
    /// `rows[(behaviour * 2 + direction) * address_classes + class]`, with
    /// direction 0 for ingress and 1 for egress.
    pub rows: Vec<Row>,
}

impl RowTable {
    /// Position of a row in the table.
    pub fn index(&self, behaviour: usize, egress: bool, class: AddressClass) -> usize {
        (behaviour * 2 + usize::from(egress)) * self.address_classes + class.index()
    }
}

//! The decision graph: a DAG of lookups, switches and tests whose leaves say
//! what happens.
//!
//! Nodes are hash-consed: equal nodes are one node, and a node's successors
//! exist before it. One graph serves packets (lookups that end in cells) and
//! events (tests that end in action lists).
//!
//! Guarantees: acyclic; every node leads to a leaf; evaluation is total.
//! Does not know: how a field is read, or what a leaf does.

use std::fmt::{self, Write as _};

use indexmap::IndexSet;
use policyc_base::{EntityId, entity};

entity!(
    /// A node of one graph.
    pub struct NodeId, "n"
);

/// Which field of the packet or event a node looks at: an index into the
/// schema the graph was made for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FieldId(pub u32);

/// Which table of the decision a node looks something up in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(pub u32);

/// One node. `T` is the graph's vocabulary of tests, `L` of leaves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Node<T, L> {
    /// Looks the inputs up in a table; the answer becomes the field `output`.
    Lookup {
        /// The table.
        table: TableId,
        /// What is looked up, in the order the table wants.
        inputs: Vec<FieldId>,
        /// Where the answer is kept.
        output: FieldId,
        /// What follows.
        next: NodeId,
    },
    /// Goes by the value of a field.
    Switch {
        /// The field.
        field: FieldId,
        /// Values and where they lead; distinct.
        cases: Vec<(u64, NodeId)>,
        /// All other values.
        default: NodeId,
    },
    /// Goes by a test of a field.
    Test {
        /// The field.
        field: FieldId,
        /// The test.
        test: T,
        /// On match.
        on_match: NodeId,
        /// On miss.
        on_miss: NodeId,
    },
    /// The end.
    Leaf(L),
}

/// A graph with its root.
#[derive(Clone, Debug)]
pub struct DecisionGraph<T, L> {
    nodes: IndexSet<Node<T, L>>,
    /// Where evaluation starts.
    pub root: NodeId,
}

impl<T, L> DecisionGraph<T, L>
where
    Node<T, L>: Clone + Eq + std::hash::Hash,
{
    /// No node yet; the root is set when the graph is complete.
    pub fn new() -> Self {
        Self { nodes: IndexSet::new(), root: NodeId::from_index(0) }
    }

    /// The node, which is an older one if it was there already. A switch or test
    /// whose ways all lead to one node is that node.
    pub fn add(&mut self, node: Node<T, L>) -> NodeId {
        match &node {
            Node::Test { on_match, on_miss, .. } if on_match == on_miss => return *on_match,
            Node::Switch { cases, default, .. } if cases.iter().all(|(_, n)| n == default) => {
                return *default;
            }
            _ => {}
        }
        NodeId::from_index(self.nodes.insert_full(node).0)
    }

    /// The node of an id of this graph.
    pub fn node(&self, id: NodeId) -> &Node<T, L> {
        &self.nodes[id.index()]
    }

    /// Every node with its id; successors come before their predecessors.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node<T, L>)> {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId::from_index(i), n))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Walks from the root to a leaf.
    pub fn evaluate<S: Fields<T>>(&self, fields: &mut S) -> &L {
        let mut at = self.root;
        loop {
            at = match self.node(at) {
                Node::Leaf(leaf) => return leaf,
                Node::Lookup { table, inputs, output, next } => {
                    fields.lookup(*table, inputs, *output);
                    *next
                }
                Node::Switch { field, cases, default } => {
                    let value = fields.value(*field);
                    cases.iter().find(|(v, _)| *v == value).map_or(*default, |(_, n)| *n)
                }
                Node::Test { field, test, on_match, on_miss } => {
                    if fields.test(*field, test) {
                        *on_match
                    } else {
                        *on_miss
                    }
                }
            };
        }
    }
}

impl<T, L> Default for DecisionGraph<T, L>
where
    Node<T, L>: Clone + Eq + std::hash::Hash,
{
    fn default() -> Self {
        Self::new()
    }
}

/// The field values of one packet or event, with the tables beside them.
pub trait Fields<T> {
    /// The value of a field that a switch looks at.
    fn value(&self, field: FieldId) -> u64;
    /// Whether a test of a field matches.
    fn test(&self, field: FieldId, test: &T) -> bool;
    /// Looks up and keeps the answer.
    fn lookup(&mut self, table: TableId, inputs: &[FieldId], output: FieldId);
}

/// The names a graph's dump uses.
pub trait Names<T, L> {
    /// A field's name.
    fn field(&self, field: FieldId) -> String;
    /// A table's name.
    fn table(&self, table: TableId) -> String;
    /// A test as a reader wants it: `== 5`.
    fn test(&self, test: &T) -> String;
    /// A leaf as a reader wants it.
    fn leaf(&self, leaf: &L) -> String;
}

/// The text of a graph: one node a line, the root first.
pub fn print<T, L>(graph: &DecisionGraph<T, L>, names: &impl Names<T, L>) -> String
where
    Node<T, L>: Clone + Eq + std::hash::Hash,
{
    let mut text = String::new();
    let nodes: Vec<_> = graph.iter().collect();
    for (id, node) in nodes.into_iter().rev() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{id}: {}", NodeText { node, names });
    }
    text
}

struct NodeText<'a, T, L, N> {
    node: &'a Node<T, L>,
    names: &'a N,
}

impl<T, L, N: Names<T, L>> fmt::Display for NodeText<'_, T, L, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names;
        match self.node {
            Node::Leaf(leaf) => write!(f, "{}", names.leaf(leaf)),
            Node::Lookup { table, inputs, output, next } => {
                let inputs: Vec<_> = inputs.iter().map(|i| names.field(*i)).collect();
                let (output, table) = (names.field(*output), names.table(*table));
                write!(f, "{output} = {table}[{}] -> {next}", inputs.join(", "))
            }
            Node::Switch { field, cases, default } => {
                write!(f, "switch {}", names.field(*field))?;
                for (value, node) in cases {
                    write!(f, ", {value} -> {node}")?;
                }
                write!(f, ", else -> {default}")
            }
            Node::Test { field, test, on_match, on_miss } => {
                let (field, test) = (names.field(*field), names.test(test));
                write!(f, "if {field} {test} -> {on_match} else {on_miss}")
            }
        }
    }
}

//! Rules and a world to behaviours, classes, rows and cells.

use std::collections::HashMap;
use std::net::IpAddr;

use indexmap::{IndexMap, IndexSet};
use policyc_base::{EntityId, PrimaryMap};
use policyc_policy::network::{
    Direction, Entity, EntryVerdict, Manner, Peer, Peers, PerDirection, Ports, Reason, Rule, Tier,
};

use super::addresses;
use super::bits::Bits;
use super::classes::{Classes, Speaking};
use super::judge;
use super::ports;
use super::resolve::{DefaultDeny, DirectionRules, OrderedEntry, Outcome};
use super::{Behaviour, Decision, NetworkDecision, SubjectKind, SubjectRow, Why};
use crate::tables::{AddressClass, Cell, CellTable, DecisionId, PortClass, Row, RowTable};

/// From where peers are looked at: what an entity such as `host` means can depend
/// on the node a subject is on. An index into [`World::viewpoints`].
pub type Viewpoint = usize;

/// One subject as the rules see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorldSubject {
    /// `namespace/name` of a workload, name of a node.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Indices of the rules that select it, ascending.
    pub rules: Vec<usize>,
    /// From where it sees its peers.
    pub viewpoint: Viewpoint,
}

/// What building needs to know beside the rules.
pub struct World<'a> {
    /// Every subject.
    pub subjects: Vec<WorldSubject>,
    /// Number of viewpoints.
    pub viewpoints: usize,
    /// Every address that stands for something: it may differ from its neighbours.
    pub known: Vec<IpAddr>,
    /// Whether an address is among peers, seen from a viewpoint. Of addresses that are
    /// not known, all of one family that the same prefixes contain are alike.
    pub matches: &'a dyn Fn(Viewpoint, &Peers, IpAddr) -> bool,
    /// The known addresses that peers without prefixes may match, and no other address
    /// does; `None` if anybody may be matched.
    pub candidates: &'a dyn Fn(&Peers) -> Option<Vec<IpAddr>>,
    /// Whether peers without prefixes may match an address from one viewpoint and not
    /// from another.
    pub varies: &'a dyn Fn(&Peers) -> bool,
    /// Whether an address may be matched from one viewpoint and not from another.
    pub varies_at: &'a dyn Fn(IpAddr) -> bool,
    /// Whether a subject's own host may always reach it (allow-localhost).
    pub allow_localhost: bool,
    /// See [`NetworkDecision::reaches_itself`].
    pub reaches_itself: bool,
    /// What is done with packets of attach points that nobody is bound to.
    pub unknown_subject_allowed: bool,
}

/// The tables of a rule set in a world.
pub fn build(rules: &[Rule], world: &World<'_>) -> NetworkDecision {
    let mut predicates = Predicates::default();
    let (subjects, behaviours) = behaviours(rules, world, &mut predicates);
    let peers: Vec<&Peers> = predicates.peers.iter().collect();
    let bits = Bits::new(peers.len(), world.viewpoints, |at| (world.varies)(peers[at]));
    let addresses = addresses::classify(&peers, &bits, world);
    let ports = ports::classify(&predicates.ports());
    let mut cells = Cells::new(world.unknown_subject_allowed);
    let classes = Classes::new(&bits, &addresses, &predicates, &ports);
    let rows = cells.rows(&behaviours, &classes);
    NetworkDecision {
        subjects,
        behaviours: behaviours.into_iter().map(|b| b.behaviour).collect(),
        addresses: addresses.tables,
        ports: ports.table,
        rows,
        cells: CellTable { rows: cells.interned.into_keys().collect::<PrimaryMap<Row, _>>() },
        decisions: cells.decisions.into_iter().collect(),
        reaches_itself: world.reaches_itself,
        graph: judge::graph(),
    }
}

/// Distinct peers and ports of all entries, numbered.
#[derive(Default)]
pub(super) struct Predicates {
    pub(super) peers: IndexSet<Peers>,
    pub(super) ports: IndexSet<Ports>,
}

impl Predicates {
    fn peers(&mut self, peers: &Peers) -> usize {
        self.peers.insert_full(peers.clone()).0
    }

    fn port(&mut self, ports: &Ports) -> usize {
        self.ports.insert_full(ports.clone()).0
    }

    fn ports(&self) -> Vec<Ports> {
        self.ports.iter().cloned().collect()
    }
}

/// A behaviour with the viewpoint of its subjects.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Seen {
    behaviour: Behaviour,
    viewpoint: Viewpoint,
}

/// Every subject with the index of its behaviour, and the distinct behaviours.
fn behaviours(
    rules: &[Rule],
    world: &World<'_>,
    predicates: &mut Predicates,
) -> (Vec<SubjectRow>, Vec<Seen>) {
    let mut distinct = IndexSet::new();
    let mut subjects = Vec::new();
    // Subjects that the same rules select are alike.
    let mut known: HashMap<(&[usize], Viewpoint), usize> = HashMap::new();
    for subject in &world.subjects {
        let behaviour = *known.entry((&subject.rules, subject.viewpoint)).or_insert_with(|| {
            let direction = |direction, predicates: &mut Predicates| {
                direction_rules(rules, &subject.rules, direction, world.allow_localhost, predicates)
            };
            let ingress = direction(Direction::Ingress, predicates);
            let egress = direction(Direction::Egress, predicates);
            let behaviour = Behaviour { rules: PerDirection { ingress, egress } };
            distinct.insert_full(Seen { behaviour, viewpoint: subject.viewpoint }).0
        });
        subjects.push(SubjectRow {
            name: subject.name.clone(),
            kind: subject.kind,
            addresses: subject.addresses.clone(),
            behaviour,
        });
    }
    (subjects, distinct.into_iter().collect())
}

/// What the selected rules say about one direction.
fn direction_rules(
    rules: &[Rule],
    selected: &[usize],
    direction: Direction,
    localhost: bool,
    predicates: &mut Predicates,
) -> DirectionRules {
    let mut entries = Vec::new();
    let mut defaults = Vec::new();
    for rule in selected.iter().filter_map(|r| rules.get(*r)) {
        if *rule.default_deny.get(direction) {
            defaults.push(DefaultDeny { manner: rule.manner, origin: rule.origin });
        }
        for entry in rule.entries.iter().filter(|e| e.direction == direction) {
            entries.push(OrderedEntry {
                tier: entry.tier,
                priority: entry.priority,
                verdict: entry.verdict,
                sequence: entry.origin.index(),
                peers: predicates.peers(&entry.peers),
                ports: predicates.port(&entry.ports),
                reason: Reason::Entry(entry.origin),
                manner: rule.manner,
            });
        }
    }
    if !defaults.is_empty() && localhost && direction == Direction::Ingress {
        // Where all that deny by default are audited, there is nothing to except from.
        let enforced = defaults.iter().any(|default| !default.manner.audit);
        entries.push(OrderedEntry {
            tier: Tier::DEFAULT,
            priority: 0,
            verdict: EntryVerdict::Allow,
            sequence: usize::MAX,
            peers: predicates.peers(&Peers::OneOf(vec![Peer::Entity(Entity::Host)])),
            ports: predicates.port(&Ports::Any),
            reason: if enforced { Reason::FromHost } else { Reason::NoPolicy },
            manner: Manner::default(),
        });
    }
    DirectionRules::new(entries, defaults)
}

/// Rows and cells under construction.
struct Cells {
    interned: IndexMap<Vec<Cell>, ()>,
    decisions: IndexSet<Decision>,
}

impl Cells {
    /// No row yet; the built-in decisions come first.
    fn new(unknown_subject_allowed: bool) -> Self {
        let decisions = IndexSet::from([
            Decision::plain(unknown_subject_allowed, Why::UnknownSubject),
            Decision::plain(false, Why::Truncated),
            Decision::plain(false, Why::Malformed),
            Decision::plain(true, Why::Arp),
            Decision::plain(false, Why::UnknownL3),
        ]);
        Self { interned: IndexMap::new(), decisions }
    }

    fn rows(&mut self, behaviours: &[Seen], classes: &Classes<'_>) -> RowTable {
        let mut rows = Vec::new();
        // Many behaviours have a direction in common, if only that nothing is said.
        let mut known: HashMap<(&DirectionRules, Viewpoint), Vec<Row>> = HashMap::new();
        for Seen { behaviour, viewpoint } in behaviours {
            for direction in Direction::BOTH {
                let rules = behaviour.rules.get(direction);
                let of_rules = known
                    .entry((rules, *viewpoint))
                    .or_insert_with(|| self.rows_of(rules, *viewpoint, classes));
                rows.extend_from_slice(of_rules);
            }
        }
        RowTable { address_classes: classes.of_addresses.len(), rows }
    }

    /// The row of one direction's rules for each class of peers. Classes about which
    /// the same entries speak have the same row.
    fn rows_of(
        &mut self,
        rules: &DirectionRules,
        viewpoint: Viewpoint,
        classes: &Classes<'_>,
    ) -> Vec<Row> {
        let speaking = Speaking::new(rules, viewpoint, classes);
        let mut known: HashMap<Vec<usize>, Row> = HashMap::new();
        let of_class = classes.of_addresses.iter().map(|class| {
            let about = speaking.about(class);
            *known.entry(about).or_insert_with_key(|about| self.row(rules, about, classes))
        });
        of_class.collect()
    }

    fn row(&mut self, rules: &DirectionRules, about: &[usize], classes: &Classes<'_>) -> Row {
        let outcomes = rules.decide(about, &classes.of_ports, classes.port_classes);
        let cells: Vec<_> = outcomes.iter().map(|outcome| self.cell(outcome)).collect();
        Row::from_index(self.interned.insert_full(cells, ()).0)
    }

    fn cell(&mut self, outcome: &Outcome) -> Cell {
        let Outcome { allowed, reason, rank, audited, .. } = *outcome;
        let decision = if allowed {
            let plain = Decision::plain(true, Why::Policy(reason));
            self.decision(Decision { audited, ..plain })
        } else {
            self.denied(outcome)
        };
        Cell { rank, decision }
    }

    /// The decision of the first policy that denies, behind it that of the second, and
    /// so on.
    fn denied(&mut self, outcome: &Outcome) -> DecisionId {
        let passes = Decision::plain(true, Why::Policy(Reason::NoPolicy));
        let mut unless_audited = outcome.ends.then(|| self.decision(passes));
        for denial in outcome.denied.iter().rev() {
            let plain = Decision::plain(false, Why::Policy(denial.reason));
            let response = denial.manner.response;
            unless_audited = Some(self.decision(Decision { unless_audited, response, ..plain }));
        }
        // INVARIANT: what is denied is denied by somebody.
        unless_audited
            .unwrap_or_else(|| self.decision(Decision::plain(false, Why::Policy(outcome.reason))))
    }

    fn decision(&mut self, decision: Decision) -> DecisionId {
        DecisionId::from_index(self.decisions.insert_full(decision).0)
    }
}

/// What the sizes of a decision are, for reports.
impl NetworkDecision {
    /// Number of address classes and of port classes.
    pub fn class_counts(&self) -> (usize, usize) {
        (self.rows.address_classes, self.ports.count)
    }

    /// The row of a behaviour, direction and class.
    pub fn row(&self, behaviour: usize, direction: Direction, class: AddressClass) -> Row {
        let egress = direction == Direction::Egress;
        self.rows.rows[self.rows.index(behaviour, egress, class)]
    }

    /// The cell of a row and a port class.
    pub fn cell(&self, row: Row, class: PortClass) -> Cell {
        self.cells.rows[row][class.index()]
    }
}

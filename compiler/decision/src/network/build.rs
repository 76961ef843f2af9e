//! Rules and a world to behaviours, classes, rows and cells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use indexmap::{IndexMap, IndexSet};
use ipnet::IpNet;
use policyc_base::{EntityId, PrimaryMap};
use policyc_policy::labels::Labels;
use policyc_policy::network::{
    Direction, Entity, Entry, EntryVerdict, Manner, Peer, Peers, PerDirection, PortName, Ports,
    Reason, Rule, Tier,
};

use super::addresses::{self, AddressClasses};
use super::bits::Bits;
use super::classes::{Classes, Speaking};
use super::judge;
use super::ports;
use super::resolve::{DefaultDeny, DirectionRules, OrderedEntry, Outcome};
use super::services::{self, Profile};
use super::sets::{self, Naming, SetMembers};
use super::{Behaviour, Decision, Frontends, NetworkDecision, SubjectKind, SubjectRow, Why};
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
    /// What the names of ports mean that rules about received packets use.
    pub ports: BTreeMap<PortName, u16>,
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
    /// What the names of ports mean that rules about sent packets use: at each known
    /// address that has one, its number.
    pub named_ports: BTreeMap<PortName, BTreeMap<IpAddr, u16>>,
    /// What stands for others.
    pub services: Frontends,
    /// The prefixes of CIDR groups that are no run-time sets.
    pub group_nets: Vec<IpNet>,
    /// The run-time sets that rules name, with their members now.
    pub sets: Vec<SetMembers>,
    /// The workloads whose addresses change; the last of the sets.
    pub workloads: usize,
    /// Whether one of them is among peers, seen from a viewpoint.
    pub workload_matches: &'a dyn Fn(Viewpoint, &Peers, usize) -> bool,
    /// What the name of a port means at one of them.
    pub workload_port: &'a dyn Fn(usize, &PortName) -> Option<u16>,
    /// Which of them has an address now.
    pub workload_at: &'a dyn Fn(IpAddr) -> Option<usize>,
    /// The index of the run-time set that a peer is.
    pub set_of: &'a dyn Fn(&Peer) -> Option<usize>,
    /// The labels of the CIDR groups that an address is in.
    pub group_labels: &'a dyn Fn(IpAddr) -> Labels,
    /// Whether an address is among peers, seen from a viewpoint. Of addresses that are
    /// not known, all of one family that the same prefixes and groups contain are alike.
    pub matches: &'a dyn Fn(Viewpoint, &Peers, IpAddr) -> bool,
    /// The known addresses that peers without prefixes may match, and no other address
    /// does; `None` if anybody may be matched.
    pub candidates: &'a dyn Fn(&Peers) -> Option<Vec<IpAddr>>,
    /// Whether peers without prefixes may match an address from one viewpoint and not
    /// from another.
    pub varies: &'a dyn Fn(&Peers) -> bool,
    /// Whether an address may be matched from one viewpoint and not from another.
    pub varies_at: &'a dyn Fn(IpAddr) -> bool,
    /// Why, if so, no default denies what a subject receives from its own host
    /// (allow-localhost) or sends to it.
    pub own_host: PerDirection<Option<Reason>>,
    /// See [`NetworkDecision::reaches_itself`].
    pub reaches_itself: bool,
    /// What is done with packets of attach points that nobody is bound to.
    pub unknown_subject_allowed: bool,
}

/// The tables of a rule set in a world.
pub fn build(rules: &[Rule], world: &World<'_>) -> NetworkDecision {
    let mut predicates = Predicates::default();
    let (subjects, behaviours) = behaviours(rules, world, &mut predicates);
    // Where nobody is restricted in what he sends, services make no difference.
    let restricts = |seen: &Seen| seen.behaviour.rules.egress.can_deny();
    let none = Frontends::new();
    let services = if behaviours.iter().any(restricts) { &world.services } else { &none };
    for ports in services::ports(services) {
        predicates.port(&ports);
    }
    let has_sets = !world.sets.is_empty();
    let selectable = has_sets.then(|| predicates.peers(&sets::anybody(), world));
    let peers: Vec<&PeerPredicate> = predicates.peers.iter().collect();
    let bits = Bits::new(peers.len(), world.viewpoints, |at| (world.varies)(&peers[at].peers));
    let AddressClasses { mut intervals, signatures, workloads } =
        addresses::classify(&peers, &bits, world);
    let ports = ports::classify(&predicates.ports());
    let workload = |address| workloads.get((world.workload_at)(address)?).copied();
    let first = signatures.len();
    let profiles = services::classify(services, &mut intervals, &ports.table, first, workload);
    let mut cells = Cells::new(world.unknown_subject_allowed);
    let classes = Classes::new(&bits, &signatures, &predicates, &ports);
    let rows = cells.rows(&behaviours, &classes, &profiles);
    let sets = selectable.map(|selectable| {
        let (predicates, bits, classes, profiles) = (&predicates, &bits, &classes, &profiles[..]);
        let rows = &rows;
        let workloads = &workloads[..];
        let naming = Naming { predicates, bits, classes, profiles, workloads, rows, selectable };
        sets::build(world.sets.clone(), &behaviours, &naming, &mut cells)
    });
    NetworkDecision {
        services: world.services.clone(),
        subjects,
        behaviours: behaviours.into_iter().map(|b| b.behaviour).collect(),
        addresses: intervals.tables(),
        ports: ports.table,
        rows,
        cells: CellTable { rows: cells.interned.into_keys().collect::<PrimaryMap<Row, _>>() },
        sets,
        decisions: cells.decisions.into_iter().collect(),
        reaches_itself: world.reaches_itself,
        graph: judge::graph(has_sets),
    }
}

/// Peers of an entry, perhaps only those who have a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PeerPredicate {
    /// Who, but for the run-time sets.
    pub(super) peers: Peers,
    /// Those of them that are run-time sets, ascending.
    pub(super) sets: Vec<usize>,
    /// Those of them whose port of this name has this number.
    pub(super) with_port: Option<(PortName, u16)>,
}

/// Distinct peers and ports of all entries, numbered.
#[derive(Default)]
pub(super) struct Predicates {
    pub(super) peers: IndexSet<PeerPredicate>,
    pub(super) ports: IndexSet<Ports>,
}

impl Predicates {
    fn peers(&mut self, peers: &Peers, world: &World<'_>) -> usize {
        self.peers_with(peers, None, world)
    }

    fn peers_with(
        &mut self,
        peers: &Peers,
        with_port: Option<(PortName, u16)>,
        world: &World<'_>,
    ) -> usize {
        let mut peers = peers.clone();
        let mut sets = Vec::new();
        if let Peers::OneOf(list) = &mut peers {
            sets.extend(list.iter().filter_map(world.set_of));
            list.retain(|peer| (world.set_of)(peer).is_none());
        }
        // Nobody whom prefixes select has a port with a name.
        sets.retain(|_| with_port.is_none());
        sets.sort_unstable();
        sets.dedup();
        self.peers.insert_full(PeerPredicate { peers, sets, with_port }).0
    }

    /// The run-time sets that are among the peers of a predicate.
    pub(super) fn sets(&self, predicate: usize) -> &[usize] {
        self.peers.get_index(predicate).map_or(&[], |predicate| &predicate.sets)
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
pub(super) struct Seen {
    pub(super) behaviour: Behaviour,
    pub(super) viewpoint: Viewpoint,
}

/// Every subject with the index of its behaviour, and the distinct behaviours.
fn behaviours(
    rules: &[Rule],
    world: &World<'_>,
    predicates: &mut Predicates,
) -> (Vec<SubjectRow>, Vec<Seen>) {
    let mut distinct = IndexSet::new();
    let mut subjects = Vec::new();
    // Subjects that the same rules select are alike, if names of ports mean the same.
    let mut known: HashMap<_, usize> = HashMap::new();
    for subject in &world.subjects {
        let alike = (&subject.rules, &subject.ports, subject.viewpoint);
        let behaviour = *known.entry(alike).or_insert_with(|| {
            let direction = |direction, predicates: &mut Predicates| {
                direction_rules(rules, subject, direction, world, predicates)
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
    subject: &WorldSubject,
    direction: Direction,
    world: &World<'_>,
    predicates: &mut Predicates,
) -> DirectionRules {
    let mut entries = Vec::new();
    let mut defaults = Vec::new();
    for rule in subject.rules.iter().filter_map(|r| rules.get(*r)) {
        if *rule.default_deny.get(direction) {
            defaults.push(DefaultDeny { manner: rule.manner, origin: rule.origin });
        }
        for entry in rule.entries.iter().filter(|e| e.direction == direction) {
            let parts = parts(entry, subject, world, predicates).into_iter();
            entries.extend(parts.map(|(peers, ports)| OrderedEntry {
                tier: entry.tier,
                priority: entry.priority,
                verdict: entry.verdict,
                sequence: entry.origin.index(),
                peers,
                ports,
                reason: Reason::Entry(entry.origin),
                manner: Manner { audit: entry.audit, ..rule.manner },
            }));
        }
    }
    let own_host = world.own_host.get(direction).filter(|_| !defaults.is_empty());
    if let Some(reason) = own_host {
        // Where all that deny by default are audited, there is nothing to except from.
        let enforced = defaults.iter().any(|default| !default.manner.audit);
        entries.push(OrderedEntry {
            tier: Tier::DEFAULT,
            priority: 0,
            verdict: EntryVerdict::Allow,
            sequence: usize::MAX,
            peers: predicates.peers(&Peers::OneOf(vec![Peer::Entity(Entity::Host)]), world),
            ports: predicates.port(&Ports::Any),
            reason: if enforced { reason } else { Reason::NoPolicy },
            manner: Manner::default(),
        });
    }
    DirectionRules::new(entries, defaults)
}

/// An entry as predicates about peers and about ports that are numbers. What it says
/// by name it says to a subject that receives about that subject's own ports, and to
/// one that sends for each number apart, about those who have the port there.
fn parts(
    entry: &Entry,
    subject: &WorldSubject,
    world: &World<'_>,
    predicates: &mut Predicates,
) -> Vec<(usize, usize)> {
    let names = entry.ports.names();
    if names.is_empty() {
        return vec![(predicates.peers(&entry.peers, world), predicates.port(&entry.ports))];
    }
    let mut numbers = entry.ports.numbers().to_vec();
    if entry.direction == Direction::Ingress {
        let own = names.iter();
        let own = own.filter_map(|range| Some(range.from(*subject.ports.get(&range.port)?)));
        numbers.extend(own);
        return vec![(
            predicates.peers(&entry.peers, world),
            predicates.port(&Ports::OneOf(numbers)),
        )];
    }
    let mut parts =
        vec![(predicates.peers(&entry.peers, world), predicates.port(&Ports::OneOf(numbers)))];
    for range in names {
        let at = world.named_ports.get(&range.port);
        let distinct: BTreeSet<u16> = at.into_iter().flat_map(BTreeMap::values).copied().collect();
        for number in distinct {
            let with_port = Some((range.port.clone(), number));
            let peers = predicates.peers_with(&entry.peers, with_port, world);
            parts.push((peers, predicates.port(&Ports::OneOf(vec![range.from(number)]))));
        }
    }
    parts
}

/// Rows and cells under construction.
pub(super) struct Cells {
    interned: IndexMap<Vec<Cell>, ()>,
    decisions: IndexSet<Decision>,
    /// The rows of services, by the row of their address without them and by the cells
    /// in which they differ from it.
    services: HashMap<(Row, Vec<(PortClass, Cell)>), Row>,
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
            Decision::plain(true, Why::Established),
            Decision::plain(true, Why::Related),
            Decision::plain(false, Why::ConntrackFull),
            Decision::plain(false, Why::Fragment),
            Decision::plain(true, Why::Neighbour),
        ]);
        Self { interned: IndexMap::new(), decisions, services: HashMap::new() }
    }

    fn rows(
        &mut self,
        behaviours: &[Seen],
        classes: &Classes<'_>,
        profiles: &[Profile],
    ) -> RowTable {
        let mut rows = Vec::new();
        // Many behaviours have a direction in common, if only that nothing is said.
        let mut known: HashMap<(&DirectionRules, Viewpoint, Direction), Vec<Row>> = HashMap::new();
        for Seen { behaviour, viewpoint } in behaviours {
            for direction in Direction::BOTH {
                let rules = behaviour.rules.get(direction);
                let of_rules = known.entry((rules, *viewpoint, direction)).or_insert_with(|| {
                    let mut rows = self.rows_of(rules, *viewpoint, classes);
                    for profile in profiles {
                        rows.push(match direction {
                            Direction::Ingress => rows[profile.base.index()],
                            Direction::Egress => self.service(profile, &rows),
                        });
                    }
                    rows
                });
                rows.extend_from_slice(of_rules);
            }
        }
        RowTable { address_classes: classes.of_addresses.len() + profiles.len(), rows }
    }

    /// The row of services: at their ports what all backends' cells come to. Services
    /// that differ from an address in the same cells have one row, which is made once.
    fn service(&mut self, profile: &Profile, plain: &[Row]) -> Row {
        let base = plain[profile.base.index()];
        let mut differing = Vec::new();
        for (port, backends) in &profile.ports {
            let backends = backends
                .iter()
                .filter_map(|(address, port)| self.at(plain[address.index()], *port));
            let backends: Vec<Cell> = backends.collect();
            let all = backends.into_iter().rev().reduce(|then, first| self.both(first, then));
            differing
                .extend(all.filter(|all| self.at(base, *port) != Some(*all)).map(|c| (*port, c)));
        }
        if differing.is_empty() {
            return base;
        }
        let key = (base, differing);
        if let Some(row) = self.services.get(&key) {
            return *row;
        }
        let cells = self.interned.get_index(base.index());
        let mut cells = cells.map(|(cells, ())| cells.clone()).unwrap_or_default();
        for (port, all) in &key.1 {
            if let Some(cell) = cells.get_mut(port.index()) {
                *cell = *all;
            }
        }
        let row = Row::from_index(self.interned.insert_full(cells, ()).0);
        self.services.insert(key, row);
        row
    }

    /// The cell of a row at a class of ports. INVARIANT: the row was interned, with a
    /// cell for each class of ports.
    fn at(&self, row: Row, port: PortClass) -> Option<Cell> {
        let (cells, ()) = self.interned.get_index(row.index())?;
        cells.get(port.index()).copied()
    }

    /// What two cells come to that both must allow: the first of the worst.
    fn both(&mut self, first: Cell, then: Cell) -> Cell {
        let decision = |cell: Cell| &self.decisions[cell.decision.index()];
        if decision(then).harm() > decision(first).harm() {
            return then;
        }
        if decision(then).allowed {
            return first;
        }
        Cell { decision: self.or_else(first.decision, then.decision), ..first }
    }

    /// A denial behind which, where its rules are audited, another one stands.
    fn or_else(&mut self, first: DecisionId, then: DecisionId) -> DecisionId {
        let mut decision = self.decisions[first.index()];
        let Some(next) = decision.unless_audited else { return first };
        let is_allowed = self.decisions[next.index()].allowed;
        let next = if is_allowed { then } else { self.or_else(next, then) };
        decision.unless_audited = Some(next);
        self.decision(decision)
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
        // Most classes are those that nothing speaks about.
        let (spoken_of, mut silent) = (speaking.classes(classes), None);
        let of_class = classes.of_addresses.iter().zip(spoken_of).map(|(class, is_spoken_of)| {
            if let Some(row) = silent.filter(|_| !is_spoken_of) {
                return row;
            }
            let about = speaking.about(class);
            let row = *known.entry(about).or_insert_with_key(|a| self.row(rules, a, classes));
            silent = silent.or((!is_spoken_of).then_some(row));
            row
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

    /// The decision of the first rule that denies, behind it that of the second, and so
    /// on.
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

    /// The cell of a row and a class of ports.
    pub(super) fn cell_at(&self, row: Row, port: PortClass) -> Option<Cell> {
        let (row, ()) = self.interned.get_index(row.index())?;
        row.get(port.index()).copied()
    }

    /// The number of a decision.
    pub(super) fn decision(&mut self, decision: Decision) -> DecisionId {
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

//! Run-time sets as tables: what is said of a peer by the sets that it is in.
//!
//! What a packet gets is decided by the entries that speak of its peer, some by what the
//! peer is (the static class) and some by a set that it is in. So the entries about a
//! class, and those about each set, are reduced to *words*: for each stage the first
//! entry that speaks. A *stage* is a run of tiers of which only the last passes; in it
//! the first entry decides, whatever says it, so the words of several cells are merged by
//! their rank alone, stage by stage, and then read in order: a pass leads to the next
//! stage. Ranks count the entries of one direction's rules, so no two entries have one.
//!
//! A workload whose addresses change is a set too: what is said of its class is said of
//! whoever has its address, and outranks all that is said of the address otherwise.
//!
//! Where a rule is audited, there are twice as many words: those of what is enforced, then
//! those of all rules, merged alike. Where the first ones forward, the second ones forward
//! too, or an audited rule denies: what comes before who decides is not other in the
//! first ones but for audited rules. So the word of such a denial says what happens then.
//!
//! Guarantees: for whatever members, the merged words say what the oracle says of groups
//! with these members; tests hold them against it.
//! Does not know: how members are looked up, or how many sets an address may be in.

use std::collections::HashMap;
use std::net::IpAddr;

use indexmap::IndexSet;
use ipnet::IpNet;
use policyc_base::{EntityId, PrimaryMap};
use policyc_policy::network::{Direction, EntryVerdict, Peer, Peers, Reason, RuntimeSet};

use super::bits::Bits;
use super::build::{Cells, Predicates, Seen, Viewpoint};
use super::classes::{Classes, Speaking};
use super::resolve::{DirectionRules, OrderedEntry};
use super::services::Profile;
use super::{Decision, Why};
use crate::tables::{AddressClass, DecisionId, PortClass, Row, RowTable};

/// A set with its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetMembers {
    /// What it stands for.
    pub set: RuntimeSet,
    /// The prefixes that are in it; apart from each other, ascending.
    pub members: Vec<IpNet>,
    /// Addresses that must not become members, because what is said of them was decided
    /// when the tables were made.
    pub barred: Vec<IpAddr>,
}

/// What one stage says of a flow by the entries about one class or one set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Word {
    /// Larger wins; 0 where no entry speaks.
    pub rank: u32,
    /// What is decided; `None` for a pass.
    pub decision: Option<DecisionId>,
}

/// The rank of what no set changes.
pub const FINAL: u32 = u32::MAX >> 1;
/// What is added to ranks of what is said of a workload whose addresses change: whoever
/// has its address is it, whatever else would be said of the address.
const WORKLOAD: u32 = 1 << 30;
/// What is added to those of addresses that no prefix selects: sets have no say, unless
/// the address is such a workload's now.
const KNOWN: u32 = 1 << 29;
/// The rank of what holds where no entry speaks. Those of entries are above it.
const OTHERWISE: u32 = 1;

/// The words for every behaviour that names a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetTables {
    /// Every set, by its number.
    pub sets: Vec<SetMembers>,
    /// Stages, and words of them in a cell.
    pub stages: usize,
    /// Whether as many words are behind them that hold where audited rules are enforced
    /// too.
    pub audited: bool,
    /// `places[behaviour * 2 + direction]`, with direction 0 for ingress and 1 for
    /// egress: 0 where no set is named, else the number of a line of rows + 1.
    pub places: Vec<u32>,
    /// Number of address classes.
    pub address_classes: usize,
    /// Lines of rows, one after the other: for each address class, then [`Row`] 0, then
    /// for each set. Row 0 says nothing; of a class that has it, no set has a say.
    pub rows: Vec<Row>,
    /// For each class of ports, the words of its cell.
    pub words: PrimaryMap<Row, Vec<Word>>,
}

impl SetTables {
    /// Number of rows in a line.
    pub const fn columns(&self) -> usize {
        self.address_classes + 1 + self.sets.len()
    }

    /// Number of words in a cell.
    pub const fn width(&self) -> usize {
        width(self.stages, self.audited)
    }

    /// The numbers of the sets that an address is in.
    pub fn sets_of(&self, address: IpAddr) -> impl Iterator<Item = usize> + '_ {
        let sets = self.sets.iter().enumerate();
        let inside = sets.filter(move |(_, s)| s.members.iter().any(|net| net.contains(&address)));
        inside.map(|(number, _)| number)
    }

    /// What is decided about a peer of a class at an address, by the rules that are
    /// enforced, and by all; `None` if no set that it is in has a say.
    pub fn decide(
        &self,
        behaviour: usize,
        egress: bool,
        class: AddressClass,
        ports: PortClass,
        address: IpAddr,
    ) -> Option<[DecisionId; 2]> {
        let place = *self.places.get(behaviour * 2 + usize::from(egress))? as usize;
        let line = place.checked_sub(1)? * self.columns();
        let own = self.rows[line + class.index()];
        let mut sets = self.sets_of(address).peekable();
        if own.index() == 0 || sets.peek().is_none() {
            return None;
        }
        let width = self.width();
        let words = |row: Row| &self.words[row][ports.index() * width..][..width];
        let mut merged = words(own).to_vec();
        for set in sets {
            let said = words(self.rows[line + self.address_classes + 1 + set]);
            for (word, said) in merged.iter_mut().zip(said) {
                *word = if said.rank > word.rank { *said } else { *word };
            }
        }
        let (enforced, all) = merged.split_at(self.stages);
        let first = |words: &[Word]| words.iter().find_map(|word| word.decision);
        let enforced = first(enforced)?;
        Some([enforced, first(all).unwrap_or(enforced)])
    }
}

const fn width(stages: usize, audited: bool) -> usize {
    if audited { 2 * stages } else { stages }
}

/// What entries say of sets, before it is a table.
pub(super) struct Naming<'a> {
    pub(super) predicates: &'a Predicates,
    pub(super) bits: &'a Bits,
    pub(super) classes: &'a Classes<'a>,
    pub(super) profiles: &'a [Profile],
    /// The classes of the workloads whose addresses change.
    pub(super) workloads: &'a [AddressClass],
    /// The static rows.
    pub(super) rows: &'a RowTable,
    /// The predicate that prefixes may select an address.
    pub(super) selectable: usize,
}

/// The peers of [`Naming::selectable`].
pub(super) fn anybody() -> Peers {
    let net = |address: IpAddr| Peer::Cidr { net: IpNet::new_assert(address, 0), except: vec![] };
    let v4 = net(std::net::Ipv4Addr::UNSPECIFIED.into());
    Peers::OneOf(vec![v4, net(std::net::Ipv6Addr::UNSPECIFIED.into())])
}

/// The words of all behaviours.
pub(super) fn build(
    sets: Vec<SetMembers>,
    behaviours: &[Seen],
    naming: &Naming<'_>,
    cells: &mut Cells,
) -> SetTables {
    let lines = Direction::BOTH.map(|direction| {
        let rules = behaviours.iter().map(|seen| seen.behaviour.rules.get(direction));
        rules.filter(|rules| naming.names_a_set(rules)).map(|rules| Stages::of(rules).passes).max()
    });
    let stages = lines.into_iter().flatten().max().unwrap_or(0) + 1;
    let audited = behaviours.iter().any(|seen| {
        let rules = Direction::BOTH.map(|direction| seen.behaviour.rules.get(direction));
        rules.into_iter().any(|rules| naming.names_a_set(rules) && is_audited(rules))
    });
    let words = IndexSet::new();
    let mut builder = Builder { naming, cells, stages, audited, sets: sets.len(), words };
    builder.words.insert(vec![Word::default(); naming.classes.port_classes * builder.width()]);
    let (mut places, mut rows) = (Vec::new(), Vec::new());
    let mut known: HashMap<(&DirectionRules, Viewpoint, Direction), u32> = HashMap::new();
    for (behaviour, seen) in behaviours.iter().enumerate() {
        for direction in Direction::BOTH {
            let rules = seen.behaviour.rules.get(direction);
            if !naming.names_a_set(rules) {
                places.push(0);
                continue;
            }
            let place = *known.entry((rules, seen.viewpoint, direction)).or_insert_with(|| {
                rows.extend(builder.line(rules, seen.viewpoint, behaviour, direction));
                // INVARIANT: as many lines as behaviours at most, far below 2^32.
                (rows.len() / (naming.rows.address_classes + 1 + sets.len())) as u32
            });
            places.push(place);
        }
    }
    let words = builder.words.into_iter().collect();
    let address_classes = naming.rows.address_classes;
    SetTables { sets, stages, audited, places, address_classes, rows, words }
}

/// Whether something that is denied is not.
fn is_audited(rules: &DirectionRules) -> bool {
    let denies = rules.entries.iter().any(denies_audited);
    denies || rules.defaults.iter().any(|default| default.manner.audit)
}

fn denies_audited(entry: &OrderedEntry) -> bool {
    entry.manner.audit && entry.verdict == EntryVerdict::Deny
}

impl Naming<'_> {
    fn names_a_set(&self, rules: &DirectionRules) -> bool {
        // Who a peer is makes a difference wherever something is said.
        let says_nothing = rules.entries.is_empty() && rules.defaults.is_empty();
        if !self.workloads.is_empty() && !says_nothing {
            return true;
        }
        rules.entries.iter().any(|entry| !self.predicates.sets(entry.peers).is_empty())
    }

    /// Whether prefixes may select the addresses of a class.
    fn is_selectable(&self, class: &[usize]) -> bool {
        class.binary_search(&self.bits.bit(0, self.selectable)).is_ok()
    }
}

/// At which stage each entry is asked.
struct Stages {
    of: Vec<usize>,
    /// Number of tiers that some entry passes.
    passes: usize,
}

impl Stages {
    fn of(rules: &DirectionRules) -> Self {
        let mut stages = Self { of: Vec::new(), passes: 0 };
        let tiers = rules.entries.chunk_by(|first, second| first.tier == second.tier);
        for tier in tiers {
            stages.of.extend(tier.iter().map(|_| stages.passes));
            stages.passes += usize::from(tier.iter().any(|e| e.verdict == EntryVerdict::Pass));
        }
        stages
    }

    /// The stage of an entry among `count`; what no pass precedes the end of is last.
    fn at(&self, entry: usize, count: usize) -> usize {
        let stage = self.of[entry];
        if stage == self.passes { count - 1 } else { stage }
    }
}

struct Builder<'a> {
    naming: &'a Naming<'a>,
    cells: &'a mut Cells,
    stages: usize,
    /// See [`SetTables::audited`].
    audited: bool,
    /// Number of sets.
    sets: usize,
    words: IndexSet<Vec<Word>>,
}

impl Builder<'_> {
    const fn width(&self) -> usize {
        width(self.stages, self.audited)
    }

    /// The rows of one direction's rules.
    fn line(
        &mut self,
        rules: &DirectionRules,
        viewpoint: Viewpoint,
        behaviour: usize,
        direction: Direction,
    ) -> Vec<Row> {
        let naming = self.naming;
        let speaking = Speaking::new(rules, viewpoint, naming.classes);
        let mut of_classes: Vec<Option<Vec<Word>>> = Vec::new();
        let complete = |builder: &mut Self, class: &[usize], raised: u32| {
            let mut words = builder.said(rules, &speaking.about(class));
            builder.complete(&mut words, rules);
            words.iter_mut().for_each(|word| word.rank += raised);
            words
        };
        for class in &naming.classes.of_addresses {
            of_classes.push(match (naming.is_selectable(class), naming.workloads.is_empty()) {
                (true, _) => Some(complete(self, class, 0)),
                (false, false) => Some(complete(self, class, KNOWN)),
                (false, true) => None,
            });
        }
        let of_workloads = naming.workloads.iter().map(|class| {
            // INVARIANT: the class is one of them.
            complete(self, &naming.classes.of_addresses[class.index()], WORKLOAD)
        });
        let of_workloads: Vec<_> = of_workloads.collect();
        for (at, profile) in naming.profiles.iter().enumerate() {
            let mut words = of_classes[profile.base.index()].clone();
            if let (Some(words), Direction::Egress) = (&mut words, direction) {
                let class = AddressClass::from_index(naming.classes.of_addresses.len() + at);
                let row = naming.rows.rows[naming.rows.index(behaviour, true, class)];
                self.settle(words, row, profile);
            }
            of_classes.push(words);
        }
        let mut line: Vec<Row> = of_classes
            .into_iter()
            .map(|words| words.map_or(Row::from_index(0), |words| self.row(words)))
            .collect();
        line.push(Row::from_index(0));
        for set in 0..self.sets - of_workloads.len() {
            let entries = rules.entries.iter().enumerate();
            let about = entries.filter(|(_, e)| naming.predicates.sets(e.peers).contains(&set));
            let about: Vec<usize> = about.map(|(at, _)| at).collect();
            let words = self.said(rules, &about);
            line.push(self.row(words));
        }
        line.extend(of_workloads.into_iter().map(|words| self.row(words)));
        line
    }

    fn row(&mut self, words: Vec<Word>) -> Row {
        Row::from_index(self.words.insert_full(words).0)
    }

    /// The words of the entries at the places `about`, ascending.
    fn said(&mut self, rules: &DirectionRules, about: &[usize]) -> Vec<Word> {
        let (classes, width) = (self.naming.classes, self.width());
        let stages = Stages::of(rules);
        let mut words = vec![Word::default(); classes.port_classes * width];
        for &at in about {
            let entry = &rules.entries[at];
            let first = stages.at(at, self.stages);
            // What is enforced, then all.
            let places = [(!denies_audited(entry)).then_some(first), Some(self.stages + first)];
            let places = places.into_iter().flatten().filter(|place| *place < width);
            let places: Vec<usize> = places.collect();
            // INVARIANT: entries come from lines of policy, far fewer than 2^31.
            let rank = OTHERWISE + (rules.entries.len() - at) as u32;
            let decision = self.decision(entry);
            for class in classes.of_ports.get(entry.ports).into_iter().flatten() {
                for place in &places {
                    let word = &mut words[class * width + place];
                    if word.rank == 0 {
                        *word = Word { rank, decision };
                    }
                }
            }
        }
        words
    }

    /// What an entry decides; `None` for a pass.
    fn decision(&mut self, entry: &OrderedEntry) -> Option<DecisionId> {
        let plain =
            Decision::plain(entry.verdict == EntryVerdict::Allow, Why::Policy(entry.reason));
        let decision = match entry.verdict {
            EntryVerdict::Pass => return None,
            EntryVerdict::Allow => plain,
            EntryVerdict::Deny if entry.manner.audit => unenforced(entry.reason),
            EntryVerdict::Deny => Decision { response: entry.manner.response, ..plain },
        };
        Some(self.cells.decision(decision))
    }

    /// Says what holds where no entry speaks: at the last stage the default, before it
    /// that the next one is asked.
    fn complete(&mut self, words: &mut [Word], rules: &DirectionRules) {
        let default = rules.defaults.iter().find(|default| !default.manner.audit);
        let plain =
            Decision::plain(rules.otherwise == Reason::NoPolicy, Why::Policy(rules.otherwise));
        let response = default.map_or(plain.response, |default| default.manner.response);
        let enforced = self.cells.decision(Decision { response, ..plain });
        let all = match rules.defaults.first() {
            Some(audited) if plain.allowed => {
                self.cells.decision(unenforced(Reason::DefaultDeny(audited.origin)))
            }
            _ => enforced,
        };
        let (stages, width) = (self.stages, self.width());
        for (at, word) in words.iter_mut().enumerate().filter(|(_, word)| word.rank == 0) {
            let (place, otherwise) = match at % width {
                place if place < stages => (place, enforced),
                place => (place - stages, all),
            };
            let decision = (place + 1 == stages).then_some(otherwise);
            *word = Word { rank: OTHERWISE, decision };
        }
    }

    /// At the ports of a service no set has a say: its backends are decided.
    fn settle(&self, words: &mut [Word], row: Row, profile: &Profile) {
        for (port, _) in &profile.ports {
            let Some(cell) = self.cells.cell_at(row, *port) else { continue };
            let first = port.index() * self.width();
            for at in (first..first + self.width()).step_by(self.stages) {
                words[at] = Word { rank: FINAL, decision: Some(cell.decision) };
            }
        }
    }
}

/// That an audited rule would deny.
fn unenforced(reason: Reason) -> Decision {
    Decision { audited: Some(reason), ..Decision::plain(true, Why::Unenforced) }
}

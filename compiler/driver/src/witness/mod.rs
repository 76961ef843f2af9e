//! Translation checked: finished bytecode against the tables and the oracle.
//!
//! A bounded set of witness packets is derived from the decision: for every
//! behaviour and direction one peer of each address class and one port of each port
//! class, packets of every shape that programs tell apart, and conversations from their
//! first packet to their last. Each is run through
//! the bytecode of every kind of program. A disagreement is a bug of policyc, never
//! of the policy.
//!
//! Guarantees: deterministic; at most [`LIMIT`] packets between classes, spread
//! evenly where there would be more.
//! Does not know: the kernel; tracing programs.

mod messages;
mod reading;
mod sequences;
pub mod shapes;
pub mod wire;

use std::net::IpAddr;

use policyc_base::EntityId;
use policyc_bpf::interp::Coverage;
use policyc_bpf::{Object, decode};
use policyc_decision::intervals::Family;
use policyc_decision::network::{NetworkDecision, Packet, Why, builtin};
use policyc_policy::network::connection::{Connections, Judgement, Question};
use policyc_policy::network::{Dialect, Direction, Flow, protocol};

use crate::engine::{
    Bytecode, Engine as _, EngineError, Oracle, PROGRAM_KINDS, PacketEngine, PacketRun, ProgramSet,
    attach_id, frame,
};
use crate::pipeline::Built;

pub use reading::{Begins, Reading, read};
use shapes::Shape;

/// Most packets between classes for one kind of program. Prime, so that the spread
/// does not keep step with the number of classes.
pub const LIMIT: usize = 3_989;
/// The protocol of what could have any port (IANA: reserved): no policy can name it.
const NO_PROTOCOL: u8 = 255;
/// Most disagreements that are told.
const TOLD: usize = 20;

/// What came of the witnesses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Witnessed {
    /// How many packets were judged.
    pub packets: usize,
    /// What was judged otherwise than the policy says, in words; the first of them.
    pub disagreements: Vec<String>,
    /// Instructions that no packet reached.
    pub uncovered: Vec<Uncovered>,
}

/// An instruction that no witness reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncovered {
    /// The program.
    pub program: String,
    /// Its slot.
    pub pc: u32,
}

/// Runs the witnesses of a build's network policy; nothing without one.
pub fn check(built: &Built) -> Witnessed {
    let mut witnessed = Witnessed::default();
    let Some(decision) = &built.decided.network else { return witnessed };
    let object = &built.compiled.object;
    let mut coverage = Coverage::default();
    for programs in PROGRAM_KINDS {
        let result = Bytecode::new(object, decision, programs).map(|engine| {
            let mut check = Check { built, decision, engine, witnessed: &mut witnessed };
            check.classes();
            check.shapes();
            check.sequences();
            coverage.merge(check.engine.coverage());
        });
        if let Err(error) = result {
            witnessed.disagreements.push(error.to_string());
        }
    }
    witnessed.uncovered = uncovered(object, &coverage);
    witnessed
}

/// The instructions of packet programs that were not executed.
pub fn uncovered(object: &Object, coverage: &Coverage) -> Vec<Uncovered> {
    let names: Vec<_> = PROGRAM_KINDS.iter().flat_map(|programs| programs.names()).collect();
    let mut uncovered = Vec::new();
    for program in object.programs.iter().filter(|p| names.contains(&p.name.as_str())) {
        let mut pc = 0;
        while let Some(Ok(insn)) = program.insns.get(pc..).map(decode) {
            if !coverage.contains(&program.name, pc as u32) {
                uncovered.push(Uncovered { program: program.name.clone(), pc: pc as u32 });
            }
            pc += insn.slots() as usize;
        }
    }
    uncovered
}

/// Members of a run-time set that packets come from and go to.
const MEMBERS: usize = 4;

/// One kind of program under check.
struct Check<'a, 'w> {
    built: &'a Built,
    decision: &'a NetworkDecision,
    engine: Bytecode<'a>,
    witnessed: &'w mut Witnessed,
}

impl Check<'_, '_> {
    /// One packet between every behaviour, class of peers and class of ports.
    fn classes(&mut self) {
        let subjects = representatives(self.decision);
        let directions = self.directions();
        let (peers, ports) = (peers(self.decision), ports(self.decision));
        let total = subjects.len() * directions.len() * peers.len() * ports.len();
        let count = total.min(LIMIT);
        for number in 0..count {
            let mut index = number * total / count;
            let port = ports[take(&mut index, ports.len())];
            let peer = peers[take(&mut index, peers.len())];
            let direction = directions[take(&mut index, directions.len())];
            self.flow(subjects[index], direction, peer, port);
        }
    }

    fn directions(&self) -> Vec<Direction> {
        let programs = self.engine.programs();
        Direction::BOTH.into_iter().filter(|d| programs.program(*d).is_some()).collect()
    }

    /// A flow between a subject and a peer: programs, graph and oracle.
    fn flow(&mut self, subject: usize, direction: Direction, peer: IpAddr, port: (u8, u16)) {
        let behaviour = self.decision.subjects[subject].behaviour;
        let (protocol, port) = port;
        let own = own_address(peer);
        let (source, destination) = match direction {
            Direction::Egress => (own, peer),
            Direction::Ingress => (peer, own),
        };
        let flow = Flow { source, destination, protocol, port };
        let (bytes, begins) = match self.engine.programs() {
            ProgramSet::Cgroup => (frame::packet(&flow), Begins::Network),
            ProgramSet::Tc | ProgramSet::Xdp => (frame::ethernet(&flow), Begins::Link),
        };
        let reading = read(&bytes, begins, direction);
        let expected = decision_of(self.decision, behaviour, direction, reading);
        if let Reading::Packet(_) = reading {
            let packet = Packet { behaviour, direction, peer, protocol, port };
            if let Some(reason) = self.oracle_differs(subject, &packet, expected) {
                self.disagree(format!("{packet:?}: {reason}"));
            }
        }
        let attach = attach_id(behaviour);
        self.run(&format!("{flow:?}"), direction, bytes, frame::ethertype(peer), attach, expected);
    }

    /// How the oracle's verdict differs from a decision, if it can give one: of
    /// somebody without an address nothing can be asked, and a pod of Kubernetes
    /// reaches itself without any program.
    fn oracle_differs(&self, subject: usize, packet: &Packet, expected: usize) -> Option<String> {
        let policy = &self.built.policy;
        let own = *self.decision.subjects[subject].addresses.first()?;
        let inventory = &policy.inventory;
        let to_itself = inventory.identify(own) == inventory.identify(packet.peer);
        if policy.dialect == Dialect::Kubernetes && to_itself {
            return None;
        }
        let (source, destination) = match packet.direction {
            Direction::Egress => (own, packet.peer),
            Direction::Ingress => (packet.peer, own),
        };
        let (protocol, port) = (packet.protocol, packet.port);
        let flow = Flow { source, destination, protocol, port };
        let (rules, dialect) = (&policy.network, policy.dialect);
        let verdict = Oracle { rules, inventory, dialect }.judge(&flow).ok()?;
        let end = match packet.direction {
            Direction::Egress => verdict.egress?,
            Direction::Ingress => verdict.ingress?,
        };
        let decided = self.decision.decisions.get(expected)?;
        let why = end.reason.map(Why::Policy);
        let same = end.allowed == decided.allowed
            && end.audited == decided.audited
            && (decided.why == Why::Unenforced || why == Some(decided.why));
        (!same).then(|| format!("the oracle says {end:?}, the tables say {decided:?}"))
    }

    /// Packets of every shape, for one subject and for nobody.
    fn shapes(&mut self) {
        let subject = representatives(self.decision).first().copied();
        let peers = ["203.0.113.9", "2001:db8::9"].map(|a| a.parse::<IpAddr>().ok());
        for peer in peers.into_iter().flatten() {
            let own = own_address(peer);
            let flow = Flow { source: peer, destination: own, protocol: protocol::TCP, port: 443 };
            for shape in shapes::shapes(&flow) {
                for direction in self.directions() {
                    self.shape(&shape, direction, subject);
                }
            }
        }
    }

    fn shape(&mut self, shape: &Shape, direction: Direction, subject: Option<usize>) {
        let (bytes, begins) = match self.engine.programs() {
            ProgramSet::Cgroup => (shape.network.clone(), Begins::Network),
            ProgramSet::Tc | ProgramSet::Xdp => (shape.frame(), Begins::Link),
        };
        // An attach point that nobody is bound to, and one that cannot be.
        for nobody in [0, u32::MAX] {
            let unknown = builtin::UNKNOWN_SUBJECT;
            self.run(&shape.name, direction, bytes.clone(), 0, nobody, unknown);
        }
        let Some(subject) = subject else { return };
        let behaviour = self.decision.subjects[subject].behaviour;
        let reading = read(&bytes, begins, direction);
        let expected = decision_of(self.decision, behaviour, direction, reading);
        self.run(&shape.name, direction, bytes, 0, attach_id(behaviour), expected);
    }

    /// Runs a packet; the decision must be the expected one. On tc also with
    /// nothing of it linear.
    fn run(
        &mut self,
        name: &str,
        direction: Direction,
        packet: Vec<u8>,
        ethertype: u16,
        attach: u32,
        expected: usize,
    ) {
        let (subject, now) = (None, 0);
        let mut run =
            PacketRun { direction, packet, ethertype, linear: None, attach, subject, now };
        self.run_once(name, &run, expected);
        if self.engine.programs() == ProgramSet::Tc {
            run.linear = Some(0);
            self.run_once(name, &run, expected);
        }
    }

    fn run_once(&mut self, name: &str, run: &PacketRun, expected: usize) {
        self.witnessed.packets += 1;
        let allowed = self.decision.decisions.get(expected).map(|d| d.allowed);
        let answer: Result<_, EngineError> = self.engine.run(run);
        let same = answer
            .as_ref()
            .is_ok_and(|a| a.decision == Some(expected) && Some(a.allowed) == allowed);
        if !same {
            let programs = self.engine.programs();
            let place = format!("{programs:?} {:?}, attach point {}", run.direction, run.attach);
            let linear = run.linear.map(|n| format!(", {n} bytes linear")).unwrap_or_default();
            self.disagree(format!(
                "{name} ({place}{linear}): decision {expected} expected, got {answer:?}"
            ));
        }
    }

    fn disagree(&mut self, message: String) {
        if self.witnessed.disagreements.len() < TOLD {
            self.witnessed.disagreements.push(message);
        }
    }
}

/// The decision about what a packet says.
pub fn decision_of(
    decision: &NetworkDecision,
    behaviour: usize,
    direction: Direction,
    reading: Reading,
) -> usize {
    let none = &mut Connections::new(1);
    decision_among(none, decision, Viewer { behaviour, subject: 0, now: 0 }, direction, reading)
}

/// Who sees a packet, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Index of the subject's behaviour.
    pub behaviour: usize,
    /// By what its connections are known.
    pub subject: u64,
    /// When, in nanoseconds.
    pub now: u64,
}

/// The decision about what a packet says after others.
pub fn decision_among(
    connections: &mut Connections,
    decision: &NetworkDecision,
    viewer: Viewer,
    direction: Direction,
    reading: Reading,
) -> usize {
    let Reading::Packet(packet) = reading else {
        return reading.builtin().unwrap_or(builtin::MALFORMED);
    };
    let Viewer { behaviour, subject, now } = viewer;
    let mut said = builtin::FRAGMENT;
    let (_, judgement) = connections.judge(subject, &packet, now, |question| {
        let (protocol, port) = match question {
            Question::Transport { protocol, port } => (protocol, port),
            Question::Unknown => (NO_PROTOCOL, 0),
        };
        let peer = packet.peer;
        said = decision.judge(&Packet { behaviour, direction, peer, protocol, port });
        decision.decisions.get(said).is_some_and(|said| said.allowed)
    });
    match judgement {
        Judgement::Established => builtin::ESTABLISHED,
        Judgement::Related => builtin::RELATED,
        Judgement::Full => builtin::CONNTRACK_FULL,
        Judgement::Fragment => builtin::FRAGMENT,
        Judgement::Policy => said,
    }
}

/// The last digit of a mixed-radix number, taken off it.
fn take(index: &mut usize, radix: usize) -> usize {
    let digit = *index % radix;
    *index /= radix;
    digit
}

/// For each behaviour one subject, by index; one with an address if there is one.
fn representatives(decision: &NetworkDecision) -> Vec<usize> {
    let of = |behaviour: usize| {
        let all = decision.subjects.iter().enumerate();
        let mut all = all.filter(|(_, s)| s.behaviour == behaviour);
        let first = all.clone().next();
        all.find(|(_, s)| !s.addresses.is_empty()).or(first).map(|(index, _)| index)
    };
    (0..decision.behaviours.len()).filter_map(of).collect()
}

/// For each class and family the first and the last address of its first interval, and of
/// some members of each run-time set.
fn peers(decision: &NetworkDecision) -> Vec<IpAddr> {
    let mut peers = Vec::new();
    for family in Family::BOTH {
        let table = decision.addresses.get(family);
        for class in 0..decision.rows.address_classes {
            let mut classes = table.classes.iter();
            let Some(first) = classes.position(|c| c.index() == class) else { continue };
            let end = table.starts.get(first + 1).map_or(family.max(), |next| next - 1);
            peers.push(family.address(table.starts[first]));
            if end != table.starts[first] {
                peers.push(family.address(end));
            }
        }
    }
    let sets = decision.sets.iter().flat_map(|tables| &tables.sets);
    let members = sets.flat_map(|set| set.members.iter().take(MEMBERS));
    peers.extend(members.flat_map(|net| [net.network(), net.broadcast()]));
    peers
}

/// For each class the first protocol and port of it. Extension headers of IPv6 are
/// no protocols that a packet can have for itself, and later fragments are a shape.
fn ports(decision: &NetworkDecision) -> Vec<(u8, u16)> {
    let mut ports = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let named = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];
    for protocol in named {
        let mask = decision.ports.protocols[usize::from(protocol)].mask;
        for port in 0..=mask {
            if seen.insert(decision.ports.lookup(protocol, port)) {
                ports.push((protocol, port));
            }
        }
    }
    // GRE stands for protocols without ports.
    ports.push((47, 0));
    ports
}

/// An address for the end that programs do not look at.
fn own_address(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    }
}

//! Packets that are no textbook flow, on every engine that runs programs: BIR as it
//! is lowered, BIR optimised, bytecode, and bytecode in the kernel all say what a
//! plain reading of the packet says (`policyc::witness::read`).

use std::net::IpAddr;

use policyc::engine::{
    Bytecode, Kernel, PROGRAM_KINDS, PacketEngine, PacketRun, ProgramSet, attach_id, frame,
};
use policyc::pipeline::{self, Built};
use policyc::witness::{Begins, Reading, decision_of, read, shapes};
use policyc_codegen::lower::Lowered;
use policyc_decision::network::{NetworkDecision, builtin};
use policyc_policy::network::connection::Piece;
use policyc_policy::network::{Dialect, Direction, Flow, protocol};

use crate::build::compile;
use crate::lineup::bir;
use crate::say::{has_kernel, say};
use crate::small;

/// Ports, ICMP types and a rule without ports, in both directions and families.
fn policy() -> String {
    let any_port = "{fromCIDR: [198.51.100.0/24, '2001:db8:5::/48']}";
    small::policy("web", &[small::FROM_SOME, small::ECHO, any_port], &[small::TO_SOME])
}

/// The engines for one kind of program.
struct Field<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    engines: Vec<(&'static str, Box<dyn PacketEngine + 'a>)>,
    runs: usize,
    refused: usize,
}

impl<'a> Field<'a> {
    fn new(subjects: &'a Subjects, programs: ProgramSet) -> Self {
        let Subjects { built, plain, kernel } = subjects;
        let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
        let mut engines: Vec<(&'static str, Box<dyn PacketEngine + 'a>)> = vec![
            ("BIR as lowered", Box::new(bir(plain, decision, programs).unwrap())),
            ("BIR optimised", Box::new(bir(&built.lowered, decision, programs).unwrap())),
            ("bytecode", Box::new(Bytecode::new(object, decision, programs).unwrap())),
        ];
        if *kernel {
            engines.push(("kernel", Box::new(Kernel::new(object, decision, programs).unwrap())));
        }
        Self { decision, programs, engines, runs: 0, refused: 0 }
    }

    fn directions(&self) -> Vec<Direction> {
        let programs = self.programs;
        Direction::BOTH.into_iter().filter(|d| programs.program(*d).is_some()).collect()
    }

    /// What all engines decide about a packet of the subject, after all agreed with
    /// the plain reading.
    fn judge(&mut self, name: &str, bytes: &[u8], direction: Direction) -> usize {
        let begins = match self.programs {
            ProgramSet::Cgroup => Begins::Network,
            ProgramSet::Tc | ProgramSet::Xdp => Begins::Link,
        };
        let reading = read(bytes, begins, direction);
        let expected = decision_of(self.decision, 0, direction, reading);
        self.expect(name, bytes, direction, attach_id(0), None, expected);
        expected
    }

    fn expect(
        &mut self,
        name: &str,
        bytes: &[u8],
        direction: Direction,
        attach: u32,
        linear: Option<usize>,
        expected: usize,
    ) {
        // In test runs the Ethertype says what a cgroup's packet is.
        let is_v6 = bytes.first().is_some_and(|first| first >> 4 == 6);
        let ethertype = if is_v6 { 0x86dd } else { 0x0800 };
        let packet = bytes.to_vec();
        let (subject, now) = (None, 0);
        let run = PacketRun { direction, packet, ethertype, linear, attach, subject, now };
        for (engine, runner) in &mut self.engines {
            let answer = runner.run(&run);
            let refused = answer.as_ref().err().is_some_and(|e| e.message.contains("EINVAL"));
            // KERNEL: test runs want an Ethernet header and, behind its Ethertype, all
            // of the IP header; what is not linear they take from 6.18 on.
            let header = if self.programs == ProgramSet::Cgroup { 40 } else { 54 };
            if *engine == "kernel" && refused && (linear.is_some() || bytes.len() < header) {
                self.refused += 1;
                continue;
            }
            let place =
                format!("{engine}, {:?} {direction:?}, {name}, linear {linear:?}", self.programs);
            let answer = answer.unwrap_or_else(|error| panic!("{place}: {error}\n{bytes:02x?}"));
            let allowed = self.decision.decisions[expected].allowed;
            assert_eq!(
                (answer.decision, answer.allowed),
                (Some(expected), allowed),
                "{place}: {:?}\n{bytes:02x?}",
                self.decision.decisions[expected]
            );
            self.runs += 1;
        }
    }
}

fn flow(source: &str, destination: &str) -> Flow {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let (source, destination) = (address(source), address(destination));
    Flow { source, destination, protocol: protocol::TCP, port: 443 }
}

fn flows() -> [Flow; 4] {
    [
        flow("203.0.113.9", "10.0.0.1"),
        flow("2001:db8::9", "fd00::1"),
        flow("198.51.100.9", "10.0.0.1"),
        flow("2001:db8:5::9", "fd00::1"),
    ]
}

/// What is compared: a build, its BIR before the passes, and whether here is a
/// kernel.
struct Subjects {
    built: Built,
    plain: Lowered,
    kernel: bool,
}

impl Subjects {
    fn new(test: &str) -> Self {
        let built = compile(&policy(), &small::pods(&["web"]), Dialect::Cilium120).unwrap();
        let plain = pipeline::lower(&built.policy, &built.decided).unwrap();
        Self { built, plain, kernel: has_kernel(test) }
    }
}

fn bytes_of(shape: &shapes::Shape, programs: ProgramSet) -> Vec<u8> {
    match programs {
        ProgramSet::Cgroup => shape.network.clone(),
        ProgramSet::Tc | ProgramSet::Xdp => shape.frame(),
    }
}

#[test]
fn every_shape_is_read_alike() {
    let name = "packets of every shape";
    let subjects = Subjects::new(name);
    for programs in PROGRAM_KINDS {
        let mut field = Field::new(&subjects, programs);
        let mut packets = 0;
        for flow in flows() {
            for shape in shapes::shapes(&flow) {
                let bytes = bytes_of(&shape, programs);
                packets += 1;
                for direction in field.directions() {
                    field.judge(&shape.name, &bytes, direction);
                }
            }
        }
        let Field { runs, refused, .. } = field;
        say(&format!(
            "{name}, {programs:?}: {packets} packets, {runs} runs, {refused} the kernel does not take"
        ));
    }
}

/// Whose packets are not bound are dropped, whatever they are.
#[test]
fn nobodys_packets_are_dropped() {
    let subjects = Subjects::new("packets of nobody");
    for programs in PROGRAM_KINDS {
        let mut field = Field::new(&subjects, programs);
        for shape in shapes::shapes(&flows()[0]).into_iter().step_by(7) {
            let bytes = bytes_of(&shape, programs);
            for direction in field.directions() {
                for attach in [0, 999, 4096, u32::MAX] {
                    let unknown = builtin::UNKNOWN_SUBJECT;
                    field.expect(&shape.name, &bytes, direction, attach, None, unknown);
                }
            }
        }
    }
}

/// Live packets often have their headers outside of the linear part.
#[test]
fn what_is_not_linear_is_pulled() {
    let name = "packets that are not linear";
    let subjects = Subjects::new(name);
    let mut field = Field::new(&subjects, ProgramSet::Tc);
    for flow in flows() {
        for shape in shapes::shapes(&flow).iter().filter(|s| !s.name.contains("cut")) {
            let bytes = shape.frame();
            for direction in Direction::BOTH {
                let expected = field.judge(&shape.name, &bytes, direction);
                for linear in [0, 1, 13, 14, 17, 18, 20, 33, 34, 37, 38, 53, 54, 57, 58] {
                    let linear = Some(linear).filter(|n| *n < bytes.len());
                    let attach = attach_id(0);
                    field.expect(&shape.name, &bytes, direction, attach, linear, expected);
                }
            }
        }
    }
    let Field { runs, refused, .. } = field;
    say(&format!("{name}: {runs} runs, {refused} the kernel does not take"));
}

/// A generator of numbers (splitmix64): the same ones at every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Every shape with bytes changed, cut out and added where headers are.
#[test]
fn damaged_packets_are_read_alike() {
    let name = "damaged packets";
    let subjects = Subjects::new(name);
    let count = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    for programs in PROGRAM_KINDS {
        let mut numbers = Numbers(programs as u64);
        let mut field = Field::new(&subjects, programs);
        let all: Vec<_> = flows().iter().flat_map(shapes::shapes).collect();
        for number in 0..count {
            let shape = &all[numbers.below(all.len())];
            let mut bytes = bytes_of(shape, programs);
            for _ in 0..=numbers.below(3) {
                damage(&mut bytes, &mut numbers);
            }
            for direction in field.directions() {
                field.judge(&format!("{} damaged ({number})", shape.name), &bytes, direction);
            }
        }
        let Field { runs, refused, .. } = field;
        say(&format!("{name}, {programs:?}: {runs} runs, {refused} the kernel does not take"));
    }
}

fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    // Values that mean something where they may come to lie.
    const TELLING: [u8; 14] = [0, 1, 6, 17, 43, 44, 51, 58, 60, 0x08, 0x45, 0x60, 0x81, 0xff];
    let at = numbers.below(bytes.len().min(80));
    match numbers.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.splice(at..at, [numbers.next() as u8; 4]).for_each(drop),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
        4 if at < bytes.len() => bytes[at] = numbers.next() as u8,
        _ if at < bytes.len() => bytes[at] = TELLING[numbers.below(TELLING.len())],
        _ => {}
    }
}

/// What each kind of packet gets, as `docs/coverage.md` says it.
#[test]
fn what_packets_get() {
    let subjects = Subjects::new("what packets get");
    let decision = subjects.built.decided.network.as_ref().unwrap();
    let (v4, v6) = (flows()[0], flows()[1]);
    let (any4, any6) = (flows()[2], flows()[3]);
    let names = [
        (v4, "no tag", "allow by a rule"),
        (v4, "802.1Q tag", "allow by a rule"),
        (v4, "802.1ad tag", "allow by a rule"),
        (v4, "two tags", "allow by a rule"),
        (v4, "three tags", "deny: neither IP nor ARP"),
        (v4, "LLDP behind no tag", "deny: neither IP nor ARP"),
        (v4, "LLDP behind 802.1Q tag", "deny: neither IP nor ARP"),
        (v4, "ARP behind no tag", "allow: ARP"),
        (v4, "ARP behind two tags", "allow: ARP"),
        (v4, "the other Ethertype", "deny: malformed"),
        (v4, "version 5", "deny: malformed"),
        (v4, "header of 16 bytes", "deny: malformed"),
        (v4, "10 words of options", "allow by a rule"),
        (v4, "options beyond the end", "deny: truncated"),
        (v4, "total length of 0", "allow by a rule"),
        (v4, "total length of 65535", "allow by a rule"),
        (v4, "first fragment", "allow by a rule"),
        (v4, "second fragment", "deny: malformed"),
        (any4, "second fragment", "deny: malformed"),
        (v4, "last fragment", "deny: fragment"),
        (any4, "last fragment", "allow by a rule"),
        (v4, "protocol 1", "allow by a rule"),
        (v4, "protocol 1, nothing behind", "deny: truncated"),
        (v4, "protocol 6, nothing behind", "deny: truncated"),
        (v4, "protocol 17", "deny by default"),
        (v4, "protocol 47", "deny by default"),
        (any4, "protocol 47", "allow by a rule"),
        (v4, "0 tags, cut at 0", "deny: truncated"),
        (v4, "0 tags, cut at 13", "deny: truncated"),
        (v4, "0 tags, cut at 33", "deny: truncated"),
        (v4, "0 tags, cut at 37", "deny: truncated"),
        (v4, "0 tags, cut at 47", "deny: truncated"),
        (v4, "0 tags, cut at 48", "allow by a rule"),
        (v4, "2 tags, cut at 55", "deny: truncated"),
        (v4, "2 tags, cut at 56", "allow by a rule"),
        (v6, "no tag", "allow by a rule"),
        (v6, "version 4", "deny: malformed"),
        (v6, "extension 0 and 0 more", "allow by a rule"),
        (v6, "extension 43 and 3 more", "allow by a rule"),
        (v6, "extension 51 and 3 more", "allow by a rule"),
        (v6, "extension 60 and 4 more", "deny: malformed"),
        (v6, "extension 44 and 0 more", "allow by a rule"),
        (v6, "extension 0 beyond the end", "deny: truncated"),
        (v6, "extension 44, cut at 47", "deny: truncated"),
        (v6, "second fragment behind 3 extensions", "deny: malformed"),
        (v6, "last fragment behind 3 extensions", "deny: fragment"),
        (any6, "last fragment behind 3 extensions", "allow by a rule"),
        (v6, "protocol 58", "deny by default"),
        (v6, "protocol 59", "deny by default"),
        (any6, "protocol 59", "allow by a rule"),
    ];
    let mut wrong = Vec::new();
    for programs in [ProgramSet::Tc, ProgramSet::Xdp] {
        let mut field = Field::new(&subjects, programs);
        for (flow, name, expected) in names {
            let shapes = shapes::shapes(&flow);
            let shape = shapes.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name}"));
            let decided = field.judge(name, &shape.frame(), Direction::Ingress);
            let words = words(decision, decided);
            if words != expected {
                wrong.push(format!("{programs:?} {name}: {words}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn words(decision: &NetworkDecision, index: usize) -> &'static str {
    use policyc_decision::network::Why;
    use policyc_policy::network::Reason;
    let decided = decision.decisions[index];
    match (decided.why, decided.allowed) {
        (Why::UnknownSubject, false) => "deny: unknown subject",
        (Why::Truncated, false) => "deny: truncated",
        (Why::Malformed, false) => "deny: malformed",
        (Why::Arp, true) => "allow: ARP",
        (Why::UnknownL3, false) => "deny: neither IP nor ARP",
        (Why::Fragment, false) => "deny: fragment",
        (Why::Neighbour, true) => "allow: neighbour discovery",
        (Why::Policy(Reason::Entry(_)), true) => "allow by a rule",
        (Why::Policy(Reason::DefaultDeny(_)), false) => "deny by default",
        other => panic!("{other:?}"),
    }
}

/// The frames that engines make of flows are read back as the flows.
#[test]
fn frames_are_read_back() {
    for (source, destination, icmp) in
        [("203.0.113.9", "10.0.0.1", 1), ("2001:db8::9", "fd00::1", 58)]
    {
        for (protocol, port) in [(6, 443), (17, 53), (132, 9), (icmp, 128), (47, 0), (255, 0)] {
            let flow = Flow { protocol, port, ..flow(source, destination) };
            for (direction, peer) in
                [(Direction::Egress, flow.destination), (Direction::Ingress, flow.source)]
            {
                let ethernet = read(&frame::ethernet(&flow), Begins::Link, direction);
                assert_eq!(ethernet, read(&frame::packet(&flow), Begins::Network, direction));
                let Reading::Packet(packet) = ethernet else { panic!("{ethernet:?}") };
                let Piece::Whole(transport) = packet.piece else { panic!("{packet:?}") };
                assert_eq!(
                    (packet.peer, transport.protocol, transport.port),
                    (peer, protocol, port)
                );
            }
        }
    }
}

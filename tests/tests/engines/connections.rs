//! Packets one after another, on every engine that runs programs: what each gets is
//! what the oracle of connections (`policyc_policy::network::connection`) says, which
//! knows the packets before it.
//!
//! Few ends, ports and identifiers, so that packets meet again; room for four
//! established connections and one more of each subject, so that it is soon used up;
//! time moves on where a clock can be set, by steps about as long as things live.

use std::cell::RefCell;
use std::net::IpAddr;

use policyc::engine::{Bytecode, Kernel, PacketEngine, PacketRun, ProgramSet, attach_id};
use policyc::pipeline::Built;
use policyc::witness::wire::{Segment, Wire, frame_of};
use policyc::witness::{Begins, Viewer, decision_among, read};
use policyc_decision::network::{NetworkDecision, builtin};
use policyc_policy::network::connection::{Connections, SECOND};
use policyc_policy::network::{Dialect, Direction};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::build::{ROOM, compile};
use crate::lineup::bir;
use crate::say::{has_kernel, say};
use crate::small;

/// What may be sent and received; two behaviours, between which a subject's packets
/// change as if its policy had.
fn built() -> Built {
    let received = "toPorts: [{ports: [{port: '80', protocol: TCP}, {port: '53', protocol: UDP}]}]";
    let sent = "toPorts: [{ports: [{port: '80'}, {port: '53'}]}]";
    let web = small::policy("web", &[received, small::ECHO], &[sent, small::ECHO]);
    let one = |port| format!("toPorts: [{{ports: [{port}]}}]");
    let (received, sent) = (one("{port: '53', protocol: UDP}"), one("{port: '80', protocol: TCP}"));
    let other = small::policy("other", &[&received], &[&sent]);
    let inventory = small::pods(&["web", "other"]);
    compile(&format!("{web}{other}"), &inventory, Dialect::Cilium120).unwrap()
}

/// One packet of a sequence.
#[derive(Clone, Debug)]
struct Step {
    wire: Wire,
    direction: Direction,
    subject: u64,
    behaviour: usize,
    /// Nanoseconds since the packet before it.
    after: u64,
}

fn steps(clock: bool) -> impl Strategy<Value = Vec<Step>> {
    let after = if clock {
        prop_oneof![
            100 => Just(0u64),
            40 => 0..3 * SECOND,
            3 => 8 * SECOND..12 * SECOND,
            3 => 25 * SECOND..70 * SECOND,
            1 => 170 * SECOND..190 * SECOND,
            1 => 7990 * SECOND..8010 * SECOND,
        ]
        .boxed()
    } else {
        Just(0u64).boxed()
    };
    let direction = prop_oneof![Just(Direction::Egress), Just(Direction::Ingress)];
    let behaviour = prop_oneof![12 => Just(0usize), 1 => Just(1)];
    let subject = prop_oneof![12 => Just(1u64), 1 => Just(2)];
    let step = (crate::wire::wire(), direction, any::<bool>(), subject, behaviour, after);
    let one = step.prop_map(|(wire, direction, own_asks, subject, behaviour, after)| {
        // Who asks has the high port.
        let asks = own_asks == (direction == Direction::Egress);
        let wire = if asks { wire } else { wire.reply() };
        vec![Step { wire, direction, subject, behaviour, after }]
    });
    let exchange = (crate::wire::exchange(), any::<bool>()).prop_map(|(wires, own_asks)| {
        let step = |(index, wire): (usize, Wire)| {
            let own_sends = own_asks == (index % 2 == 0);
            let direction = if own_sends { Direction::Egress } else { Direction::Ingress };
            Step { wire, direction, subject: 1, behaviour: 0, after: 0 }
        };
        wires.into_iter().enumerate().map(step).collect()
    });
    let several = prop::collection::vec(prop_oneof![3 => one, 1 => exchange], 1..100);
    several.prop_map(|several| several.into_iter().flatten().collect())
}

/// Runs a sequence on an engine; what was decided how often.
fn run(
    engine: &mut dyn PacketEngine,
    decision: &NetworkDecision,
    steps: &[Step],
    identities: u64,
    seen: &mut [usize],
) -> Result<(), TestCaseError> {
    let mut connections = Connections::new(ROOM.established);
    // Longer than steps can take: no entry of another sequence lives on.
    let mut now = identities * 10_000_000 * SECOND;
    for (index, step) in steps.iter().enumerate() {
        now += step.after;
        let programs = engine.programs();
        if programs.program(step.direction).is_none() {
            continue;
        }
        let frame = frame_of(&step.wire, step.direction);
        let (begins, packet) = match programs {
            ProgramSet::Cgroup => (Begins::Network, frame[14..].to_vec()),
            ProgramSet::Tc | ProgramSet::Xdp => (Begins::Link, frame.clone()),
        };
        let reading = read(&packet, begins, step.direction);
        let subject = identities * 16 + step.subject;
        let viewer = Viewer { behaviour: step.behaviour, subject, now };
        let expected = decision_among(&mut connections, decision, viewer, step.direction, reading);
        seen[expected.min(builtin::COUNT)] += 1;
        let run = PacketRun {
            direction: step.direction,
            packet,
            ethertype: u16::from_be_bytes([frame[12], frame[13]]),
            linear: None,
            attach: attach_id(step.behaviour),
            subject: Some(subject),
            now,
        };
        let answer = engine.run(&run).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(
            answer.decision,
            Some(expected),
            "{} {:?}, packet {} of {:#?}, {:?}",
            engine.name(),
            programs,
            index,
            &steps[..=index],
            reading
        );
    }
    Ok(())
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

#[test]
fn sequences_of_packets_are_judged_alike() {
    let name = "sequences of packets";
    let built = built();
    let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
    let kernel = has_kernel(name);
    // Too few in one run to be in each.
    let mut neighbours = 0;
    for programs in policyc::engine::PROGRAM_KINDS {
        let mut engines: Vec<(bool, Box<dyn PacketEngine>)> = vec![
            (true, Box::new(bir(&built.lowered, decision, programs).unwrap())),
            (true, Box::new(Bytecode::new(object, decision, programs).unwrap())),
        ];
        if kernel {
            engines.push((false, Box::new(Kernel::new(object, decision, programs).unwrap())));
        }
        for (clock, engine) in engines {
            // A runner wants a function that changes nothing.
            let state = RefCell::new((engine, vec![0; builtin::COUNT + 1], 0));
            let mut runner = TestRunner::new(Config {
                cases: cases(),
                failure_persistence: None,
                max_shrink_iters: 2000,
                ..Config::default()
            });
            let result = runner.run(&steps(clock), |steps| {
                let (engine, seen, identities) = &mut *state.borrow_mut();
                *identities += 1;
                // The kernel's clock cannot be set, so what is established there stays
                // and is in the way of the next sequence: each has a table of its own.
                if !clock {
                    engine.forget().map_err(|e| TestCaseError::fail(e.to_string()))?;
                }
                run(engine.as_mut(), decision, &steps, *identities, seen)
            });
            result.unwrap_or_else(|error| panic!("{error}"));
            let (engine, seen, _) = state.into_inner();
            let [established, related, full, fragment, neighbour] = [
                builtin::ESTABLISHED,
                builtin::RELATED,
                builtin::CONNTRACK_FULL,
                builtin::FRAGMENT,
                builtin::NEIGHBOUR,
            ]
            .map(|index| seen[index]);
            say(&format!(
                "{name}, {} {programs:?}: {} packets, {established} replies, {related} related, \
                 {full} without room, {fragment} fragments of nothing, {neighbour} neighbours",
                engine.name(),
                seen.iter().sum::<usize>()
            ));
            neighbours += neighbour;
            let all = [established, related, full, fragment];
            assert!(programs == ProgramSet::Xdp || all.iter().all(|n| *n > 0), "{seen:?}");
        }
    }
    assert!(neighbours > 0, "no neighbours at all");
}

/// A connection's whole life, packet by packet: what `docs/coverage.md` says.
#[test]
fn a_connection_lives_and_ends() {
    let built = built();
    let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
    let mut engine = Bytecode::new(object, decision, ProgramSet::Tc).unwrap();
    let peer: IpAddr = "203.0.113.9".parse().unwrap();
    let tcp = |flags: u8| Wire { segment: Segment::tcp(flags), ..Wire::tcp(peer, 40000, 80) };
    let (syn, syn_ack, ack, fin) = (2, 18, 16, 17);
    let mut now = 0;
    let mut judge = |wire: Wire, direction, behaviour, later: u64| {
        now += later * SECOND;
        let packet = frame_of(&wire, direction);
        let ethertype = u16::from_be_bytes([packet[12], packet[13]]);
        let (attach, subject) = (attach_id(behaviour), Some(1));
        let run = PacketRun { direction, packet, ethertype, linear: None, attach, subject, now };
        let answer = engine.run(&run).unwrap();
        (answer.allowed, answer.decision == Some(builtin::ESTABLISHED))
    };
    let (policy, reply, drop) = ((true, false), (true, true), (false, false));
    use Direction::{Egress, Ingress};
    // A reply before there is anything to reply to.
    assert_eq!(judge(tcp(syn_ack).reply(), Egress, 0, 0), drop);
    assert_eq!(judge(tcp(syn), Ingress, 0, 0), policy);
    assert_eq!(judge(tcp(syn_ack).reply(), Egress, 0, 1), reply);
    assert_eq!(judge(tcp(ack), Ingress, 0, 1), policy);
    assert_eq!(judge(tcp(ack).reply(), Egress, 0, 7000), reply);
    // Its rule is gone: it is cut, both ways.
    assert_eq!(judge(tcp(ack), Ingress, 1, 0), drop);
    assert_eq!(judge(tcp(ack).reply(), Egress, 1, 0), drop);
    // And there again.
    assert_eq!(judge(tcp(ack), Ingress, 0, 0), policy);
    assert_eq!(judge(tcp(ack).reply(), Egress, 0, 0), reply);
    // It ends, and is gone ten seconds later.
    assert_eq!(judge(tcp(fin), Ingress, 0, 0), policy);
    assert_eq!(judge(tcp(fin).reply(), Egress, 0, 0), reply);
    assert_eq!(judge(tcp(ack).reply(), Egress, 0, 9), reply);
    assert_eq!(judge(tcp(ack).reply(), Egress, 0, 11), drop);
}

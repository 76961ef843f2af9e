//! Two processors on one connection at once: a reply that is due is never dropped, and
//! nothing passes that nobody asked for.
//!
//! By test runs of the live gates, which come far closer together than packets on a wire
//! do; and by frames on a wire, with a flood beside them and little room.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use policyc_bpf::{Artifact, Reason};
use policyc_codegen::lower::maps::Room;
use policyc_policy::network::Direction;
use policyc_sys::bpf::{Map, TestRun, obj_get, prog_test_run};
use policyc_sys::net::{PacketSocket, in_netns, interface_by_name};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::connections::{apply, at_right, build, policy, ports};
use crate::count::decided;
use crate::frames::packet::{Packet, Way};
use crate::lab::{Lab, must};

/// Verdicts of a gate on tc.
pub(crate) const PASSED: u32 = u32::MAX;
/// How many connections are tried, and for how long at most: other tests want to run.
const CONNECTIONS: u16 = 4000;
const AT_MOST: Duration = Duration::from_secs(20);
const ACK: u8 = 16;
const SYN_ACK: u8 = 18;

/// A subject that may open connections to port 80, and accepts none.
pub(crate) struct Rig {
    pub(crate) lab: Lab,
    artifact: Artifact,
    counters: Map,
    /// Its gates: what it receives, what it sends.
    gates: [OwnedFd; 2],
}

impl Rig {
    pub(crate) fn new(test: &str, room: Room) -> Option<Self> {
        let lab = Lab::new(test)?;
        lab.without_ipv6();
        // Without addresses no kernel says anything by itself.
        for (netns, dev) in [(&lab.left, lab.wire.left), (&lab.right, lab.wire.right)] {
            must(&format!("ip -n {netns} addr flush dev {dev}"));
        }
        let egress = format!("{}\n{}", ports("TCP", &[80]), ports("UDP", &[80]));
        let artifact = build("races", &policy("races", "right", "", &egress), room);
        apply(&lab, &artifact, &at_right(&lab));
        let gates = lab.live().gates;
        let gates = ["tc_ingress", "tc_egress"].map(|program| {
            let gate = gates.iter().find(|gate| gate.program == program).expect("a gate");
            let folder = lab.dirs.pins().join("gates").join(gate.id.to_string());
            obj_get(&folder.join("program")).expect("a pin")
        });
        let counters = lab.counters(1);
        Some(Self { lab, artifact, counters, gates })
    }

    /// What a gate says about a packet, the last of so many times.
    pub(crate) fn judge(&self, packet: &Packet, repeat: u32) -> u32 {
        let is_sent = packet.way.direction == Direction::Egress;
        let gate = &self.gates[usize::from(is_sent)];
        let (data, ctx) = (packet.bytes(), Vec::new());
        let run = TestRun { data: &data, ctx: &ctx, repeat, ..TestRun::default() };
        prog_test_run(gate.as_fd(), &run).expect("runs").retval
    }

    /// Packets with a reason.
    pub(crate) fn counted(&self, reason: Reason) -> u64 {
        let decisions = (0u32..).zip(&self.artifact.manifest().decisions);
        let those = decisions.filter(|(_, decision)| decision.reason == reason);
        those.map(|(index, _)| decided(&self.counters, index)).sum()
    }
}

fn sent(number: u16) -> Way {
    let [own, peer] = ["10.77.0.2", "203.0.113.9"].map(|text| text.parse().expect("an address"));
    Way { direction: Direction::Egress, own, peer, number }
}

/// Pins this thread, so that two of them are on two processors. With one there is no
/// race to be seen.
pub(crate) fn on_processor(number: usize) {
    let mut set = CpuSet::new();
    set.set(number);
    let _ = sched_setaffinity(None, &set);
}

/// Until there is nothing left to try, or the time is over.
pub(crate) fn numbers() -> impl Iterator<Item = u16> {
    let start = Instant::now();
    (1000..1000 + CONNECTIONS).take_while(move |_| start.elapsed() < AT_MOST)
}

/// The opener's second word makes a connection an established one, while replies come.
#[test]
fn replies_pass_while_a_connection_becomes_established() {
    let test = "races::replies_pass_while_a_connection_becomes_established";
    let Some(rig) = Rig::new(test, Room::default()) else { return };
    let tried: Vec<u16> = numbers_of_both(&rig, |number| {
        let tcp = number % 2 == 0;
        let (asks, answers, confirms) = words(number, tcp);
        Case { first: vec![asks, answers.clone()], here: (confirms, 3), there: (answers, 200) }
    });
    let denied = rig.counted(Reason::DefaultDeny);
    println!("{test}: {} connections, {} replies", tried.len(), rig.counted(Reason::Established));
    assert_eq!(denied, 0, "no reply is dropped");
    assert_eq!(rig.counted(Reason::ConntrackFull), 0);
}

/// Two words of the opener at once both make it established: one of them is enough.
#[test]
fn two_openers_make_one_connection() {
    let test = "races::two_openers_make_one_connection";
    let room = Room { established: 8192, half_open: 8192 };
    let Some(rig) = Rig::new(test, room) else { return };
    let tried = numbers_of_both(&rig, |number| {
        let (asks, answers, confirms) = words(number, number % 2 == 0);
        Case { first: vec![asks, answers], here: (confirms.clone(), 2), there: (confirms, 2) }
    });
    for number in &tried {
        let (_, answers, _) = words(*number, number % 2 == 0);
        assert_eq!(rig.judge(&answers, 1), PASSED, "connection {number} is known");
    }
    assert_eq!(rig.counted(Reason::DefaultDeny), 0);
    assert_eq!(rig.counted(Reason::ConntrackFull), 0, "each needs one place");
    println!("{test}: {} connections", tried.len());
}

/// A question, its answer, and what the one who asked says next.
pub(crate) fn words(number: u16, tcp: bool) -> (Packet, Packet, Packet) {
    let at = sent(number);
    if tcp {
        let answers = at.back().segment(80, number, SYN_ACK);
        (at.tcp(80), answers, at.segment(number, 80, ACK))
    } else {
        (at.udp(80), at.back().datagram(80, number), at.udp(80))
    }
}

/// Packets one after another, then two at once, each so often.
struct Case {
    first: Vec<Packet>,
    here: (Packet, u32),
    there: (Packet, u32),
}

/// Tries cases on two processors; which ones.
fn numbers_of_both(rig: &Rig, case: impl Fn(u16) -> Case + Sync) -> Vec<u16> {
    let (start, done) = (Barrier::new(2), AtomicBool::new(false));
    let next = AtomicU64::new(0);
    let mut tried = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            on_processor(1);
            loop {
                start.wait();
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let Case { there: (packet, repeat), .. } =
                    case(next.load(Ordering::Relaxed) as u16);
                start.wait();
                assert_eq!(rig.judge(&packet, repeat), PASSED);
                start.wait();
            }
        });
        on_processor(0);
        for number in numbers() {
            let Case { first, here: (packet, repeat), .. } = case(number);
            next.store(number.into(), Ordering::Relaxed);
            start.wait();
            for packet in first {
                assert_eq!(rig.judge(&packet, 1), PASSED);
            }
            start.wait();
            assert_eq!(rig.judge(&packet, repeat), PASSED);
            start.wait();
            tried.push(number);
        }
        done.store(true, Ordering::Relaxed);
        start.wait();
    });
    tried
}

/// Connections of the opener on a wire.
const ESTABLISHED: u16 = 32;
/// Rounds in which each of them is answered once.
const ROUNDS: usize = 200;
/// The first port that nobody asks from.
const UNASKED: u16 = 60_000;
/// How many frames may be on their way, so that no queue overflows.
const WINDOW: u64 = 64;

/// Both ends speak at once on every connection, beside a flood of new ones that fills the
/// table of those, and packets that nobody asked for: each reply arrives, none of these.
#[test]
fn on_a_wire_beside_a_flood() {
    let test = "races::on_a_wire_beside_a_flood";
    let room = Room { established: 64, half_open: 256 };
    let Some(rig) = Rig::new(test, room) else { return };
    let (left_dev, right_dev) = (rig.lab.wire.left, rig.lab.wire.right);
    let open = |netns: &str, dev: &str, ethertype| {
        let open = || PacketSocket::open(interface_by_name(dev)?.index, ethertype);
        in_netns(Some(&Lab::netns(netns)), open).expect("a packet socket")
    };
    // Behind the gate, by its Ethertype.
    let behind = open(&rig.lab.right, right_dev, crate::frames::packet::IPV4);
    let [opener, flooder] = [0; 2].map(|_| open(&rig.lab.right, right_dev, 0x88b5));
    let replier = open(&rig.lab.left, left_dev, 0x88b5);
    let connections = 2000..2000 + ESTABLISHED;
    for number in connections.clone() {
        let (asks, answers, confirms) = words(number, number % 2 == 0);
        for (socket, packet) in [(&opener, asks), (&replier, answers), (&opener, confirms)] {
            socket.send(&packet.bytes()).expect("sends");
            if packet.way.direction == Direction::Ingress {
                assert!(behind.receive(crate::lab::PATIENCE).expect("receives").is_some());
            }
        }
    }
    let (done, received) = (AtomicBool::new(false), AtomicU64::new(0));
    let (replies, unasked) = thread::scope(|scope| {
        let speaking = scope.spawn(|| {
            on_processor(0);
            for number in connections.clone().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let (.., confirms) = words(number, number % 2 == 0);
                opener.send(&confirms.bytes()).expect("sends");
            }
        });
        let flooding = scope.spawn(|| {
            on_processor(0);
            let mut sent_so_far = 0u64;
            for number in (4000..UNASKED).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let asks =
                    if number % 2 == 0 { sent(number).tcp(80) } else { sent(number).udp(80) };
                flooder.send(&asks.bytes()).expect("sends");
                sent_so_far += 1;
            }
            sent_so_far
        });
        let receiving = scope.spawn(|| {
            let mut unasked = 0;
            loop {
                match behind.receive(Duration::from_millis(200)).expect("receives") {
                    Some(frame) if port(&frame) >= UNASKED => unasked += 1,
                    Some(_) => drop(received.fetch_add(1, Ordering::Relaxed)),
                    None if done.load(Ordering::Relaxed) => return unasked,
                    None => {}
                }
            }
        });
        on_processor(1);
        let mut replies = 0;
        let start = Instant::now();
        'all: for round in 0..ROUNDS {
            for number in connections.clone() {
                let (_, answers, _) = words(number, number % 2 == 0);
                replier.send(&answers.bytes()).expect("sends");
                replies += 1;
                let (_, stranger, _) = words(UNASKED + round as u16, number % 2 == 0);
                replier.send(&stranger.bytes()).expect("sends");
                while received.load(Ordering::Relaxed) + WINDOW < replies {
                    if start.elapsed() > crate::lab::PATIENCE {
                        break 'all;
                    }
                    thread::yield_now();
                }
            }
        }
        // What is still on its way comes in the order it was sent.
        let start = Instant::now();
        while received.load(Ordering::Relaxed) < replies && start.elapsed() < crate::lab::PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
        speaking.join().expect("speaks");
        let flood = flooding.join().expect("floods");
        assert!(flood > 256, "{flood} is no flood");
        println!("{test}: {replies} replies beside {flood} new connections");
        (replies, receiving.join().expect("receives"))
    });
    assert_eq!(received.load(Ordering::Relaxed), replies, "each reply arrives");
    assert_eq!(unasked, 0, "nothing arrives that nobody asked for");
}

/// The destination port of a frame without tags and options.
fn port(frame: &[u8]) -> u16 {
    frame.get(36..38).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]))
}

/// Two processors take the places of what is gone, and leave those of what is not.
#[test]
fn places_of_what_is_gone_are_taken_by_two_at_once() {
    /// Places; every other one is given up.
    const ROOM: u16 = 64;
    let test = "races::places_of_what_is_gone_are_taken_by_two_at_once";
    let room = Room { established: ROOM.into(), half_open: 1024 };
    let Some(rig) = Rig::new(test, room) else { return };
    let establish = |number| {
        let (asks, answers, confirms) = words(number, true);
        for packet in [asks, answers, confirms] {
            assert_eq!(rig.judge(&packet, 1), PASSED, "connection {number}");
        }
    };
    let old = 1000..1000 + ROOM;
    old.clone().for_each(establish);
    let (asks, ..) = words(900, true);
    assert_eq!(rig.judge(&asks, 1), PASSED);
    assert_eq!(rig.counted(Reason::ConntrackFull), 0, "there is room for all of these");

    let entries = obj_get(&rig.lab.dirs.pins().join("shared").join("ct")).and_then(Map::from_fd);
    let entries = entries.expect("a table");
    let own_port = |key: &[u8]| u16::from_le_bytes([key[40], key[41]]);
    // What is written to moves in the table.
    let mut keys = Vec::new();
    while let Some(key) = entries.next_key(keys.last().map(Vec::as_slice)).expect("reads") {
        keys.push(key);
    }
    assert_eq!(keys.len(), usize::from(ROOM));
    for key in keys.iter().filter(|key| own_port(key).is_multiple_of(2)) {
        // Gone for as long as this machine has been up.
        let mut value = entries.lookup(key).expect("reads").expect("an entry");
        value[..8].copy_from_slice(&1u64.to_ne_bytes());
        entries.update(key, &value, 0).expect("writes");
    }
    thread::scope(|scope| {
        for processor in 0..2 {
            scope.spawn(move || {
                on_processor(processor.into());
                let own = (2000..2000 + ROOM / 2).filter(|number| number % 2 == processor);
                own.for_each(establish);
            });
        }
    });
    assert_eq!(rig.counted(Reason::ConntrackFull), 0, "as many as are gone have a place");
    let known = |number| {
        let (_, answers, _) = words(number, true);
        rig.judge(&answers, 1) == PASSED
    };
    assert!(old.clone().filter(|number| number % 2 == 1).all(known), "what is not gone stays");
    assert!((2000..2000 + ROOM / 2).all(known), "what is new is known");
    assert!(!old.into_iter().filter(|number| number % 2 == 0).any(known), "what is gone is gone");
}

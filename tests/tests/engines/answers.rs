//! Answers to what is denied: which packets get one, and what it says, on every engine
//! that runs programs; against a plain construction from the RFCs.
//!
//! Numbers that nobody reads may be any as long as the checksums over them are right,
//! whether or not a device writes where the question left it to do so.

use policyc::engine::{Bytecode, Kernel, PacketEngine, PacketRun, ProgramSet, attach_id};
use policyc::pipeline;
use policyc::witness::{shapes, wire};
use policyc_policy::network::{DenyResponse, Dialect, Direction, Flow, protocol};

use crate::build::compile;
use crate::lineup::bir;
use crate::say::{has_kernel, say};
use crate::small;

/// Bytes of an Ethernet header.
const LINK: usize = 14;

/// An answer, and which of its sixteen-bit words are free: those behind its network
/// header by place.
struct Expected {
    bytes: Vec<u8>,
    free: Vec<usize>,
    /// Where a device would begin to sum, and where it would write, both in the frame.
    finish: Option<(usize, usize)>,
    /// Where the answer's transport begins.
    transport: usize,
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default()));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// The answer to a frame, from what RFC 1122, RFC 1812, RFC 4443 and RFC 9293 say.
fn expected(frame: &[u8], response: DenyResponse) -> Option<Expected> {
    let (link, packet) = frame.split_at_checked(LINK)?;
    let v6 = match link[12..] {
        [8, 0] => false,
        [0x86, 0xdd] => true,
        _ => return None,
    };
    if (link[0] | link[6]) & 1 != 0 {
        return None;
    }
    let (fixed, proto) = if v6 { (40, *packet.get(6)?) } else { (20, *packet.get(9)?) };
    let header = packet.get(..fixed)?;
    if v6 {
        let [from, to] = [&header[8..24], &header[24..40]];
        let is_one = header[0] >> 4 == 6 && to[0] != 0xff && from[0] != 0xff && from != [0; 16];
        if !is_one || [0, 43, 44, 51, 60, 135, 139, 140].contains(&proto) {
            return None;
        }
    } else {
        let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        let (from, to) = (header[12], header[16]);
        let is_sound = header[0] == 0x45 && sum(header) == 0xffff;
        if !is_sound || is_fragment || to >= 224 || from >= 224 || [0, 127].contains(&from) {
            return None;
        }
    }
    let behind = &packet[fixed..];
    let tcp = proto == protocol::TCP;
    if response == DenyResponse::Reset && !tcp {
        return None;
    }
    let behind = if tcp { behind.get(..20)? } else { behind.get(..8)? };
    let asks = match proto {
        // SYN alone.
        protocol::TCP => behind[13] & 0x17 == 2,
        protocol::ICMP if !v6 => [8, 13].contains(&behind[0]),
        protocol::ICMPV6 if v6 => behind[0] == 128,
        _ => true,
    };
    if !asks {
        return None;
    }
    let mut bytes = [&link[6..12], &link[..6], &link[12..]].concat();
    let transport = LINK + fixed;
    let (finish, free) = match response {
        DenyResponse::Reset => {
            let length = if v6 {
                u16::from_be_bytes([header[4], header[5]])
            } else {
                u16::from_be_bytes([header[2], header[3]]).wrapping_sub(20)
            };
            bytes.extend(turned(header, v6, protocol::TCP, 20));
            bytes.extend(reset(behind, length));
            (Some((transport, transport + 16)), vec![14, 16])
        }
        _ => {
            let place = match proto {
                protocol::TCP => Some(16),
                protocol::UDP => Some(6),
                _ => None,
            };
            let icmp = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
            let length = 8 + fixed + behind.len();
            bytes.extend(turned(header, v6, icmp, length as u16));
            bytes.extend(if v6 { [1, 1, 0, 0, 0, 0, 0, 0] } else { [3, 13, 0, 0, 0, 0, 0, 0] });
            bytes.extend(header);
            bytes.extend(behind);
            let quoted = transport + 8 + fixed;
            let free = [Some(2), place.map(|place| 8 + fixed + place)];
            (place.map(|place| (quoted, quoted + place)), free.into_iter().flatten().collect())
        }
    };
    Some(Expected { bytes, free, finish, transport })
}

/// The network header of an answer.
fn turned(header: &[u8], v6: bool, proto: u8, length: u16) -> Vec<u8> {
    if v6 {
        let length = length.to_be_bytes();
        let fixed = [0x60, 0, 0, 0, length[0], length[1], proto, 64];
        return [&fixed, &header[24..40], &header[8..24]].concat();
    }
    let length = (20 + length).to_be_bytes();
    let fixed = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, proto, 0, 0];
    let mut header = [&fixed, &header[16..20], &header[12..16]].concat();
    let checksum = !(sum(&header) as u16);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// RFC 9293, section 3.10.7.1, of a SYN, with window and checksum 0.
fn reset(segment: &[u8], length: u16) -> Vec<u8> {
    let number = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
    let data = u32::from(length).wrapping_sub(u32::from(segment[12] >> 4) * 4);
    let acknowledged = number(4).wrapping_add(data).wrapping_add(1);
    let mut reset = [&segment[2..4], &segment[..2]].concat();
    reset.extend([0; 4]);
    reset.extend(u32::to_be_bytes(acknowledged));
    reset.extend([0x50, 0x14, 0, 0, 0, 0, 0, 0]);
    reset
}

/// Whether an answer is the one that was expected.
fn hold(place: &str, answer: &[u8], expected: &Expected) {
    let mut plain = answer.to_vec();
    assert_eq!(plain.len(), expected.bytes.len(), "{place}: {plain:02x?}");
    for word in &expected.free {
        let at = expected.transport + word;
        plain[at..at + 2].copy_from_slice(&expected.bytes[at..at + 2]);
    }
    assert_eq!(plain, expected.bytes, "{place}");
    checksums(place, answer, expected.transport);
    if let Some((begin, at)) = expected.finish {
        let mut finished = answer.to_vec();
        let complement = !(sum(&answer[begin..]) as u16);
        // `CSUM_MANGLED_0`
        let written = if complement == 0 { 0xffff } else { complement };
        finished[at..at + 2].copy_from_slice(&written.to_be_bytes());
        checksums(&format!("{place}, finished by a device"), &finished, expected.transport);
    }
}

/// Whether the transport's checksum is right.
fn checksums(place: &str, frame: &[u8], transport: usize) {
    let packet = &frame[LINK..];
    let (addresses, proto) = match packet[0] >> 4 {
        4 => (&packet[12..20], packet[9]),
        _ => (&packet[8..40], packet[6]),
    };
    let behind = &frame[transport..];
    let length = (behind.len() as u16).to_be_bytes();
    let pseudo = [addresses, &[0, proto], &length].concat();
    let pseudo = if proto == protocol::ICMP { 0 } else { sum(&pseudo) };
    let all = sum(&[&(pseudo as u16).to_be_bytes()[..], behind].concat());
    assert_eq!(all, 0xffff, "{place}: checksum of {behind:02x?}");
}

/// A policy of a pod that allows nothing, with this answer.
fn policy(response: &str) -> String {
    let text = small::policy("web", &["{}"], &["{}"]);
    let annotation = format!("annotations: {{policyc.io/deny-response: {response}}}, ");
    text.replacen("metadata: {", &format!("metadata: {{{annotation}"), 1)
}

/// Frames that the subject sends or receives, and what they are.
fn frames(direction: Direction) -> Vec<(String, Vec<u8>)> {
    let ends = [("203.0.113.9", "10.0.0.1"), ("2001:db8::9", "fd00::1")];
    let mut frames = Vec::new();
    for (peer, own) in ends {
        let (peer, own) = (peer.parse().unwrap(), own.parse().unwrap());
        let (source, destination) = match direction {
            Direction::Ingress => (peer, own),
            Direction::Egress => (own, peer),
        };
        let flow = |protocol, port| Flow { source, destination, protocol, port };
        let (icmp, asks, tells) = if own.is_ipv4() {
            (protocol::ICMP, [8, 13], [0, 3])
        } else {
            (protocol::ICMPV6, [128, 128], [129, 1])
        };
        let kinds = asks.into_iter().chain(tells).map(|kind| flow(icmp, kind));
        let others = [protocol::TCP, protocol::UDP, protocol::SCTP, 47, 50];
        for flow in others.map(|protocol| flow(protocol, 443)).into_iter().chain(kinds) {
            for shape in shapes::shapes(&flow) {
                let name = format!("{} to {destination}, {}", flow.protocol, shape.name);
                frames.push((name, shape.frame()));
            }
        }
        for flags in 0..64u8 {
            let mut packet = wire::Wire::tcp(peer, 40000, 443);
            packet.segment = wire::Segment::Tcp { flags, acknowledged: 0xffff_fff0 };
            let frame = wire::frame_of(&packet, direction);
            frames.push((format!("flags {flags:#x} to {destination}"), frame));
        }
    }
    frames.extend(to_many(&frames));
    frames
}

/// Questions to many stations or hosts, and from no single one.
fn to_many(frames: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let is_flow = |frame: &[u8], version| {
        frame.len() > LINK + 54 && frame[LINK] >> 4 == version && frame[12] != 0x81
    };
    let of = |version: u8| frames.iter().find(|(_, frame)| is_flow(frame, version));
    let changed = |version: u8, name: &str, changes: &[(usize, u8)]| {
        let (_, mut frame) = of(version).unwrap().clone();
        changes.iter().for_each(|(at, byte)| frame[*at] = *byte);
        (format!("version {version} {name}"), frame)
    };
    vec![
        changed(4, "to a group of stations", &[(0, 0x01)]),
        changed(4, "from a group of stations", &[(6, 0x03)]),
        changed(6, "from a group of stations", &[(6, 0x03)]),
        changed(4, "with a wrong checksum", &[(24, 0), (25, 0)]),
        changed(4, "to all", &[(30, 255), (31, 255), (32, 255), (33, 255)]),
        changed(4, "to a group", &[(30, 224)]),
        changed(4, "from a group", &[(26, 239)]),
        changed(4, "from nobody", &[(26, 0), (27, 0), (28, 0), (29, 0)]),
        changed(6, "to a group", &[(38, 0xff)]),
        changed(6, "from a group", &[(22, 0xff)]),
    ]
}

#[test]
fn every_engine_answers_what_may_be_answered() {
    let kernel = has_kernel("answers");
    let (mut answered, mut silent) = (0, 0);
    for (name, response) in
        [("reset", DenyResponse::Reset), ("unreachable", DenyResponse::Unreachable)]
    {
        let built = compile(&policy(name), &small::pods(&["web"]), Dialect::Cilium120).unwrap();
        let plain = pipeline::lower(&built.policy, &built.decided).unwrap();
        let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
        let tc = ProgramSet::Tc;
        let mut engines: Vec<(&str, Box<dyn PacketEngine>)> = vec![
            ("BIR as lowered", Box::new(bir(&plain, decision, tc).unwrap())),
            ("BIR optimised", Box::new(bir(&built.lowered, decision, tc).unwrap())),
            ("bytecode", Box::new(Bytecode::new(object, decision, tc).unwrap())),
        ];
        if kernel {
            engines.push(("kernel", Box::new(Kernel::new(object, decision, tc).unwrap())));
        }
        // Later each time, so that there are never too many in a second.
        let mut now = 0;
        for direction in Direction::BOTH {
            for (what, packet) in frames(direction) {
                now += 10_000_000;
                let ethertype = packet.get(12..14).map_or(0, |e| u16::from_be_bytes([e[0], e[1]]));
                let (attach, subject, linear) = (attach_id(0), None, None);
                let expected = expected(&packet, response);
                let run = PacketRun { direction, packet, ethertype, linear, attach, subject, now };
                let mut denied = None;
                for (engine, runner) in &mut engines {
                    let place = format!("{engine}, {name}, {direction:?}, {what}");
                    let answer = match runner.run(&run) {
                        // KERNEL: test runs want all of the IP header.
                        Err(error) if *engine == "kernel" && run.packet.len() < 54 => {
                            assert!(error.message.contains("EINVAL"), "{place}: {error}");
                            continue;
                        }
                        answer => answer.unwrap_or_else(|error| panic!("{place}: {error}")),
                    };
                    let index = answer.decision.unwrap();
                    assert_eq!(*denied.get_or_insert(index), index, "{place}");
                    // What is malformed, or a fragment of nothing, is not policy's.
                    let asked = decision.decisions[index].response == response;
                    match (runner.answered(), expected.as_ref().filter(|_| asked)) {
                        (None, None) => silent += 1,
                        (Some(frame), Some(expected)) => {
                            hold(&place, frame, expected);
                            answered += 1;
                        }
                        (frame, expected) => panic!(
                            "{place}: answered {}, expected {}: {:02x?}",
                            frame.is_some(),
                            expected.is_some(),
                            run.packet
                        ),
                    }
                }
            }
        }
    }
    assert!(answered > 300 && silent > 300, "answered {answered}, silent {silent}");
    say(&format!("answers: {answered} sent, {silent} not, kernel {kernel}"));
}

#[test]
fn a_processor_sends_a_thousand_answers_in_a_second() {
    let built = compile(&policy("reset"), &small::pods(&["web"]), Dialect::Cilium120).unwrap();
    let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
    let mut bytecode = Bytecode::new(object, decision, ProgramSet::Tc).unwrap();
    let mut bir = bir(&built.lowered, decision, ProgramSet::Tc).unwrap();
    let direction = Direction::Ingress;
    let (_, packet) = frames(direction).into_iter().next().unwrap();
    let run = |now| PacketRun {
        direction,
        packet: packet.clone(),
        ethertype: 0x0800,
        linear: None,
        attach: attach_id(0),
        subject: None,
        now,
    };
    let second = 1_000_000_000;
    for engine in [&mut bytecode as &mut dyn PacketEngine, &mut bir] {
        let mut answered = |now| {
            engine.run(&run(now)).unwrap();
            engine.answered().is_some()
        };
        let begin = 5 * second;
        assert!((0..1000).all(|i| answered(begin + i)), "the first thousand");
        assert!(!answered(begin + 2000), "one more");
        assert!(!answered(begin + second - 1), "one more at the end");
        assert!(answered(begin + second), "in the next second");
    }
}

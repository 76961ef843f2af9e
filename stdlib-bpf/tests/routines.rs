//! The library's routines alone, under the BIR interpreter: no program around
//! them, no kernel.

use policyc_base::{Sink, SourceMap};
use policyc_ir::interp::{Context, Input, Machine, Output};
use policyc_ir::{Module, check, parse_into};
use policyc_stdlib_bpf::{ANSWER, COMMON, MAPS, PACKET};

fn library() -> Module {
    let mut module = Module::default();
    let mut sources = SourceMap::new();
    for unit in [MAPS].iter().chain(COMMON).chain(PACKET).chain(ANSWER) {
        let file = sources.add(unit.name, unit.text);
        let mut sink = Sink::new();
        let read = parse_into(&mut module, file, unit.text, &mut sink);
        assert!(read.is_some(), "{}: {:?}", unit.name, sink);
    }
    let findings = check(&module);
    assert!(findings.is_empty(), "{}", check::render(&module, &findings));
    module
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// What a routine returns for a packet, at a pointer into it.
fn call(module: &Module, name: &str, packet: &[u8], inputs: &[Input]) -> Vec<Output> {
    call_in(module, name, Context::skb(packet.to_vec()), inputs)
}

/// The same with a context of its own.
fn call_in(module: &Module, name: &str, context: Context, inputs: &[Input]) -> Vec<Output> {
    let mut machine = Machine::new(module);
    machine.call(name, context, inputs).unwrap_or_else(|fault| panic!("{name}: {fault:?}")).values
}

fn ints(values: &[Output]) -> Vec<u64> {
    let ints = values.iter().filter_map(|value| match value {
        Output::Int(bits) => Some(*bits),
        Output::Packet(_) | Output::Pointer => None,
    });
    ints.collect()
}

/// Any number: what the verifier is made to forget by.
const UNKNOWN: Input = Input::Int(0x1234_5678_9abc_def0);
/// Of a packet that the subject receives.
const INGRESS: Input = Input::Int(0);
const EGRESS: Input = Input::Int(1);

/// Whether the context says that a tag was taken off.
const SKB: Input = Input::Int(1);
const XDP: Input = Input::Int(0);
/// Offset in `struct __sk_buff`.
const VLAN_PRESENT: usize = 20;

const ETHERNET: &str = "020000000002 020000000001";

#[test]
fn ethernet_finds_the_network_header() {
    let module = library();
    // Ethertypes, kind, and where the network header is.
    let cases = [
        ("0800", 4, 14),
        ("86dd", 6, 14),
        ("8100 0001 0800", 4, 18),
        ("88a8 0001 8100 0002 86dd", 6, 22),
        ("8100 0001 8100 0002 8100", 1, 0),
        ("0806", 2, 0),
        ("8100 0001 0806", 2, 0),
        ("8864", 1, 0),
        ("9100 0001 0800", 1, 0),
    ];
    for (types, kind, at) in cases {
        let packet = bytes(&format!("{ETHERNET} {types} 0000"));
        let expected = [Output::Int(kind), Output::Packet(at)];
        for tells in [SKB, XDP] {
            assert_eq!(call(&module, "ethernet", &packet, &[tells, UNKNOWN]), expected, "{types}");
        }
        // With the tag that receive took off, two in the packet are one too many.
        let taken = Context::skb(packet.clone()).with_u32(VLAN_PRESENT, 1);
        let three = [Output::Int(1), Output::Packet(0)];
        let expected = if at == 22 { three } else { expected };
        assert_eq!(call_in(&module, "ethernet", taken, &[SKB, UNKNOWN]), expected, "{types}");
    }
    for length in 0..14 {
        let packet = &bytes(&format!("{ETHERNET} 0800"))[..length];
        let values = call(&module, "ethernet", packet, &[SKB, UNKNOWN]);
        assert_eq!(ints(&values), [0], "{length} bytes");
    }
}

/// 10.0.0.1 -> 10.0.0.2 with a first word, fragment bits, protocol and transport.
fn ipv4(first: &str, fragment: &str, protocol: &str, rest: &str) -> Vec<u8> {
    bytes(&format!("{first} 001c 0001 {fragment} 40 {protocol} 0000 0a000001 0a000002 {rest}"))
}

/// Bits of a kind.
const OPENS: u64 = 1 | 16 | 32;
const PART: u64 = 32;
const ERROR: u64 = 64;
const STREAM: u64 = 128;
/// Bits of a fragment.
const FIRST: u64 = 1 << 56;
const LATER: u64 = 2 << 56;

#[test]
fn ipv4_is_read_or_said_to_be_short_or_malformed() {
    let module = library();
    let tcp = "c000 01bb 00000001 00000000 5002";
    // Status, protocol, port, ports (own below the peer's), kind, fragment.
    let cases = [
        ("tcp", ipv4("4500", "4000", "06", tcp), [0, 6, 443, 0xc000_01bb, STREAM | 35, 0]),
        (
            "udp behind options",
            ipv4("4600", "0000", "11", "01010101 c000 0035"),
            [0, 17, 53, 0xc000_0035, OPENS, 0],
        ),
        ("sctp", ipv4("4500", "0000", "84", "c000 0bb8"), [0, 132, 3000, 0xc000_0bb8, OPENS, 0]),
        (
            "echo request",
            ipv4("4500", "0000", "01", "08000000 00070000"),
            [0, 1, 8, 0x0007_0008, OPENS, 0],
        ),
        (
            "echo reply",
            ipv4("4500", "0000", "01", "00000000 00070000"),
            [0, 1, 0, 0x0008_0007, PART | 16, 0],
        ),
        ("redirect", ipv4("4500", "0000", "01", "05000000 00000000"), [0, 1, 5, 0, 0, 0]),
        ("gre has no port", ipv4("4500", "0000", "2f", ""), [0, 47, 0, 0, OPENS, 0]),
        (
            "first fragment",
            ipv4("4500", "2000", "06", tcp),
            [0, 6, 443, 0xc000_01bb, STREAM | 35, FIRST | 4 << 40 | 6 << 32 | 1],
        ),
        (
            "later fragment",
            ipv4("4500", "2002", "06", ""),
            [0, 6, 0, 0, 0, LATER | 4 << 40 | 6 << 32 | 1],
        ),
        ("fragment that overwrites a header", ipv4("4500", "2001", "06", ""), [2, 0, 0, 0, 0, 0]),
        ("header cut off", ipv4("4500", "4000", "06", "c000 01bb"), [1, 0, 0, 0, 0, 0]),
        ("options cut off", ipv4("4f00", "4000", "06", tcp), [1, 0, 0, 0, 0, 0]),
        ("header too short to be one", ipv4("4400", "4000", "06", ""), [2, 0, 0, 0, 0, 0]),
        ("the other version's ICMP", ipv4("4500", "0000", "3a", "80"), [2, 0, 0, 0, 0, 0]),
        ("another version", ipv4("5500", "4000", "06", ""), [2, 0, 0, 0, 0, 0]),
    ];
    for (name, packet, expected) in cases {
        let values = ints(&call(&module, "ipv4", &packet, &[Input::Packet(0), INGRESS]));
        let [status, own, peer, _, protocol, port, tail, kind, fragment] = values[..] else {
            panic!("{values:?}")
        };
        let ports = tail & 0xffff_ffff;
        assert_eq!([status, protocol, port, ports, kind, fragment], expected, "{name}");
        if status == 0 {
            assert_eq!((own, peer), (0x0a00_0002, 0x0a00_0001), "{name}");
            let sent = ints(&call(&module, "ipv4", &packet, &[Input::Packet(0), EGRESS]));
            assert_eq!((sent[1], sent[2]), (peer, own), "{name}");
            assert_eq!(sent[6] as u32, (ports as u32).rotate_left(16), "{name}");
        }
    }
    let whole = ipv4("4500", "4000", "06", "");
    for length in 0..20 {
        let values = call(&module, "ipv4", &whole[..length], &[Input::Packet(0), INGRESS]);
        assert_eq!(ints(&values)[0], 1, "{length} bytes");
    }
}

/// An error is of the connection of the packet in it, if that packet is the subject's.
#[test]
fn icmp_errors_are_about_what_they_hold() {
    let module = library();
    let error = |inner: &[u8]| {
        let mut packet = ipv4("4500", "0000", "01", "03010000 00000000");
        packet.extend(inner);
        packet
    };
    let inner =
        |ends: &str, rest: &str| bytes(&format!("4500 001c 0001 0000 40 11 0000 {ends} {rest}"));
    let ours = "0a000002 0a000009";
    // Status, the connection's peer, ports, protocol of the connection, kind.
    let cases = [
        ("ours", inner(ours, "c000 0035"), [0, 0x0a00_0009, 0x0035_c000, 17, ERROR]),
        ("somebody's", inner("0a000003 0a000009", "c000 0035"), [0, 0x0a00_0001, 0, 0, 0]),
        ("cut", inner(ours, "c0"), [3, 0x0a00_0001, 0, 0, 0]),
        ("cut in its header", inner(ours, "")[..19].to_vec(), [3, 0x0a00_0001, 0, 0, 0]),
    ];
    for (name, inner, expected) in cases {
        let values = ints(&call(&module, "ipv4", &error(&inner), &[Input::Packet(0), INGRESS]));
        let (tail, kind) = (values[6], values[7]);
        let found = [values[0], values[3], tail & 0xffff_ffff, tail >> 32 & 0xff, kind];
        assert_eq!(found, expected, "{name}");
    }
}

/// 2001:db8::1 -> 2001:db8::2 with a next header and what follows.
fn ipv6(next: &str, rest: &str) -> Vec<u8> {
    let address = "20010db8 00000000 00000000 0000000";
    bytes(&format!("60000000 0000 {next} 40 {address}1 {address}2 {rest}"))
}

#[test]
fn ipv6_skips_up_to_four_extension_headers() {
    let module = library();
    let (hi, src, dst) = (0x2001_0db8_0000_0000, 1, 2);
    let at = |status, protocol, port| [status, protocol, port];
    // Destination options that lead to more of them, or to TCP.
    let options = |next: &str| format!("{next} 00 000000000000 ");
    let tcp = "c00001bb 00000001 00000000 5002";
    let chain = |n: usize| -> String {
        (1..=n).map(|i| options(if i == n { "06" } else { "3c" })).collect::<String>() + tcp
    };
    let fragment = |place: &str| format!("06 00 {place} 00000007 {tcp}");
    let cases = [
        ("tcp", ipv6("06", tcp), at(0, 6, 443)),
        ("echo request", ipv6("3a", "80000000 00070000"), at(0, 58, 128)),
        ("the other version's ICMP", ipv6("01", "08"), at(2, 0, 0)),
        ("nothing follows", ipv6("3b", ""), at(0, 59, 0)),
        ("one", ipv6("3c", &chain(1)), at(0, 6, 443)),
        ("four", ipv6("3c", &chain(4)), at(0, 6, 443)),
        (
            "authentication",
            ipv6("33", &format!("06 01 000000000000 00000000 {tcp}")),
            at(0, 6, 443),
        ),
        ("first fragment", ipv6("2c", &fragment("0001")), at(0, 6, 443)),
        ("later fragment", ipv6("2c", &fragment("0011")), at(0, 44, 0)),
        ("fragment that overwrites a header", ipv6("2c", &fragment("0009")), at(2, 0, 0)),
        (
            "fragment in a fragment",
            ipv6("2c", &format!("2c 00 0001 00000007 {}", fragment("0001"))),
            at(2, 0, 0),
        ),
        ("cut off in the second", ipv6("3c", &options("3c")), at(1, 0, 0)),
        ("too many", ipv6("3c", &chain(6)), at(2, 0, 0)),
    ];
    let inputs = [Input::Packet(0), INGRESS, UNKNOWN];
    for (name, packet, expected) in cases {
        let values = ints(&call(&module, "ipv6", &packet, &inputs));
        assert_eq!([values[0], values[7], values[8]], expected, "{name}");
        if values[0] == 0 {
            assert_eq!(values[1..5], [hi, dst, hi, src], "{name}");
        }
    }
}

#[test]
fn subjects_are_found_by_attach_id() {
    let module = library();
    let mut machine = Machine::new(&module);
    let subjects = machine.map_mut("subjects").expect("it is there");
    let value = [3u64.to_le_bytes(), 99u64.to_le_bytes()].concat();
    subjects.set(&7u32.to_le_bytes(), &value).expect("it is there");
    for (attach, expected) in [(7, [3, 99]), (8, [0, 0]), (u64::from(u32::MAX), [0, 0])] {
        let context = Context::skb(vec![]);
        let outcome = machine.call("subject", context, &[Input::Int(attach)]).expect("it is there");
        assert_eq!(ints(&outcome.values), expected, "attach {attach}");
    }
}

#[test]
fn events_carry_what_there_is_of_the_packet() {
    let module = library();
    for (length, captured) in [(0, 0), (27, 0), (28, 28), (53, 42), (95, 54), (96, 96), (1500, 96)]
    {
        let mut machine = Machine::new(&module);
        let packet: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let inputs = [5, 0x8000_0002, 1].map(Input::Int);
        let outcome =
            machine.call("event_skb", Context::skb(packet.clone()), &inputs).expect("it is there");
        let [(_, event)] = outcome.events.as_slice() else { panic!("one event: {outcome:?}") };
        let word =
            |at: usize| u32::from_le_bytes(event[at..at + 4].try_into().expect("it is there"));
        assert_eq!((word(0), word(16), word(20), word(24)), (1, 5, 0x8000_0002, 1));
        assert_eq!((word(28), word(32)), (length, captured), "{length} bytes");
        assert_eq!(event[40..40 + captured as usize], packet[..captured as usize]);
        assert!(event[40 + captured as usize..].iter().all(|b| *b == 0));
    }
}

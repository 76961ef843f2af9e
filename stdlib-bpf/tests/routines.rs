//! The library's routines alone, under the BIR interpreter: no program around
//! them, no kernel.

use policyc_base::{Sink, SourceMap};
use policyc_ir::interp::{Context, Input, Machine, Output};
use policyc_ir::{Module, check, parse_into};
use policyc_stdlib_bpf::{COMMON, MAPS, PACKET};

fn library() -> Module {
    let mut module = Module::default();
    let mut sources = SourceMap::new();
    for unit in [MAPS].iter().chain(COMMON).chain(PACKET) {
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
    let mut machine = Machine::new(module);
    let context = Context::skb(packet.to_vec());
    machine.call(name, context, inputs).unwrap_or_else(|fault| panic!("{name}: {fault:?}")).values
}

fn ints(values: &[Output]) -> Vec<u64> {
    let ints = values.iter().filter_map(|value| match value {
        Output::Int(bits) => Some(*bits),
        Output::Packet(_) | Output::Pointer => None,
    });
    ints.collect()
}

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
        let values = call(&module, "ethernet", &packet, &[]);
        assert_eq!(values, [Output::Int(kind), Output::Packet(at)], "{types}");
    }
    for length in 0..14 {
        let packet = &bytes(&format!("{ETHERNET} 0800"))[..length];
        assert_eq!(ints(&call(&module, "ethernet", packet, &[])), [0], "{length} bytes");
    }
}

/// 10.0.0.1 -> 10.0.0.2 with a first word, fragment bits, protocol and transport.
fn ipv4(first: &str, fragment: &str, protocol: &str, rest: &str) -> Vec<u8> {
    bytes(&format!("{first} 001c 0001 {fragment} 40 {protocol} 0000 0a000001 0a000002 {rest}"))
}

#[test]
fn ipv4_is_read_or_said_to_be_short_or_malformed() {
    let module = library();
    let (src, dst) = (0x0a00_0001, 0x0a00_0002);
    let cases = [
        ("tcp", ipv4("4500", "4000", "06", "c000 01bb"), [0, src, dst, 6, 443]),
        (
            "udp behind options",
            ipv4("4600", "0000", "11", "01010101 c000 0035"),
            [0, src, dst, 17, 53],
        ),
        ("sctp", ipv4("4500", "0000", "84", "c000 0bb8"), [0, src, dst, 132, 3000]),
        ("echo request", ipv4("4500", "0000", "01", "08"), [0, src, dst, 1, 8]),
        ("gre has no port", ipv4("4500", "0000", "2f", ""), [0, src, dst, 47, 0]),
        ("first fragment", ipv4("4500", "2000", "06", "c000 01bb"), [0, src, dst, 6, 443]),
        ("later fragment", ipv4("4500", "2001", "06", ""), [0, src, dst, 255, 0]),
        ("ports cut off", ipv4("4500", "4000", "06", "c000 01"), [1, src, dst, 6, 0]),
        ("options cut off", ipv4("4f00", "4000", "06", "c000 01bb"), [1, src, dst, 6, 0]),
        ("header too short to be one", ipv4("4400", "4000", "06", ""), [2, src, dst, 0, 0]),
        ("the other version's ICMP", ipv4("4500", "0000", "3a", "80"), [2, src, dst, 0, 0]),
        ("another version", ipv4("5500", "4000", "06", ""), [2, src, dst, 0, 0]),
    ];
    for (name, packet, expected) in cases {
        assert_eq!(ints(&call(&module, "ipv4", &packet, &[Input::Packet(0)])), expected, "{name}");
    }
    let whole = ipv4("4500", "4000", "06", "");
    for length in 0..20 {
        let values = call(&module, "ipv4", &whole[..length], &[Input::Packet(0)]);
        assert_eq!(ints(&values)[0], 1, "{length} bytes");
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
    let at = |status, protocol, port| [status, hi, src, hi, dst, protocol, port];
    // Destination options that lead to more of them, or to TCP.
    let options = |next: &str| format!("{next} 00 000000000000 ");
    let chain = |n: usize| -> String {
        (1..=n).map(|i| options(if i == n { "06" } else { "3c" })).collect::<String>() + "c00001bb"
    };
    let cases = [
        ("tcp", ipv6("06", "c000 01bb"), at(0, 6, 443)),
        ("echo request", ipv6("3a", "80"), at(0, 58, 128)),
        ("the other version's ICMP", ipv6("01", "08"), at(2, 0, 0)),
        ("nothing follows", ipv6("3b", ""), at(0, 59, 0)),
        ("one", ipv6("3c", &chain(1)), at(0, 6, 443)),
        ("four", ipv6("3c", &chain(4)), at(0, 6, 443)),
        ("authentication", ipv6("33", "06 01 000000000000 00000000 c00001bb"), at(0, 6, 443)),
        ("first fragment", ipv6("2c", "06 00 0001 00000000 c00001bb"), at(0, 6, 443)),
        ("later fragment", ipv6("2c", "06 00 0009 00000000"), at(0, 255, 0)),
        ("cut off in the second", ipv6("3c", &options("3c")), at(1, 0, 0)),
        ("too many", ipv6("3c", &chain(6)), at(2, 0, 0)),
    ];
    for (name, packet, expected) in cases {
        assert_eq!(ints(&call(&module, "ipv6", &packet, &[Input::Packet(0)])), expected, "{name}");
    }
}

#[test]
fn subjects_are_found_by_attach_id() {
    let module = library();
    let mut machine = Machine::new(&module);
    let subjects = machine.map_mut("subjects").expect("it is there");
    subjects.set(&7u32.to_le_bytes(), &3u32.to_le_bytes()).expect("it is there");
    for (attach, expected) in [(7, 3), (8, 0), (u64::from(u32::MAX), 0)] {
        let context = Context::skb(vec![]);
        let outcome = machine.call("subject", context, &[Input::Int(attach)]).expect("it is there");
        assert_eq!(outcome.value(), Some(expected), "attach {attach}");
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

//! A flood of SYNs from addresses that do not answer, against a server that does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use policyc_codegen::lower::maps::Room;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use serde_json::Value;

use crate::build::bind;
use crate::connections::{both_ways, build, policy, ports};
use crate::lab::{Lab, must, wait_for};
use crate::traffic::{Background, Conversation, within};

/// SYNs of the whole flood, and between two looks at whether it has to end.
const SYNS: u32 = 40_000;
const BURST: u32 = 50;
/// Addresses that they come from; whoever sends to one of them gets no answer.
const SOURCES: u32 = 100;
const PORT: u16 = 7002;
const ROOM: Room = Room { established: 64, half_open: 1024 };

/// A SYN from one of many addresses and ports, with an IPv4 header.
fn syn(number: u32, to: Ipv4Addr) -> [u8; 40] {
    let [a, b, c, _] = to.octets();
    let from = Ipv4Addr::new(a, b, c, (100 + number % SOURCES) as u8);
    let mut packet = [0; 40];
    packet[0] = 0x45;
    packet[3] = 40;
    packet[8] = 64;
    packet[9] = 6;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    let port = (20_000 + number / SOURCES % 40_000) as u16;
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[22..24].copy_from_slice(&PORT.to_be_bytes());
    packet[24..28].copy_from_slice(&number.to_be_bytes());
    packet[32] = 5 << 4;
    packet[33] = 2;
    packet[34] = 16;
    let checksum = checksum(&packet);
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Of a TCP header of 20 bytes behind an IPv4 header (RFC 9293, section 3.1).
fn checksum(packet: &[u8; 40]) -> u16 {
    let words =
        packet[12..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum::<u32>() + 6 + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Sends the flood from the left end; `sent` counts.
fn flood(lab: &Lab, sent: &Arc<AtomicU32>) -> Background<()> {
    let IpAddr::V4(to) = lab.address(2) else { panic!("the lab has addresses of IPv4") };
    let (left, sent) = (lab.left.clone(), Arc::clone(sent));
    Background::start(move |stop| {
        // Its headers are ours.
        let raw = || Ok(socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?);
        let (socket, at) = (within(&left, raw), SocketAddrV4::new(to, 0));
        for number in 0..SYNS {
            let packet = syn(number, to);
            if sendto(&socket, &packet, SendFlags::empty(), &at).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            if number % BURST == 0 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(crate::traffic::PAUSE);
            }
        }
    })
}

/// How many connections there are of a stage.
fn count(lab: &Lab, stage: &str) -> usize {
    let said = lab.says(["conntrack", "list", "-o", "json", "--stage", stage]);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    document["connections"].as_array().expect("a list").len()
}

#[test]
fn a_flood_of_syns_ends_nothing_that_is_established() {
    let test = "syn_flood::a_flood_of_syns_ends_nothing_that_is_established";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    // Answers to the flood are sent, to somebody who does not listen.
    for number in 0..SOURCES {
        let address = format!("{}.{}", lab.wire.net4, 100 + number);
        let neighbour =
            format!("neigh add {address} dev {} lladdr 02:00:00:00:00:01", lab.wire.right);
        must(&format!("ip -n {} {neighbour}", lab.right));
    }
    let rules = policy("flood", "right", &ports("TCP", &[PORT, 7003]), "");
    let artifact = build("flood", &rules, ROOM);
    let to = bind(
        &lab,
        "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n",
    );
    lab.apply(&artifact, &to).expect("applies");

    let right = SocketAddr::from((lab.address(2), PORT));
    let listener = within(&lab.right, || TcpListener::bind(right));
    let (mut idle_client, mut idle_server) = lab.tcp_to(&listener);
    assert!(both_ways(&mut idle_client, &mut idle_server));
    let busy = Conversation::start(&lab, 7003);
    assert_eq!(count(&lab, "half-open"), 0);

    let sent = Arc::new(AtomicU32::new(0));
    let flooding = flood(&lab, &sent);
    let many = || (sent.load(Ordering::Relaxed) > 4 * ROOM.half_open).then_some(());
    wait_for("more SYNs than there is room for", many);
    // New ones are opened beside the flood, at the port that is flooded.
    let mut during: Vec<_> = (0..5).map(|_| lab.tcp_to(&listener)).collect();
    flooding.end();
    for (client, server) in &mut during {
        assert!(both_ways(client, server), "established meanwhile");
    }
    assert!(both_ways(&mut idle_client, &mut idle_server), "established before, and idle");
    assert!(busy.end() > 0, "established before, and busy");
    let half = count(&lab, "half-open");
    println!("{} SYNs, {half} half-open connections", sent.load(Ordering::Relaxed));
    assert!((1..=ROOM.half_open as usize).contains(&half), "{half}");
    let (mut client, mut server) = lab.tcp_to(&listener);
    assert!(both_ways(&mut client, &mut server), "established after");
    let status = lab.says(["status"]);
    assert!(!status.contains("conntrack full"), "{status}");
}

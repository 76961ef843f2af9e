//! What packets get at a cgroup: what its sockets send, as whole packets, and what a
//! network stack hands to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use policyc_bpf::Artifact;
use policyc_policy::network::Direction;
use policyc_runtime::{Events, Options};
use policyc_sys::net::{EVERY_PROTOCOL, PacketSocket};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, sendto};

use super::Play;
use super::bench::{self, rules, socket};
use super::packet::{DESTINATION, FRAGMENT, HOP_BY_HOP, Packet, ROUTING};
use super::rows::{Policy, Step};
use crate::build::{artifact, bind, example};
use crate::lab::{Lab, PATIENCE, must, wait_for};
use crate::sockets::{self, Wanted};

/// Protocols with a socket that receives them.
const RECEIVED: [u8; 8] = [1, 6, 17, 47, 58, 89, 132, 253];
/// Of a socket that sends whole packets.
const WHOLE: u8 = 255;
/// How long what must not come is waited for.
const SILENCE: Duration = Duration::from_millis(100);

pub(super) struct Stack {
    artifact: Artifact,
    events: Events,
    left: PacketSocket,
    /// By family and protocol.
    sockets: BTreeMap<(bool, u8), OwnedFd>,
    /// Of the right end, for what goes to addresses of the link.
    ifindex: u32,
    _lab: Lab,
}

impl Stack {
    pub(super) fn new(test: &str, policy: Policy) -> Option<Self> {
        let mut lab = Lab::new(test)?;
        let (left, right) = (&lab.left, &lab.right);
        // At the left end nobody answers; the right end sends everything there.
        for command in [
            format!("ip -n {left} addr flush dev {}", lab.wire.left),
            format!("ip -n {left} link set {} mtu 9000", lab.wire.left),
            format!("ip -n {right} link set {} mtu 9000", lab.wire.right),
            format!("ip -n {right} route add default via 10.77.0.1"),
            format!("ip -n {right} -6 route add default via fd77::1"),
            format!("ip -n {right} addr add fe80::2/64 dev {} nodad", lab.wire.right),
            format!(
                "ip -n {right} neigh add fe80::1 dev {} lladdr 02:00:00:00:00:01",
                lab.wire.right
            ),
        ] {
            must(&command);
        }
        let cgroup = lab.cgroup();
        let artifact = artifact("frames", &rules(policy), &example("ping/inventory.yaml"));
        let at = format!("{{cgroup: {{path: {}}}}}", cgroup.display());
        let bindings = bench::bindings(policy, &[at]);
        let options = Options { report_forwarded: true, ..Options::default() };
        let applied = lab.apply_with(&artifact, &bind(&lab, &bindings), options);
        applied.unwrap_or_else(|error| panic!("{error:?}"));
        let names: Vec<_> = [true, false]
            .into_iter()
            .flat_map(|v4| RECEIVED.iter().chain(&[WHOLE]).map(move |protocol| (v4, *protocol)))
            .collect();
        let wanted: Vec<_> = names.iter().map(|(v4, p)| Wanted::Raw(*v4, *p)).collect();
        let made = sockets::make(&cgroup, &lab.right, &wanted);
        let sockets = names.into_iter().zip(made).collect();
        let left = socket(&lab.left, lab.wire.left, EVERY_PROTOCOL);
        let events = Events::open(&lab.dirs).expect("a ring");
        let ifindex = bench::index(&lab.right, lab.wire.right);
        Some(Self { artifact, events, left, sockets, ifindex, _lab: lab })
    }

    fn can(packet: &Packet) -> bool {
        let way = packet.way;
        let bytes = packet.network();
        let is_sent = way.direction == Direction::Egress;
        if !packet.is_bare() || (is_sent && packet.linear.is_some()) {
            return false;
        }
        match way.direction {
            // The header's own length is not beyond its end, and there is a way there.
            Direction::Egress if way.is_v4() => {
                let length = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
                length >= 20 && length <= bytes.len()
            }
            Direction::Egress => bytes.len() >= 40 && !way.destination().is_unspecified(),
            Direction::Ingress => {
                // What a stack takes: whole, to an address that it has.
                let own: [IpAddr; 2] = ["10.77.0.2", "fd77::2"].map(|a| a.parse().expect("one"));
                let known = [HOP_BY_HOP, ROUTING, DESTINATION, FRAGMENT];
                packet.is_unchanged()
                    && packet.is_whole()
                    && own.contains(&way.own)
                    && RECEIVED.contains(&packet.protocol())
                    && packet.extensions().all(|kind| known.contains(&kind))
                    && packet.extensions().skip(1).all(|kind| kind != HOP_BY_HOP)
            }
        }
    }

    fn send(&mut self, step: &Step) -> Result<(), String> {
        let way = step.packet.way;
        let bytes = step.packet.network();
        let to = match way.destination() {
            IpAddr::V4(to) => SocketAddr::V4(SocketAddrV4::new(to, 0)),
            IpAddr::V6(to) => {
                let scope = if to.is_unicast_link_local() { self.ifindex } else { 0 };
                SocketAddr::V6(SocketAddrV6::new(to, 0, 0, scope))
            }
        };
        let sent = sendto(&self.sockets[&(way.is_v4(), WHOLE)], &bytes, SendFlags::empty(), &to);
        match (sent, step.passes) {
            (Ok(_), true) | (Err(Errno::PERM), false) => {}
            (other, _) => {
                let _ = bench::verdict(&mut self.events, SILENCE);
                return Err(format!("sending: {other:?}"));
            }
        }
        let expected = as_sent(bytes, way.is_v4());
        self.judged(step, &expected)?;
        // What the right end says by itself comes too.
        let start = Instant::now();
        while step.passes && start.elapsed() < PATIENCE {
            let frame = self.left.receive(PATIENCE).expect("a socket");
            if frame.is_some_and(|frame| frame.get(14..) == Some(&expected)) {
                return Ok(());
            }
        }
        if step.passes { Err("did not arrive".to_owned()) } else { Ok(()) }
    }

    /// Sends a packet in two fragments, perhaps the second one first.
    pub(super) fn play_in_fragments(
        &mut self,
        step: &Step,
        last_first: bool,
    ) -> Result<(), String> {
        let mut fragments = step.packet.split();
        if last_first {
            fragments.reverse();
        }
        for fragment in fragments {
            self.left.send(&fragment.bytes()).map_err(|error| format!("not sent: {error}"))?;
        }
        let verdict = bench::verdict(&mut self.events, PATIENCE)?;
        bench::is_as_expected(self.artifact.manifest(), &verdict, step)?;
        self.arrived(step)
    }

    fn receive(&mut self, step: &Step) -> Result<(), String> {
        let bytes = step.packet.bytes();
        let sent = match step.packet.linear {
            Some(linear) => self.left.send_in_pieces(&bytes, linear),
            None => self.left.send(&bytes),
        };
        sent.map_err(|error| format!("not sent: {error}"))?;
        self.judged(step, &step.packet.network())?;
        self.arrived(step)
    }

    /// Whether the socket of the packet's protocol has it, if it should.
    fn arrived(&self, step: &Step) -> Result<(), String> {
        let way = step.packet.way;
        let socket = &self.sockets[&(way.is_v4(), step.packet.protocol())];
        let mut buffer = vec![0; 9000];
        let mut look = || match recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Some(length),
            Err(_) => None,
        };
        if !step.passes {
            // Judged, so it would have been there.
            return look().map_or(Ok(()), |_| Err("arrived".to_owned()));
        }
        let length = wait_for("the packet", look);
        // Of IPv6 without its headers, of IPv4 with one that may have been put together.
        let got = &buffer[if way.is_v4() { 20 } else { 0 }..length];
        if step.packet.network().ends_with(got) {
            Ok(())
        } else {
            Err("arrived otherwise".to_owned())
        }
    }

    fn judged(&mut self, step: &Step, seen: &[u8]) -> Result<(), String> {
        let verdict = bench::verdict(&mut self.events, PATIENCE)?;
        bench::is_as_expected(self.artifact.manifest(), &verdict, step)?;
        if seen.starts_with(&verdict.head) && verdict.from_network_header {
            Ok(())
        } else {
            Err(format!("observed {:02x?}, not {seen:02x?}", verdict.head))
        }
    }
}

impl Play for Stack {
    fn play(&mut self, steps: &[Step]) -> Option<Vec<String>> {
        if !steps.iter().all(|step| Self::can(&step.packet)) {
            return None;
        }
        let mut wrong = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let done = match step.packet.way.direction {
                Direction::Egress => self.send(step),
                Direction::Ingress => self.receive(step),
            };
            if let Err(why) = done {
                wrong.push(format!(", packet {}: {why}", number + 1));
                while self.events.next_within(SILENCE).expect("a ring").is_some() {}
            }
        }
        Some(wrong)
    }
}

/// A packet as it leaves: the kernel fills in an IPv4 header's length and checksum.
fn as_sent(mut bytes: Vec<u8>, v4: bool) -> Vec<u8> {
    let header = usize::from(bytes[0] & 15) * 4;
    if v4 && header >= 20 {
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes[10..12].fill(0);
        let sum = super::packet::checksum(super::packet::words(&bytes[..header]));
        bytes[10..12].copy_from_slice(&sum);
    }
    bytes
}

//! A wire on which nobody speaks, with the subject's programs at its right end.

use std::time::{Duration, Instant};

use policyc::observe::{Record, Verdict, decode};
use policyc_bpf::{Artifact, Manifest, Reason};
use policyc_policy::network::Direction;
use policyc_runtime::{Events, Options};
use policyc_sys::net::{EVERY_PROTOCOL, PacketSocket, in_netns, interface_by_name};
use policyc_sys::{bpf, errno};

use super::packet::{IPV4, IPV6, SERVICE_TAG, TAG, Way};
use super::rows::{Policy, Step};
use super::{Place, Play};
use crate::build::{artifact, bind, example};
use crate::count::{Counter, PUSHED};
use crate::lab::{Lab, PATIENCE, must};

/// What may be sent and received. In `PEER` stands `from` or `to`.
const RULES: &str = "
  - {PEERCIDR: [203.0.113.0/24, '2001:db8::/48'], toPorts: [{ports: [{port: '443', protocol: TCP}, {port: '53', protocol: UDP}, {port: '9', protocol: SCTP}]}]}
  - {icmps: [{fields: [{family: IPv4, type: 8}, {family: IPv6, type: 128}]}]}
  - {PEERCIDR: [198.51.100.0/24, '2001:db8:5::/48']}
";
const HEAD: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: frames, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
";
const OPEN: &str = "
  enableDefaultDeny: {ingress: false, egress: false}
  ingressDeny: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]
";
/// What arrives somewhere behind the programs on tc, by its Ethertype without the
/// outermost tag.
const ETHERTYPES: [u16; 9] = [IPV4, IPV6, TAG, SERVICE_TAG, 0x0806, 0x88cc, 0x8863, 0x8864, 0x8847];
/// How long what must not come is waited for where nothing else shows that it does not.
const SILENCE: Duration = Duration::from_millis(200);
/// Bytes of a packet that an event holds at least, if there are as many.
const HELD: usize = 54;

pub(super) struct Bench {
    place: Place,
    policy: Policy,
    artifact: Artifact,
    events: Events,
    /// At the left end, for what the subject sends.
    left: PacketSocket,
    /// At the right end, behind the programs.
    right: Vec<PacketSocket>,
    /// Counts what comes to the programs in pieces: received, sent.
    pieces: [Counter; 2],
    /// Puts a tag on what is sent before the programs judge it.
    tags: Option<Counter>,
    lab: Lab,
}

impl Bench {
    pub(super) fn new(test: &str, place: Place, policy: Policy) -> Option<Self> {
        let lab = Lab::new(test)?;
        lab.without_ipv6();
        // The driver's XDP takes no long frames: with them the network stack runs it.
        let mtu = if place == Place::Xdp { 1500 } else { 9000 };
        for (netns, dev) in [(&lab.left, lab.wire.left), (&lab.right, lab.wire.right)] {
            must(&format!("ip -n {netns} addr flush dev {dev}"));
            must(&format!("ip -n {netns} link set {dev} mtu {mtu}"));
        }
        let artifact = artifact("frames", &rules(policy), &example("ping/inventory.yaml"));
        let kinds: &[_] = match place {
            Place::Tcx => &["tc"],
            Place::Clsact => &["clsact"],
            Place::Xdp | Place::GenericXdp => &["xdp", "tc"],
            Place::Cgroup => &["cgroup"],
        };
        let at = |kind: &&str| format!("{{{kind}: {{interface: veth-right, netns: RIGHT}}}}");
        let bindings = bindings(policy, &kinds.iter().map(at).collect::<Vec<_>>());
        let options = Options { report_forwarded: true, ..Options::default() };
        let applied = lab.apply_with(&artifact, &bind(&lab, &bindings), options);
        applied.unwrap_or_else(|error| panic!("{error:?}"));
        let is_generic = lab.live().gates.iter().any(|gate| gate.generic_xdp);
        assert_eq!(is_generic, place == Place::GenericXdp);
        let left = socket(&lab.left, lab.wire.left, EVERY_PROTOCOL);
        let behind = ETHERTYPES.iter();
        let right = behind.map(|kind| socket(&lab.right, lab.wire.right, *kind)).collect();
        let events = Events::open(&lab.dirs).expect("a ring");
        let pieces = [bpf::Direction::Ingress, bpf::Direction::Egress]
            .map(|direction| Counter::of_pieces(&lab.right, lab.wire.right, direction));
        Some(Self { place, policy, artifact, events, left, right, pieces, tags: None, lab })
    }

    /// Nothing of a frame that was not as expected is taken for one of the next.
    fn forget(&mut self) {
        while self.events.next_within(SILENCE).expect("a ring").is_some() {}
        while self.left.receive(Duration::ZERO).expect("a socket").is_some() {}
        while self.at_right(Duration::ZERO).is_some() {}
    }

    /// Somebody before the programs puts a tag on what is sent. It lies beside the packet.
    pub(super) fn push_tags(&mut self) {
        let (netns, dev) = (&self.lab.right, self.lab.wire.right);
        self.tags = Some(Counter::that_tags(netns, dev, bpf::Direction::Egress));
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let pieces_before = self.pieces.each_ref().map(Counter::packets);
        self.send(step)?;
        self.is_judged(step)?;
        let pieces = self.pieces.each_ref().map(Counter::packets);
        let more: u64 = pieces.iter().zip(pieces_before).map(|(now, before)| now - before).sum();
        if step.packet.linear.is_some() && more != 1 {
            return Err("it came in one piece".to_owned());
        }
        if step.passes { self.arrives(step) } else { Ok(()) }
    }

    /// Whether every place that it comes to says what the row says.
    fn is_judged(&mut self, step: &Step) -> Result<(), String> {
        let first = verdict(&mut self.events, PATIENCE)?;
        is_as_expected(self.artifact.manifest(), &first, step)?;
        let is_sent = step.packet.way.direction == Direction::Egress;
        if is_sent || !self.place.is_xdp() {
            return is_observed(&first, &on_tc(step));
        }
        is_observed(&first, &step.packet.bytes())?;
        if !step.passes {
            return Ok(());
        }
        // What passes on XDP passes on tc, for the same reason.
        let again = verdict(&mut self.events, PATIENCE)?;
        is_as_expected(self.artifact.manifest(), &again, step)?;
        if again.attach == first.attach {
            return Err("judged twice at one place".to_owned());
        }
        is_observed(&again, &on_tc(step))
    }

    /// Whether it comes out at the other side as it was sent.
    fn arrives(&self, step: &Step) -> Result<(), String> {
        let is_sent = step.packet.way.direction == Direction::Egress;
        let mut expected = on_tc(step);
        if is_sent && self.tags.is_some() {
            expected.splice(12..12, PUSHED);
        }
        let arrived = if is_sent { self.at_left() } else { self.at_right(PATIENCE) };
        match arrived {
            Some(bytes) if bytes == expected => Ok(()),
            Some(bytes) => Err(format!("arrived as {bytes:02x?}, not {expected:02x?}")),
            None => Err("did not arrive".to_owned()),
        }
    }

    fn send(&self, step: &Step) -> Result<(), String> {
        let from = match step.packet.way.direction {
            Direction::Ingress => &self.left,
            Direction::Egress => &self.right[0],
        };
        let bytes = step.packet.bytes();
        let sent = match step.packet.linear {
            Some(linear) => from.send_in_pieces(&bytes, linear),
            None => from.send(&bytes),
        };
        match sent {
            // KERNEL: who sends is told of what is dropped on its way out.
            Err(error) if error.is(errno::ENOBUFS) && !step.passes => Ok(()),
            other => other.map_err(|error| format!("not sent: {error}")),
        }
    }

    fn at_left(&self) -> Option<Vec<u8>> {
        self.left.receive(PATIENCE).expect("a socket")
    }

    /// What comes first to any of the sockets at the right end.
    fn at_right(&self, patience: Duration) -> Option<Vec<u8>> {
        let start = Instant::now();
        loop {
            for socket in &self.right {
                let frame = socket.receive(Duration::ZERO).expect("a socket");
                if frame.is_some() {
                    return frame;
                }
            }
            if start.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// What is sent last arrives next, each way; nothing of what was dropped does.
    fn nothing_else_arrived(&mut self) -> Result<(), String> {
        if self.policy == Policy::Nobody {
            return match (self.left.receive(SILENCE).expect("a socket"), self.at_right(SILENCE)) {
                (None, None) => Ok(()),
                (left, right) => Err(format!("{left:02x?} {right:02x?} arrived")),
            };
        }
        for direction in Direction::BOTH {
            let [own, peer] = ["10.77.0.2", "203.0.113.1"].map(|a| a.parse().expect("an address"));
            let last = Way { direction, own, peer, number: 7 }.udp(53);
            let reason = match self.policy {
                Policy::Open => Reason::NoPolicy,
                _ => Reason::Rule,
            };
            self.step(&Step { packet: last, passes: true, reason })?;
        }
        // By whichever socket: its own came, and there is no other.
        match (self.left.receive(Duration::ZERO).expect("a socket"), self.at_right(Duration::ZERO))
        {
            (None, None) => Ok(()),
            (left, right) => Err(format!("{left:02x?} {right:02x?} arrived")),
        }
    }
}

impl Play for Bench {
    fn play(&mut self, steps: &[Step]) -> Option<Vec<String>> {
        let mut wrong = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            if let Err(why) = self.step(step) {
                wrong.push(format!(", frame {}: {why}", number + 1));
                self.forget();
            }
        }
        if let Err(why) = self.nothing_else_arrived() {
            wrong.push(format!(", afterwards: {why}"));
            self.forget();
        }
        Some(wrong)
    }
}

/// What the programs say about the packet that was sent last.
pub(super) fn verdict(events: &mut Events, patience: Duration) -> Result<Verdict, String> {
    let start = Instant::now();
    while start.elapsed() < patience {
        let record = events.next_within(patience).expect("a ring");
        match record.as_deref().map(decode) {
            Some(Record::Verdict(verdict)) => return Ok(verdict),
            Some(other) => return Err(format!("{other:?}")),
            None => {}
        }
    }
    Err("nobody judged it".to_owned())
}

/// Whether a packet gets what its row says, for that reason.
pub(super) fn is_as_expected(
    manifest: &Manifest,
    verdict: &Verdict,
    step: &Step,
) -> Result<(), String> {
    let is_sent = step.packet.way.direction == Direction::Egress;
    let reason = manifest.decisions[verdict.decision as usize].reason;
    if (verdict.forwarded, reason, verdict.egress) == (step.passes, step.reason, is_sent) {
        return Ok(());
    }
    let (got, expected) = (word(verdict.forwarded), word(step.passes));
    Err(format!("{got} by {reason:?}, not {expected} by {:?}", step.reason))
}

fn word(forwarded: bool) -> &'static str {
    if forwarded { "passed" } else { "dropped" }
}

pub(super) fn socket(netns: &str, interface: &str, ethertype: u16) -> PacketSocket {
    let open = || PacketSocket::open(interface_by_name(interface)?.index, ethertype);
    in_netns(Some(&Lab::netns(netns)), open).expect("a packet socket")
}

pub(super) fn index(netns: &str, interface: &str) -> u32 {
    let found = in_netns(Some(&Lab::netns(netns)), || interface_by_name(interface));
    found.expect("an interface").index
}

/// The frame as tc sees it: on its way in, the outermost tag is taken off.
fn on_tc(step: &Step) -> Vec<u8> {
    let mut bytes = step.packet.bytes();
    if step.packet.way.direction == Direction::Ingress && step.packet.tag_count() > 0 {
        bytes.drain(12..16);
    }
    bytes
}

/// Whether an event holds the beginning of a packet.
fn is_observed(verdict: &Verdict, seen: &[u8]) -> Result<(), String> {
    let holds_enough = seen.len() < HELD || verdict.head.len() >= HELD;
    if holds_enough && seen.starts_with(&verdict.head) {
        return Ok(());
    }
    Err(format!("observed {:02x?}", verdict.head))
}

/// Who is bound to places.
pub(super) fn bindings(policy: Policy, places: &[String]) -> String {
    match policy {
        Policy::Nobody => format!(" []\nunknownSubjects: [{}]\n", places.join(", ")),
        Policy::Closed | Policy::Open => {
            places.iter().map(|at| format!("- {{subject: demo/right, attach: {at}}}\n")).collect()
        }
    }
}

/// The policy.
pub(super) fn rules(policy: Policy) -> String {
    match policy {
        Policy::Open => format!("{HEAD}{OPEN}"),
        Policy::Closed | Policy::Nobody => {
            let [ingress, egress] = ["from", "to"].map(|peer| RULES.replace("PEER", peer));
            format!("{HEAD}  ingress:{ingress}  egress:{egress}")
        }
    }
}

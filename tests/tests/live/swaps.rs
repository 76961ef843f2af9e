//! Swaps under traffic: nothing is lost, and every packet is judged once.
//!
//! Each generation counts in maps of its own, which stay readable while they are
//! held. A foreign program before policyc's counts what arrives, one behind it what
//! was passed on. If all three agree, no packet was undecided (the end of a gate
//! denies) and none was judged by two generations.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use policyc_bpf::Artifact;
use policyc_runtime::{Attach, Bindings, Options};
use policyc_sys::bpf::{Direction, Map, obj_get};

use crate::build::{bind, example, ping_artifact};
use crate::count::{Counter, judged};
use crate::lab::Lab;
use crate::sockets;
use crate::traffic::{Conversation, Stream};

/// How many swaps a test makes. Most of the time goes to the kernel's verifier.
fn swaps() -> usize {
    let asked = std::env::var("POLICYC_SWAPS").ok();
    asked.map_or(100, |number| number.parse().expect("POLICYC_SWAPS is a number"))
}

/// Two policies that allow everything, each by a rule of its own.
fn two_that_allow() -> [Artifact; 2] {
    let text = example("ping/allow-all.yaml");
    ["one", "two"].map(|name| ping_artifact(name, &text.replace("allow-all", name)))
}

/// A numbered stream of datagrams and a numbered conversation.
struct Traffic {
    stream: Stream,
    conversation: Conversation,
}

impl Traffic {
    fn start(lab: &Lab) -> Self {
        let (stream, conversation) = (Stream::start(lab, 7001), Conversation::start(lab, 7002));
        Self { stream, conversation }
    }

    /// To sockets of a cgroup at the right end.
    fn to_cgroup(lab: &Lab, cgroup: &Path) -> Self {
        let at = |port| SocketAddr::from((lab.address(2), port));
        let (receiver, listener) = sockets::of_cgroup(cgroup, &lab.right, at(7001), at(7002));
        let stream = Stream::between(lab.udp_to(&receiver), receiver);
        let (client, server) = lab.tcp_to(&listener);
        Self { stream, conversation: Conversation::between(client, server) }
    }

    /// Ends it; nothing of it may be lost. What it was, in words.
    fn end(self) -> String {
        let answers = self.conversation.end();
        let (sent, received) = self.stream.end();
        assert_eq!(received, sent, "datagrams arrive");
        assert!(sent > 0 && answers > 0, "there was traffic");
        format!("{sent} datagrams, {answers} answers")
    }
}

/// Swaps, and adds up what each generation judged but the last, whose counters are
/// returned.
fn swap(lab: &Lab, artifacts: &[Artifact; 2], to: &Bindings, mut live: Map) -> (u64, Map) {
    let mut sum = 0;
    for artifact in artifacts.iter().cycle().skip(1).take(swaps()) {
        let outcome = lab.apply(artifact, to).unwrap_or_else(|error| panic!("{error:?}"));
        let next = lab.counters(outcome.generation);
        // Its last packet was judged before `apply` returned.
        sum += judged(&std::mem::replace(&mut live, next));
    }
    (sum, live)
}

fn nothing_is_lost(test: &str, bindings: &str) {
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let (artifacts, to) = (two_that_allow(), bind(&lab, bindings));
    let is_xdp = to.bindings.iter().any(|binding| matches!(binding.attach, Attach::Xdp(_)));
    // What is attached before the gate comes behind it in the chain.
    let right = |direction| Counter::attach(&lab.right, "veth-right", direction);
    let behind_in = right(Direction::Ingress);
    let behind_out = right(Direction::Egress);
    lab.apply(&artifacts[0], &to).unwrap_or_else(|error| panic!("{error:?}"));
    let first = lab.counters(1);
    let (before_in, before_out) = if is_xdp {
        // XDP sees what the other end sends, and nothing that goes out.
        (Counter::attach(&lab.left, "veth-left", Direction::Egress), None)
    } else {
        (right(Direction::Ingress), Some(right(Direction::Egress)))
    };

    let start = Instant::now();
    let traffic = Traffic::start(&lab);
    let (sum, last) = swap(&lab, &artifacts, &to, first);
    let traffic = traffic.end();
    let took = start.elapsed();
    let judged = sum + judged(&last);

    assert_eq!(behind_in.packets(), before_in.packets(), "packets arrive as they were sent");
    let out = before_out.as_ref().map_or(0, Counter::packets);
    if before_out.is_some() {
        assert_eq!(behind_out.packets(), out, "packets leave as they were sent");
    }
    assert_eq!(judged, before_in.packets() + out, "each packet is judged once");
    println!("{test}: {} swaps in {took:?}, {judged} verdicts, {traffic}", swaps());
}

/// With two generations in place, the one word that says which is live changes far
/// more often than commands could change it. `met` adds up the hooks that packets
/// met, by what was counted left in, left out, right in, right out.
fn stores_lose_nothing(test: &str, bindings: &str, met: impl Fn([u64; 4]) -> u64) {
    const STORES: u64 = 20_000;
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let (artifacts, to) = (two_that_allow(), bind(&lab, bindings));
    lab.apply(&artifacts[0], &to).unwrap_or_else(|error| panic!("{error:?}"));
    let counters = Counter::around(&lab);
    let options = Options { confirm: Some(Duration::from_secs(3600)), ..Options::default() };
    lab.apply_with(&artifacts[1], &to, options).unwrap_or_else(|error| panic!("{error:?}"));
    let generations = [lab.counters(1), lab.counters(2)];
    let state = obj_get(&lab.dirs.pins().join("state")).and_then(Map::from_fd).expect("pinned");

    let traffic = Traffic::start(&lab);
    for store in 0..STORES {
        // Bit 0 is the parity; without bit 1 no confirmation is awaited.
        state.update(&[0; 4], &(store & 1).to_ne_bytes(), 0).expect("stores");
        thread::sleep(Duration::from_micros(100));
    }
    let traffic = traffic.end();
    let judged = generations.each_ref().map(judged);
    let met = met(counters.each_ref().map(Counter::packets));
    assert_eq!(judged.iter().sum::<u64>(), met, "each packet is judged once at each hook");
    assert!(judged.iter().all(|packets| *packets > 0), "{judged:?}");
    println!("{test}: {STORES} stores, {judged:?} verdicts, {traffic}");
}

#[test]
fn by_nothing_but_the_store() {
    let both = "- subject: demo/left
  attach: {tc: {interface: veth-left, netns: LEFT}}
- subject: demo/right
  attach: {clsact: {interface: veth-right, netns: RIGHT}}
";
    let all = |met: [u64; 4]| met.iter().sum();
    stores_lose_nothing("swaps::by_nothing_but_the_store", both, all);
}

#[test]
fn by_nothing_but_the_store_on_xdp() {
    let right = "- subject: demo/right
  attach: {xdp: {interface: veth-right, netns: RIGHT}}
";
    let sent_by_left = |[_, out, _, _]: [u64; 4]| out;
    stores_lose_nothing("swaps::by_nothing_but_the_store_on_xdp", right, sent_by_left);
}

#[test]
fn on_tcx() {
    let right = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
    nothing_is_lost("swaps::on_tcx", right);
}

#[test]
fn on_clsact() {
    let right = "- subject: demo/right
  attach: {clsact: {interface: veth-right, netns: RIGHT}}
";
    nothing_is_lost("swaps::on_clsact", right);
}

#[test]
fn on_xdp() {
    let right = "- subject: demo/right
  attach: {xdp: {interface: veth-right, netns: RIGHT}}
";
    nothing_is_lost("swaps::on_xdp", right);
}

/// A cgroup's sockets are at one end; the programs before and behind are at the same
/// cgroup.
#[test]
fn on_a_cgroup() {
    let test = "swaps::on_a_cgroup";
    let Some(mut lab) = Lab::new(test) else { return };
    let cgroup = lab.cgroup();
    let right =
        format!("- subject: demo/right\n  attach: {{cgroup: {{path: {}}}}}\n", cgroup.display());
    let (artifacts, to) = (two_that_allow(), bind(&lab, &right));
    let both = [Direction::Ingress, Direction::Egress];
    let before = both.map(|direction| Counter::attach_to_cgroup(&cgroup, direction));
    lab.apply(&artifacts[0], &to).unwrap_or_else(|error| panic!("{error:?}"));
    let first = lab.counters(1);
    let behind = both.map(|direction| Counter::attach_to_cgroup(&cgroup, direction));

    let start = Instant::now();
    let traffic = Traffic::to_cgroup(&lab, &cgroup);
    let (sum, last) = swap(&lab, &artifacts, &to, first);
    let traffic = traffic.end();
    let took = start.elapsed();
    let judged = sum + judged(&last);

    let packets = |counters: &[Counter; 2]| counters.each_ref().map(Counter::packets);
    assert_eq!(packets(&before), packets(&behind), "packets go on as they came");
    assert_eq!(judged, packets(&before).iter().sum::<u64>(), "each packet is judged once");
    println!("{test}: {} swaps in {took:?}, {judged} verdicts, {traffic}", swaps());
}

//! The steps about packets.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policyc_runtime::{Attach, Binding, Bindings, Mechanism, Port, Side};

use crate::Doing as _;
use crate::machine::{self, CGROUPS};
use crate::network::{
    self, NEIGHBOUR, RIGHT, RIGHT_OF_PING, SERVER, VETH_LEFT, VETH_RIGHT, on_the_right,
};
use crate::runtime::Runtime;
use crate::said::{Filtered, Said, Step, Swapped};
use crate::traffic::{Echo, Outcome, Ping, Stream, port_answers};

/// How often one policy takes the place of the other by `tc`; a fifth by `clsact`.
const GENERATIONS: u32 = 50;
/// The port of the numbered stream, which no example denies.
pub(crate) const STREAM_PORT: u16 = 7;
/// The port that `packet-of-death` drops, and one that it does not.
const DROPPED: u16 = 19_999;
const PASSED: u16 = 19_998;

/// `deny-echo` and `allow-all` in turns, while a numbered stream goes on.
pub(crate) fn swap(step: Step) -> Result<Said, String> {
    network::build()?;
    let policies = [machine::artifact("deny-echo")?, machine::artifact("allow-all")?];
    let bindings = both_ends(step);
    let runtime = Runtime::new()?;
    let mut ping = Ping::new(RIGHT_OF_PING)?;
    let _echo = Echo::new(RIGHT_OF_PING, STREAM_PORT)?;
    let before = ping.answered(true)?;

    let stream = Stream::start((RIGHT_OF_PING, STREAM_PORT))?;
    let (mut wrong, mut took) = (Vec::new(), Vec::new());
    let generations = if step == Step::Tc { GENERATIONS } else { GENERATIONS / 5 };
    for generation in 1..=generations {
        let allowed = generation % 2 == 0;
        stream.moment(generation);
        let start = Instant::now();
        runtime.apply(&policies[usize::from(allowed)], &bindings)?;
        took.push(start.elapsed());
        if ping.answered(allowed)? != allowed {
            wrong.push(format!("generation {generation}: answered {}", !allowed));
        }
    }
    let live = runtime.live()?;
    let mechanisms: BTreeSet<_> = live.gates.iter().map(|g| mechanism(g.mechanism)).collect();
    let drift = live.has_drift();
    stream.moment(generations + 1);
    let left = runtime.remove()?;
    let after = ping.answered(true)?;
    let Outcome { sent, lost } = stream.stop()?;
    Ok(Said::Swapped(Swapped {
        mechanisms: mechanisms.into_iter().map(str::to_owned).collect(),
        generations,
        wrong,
        sent,
        lost,
        drift,
        outside: (before, after),
        left,
        apply_ms: median(took).as_millis() as u64,
    }))
}

/// The bindings of the example `ping`.
pub(crate) fn both_ends(step: Step) -> Bindings {
    let port = |interface: &str, netns: Option<&str>| Port {
        interface: interface.to_owned(),
        netns: netns.map(PathBuf::from),
        side: Side::Own,
    };
    let attach = |port| if step == Step::Clsact { Attach::Clsact(port) } else { Attach::Tc(port) };
    let bind = |subject: &str, port| Binding { subject: subject.to_owned(), attach: attach(port) };
    let left = bind("demo/left", port(VETH_LEFT, None));
    let right = bind("demo/right", port(VETH_RIGHT, Some(RIGHT)));
    Bindings::from(vec![left, right])
}

const fn mechanism(mechanism: Option<Mechanism>) -> &'static str {
    match mechanism {
        Some(Mechanism::Tcx) => "tcx",
        Some(Mechanism::Clsact) => "clsact",
        None => "none",
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// `packet-of-death`, seen at the port that it drops and at another one.
pub(crate) fn filter(step: Step) -> Result<Said, String> {
    network::build()?;
    let in_cgroup = matches!(step, Step::Cgroup | Step::Followed);
    let name = if step == Step::Followed { "followed" } else { "server" };
    let cgroup = Path::new(CGROUPS).join(name);
    // The server is a process of the cgroup when it opens its sockets.
    if in_cgroup {
        fs::create_dir(&cgroup).doing("make a cgroup")?;
        enter(&cgroup)?;
    }
    let servers = [Echo::new(SERVER, DROPPED)?, Echo::new(SERVER, PASSED)?];
    if in_cgroup {
        enter(Path::new(CGROUPS))?;
    }
    let client = client(step)?;
    let ports = |dropped: bool| -> Result<(bool, bool), String> {
        let first = port_answers(&client, (SERVER, DROPPED), !dropped)?;
        Ok((first, port_answers(&client, (SERVER, PASSED), true)?))
    };

    let before = ports(false)?;
    let runtime = Runtime::new()?;
    let attach = place(step, &cgroup);
    let bindings = vec![Binding { subject: "edge/server".to_owned(), attach }];
    let (artifact, bindings) = (machine::artifact("packet-of-death")?, Bindings::from(bindings));
    where_given(step, || runtime.apply(&artifact, &bindings))?;
    let live = ports(true)?;
    let drift = where_given(step, || runtime.live())?.has_drift();
    let mode = xdp_interface(step).map_or(Ok(String::new()), network::xdp_mode)?;
    let left = runtime.remove()?;
    let after = ports(false)?;
    drop(servers);
    Ok(Said::Filtered(Filtered { mode, before, live, after, drift, left }))
}

/// Does what a command does where it is given: the host of that step is the right.
fn where_given<T: Send>(
    step: Step,
    command: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    if step != Step::Host {
        return command();
    }
    on_the_right(|| Ok(command())).doing("go to the right")?
}

/// Where the step's packets are received.
fn place(step: Step, cgroup: &Path) -> Attach {
    match xdp_interface(step) {
        None if step == Step::Host => Attach::Host { interfaces: Vec::new() },
        None => {
            let at = (step == Step::Followed).then(|| CGROUPS.into());
            Attach::Cgroup { path: cgroup.to_owned(), at }
        }
        Some(interface) => Attach::Xdp(Port {
            interface: interface.to_owned(),
            netns: Some(RIGHT.into()),
            side: Side::Own,
        }),
    }
}

/// `lo` has no XDP of its own, so it gets the generic one.
fn xdp_interface(step: Step) -> Option<&'static str> {
    match step {
        Step::Xdp => Some(VETH_RIGHT),
        Step::XdpGeneric => Some("lo"),
        _ => None,
    }
}

/// Who asks: the left; or a neighbour of the server on the right, over `lo`. (The
/// server's own address is no address of the world, which is all that the policy
/// is about.)
fn client(step: Step) -> Result<UdpSocket, String> {
    match step {
        Step::XdpGeneric => {
            let bound = on_the_right(|| Ok(UdpSocket::bind((NEIGHBOUR, 0))));
            bound.doing("go to the right")?.doing("bind")
        }
        _ => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing("bind"),
    }
}

/// Makes this process one of the cgroup.
fn enter(cgroup: &Path) -> Result<(), String> {
    let process = std::process::id().to_string();
    fs::write(cgroup.join("cgroup.procs"), process).doing("enter a cgroup")
}

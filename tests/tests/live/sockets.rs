//! Sockets of a cgroup, for tests whose process is not in it.
//!
//! A socket belongs to the cgroup that its maker was in when it was made. A process
//! cannot be in two, and the test runner's has other tests to do; so this program
//! runs again as a process that is moved first, makes the sockets, and stays until
//! they were taken over.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, Protocol, SocketType, socket};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::lab::Lab;

/// What makes the test below do its work: the address and ports.
const WANTED: &str = "POLICYC_TEST_SOCKETS";

/// What is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// A bound UDP socket.
    Udp(SocketAddr),
    /// A TCP listener.
    Tcp(SocketAddr),
    /// A raw socket of IPv4 or IPv6 and an IP protocol; of 255 one that sends whole
    /// packets (raw(7)).
    Raw(bool, u8),
}

impl Wanted {
    fn text(self) -> String {
        match self {
            Self::Udp(address) => format!("udp={address}"),
            Self::Tcp(address) => format!("tcp={address}"),
            Self::Raw(v4, protocol) => format!("raw{}={protocol}", if v4 { 4 } else { 6 }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('=')?;
        match kind {
            "udp" => rest.parse().ok().map(Self::Udp),
            "tcp" => rest.parse().ok().map(Self::Tcp),
            "raw4" | "raw6" => Some(Self::Raw(kind == "raw4", rest.parse().ok()?)),
            _ => None,
        }
    }

    fn make(self) -> OwnedFd {
        match self {
            Self::Udp(address) => UdpSocket::bind(address).expect("binds").into(),
            Self::Tcp(address) => TcpListener::bind(address).expect("binds").into(),
            Self::Raw(v4, protocol) => {
                let family = if v4 { AddressFamily::INET } else { AddressFamily::INET6 };
                let protocol = NonZeroU32::new(protocol.into()).map(Protocol::from_raw);
                socket(family, SocketType::RAW, protocol).expect("a raw socket")
            }
        }
    }
}

/// A UDP socket and a TCP listener of a cgroup, at an address of a namespace.
pub(crate) fn of_cgroup(
    cgroup: &Path,
    netns: &str,
    udp: SocketAddr,
    tcp: SocketAddr,
) -> (UdpSocket, TcpListener) {
    let mut made = make(cgroup, netns, &[Wanted::Udp(udp), Wanted::Tcp(tcp)]).into_iter();
    let (udp, tcp) = (made.next().expect("two"), made.next().expect("two"));
    (udp.into(), tcp.into())
}

/// Sockets of a cgroup and a namespace.
pub(crate) fn make(cgroup: &Path, netns: &str, wanted: &[Wanted]) -> Vec<OwnedFd> {
    let wanted: Vec<_> = wanted.iter().map(|wanted| wanted.text()).collect();
    let program = std::env::current_exe().expect("a path");
    let join = format!(
        "echo $$ > {}/cgroup.procs && exec nsenter --net={} {} --exact \
         sockets::are_made_for_another_test --nocapture",
        cgroup.display(),
        Lab::netns(netns).display(),
        program.display(),
    );
    let mut maker = Command::new("sh")
        .args(["-c", &join])
        .env(WANTED, wanted.join(" "))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(maker.stdout.take().expect("its output")).lines();
    let mut said = lines.by_ref().map_while(Result::ok);
    let made = said.find_map(|line| Some(line.split_once("made ")?.1.to_owned()));
    let made = made.expect("it made sockets");
    let pid = Pid::from_raw(maker.id().cast_signed()).expect("a process");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("a process");
    let taken = made.split(' ').map(|fd| -> OwnedFd {
        let fd = fd.parse().expect("a descriptor");
        pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).expect("a socket")
    });
    let taken = taken.collect();
    // It waits for the end of its input.
    drop(maker.stdin.take());
    lines.for_each(drop);
    let ended = maker.wait().expect("ends");
    assert!(ended.success(), "{ended}");
    taken
}

/// No test by itself: it does nothing unless [`make`] asks.
#[test]
fn are_made_for_another_test() {
    let Ok(wanted) = std::env::var(WANTED) else { return };
    let wanted = wanted.split(' ').map(|text| Wanted::parse(text).expect("known"));
    let made: Vec<OwnedFd> = wanted.map(Wanted::make).collect();
    let numbers: Vec<_> = made.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    println!("made {}", numbers.join(" "));
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing).expect("ends");
}

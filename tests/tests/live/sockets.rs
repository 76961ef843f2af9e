//! Sockets of a cgroup, for tests whose process is not in it.
//!
//! A socket belongs to the cgroup that its maker was in when it was made. A process
//! cannot be in two, and the test runner's has other tests to do; so this program
//! runs again as a process that is moved first, makes the sockets, and stays until
//! they were taken over.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::lab::Lab;

/// What makes the test below do its work: the address and ports.
const WANTED: &str = "POLICYC_TEST_SOCKETS";

/// A UDP socket and a TCP listener of a cgroup, at an address of a namespace.
pub(crate) fn of_cgroup(
    cgroup: &Path,
    netns: &str,
    udp: SocketAddr,
    tcp: SocketAddr,
) -> (UdpSocket, TcpListener) {
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
        .env(WANTED, format!("{udp} {tcp}"))
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
    let mut taken = made.split(' ').map(|fd| -> OwnedFd {
        let fd = fd.parse().expect("a descriptor");
        pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).expect("a socket")
    });
    let (udp, tcp) = (taken.next().expect("two"), taken.next().expect("two"));
    // It waits for the end of its input.
    drop(maker.stdin.take());
    lines.for_each(drop);
    let ended = maker.wait().expect("ends");
    assert!(ended.success(), "{ended}");
    (udp.into(), tcp.into())
}

/// No test by itself: it does nothing unless [`of_cgroup`] asks.
#[test]
fn are_made_for_another_test() {
    let Ok(wanted) = std::env::var(WANTED) else { return };
    let (udp, tcp) = wanted.split_once(' ').expect("two addresses");
    let udp = UdpSocket::bind(udp).expect("binds");
    let tcp = TcpListener::bind(tcp).expect("binds");
    println!("made {} {}", udp.as_raw_fd(), tcp.as_raw_fd());
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing).expect("ends");
}

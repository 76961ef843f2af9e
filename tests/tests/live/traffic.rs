//! Numbered traffic between the two ends of a lab.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use policyc_sys::SysError;
use policyc_sys::net::in_netns;

use crate::lab::{Lab, PATIENCE, wait_for};

/// Between two packets of a stream: the machine has other things to do too.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// Makes a socket in a namespace; it stays there whoever uses it.
pub(crate) fn within<T: Send>(netns: &str, open: impl FnOnce() -> std::io::Result<T> + Send) -> T {
    let path = Path::new("/run/netns").join(netns);
    let open = || open().map_err(|error| SysError::from_io("socket", &error));
    in_netns(Some(&path), open).unwrap_or_else(|error| panic!("{netns}: {error}"))
}

impl Lab {
    /// An IPv4 address of the lab's wire.
    pub(crate) fn address(&self, end: u8) -> IpAddr {
        format!("{}.{end}", self.wire.net4).parse().expect("an address")
    }

    /// Two UDP sockets, the left one connected to the right one.
    pub(crate) fn udp(&self, port: u16) -> (UdpSocket, UdpSocket) {
        let right = self.address(2);
        let receiver = within(&self.right, || UdpSocket::bind((right, port)));
        (self.udp_to(&receiver), receiver)
    }

    /// A socket at the left end that is connected to a receiver at the right.
    pub(crate) fn udp_to(&self, receiver: &UdpSocket) -> UdpSocket {
        receiver.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let (left, right) = (self.address(1), receiver.local_addr().expect("bound"));
        within(&self.left, || {
            let socket = UdpSocket::bind((left, 0))?;
            socket.connect(right)?;
            Ok(socket)
        })
    }

    /// A TCP connection from left to right: both ends.
    pub(crate) fn tcp(&self, port: u16) -> (TcpStream, TcpStream) {
        let right = SocketAddr::from((self.address(2), port));
        let listener = within(&self.right, || TcpListener::bind(right));
        self.tcp_to(&listener)
    }

    /// The same from right to left.
    pub(crate) fn tcp_back(&self, port: u16) -> (TcpStream, TcpStream) {
        let left = SocketAddr::from((self.address(1), port));
        let listener = within(&self.left, || TcpListener::bind(left));
        Self::connect(&self.right, &listener)
    }

    /// A connection from the left end to a listener at the right: both ends.
    pub(crate) fn tcp_to(&self, listener: &TcpListener) -> (TcpStream, TcpStream) {
        Self::connect(&self.left, listener)
    }

    fn connect(from: &str, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let to = listener.local_addr().expect("bound");
        let client = within(from, || TcpStream::connect_timeout(&to, PATIENCE));
        let (server, _) = listener.accept().expect("accepts");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("no delay");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        (client, server)
    }
}

/// Work that goes on in a thread until it is ended, or the value is gone.
#[derive(Debug)]
pub(crate) struct Background<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// The work looks at the flag and ends when it is set.
    pub(crate) fn start(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || work(&flag))) }
    }

    /// Ends it: what came of it.
    pub(crate) fn end(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("ended once");
        thread.join().expect("the work went well")
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Numbered datagrams from left to right.
#[derive(Debug)]
pub(crate) struct Stream {
    sending: Background<u64>,
    receiving: Background<u64>,
}

impl Stream {
    pub(crate) fn start(lab: &Lab, port: u16) -> Self {
        let (sender, receiver) = lab.udp(port);
        Self::between(sender, receiver)
    }

    /// Between two sockets of [`Lab::udp_to`].
    pub(crate) fn between(sender: UdpSocket, receiver: UdpSocket) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&received);
        Self {
            sending: Background::start(move |stop| send_numbers(&sender, &received, stop)),
            receiving: Background::start(move |stop| receive_numbers(&receiver, &seen, stop)),
        }
    }

    /// How many were sent, and how many of them arrived, in order and each once.
    pub(crate) fn end(self) -> (u64, u64) {
        let sent = self.sending.end();
        (sent, self.receiving.end())
    }
}

/// At most a window ahead of the receiver, so that no queue overflows.
fn send_numbers(socket: &UdpSocket, received: &AtomicU64, stop: &AtomicBool) -> u64 {
    const WINDOW: u64 = 64;
    let mut sent: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        if sent < received.load(Ordering::Relaxed) + WINDOW {
            socket.send(&sent.to_be_bytes()).expect("sends");
            sent += 1;
        }
        std::thread::sleep(PAUSE);
    }
    sent
}

/// Until nothing comes any more after the sender has stopped.
fn receive_numbers(socket: &UdpSocket, received: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut next: u64 = 0;
    let mut buffer = [0; 8];
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                let number = u64::from_be_bytes(buffer);
                assert_eq!(number, next, "a datagram is missing or came twice");
                next += 1;
                received.store(next, Ordering::Relaxed);
            }
            Err(_) if stop.load(Ordering::Relaxed) => return next,
            Err(_) => {}
        }
    }
}

/// A connection from left to right on which numbers are sent one by one, and each
/// is waited for to come back.
#[derive(Debug)]
pub(crate) struct Conversation {
    asking: Background<u64>,
    answering: Background<()>,
}

impl Conversation {
    pub(crate) fn start(lab: &Lab, port: u16) -> Self {
        let (client, server) = lab.tcp(port);
        Self::between(client, server)
    }

    /// Between the two ends of a connection.
    pub(crate) fn between(client: TcpStream, server: TcpStream) -> Self {
        Self {
            asking: Background::start(|stop| ask_numbers(client, stop)),
            // Ends when the other end closes.
            answering: Background::start(|_| answer_numbers(server)),
        }
    }

    /// How many came back.
    pub(crate) fn end(self) -> u64 {
        let answers = self.asking.end();
        self.answering.end();
        answers
    }
}

fn ask_numbers(mut stream: TcpStream, stop: &AtomicBool) -> u64 {
    let mut next: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&next.to_be_bytes()).expect("sends");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(u64::from_be_bytes(answer), next);
        next += 1;
        std::thread::sleep(PAUSE);
    }
    next
}

fn answer_numbers(mut stream: TcpStream) {
    let mut number = [0; 8];
    while stream.read_exact(&mut number).is_ok() {
        stream.write_all(&number).expect("sends");
    }
}

/// A `ping` that runs until the value is gone.
#[derive(Debug)]
pub(crate) struct Ping {
    child: Child,
    /// Sequence numbers of the replies so far.
    replies: Arc<Mutex<Vec<u64>>>,
    reader: Option<JoinHandle<()>>,
}

impl Ping {
    /// `to` is pinged 50 times a second; `before` is a shell's command that runs in
    /// the same process first.
    pub(crate) fn start(netns: &str, to: &str, before: &str) -> Self {
        let ping = format!("{before} exec ip netns exec {netns} ping -n -i 0.02 {to}");
        let mut child = Command::new("sh")
            .args(["-c", &ping])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ping");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let replies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&replies);
        let reader = std::thread::spawn(move || {
            for number in lines.map_while(Result::ok).filter_map(|line| reply(&line)) {
                seen.lock().expect("no panic").push(number);
            }
        });
        Self { child, replies, reader: Some(reader) }
    }

    /// Waits until more replies have come.
    pub(crate) fn more_replies(&self, count: usize) {
        let replies = || self.replies.lock().expect("no panic").len();
        let before = replies();
        wait_for("replies", || (replies() >= before + count).then_some(()));
    }

    /// Ends it, and reads what it said until then.
    pub(crate) fn stop(&mut self) {
        self.child.kill().expect("ends");
        self.reader.take().map(JoinHandle::join).transpose().expect("reads");
    }

    /// The runs of numbers that are missing: the first of each, and how many. What
    /// was sent after the last reply is not known.
    pub(crate) fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut expected = 1;
        for &reply in self.replies.lock().expect("no panic").iter() {
            assert!(reply >= expected, "{reply} came late or twice");
            if reply > expected {
                gaps.push((expected, reply - expected));
            }
            expected = reply + 1;
        }
        gaps
    }
}

/// The number of a line that tells of a reply.
fn reply(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("icmp_seq=").filter(|_| line.contains("bytes from"))?;
    rest.split(' ').next()?.parse().ok()
}

impl Drop for Ping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

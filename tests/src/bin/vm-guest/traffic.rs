//! Traffic between the two namespaces: pings, ports that answer, and a numbered
//! stream.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, ipproto, socket};

use crate::Doing as _;
use crate::network::on_the_right;

/// How long an answer may take. An emulated machine answers within milliseconds,
/// unless its emulator has to wait for a processor.
const PATIENCE: Duration = Duration::from_millis(250);
/// Attempts where an answer is expected.
const ATTEMPTS: u32 = 8;
/// How long the stream waits before it says that a datagram is lost.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// Pings from the left.
pub(crate) struct Ping {
    socket: UdpSocket,
    sequence: u16,
}

impl Ping {
    pub(crate) fn new(to: Ipv4Addr) -> Result<Self, String> {
        // Groups that may open such a socket.
        fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").doing("allow pings")?;
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP));
        // Of a datagram socket of ICMP the standard library needs nothing that one of
        // UDP has not.
        let socket = UdpSocket::from(socket.doing("open a socket for pings")?);
        socket.connect((to, 0)).doing("connect a socket for pings")?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Whether a ping is answered; asked more than once where it should be.
    pub(crate) fn answered(&mut self, expected: bool) -> Result<bool, String> {
        for _ in 0..if expected { ATTEMPTS } else { 1 } {
            self.sequence += 1;
            let sequence = self.sequence.to_be_bytes();
            // Echo request; the kernel fills in checksum and identifier.
            let request = [8, 0, 0, 0, 0, 0, sequence[0], sequence[1]];
            // A drop on the way out is told at once (ENOBUFS), and is no answer.
            if let Err(error) = self.socket.send(&request)
                && expected
            {
                return Err(format!("ping: {error}"));
            }
            if answer(&self.socket, PATIENCE, |bytes| bytes.get(6..8) == Some(&sequence))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A port on the right that sends every datagram back, until it is dropped.
pub(crate) struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn new(address: Ipv4Addr, port: u16) -> Result<Self, String> {
        let bound = on_the_right(|| Ok(UdpSocket::bind((address, port))));
        let socket = bound.doing("go to the right")?.doing(&format!("bind port {port}"))?;
        socket.set_read_timeout(Some(PATIENCE)).doing("set a timeout")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    // Whoever asked hears nothing, and counts it.
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic in it has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whether a datagram from `socket` to a port comes back.
pub(crate) fn port_answers(
    socket: &UdpSocket,
    to: (Ipv4Addr, u16),
    expected: bool,
) -> Result<bool, String> {
    socket.connect(to).doing("connect")?;
    for attempt in 0..if expected { ATTEMPTS } else { 1 } {
        let text = format!("{} {attempt}", to.1);
        // An earlier error of the destination is told here.
        let _ = socket.send(text.as_bytes());
        if answer(socket, PATIENCE, |bytes| bytes == text.as_bytes())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Numbered datagrams from the left, each sent when the one before came back.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Outcome, String>>,
}

/// What came of a stream.
pub(crate) struct Outcome {
    /// How many were sent.
    pub(crate) sent: u64,
    /// The moment of each that did not come back: what [`Stream::moment`] said when
    /// it was sent.
    pub(crate) lost: Vec<u32>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    moment: AtomicU32,
}

impl Stream {
    pub(crate) fn start(to: (Ipv4Addr, u16)) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing("bind")?;
        socket.connect(to).doing("connect")?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut outcome = Outcome { sent: 0, lost: Vec::new() };
            while !seen.stop.load(Ordering::Relaxed) {
                outcome.sent += 1;
                let number = outcome.sent.to_be_bytes();
                let moment = seen.moment.load(Ordering::Relaxed);
                socket.send(&number).doing("send a numbered datagram")?;
                if !answer(&socket, LOST_AFTER, |bytes| bytes == number)? {
                    outcome.lost.push(moment);
                }
                // One processor is shared with `apply`.
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(outcome)
        });
        Ok(Self { shared, thread })
    }

    /// From here on it is the moment with this number.
    pub(crate) fn moment(&self, number: u32) {
        self.shared.moment.store(number, Ordering::Relaxed);
    }

    /// The end of it.
    pub(crate) fn stop(self) -> Result<Outcome, String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the stream panicked".to_owned())?
    }
}

/// Whether a datagram that `is_answer` comes in time.
fn answer(
    socket: &UdpSocket,
    within: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> Result<bool, String> {
    let deadline = Instant::now() + within;
    let mut buffer = [0; 64];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left)).doing("set a timeout")?;
        match socket.recv(&mut buffer) {
            Ok(length) if is_answer(&buffer[..length]) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            // Nobody listens; that is no answer.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(false),
            Err(error) => return Err(format!("wait for an answer: {error}")),
        }
    }
}

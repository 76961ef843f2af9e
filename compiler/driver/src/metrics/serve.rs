//! A page over HTTP, and nothing else.
//!
//! Guarantees: one request at a time, each within [`PATIENCE`] and [`HEAD`] bytes,
//! whatever a peer sends or does not; no request changes anything.
//! Does not know: what is on the page, TLS, or who asks: whoever reaches the address
//! may read.
//!
//! Source: RFC 9112. A connection carries one request.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long a request and its answer may take each.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes the head of a request may have.
const HEAD: usize = 8192;

/// How often in a row nobody can be let in before it is given up.
const FAILURES: u32 = 50;
/// Between two of these.
const PAUSE: Duration = Duration::from_millis(100);

/// What an answer is.
enum Answer {
    Page(String),
    Refusal(&'static str, String),
}

/// Answers until the listener fails for good; `page` makes what is scraped, or says why
/// it cannot. What goes wrong with one peer ends that peer's connection.
pub fn serve(
    listener: &TcpListener,
    mut page: impl FnMut() -> Result<String, String>,
) -> io::Error {
    let mut failures = 0;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                failures = 0;
                drop(answer(&stream, &mut page));
            }
            Err(error) if failures == FAILURES => return error,
            // Whoever asked is gone already, or there is no room for another file now.
            Err(_) => {
                failures += 1;
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Answers one request.
///
/// # Errors
/// When the peer is too slow or gone.
pub(super) fn answer(
    stream: &TcpStream,
    page: &mut impl FnMut() -> Result<String, String>,
) -> io::Result<()> {
    let head = read_head(stream)?;
    let (method, answer) = match request(&head) {
        Ok((method, "/metrics")) => match page() {
            Ok(text) => (method, Answer::Page(text)),
            Err(why) => (method, Answer::Refusal("500 Internal Server Error", why + "\n")),
        },
        Ok((method, _)) => {
            (method, Answer::Refusal("404 Not Found", "metrics are at /metrics\n".to_owned()))
        }
        Err(status) => ("GET", Answer::Refusal(status, format!("{status}\n"))),
    };
    let (status, kind, body) = match &answer {
        Answer::Page(text) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text),
        Answer::Refusal(status, text) => (*status, "text/plain; charset=utf-8", text),
    };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { "" } else { body };
    write(stream, &[head.as_bytes(), body.as_bytes()].concat())
}

/// Method and path of a request, or the status that refuses it.
fn request(head: &[u8]) -> Result<(&str, &str), &'static str> {
    const BAD: &str = "400 Bad Request";
    if !is_whole(head) {
        return Err("431 Request Header Fields Too Large");
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| BAD)?;
    let mut words = line.trim_end_matches('\r').split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    if !version.starts_with("HTTP/1.") {
        return Err("505 HTTP Version Not Supported");
    }
    if !matches!(method, "GET" | "HEAD") {
        return Err("405 Method Not Allowed");
    }
    Ok((method, target.split('?').next().unwrap_or_default()))
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n")
}

/// Bytes to the empty line that ends a head, or as many as a head may have.
fn read_head(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while head.len() < HEAD && !is_whole(&head) {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend(bytes.iter().take(count));
    }
    Ok(head)
}

fn write(mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let count = stream.write(bytes)?;
        bytes = bytes.get(count..).unwrap_or_default();
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Time to a deadline; a timeout of zero would mean none.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

//! Lists that the kernel gives over netlink families other than rtnetlink, as bytes.
//!
//! Source: RFC 3549, `include/uapi/linux/netlink.h`.

use netlink_sys::{Socket, SocketAddr};

use crate::SysError;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;

/// Asks for a list and calls `each` with the bytes behind the header of every answer.
pub(super) fn dump(
    call: &'static str,
    protocol: isize,
    message_type: u16,
    request: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), SysError> {
    let io = |error: std::io::Error| SysError::from_io(call, &error);
    let mut socket = Socket::new(protocol).map_err(io)?;
    socket.bind_auto().map_err(io)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(io)?;
    // INVARIANT: requests are a few dozen bytes.
    let length = (HEADER + request.len()) as u32;
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(message_type.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    // Sequence 1; the kernel fills in whose port it is.
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(request);
    socket.send(&bytes, 0).map_err(io)?;
    loop {
        let (bytes, _) = socket.recv_from_full().map_err(io)?;
        let mut rest = bytes.as_slice();
        while let Some((kind, body, behind)) = message(rest) {
            rest = behind;
            let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
            match kind {
                NLMSG_DONE | NLMSG_ERROR if code < 0 => {
                    return Err(SysError::new(call, code.wrapping_neg()));
                }
                NLMSG_DONE | NLMSG_ERROR => return Ok(()),
                _ => each(body),
            }
        }
    }
}

/// The type and the body of the first message, and what is behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    // Messages are padded to 4 bytes.
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, behind))
}

/// The attribute of a type among packed ones (`struct nlattr`).
pub(super) fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests;

//! One rtnetlink exchange: a request, its acknowledgement or its answers.
//!
//! Source: RFC 3549, `include/uapi/linux/netlink.h`.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::SysError;

/// Sends a request that changes something and waits for its acknowledgement.
/// `flags` are those beyond REQUEST and ACK.
pub(super) fn change(
    call: &'static str,
    message: RouteNetlinkMessage,
    flags: u16,
) -> Result<(), SysError> {
    exchange(call, message, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
}

/// Sends a request for one thing and returns the answers.
pub(super) fn get(
    call: &'static str,
    message: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, SysError> {
    exchange(call, message, NLM_F_REQUEST | NLM_F_ACK)
}

/// Sends a request for a list and returns all of it.
pub(super) fn dump(
    call: &'static str,
    message: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, SysError> {
    exchange(call, message, NLM_F_REQUEST | NLM_F_DUMP)
}

fn exchange(
    call: &'static str,
    message: RouteNetlinkMessage,
    flags: u16,
) -> Result<Vec<RouteNetlinkMessage>, SysError> {
    let io = |error: std::io::Error| SysError::from_io(call, &error);
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(io)?;
    socket.bind_auto().map_err(io)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(io)?;
    // The reason of a refusal, in words; kernels without it just do not send it.
    let _ = socket.set_ext_ack(true);

    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = 1;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(io)?;
    receive(call, &socket)
}

/// Collects answers until the kernel says done, acknowledged or refused.
fn receive(call: &'static str, socket: &Socket) -> Result<Vec<RouteNetlinkMessage>, SysError> {
    let mut answers = Vec::new();
    loop {
        let (bytes, _) =
            socket.recv_from_full().map_err(|error| SysError::from_io(call, &error))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|e| SysError::new(call, libc::EIO).with_log(e.to_string()))?;
            // Messages are padded to 4 bytes; a length of 0 would not end.
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) => {
                    return match error.code {
                        None => Ok(answers),
                        Some(code) => Err(SysError::new(call, code.get().wrapping_neg())
                            .with_log(reason(&error.header))),
                    };
                }
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
        }
    }
}

/// The kernel's words in an extended acknowledgement: attribute 1
/// (`NLMSGERR_ATTR_MSG`) after the echoed request. Empty if there are none.
fn reason(echoed: &[u8]) -> String {
    const MESSAGE: u16 = 1;
    // The echoed header is 16 bytes; with NLM_F_CAPPED nothing else of it is.
    let capped = echoed.get(6..8).is_some_and(|f| u16::from_ne_bytes([f[0], f[1]]) & 0x100 != 0);
    let length = echoed.get(..4).map_or(16, |l| u32::from_ne_bytes([l[0], l[1], l[2], l[3]]));
    let skip = if capped { 16 } else { (length as usize).next_multiple_of(4) };
    let mut rest = echoed.get(skip..).unwrap_or_default();
    while let [l0, l1, t0, t1, tail @ ..] = rest {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = tail.get(..length.saturating_sub(4)).unwrap_or_default();
        if u16::from_ne_bytes([*t0, *t1]) & 0x3fff == MESSAGE {
            return String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    String::new()
}

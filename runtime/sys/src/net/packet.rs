//! Packet sockets: whole frames of an interface, sent and received as they are.
//!
//! For tests and measurements: policies are made live without them.
//! Source: packet(7), `include/uapi/linux/if_packet.h`, `virtio_net.h`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::SysError;

/// Every protocol: the socket sees a frame before anything judges it, on its way in
/// and on its way out.
pub const EVERY_PROTOCOL: u16 = libc::ETH_P_ALL as u16;
/// The longest frame that is received whole.
const LONGEST: usize = 65_536;
/// Bytes of `struct virtio_net_hdr`, which stands before frames of
/// [`PacketSocket::send_in_pieces`], and where in it `hdr_len` is.
const VNET_HEADER: usize = 10;
const VNET_HDR_LEN: usize = 2;

/// A packet socket of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// A socket of this thread's network namespace. With [`EVERY_PROTOCOL`] it sees
    /// frames before programs on tc judge them (behind XDP); with an Ethertype, only
    /// received ones of it, behind tc.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `ENODEV` when there is no such interface.
    pub fn open(ifindex: u32, ethertype: u16) -> Result<Self, SysError> {
        let protocol = ethertype.to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(SysError::last("socket"));
        }
        // SAFETY: the call above made it, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zeros is a value of this plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = ifindex.cast_signed();
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is read, of this length.
        let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
        if result < 0 {
            return Err(SysError::last("bind"));
        }
        let socket = Self { fd };
        socket.set(libc::PACKET_AUXDATA, 1)?;
        Ok(socket)
    }

    fn set(&self, option: libc::c_int, value: libc::c_int) -> Result<(), SysError> {
        let length = size_of_val(&value) as libc::socklen_t;
        let value = (&raw const value).cast();
        // SAFETY: the value is read, of this length.
        let result = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_PACKET, option, value, length)
        };
        if result < 0 { Err(SysError::last("setsockopt")) } else { Ok(()) }
    }

    /// Sends a frame, from its Ethernet header on.
    ///
    /// # Errors
    /// `EMSGSIZE` when it is longer than the interface sends; `ENETDOWN`.
    pub fn send(&self, frame: &[u8]) -> Result<(), SysError> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the frame is read, of its length.
        let sent = unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(SysError::last("send")) } else { Ok(()) }
    }

    /// Sends a frame of which only the first bytes are linear in the kernel.
    // KERNEL: of what fits into a page `packet_alloc_skb` makes one piece all the same.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_in_pieces(&self, frame: &[u8], linear: u16) -> Result<(), SysError> {
        let mut with_header = vec![0; VNET_HEADER];
        with_header[VNET_HDR_LEN..VNET_HDR_LEN + 2].copy_from_slice(&linear.to_ne_bytes());
        with_header.extend(frame);
        self.set(libc::PACKET_VNET_HDR, 1)?;
        let sent = self.send(&with_header);
        self.set(libc::PACKET_VNET_HDR, 0)?;
        sent
    }

    /// The next frame that comes within a time, with the VLAN tag that receive took off
    /// put back where it was; none of those that this host sends itself. `None` when none
    /// comes.
    ///
    /// # Errors
    /// `ENETDOWN` and others of recvmsg(2).
    pub fn receive(&self, within: Duration) -> Result<Option<Vec<u8>>, SysError> {
        loop {
            if !self.wait(within)? {
                return Ok(None);
            }
            if let Some(frame) = self.receive_one()? {
                return Ok(Some(frame));
            }
        }
    }

    fn wait(&self, within: Duration) -> Result<bool, SysError> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = within.as_millis().try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: one structure, which lives as long as the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout) };
        match ready {
            ..0 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(false),
            ..0 => Err(SysError::last("poll")),
            ready => Ok(ready > 0),
        }
    }

    /// One frame; `None` if this host sent it.
    fn receive_one(&self) -> Result<Option<Vec<u8>>, SysError> {
        let mut frame = vec![0u8; LONGEST];
        let mut control = [0u64; 16];
        // SAFETY: all zeros are values of these plain structures.
        let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: every pointer of the message is to memory of the length beside it, all
        // of which outlives the call.
        let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        if length < 0 {
            return Err(SysError::last("recvmsg"));
        }
        frame.truncate(length.cast_unsigned());
        if from.sll_pkttype == libc::PACKET_OUTGOING {
            return Ok(None);
        }
        if let Some([type_hi, type_lo, tag_hi, tag_lo]) = tag(&message) {
            let at = 12.min(frame.len());
            frame.splice(at..at, [type_hi, type_lo, tag_hi, tag_lo]);
        }
        Ok(Some(frame))
    }
}

/// The VLAN tag that was taken off a frame, as it stood in it.
fn tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: the kernel filled the message's control buffer, to the length that is in
    // it now.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: what these macros return lies in that buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            // SAFETY: this is what the data of this kind of header is; it may lie at any
            // address.
            let data: libc::tpacket_auxdata =
                unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(header).cast()) };
            let is_tagged = data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            let [type_hi, type_lo] = data.tp_vlan_tpid.to_be_bytes();
            let [tag_hi, tag_lo] = data.tp_vlan_tci.to_be_bytes();
            return is_tagged.then_some([type_hi, type_lo, tag_hi, tag_lo]);
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

//! Two network namespaces and a veth pair between them, by rtnetlink.
//!
//! The left is the machine's own, the right is [`RIGHT`]. Both have an address of
//! the example `ping` and one of `packet-of-death`.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp,
    XdpAttached,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use policyc_sys::SysError;
use policyc_sys::net::{in_netns, in_new_netns, interface_by_name};
use rustix::mount::mount_bind;

use crate::Doing as _;

/// The right namespace.
pub(crate) const RIGHT: &str = "/run/netns/right";
/// The interface in the left namespace, and its addresses.
pub(crate) const VETH_LEFT: &str = "veth-left";
const LEFT_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 78, 0, 1)];
/// The same on the right.
pub(crate) const VETH_RIGHT: &str = "veth-right";
/// In the example `ping`.
pub(crate) const RIGHT_OF_PING: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// In the example `packet-of-death`.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// Another one on the right, in the range that the example denies.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 3);

/// Builds it, once.
pub(crate) fn build() -> Result<(), String> {
    if Path::new(RIGHT).exists() {
        return Ok(());
    }
    // A name in the file system keeps the namespace.
    let named = in_new_netns(|| {
        let bound =
            File::create(RIGHT).and_then(|_| Ok(mount_bind("/proc/thread-self/ns/net", RIGHT)?));
        bound.map_err(|error| SysError::from_io("mount", &error))
    });
    named.doing("name a network namespace")?;
    add_veth().doing("make a veth pair")?;
    set_up(VETH_LEFT, &LEFT_ADDRESSES).doing("set up the left")?;
    on_the_right(|| set_up(VETH_RIGHT, &[RIGHT_OF_PING, SERVER, NEIGHBOUR]))
        .doing("set up the right")
}

/// Does something in the right namespace.
pub(crate) fn on_the_right<T: Send>(
    f: impl FnOnce() -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    in_netns(Some(Path::new(RIGHT)), f)
}

/// Does something in every namespace that exists, and collects what it finds.
pub(crate) fn everywhere<T: Send>(
    f: impl Fn() -> Result<Vec<T>, SysError> + Send + Sync,
) -> Result<Vec<T>, String> {
    let mut found = f().doing("on the left")?;
    if Path::new(RIGHT).exists() {
        found.extend(on_the_right(f).doing("on the right")?);
    }
    Ok(found)
}

/// How XDP is attached to an interface of the right: `driver`, `generic`, `none`.
pub(crate) fn xdp_mode(interface: &str) -> Result<String, String> {
    let answer = on_the_right(|| {
        let mut message = LinkMessage::default();
        message.header.index = interface_by_name(interface)?.index;
        exchange(RouteNetlinkMessage::GetLink(message), 0)
    });
    let Some(RouteNetlinkMessage::NewLink(link)) = answer.doing("ask about XDP")? else {
        return Err("ask about XDP: no answer".to_owned());
    };
    let xdp = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    });
    let attached = xdp.flatten().find_map(|attribute| match attribute {
        LinkXdp::Attached(attached) => Some(*attached),
        _ => None,
    });
    Ok(match attached {
        None | Some(XdpAttached::None) => "none".to_owned(),
        Some(XdpAttached::Driver) => "driver".to_owned(),
        Some(XdpAttached::SocketBuffer) => "generic".to_owned(),
        Some(other) => format!("{other:?}"),
    })
}

fn add_veth() -> Result<(), SysError> {
    let right = File::open(RIGHT).map_err(|error| SysError::from_io("open", &error))?;
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(VETH_RIGHT.to_owned()),
        LinkAttribute::NetNsFd(right.as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(VETH_LEFT.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Addresses of /24 for an interface, and it and `lo` up.
fn set_up(interface: &str, addresses: &[Ipv4Addr]) -> Result<(), SysError> {
    let index = interface_by_name(interface)?.index;
    for address in addresses {
        let mut message = AddressMessage::default();
        message.header =
            AddressHeader { family: AddressFamily::Inet, prefix_len: 24, index, ..message.header };
        let address = IpAddr::V4(*address);
        message.attributes =
            vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)?;
    }
    for index in [interface_by_name("lo")?.index, index] {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        change(RouteNetlinkMessage::SetLink(message), 0)?;
    }
    Ok(())
}

fn change(message: RouteNetlinkMessage, flags: u16) -> Result<(), SysError> {
    exchange(message, NLM_F_ACK | flags).map(drop)
}

/// One request of rtnetlink, and its answer if it has one.
fn exchange(
    message: RouteNetlinkMessage,
    flags: u16,
) -> Result<Option<RouteNetlinkMessage>, SysError> {
    let io = |error: std::io::Error| SysError::from_io("rtnetlink", &error);
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(io)?;
    socket.bind_auto().map_err(io)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(io)?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = 1;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(io)?;
    let (bytes, _) = socket.recv_from_full().map_err(io)?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes);
    match answer.map_err(|error| io(std::io::Error::other(error.to_string())))?.payload {
        NetlinkPayload::InnerMessage(answer) => Ok(Some(answer)),
        NetlinkPayload::Error(error) if error.code.is_some() => Err(io(error.to_io())),
        _ => Ok(None),
    }
}

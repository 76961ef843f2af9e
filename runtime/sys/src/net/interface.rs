//! Network interfaces.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};

use super::netlink;
use crate::SysError;

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Index, unique in its network namespace.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// Kind as `ip -d link` prints it (`veth`, `netkit`); `None` for hardware
    /// and `lo`.
    pub kind: Option<String>,
    /// `ARPHRD_*`: what its packets begin with.
    pub hardware: Hardware,
    /// Index of the bridge, bond or other device whose port it is.
    pub master: Option<u32>,
    /// Whether it was brought up.
    pub is_up: bool,
    /// Whether XDP is attached in the network stack, not in the driver: later
    /// and slower.
    pub generic_xdp: bool,
}

/// `ARPHRD_*` of `include/uapi/linux/if_arp.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hardware(pub u16);

impl Hardware {
    /// Packets begin with an Ethernet header.
    pub const ETHER: Self = Self(1);
    /// So do those of the loopback.
    pub const LOOPBACK: Self = Self(772);
}

/// Every interface of the network namespace, by index.
///
/// # Errors
/// What netlink said.
pub fn interfaces() -> Result<Vec<Interface>, SysError> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = netlink::dump("RTM_GETLINK", request)?;
    let mut found: Vec<_> = answers.into_iter().filter_map(interface).collect();
    found.sort_by_key(|i| i.index);
    Ok(found)
}

/// The interface called `name`.
///
/// # Errors
/// `ENODEV` when there is none; what netlink said.
pub fn interface_by_name(name: &str) -> Result<Interface, SysError> {
    let mut request = LinkMessage::default();
    request.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let answers = netlink::get("RTM_GETLINK", RouteNetlinkMessage::GetLink(request));
    let found = answers.map_err(|error| error.about(name))?.into_iter().find_map(interface);
    found.ok_or_else(|| SysError::new("RTM_GETLINK", libc::ENODEV).about(name))
}

fn interface(message: RouteNetlinkMessage) -> Option<Interface> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    let mut found = Interface {
        index: link.header.index,
        name: String::new(),
        kind: None,
        hardware: Hardware(link.header.link_layer_type.into()),
        master: None,
        is_up: link.header.flags.contains(LinkFlags::Up),
        generic_xdp: false,
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name = name,
            LinkAttribute::LinkInfo(infos) => {
                found.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Controller(master) => found.master = Some(master),
            LinkAttribute::Xdp(xdp) => {
                found.generic_xdp = xdp.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
            }
            _ => {}
        }
    }
    Some(found)
}

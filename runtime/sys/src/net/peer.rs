//! The network namespace at the other end of a pair of interfaces.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::{Netns, in_netns_of, netlink, visible_netns};
use crate::SysError;

/// What the kernel says about the other end of an interface, in its namespace.
enum OtherEnd {
    /// In the same namespace, or the interface has none.
    Here,
    /// In the namespace that has this number here.
    Behind(i32),
}

/// The network namespace of the other end of an interface (of a veth pair), which has
/// to be another one; `None` if it has none, or nothing leads there.
///
/// # Errors
/// What netlink said.
pub fn peer_netns(netns: &Netns, ifindex: u32) -> Result<Option<Netns>, SysError> {
    // Opened before: paths mean something else in the other namespace.
    let open = |netns: Netns| Some((File::open(netns.path.as_deref()?).ok()?, netns));
    let candidates: Vec<_> = visible_netns().into_iter().filter_map(open).collect();
    in_netns_of(netns, || {
        let OtherEnd::Behind(number) = other_end(ifindex)? else { return Ok(None) };
        let is_it = |file: &File| number_of(file).is_ok_and(|found| found == Some(number));
        Ok(candidates.into_iter().find(|(file, _)| is_it(file)).map(|(_, netns)| netns))
    })
}

fn other_end(ifindex: u32) -> Result<OtherEnd, SysError> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    let answers = netlink::get("RTM_GETLINK", RouteNetlinkMessage::GetLink(request))?;
    let number = answers.into_iter().find_map(|answer| {
        let RouteNetlinkMessage::NewLink(link) = answer else { return None };
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::LinkNetNsId(number) => Some(number),
            _ => None,
        })
    });
    Ok(number.map_or(OtherEnd::Here, OtherEnd::Behind))
}

/// The number that a namespace has here; `None` if it has none.
fn number_of(netns: &File) -> Result<Option<i32>, SysError> {
    let mut request = NsidMessage::default();
    request.attributes = vec![NsidAttribute::Fd(netns.as_raw_fd() as u32)];
    let answers = netlink::get("RTM_GETNSID", RouteNetlinkMessage::GetNsId(request))?;
    Ok(answers.into_iter().find_map(|answer| {
        let RouteNetlinkMessage::NewNsId(message) = answer else { return None };
        message.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(number) if number >= 0 => Some(number),
            _ => None,
        })
    }))
}

//! The `clsact` qdisc and its BPF filters.
//!
//! A filter is known by interface, direction, priority and handle; what it runs
//! by the id of its program.
//! Source: `net/sched/cls_bpf.c`, `include/uapi/linux/pkt_cls.h`.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use super::netlink;
use crate::SysError;
use crate::bpf::Direction;

/// `ETH_P_ALL` in network order, as `tcm_info` holds it.
const ALL_PROTOCOLS: u32 = (3_u16).to_be() as u32;

/// Where a filter is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FilterKey {
    /// Interface.
    pub ifindex: u32,
    /// Which packets.
    pub direction: Direction,
    /// Filters run in ascending priority, from 1.
    pub priority: u16,
    /// Number within the priority.
    pub handle: u32,
}

/// A filter that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Where it is.
    pub key: FilterKey,
    /// `bpf`, `flower`, …
    pub kind: String,
    /// Name of a BPF filter.
    pub name: Option<String>,
    /// Program of a BPF filter.
    pub prog_id: Option<u32>,
}

/// Whether the interface has a `clsact` qdisc.
///
/// # Errors
/// What netlink said.
pub fn has_clsact(ifindex: u32) -> Result<bool, SysError> {
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(ifindex as i32));
    let answers = netlink::dump("RTM_GETQDISC", request)?;
    let kind = TcAttribute::Kind("clsact".to_owned());
    // A dump lists every interface.
    Ok(answers.iter().any(|answer| match answer {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
            qdisc.header.index == ifindex as i32 && qdisc.attributes.contains(&kind)
        }
        _ => false,
    }))
}

/// Adds the `clsact` qdisc; `false` if it was there already.
///
/// # Errors
/// What netlink said: `EEXIST` never, `EBUSY` or `EINVAL` when an `ingress`
/// qdisc is in its place.
pub fn clsact_add(ifindex: u32) -> Result<bool, SysError> {
    let message = RouteNetlinkMessage::NewQueueDiscipline(clsact(ifindex));
    match netlink::change("RTM_NEWQDISC", message, NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => Ok(true),
        Err(error) if error.is(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the `clsact` qdisc with every filter on it; `false` if it was not
/// there.
///
/// # Errors
/// What netlink said.
pub fn clsact_remove(ifindex: u32) -> Result<bool, SysError> {
    let message = RouteNetlinkMessage::DelQueueDiscipline(clsact(ifindex));
    match netlink::change("RTM_DELQDISC", message, 0) {
        Ok(()) => Ok(true),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Adds a direct-action BPF filter.
///
/// # Errors
/// What netlink said: `EEXIST` when there is one at `key`, `ENOENT` or `EINVAL`
/// without `clsact`, `EINVAL` when filters of another kind or protocol have the
/// priority.
pub fn filter_add(key: FilterKey, prog: BorrowedFd<'_>, name: &str) -> Result<(), SysError> {
    let mut message = filter(key);
    message.attributes = vec![
        TcAttribute::Kind("bpf".to_owned()),
        TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(prog.as_raw_fd() as u32)),
            TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]),
    ];
    let message = RouteNetlinkMessage::NewTrafficFilter(message);
    netlink::change("RTM_NEWTFILTER", message, NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes the filter at `key`; `false` if it, its qdisc or its interface was
/// not there.
///
/// # Errors
/// What netlink said.
pub fn filter_remove(key: FilterKey) -> Result<bool, SysError> {
    let mut message = filter(key);
    message.attributes = vec![TcAttribute::Kind("bpf".to_owned())];
    match netlink::change("RTM_DELTFILTER", RouteNetlinkMessage::DelTrafficFilter(message), 0) {
        Ok(()) => Ok(true),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every filter of an interface and direction; none without `clsact`.
///
/// # Errors
/// What netlink said.
pub fn filters(ifindex: u32, direction: Direction) -> Result<Vec<Filter>, SysError> {
    let mut message = TcMessage::with_index(ifindex as i32);
    message.header.parent = parent(direction);
    let message = RouteNetlinkMessage::GetTrafficFilter(message);
    match netlink::dump("RTM_GETTFILTER", message) {
        Ok(answers) => {
            Ok(answers.into_iter().filter_map(|a| found(a, ifindex, direction)).collect())
        }
        Err(error) if gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether what was to be removed or listed has no place any more.
fn gone(error: &SysError) -> bool {
    [libc::ENOENT, libc::ENODEV, libc::EINVAL].contains(&error.errno)
}

fn clsact(ifindex: u32) -> TcMessage {
    let mut message = TcMessage::with_index(ifindex as i32);
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    message.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
    message
}

fn filter(key: FilterKey) -> TcMessage {
    let mut message = TcMessage::with_index(key.ifindex as i32);
    message.header.parent = parent(key.direction);
    message.header.handle = TcHandle::from(key.handle);
    message.header.info = u32::from(key.priority) << 16 | ALL_PROTOCOLS;
    message
}

fn parent(direction: Direction) -> TcHandle {
    let minor = match direction {
        Direction::Ingress => TcHandle::MIN_INGRESS,
        Direction::Egress => TcHandle::MIN_EGRESS,
    };
    TcHandle { minor, ..TcHandle::CLSACT }
}

fn found(message: RouteNetlinkMessage, ifindex: u32, direction: Direction) -> Option<Filter> {
    let RouteNetlinkMessage::NewTrafficFilter(message) = message else {
        return None;
    };
    let key = FilterKey {
        ifindex,
        direction,
        priority: (message.header.info >> 16) as u16,
        handle: message.header.handle.into(),
    };
    let mut filter = Filter { key, kind: String::new(), name: None, prog_id: None };
    for attribute in message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => filter.kind = kind,
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgName(n)) => filter.name = Some(n),
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => filter.prog_id = Some(id),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // The kernel lists one entry per priority without a filter in it.
    (key.handle != 0).then_some(filter)
}

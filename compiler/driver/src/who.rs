//! Who talks to whom: the ends of a flow as users write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::{Flow, protocol};

/// Why a flow cannot be understood. The texts say what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlowError {
    /// Nobody of that name.
    #[error(
        "`{0}` is nobody: write `namespace/name` of the inventory, the name of a node, an address, or `world`"
    )]
    Nobody(String),
    /// Somebody without an address.
    #[error("`{0}` has no address in the inventory")]
    NoAddress(String),
    /// The ends have no family in common.
    #[error("`{0}` and `{1}` have no address of one IP version")]
    Families(String, String),
    /// Not a port.
    #[error("`{0}` is no port: write `443/TCP`, `53/UDP` or `8/ICMP`")]
    Port(String),
    /// The protocol is of the other IP version.
    #[error("`{0}` is not of IP version {1}")]
    Version(&'static str, u8),
}

/// A port with its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// IP protocol number.
    pub protocol: u8,
    /// Port or ICMP type.
    pub port: u16,
}

/// Reads `443/TCP`. The protocol may be left out: TCP.
///
/// # Errors
/// When it is neither.
pub fn port(text: &str) -> Result<Port, FlowError> {
    let wrong = || FlowError::Port(text.to_owned());
    let (number, name) = text.split_once('/').unwrap_or((text, "TCP"));
    let port: u16 = number.parse().map_err(|_| wrong())?;
    let protocol = match name.to_ascii_uppercase().as_str() {
        "TCP" => protocol::TCP,
        "UDP" => protocol::UDP,
        "SCTP" => protocol::SCTP,
        "ICMP" => protocol::ICMP,
        "ICMPV6" => protocol::ICMPV6,
        _ => return Err(wrong()),
    };
    let is_icmp = matches!(protocol, protocol::ICMP | protocol::ICMPV6);
    if is_icmp && port > 255 { Err(wrong()) } else { Ok(Port { protocol, port }) }
}

/// The flows between two ends: one for each pair of their addresses of one IP
/// version that the protocol can use. Never empty.
///
/// # Errors
/// When an end is nobody, or the ends cannot talk.
pub fn flows(
    from: &str,
    to: &str,
    port: Port,
    inventory: &Inventory,
) -> Result<Vec<Flow>, FlowError> {
    let (sources, destinations) = (addresses(from, inventory)?, addresses(to, inventory)?);
    let usable = |address: &IpAddr| match port.protocol {
        protocol::ICMP => address.is_ipv4(),
        protocol::ICMPV6 => address.is_ipv6(),
        _ => true,
    };
    let pairs = sources.iter().flat_map(|s| destinations.iter().map(move |d| (*s, *d)));
    let pairs: Vec<_> = pairs.filter(|(s, d)| s.is_ipv4() == d.is_ipv4()).collect();
    if pairs.is_empty() {
        return Err(FlowError::Families(from.to_owned(), to.to_owned()));
    }
    let flow = |(source, destination)| {
        let Port { protocol, port } = port;
        Flow { source, destination, protocol, port }
    };
    let flows: Vec<_> = pairs.into_iter().filter(|(s, _)| usable(s)).map(flow).collect();
    match (flows.is_empty(), port.protocol) {
        (false, _) => Ok(flows),
        (true, protocol::ICMP) => Err(FlowError::Version("ICMP", 6)),
        (true, _) => Err(FlowError::Version("ICMPv6", 4)),
    }
}

/// The addresses of one end. The world is represented by documentation addresses
/// (RFC 5737, RFC 3849) that nobody in the inventory has.
fn addresses(who: &str, inventory: &Inventory) -> Result<Vec<IpAddr>, FlowError> {
    if let Ok(address) = who.parse::<IpAddr>() {
        // Whoever writes `::ffff:192.0.2.1` means packets of IPv4.
        return Ok(vec![address.to_canonical()]);
    }
    if who == "world" {
        return Ok(world(inventory));
    }
    let identity = inventory.lookup(who).or_else(|| inventory.node(who).map(Identity::Node));
    let Some(identity) = identity else { return service(who, inventory) };
    let addresses = match identity {
        Identity::Workload(id) => inventory.workloads[id].addresses.clone(),
        Identity::Node(id) => inventory.nodes[id].addresses.clone(),
        Identity::World => Vec::new(),
    };
    if addresses.is_empty() { Err(FlowError::NoAddress(who.to_owned())) } else { Ok(addresses) }
}

/// The addresses of the service `namespace/name`, if no workload is called so.
fn service(who: &str, inventory: &Inventory) -> Result<Vec<IpAddr>, FlowError> {
    let found = inventory.services.iter().find(|service| service.full_name() == who);
    let service = found.ok_or_else(|| FlowError::Nobody(who.to_owned()))?;
    if service.addresses.is_empty() {
        return Err(FlowError::NoAddress(who.to_owned()));
    }
    Ok(service.addresses.clone())
}

fn world(inventory: &Inventory) -> Vec<IpAddr> {
    let v4 = (1..=254).map(|n| IpAddr::V4(Ipv4Addr::new(203, 0, 113, n)));
    let v6 = (1..=254).map(|n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)));
    let free = |address: &IpAddr| inventory.identify(*address) == Identity::World;
    v4.clone().find(free).into_iter().chain(v6.clone().find(free)).collect()
}

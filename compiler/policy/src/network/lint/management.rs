//! Whether those who administer the hosts can still reach them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use policyc_base::{Diagnostic, Origin, OriginTable, Sink, Span};

use crate::codes;
use crate::inventory::{Inventory, Management};
use crate::network::eval::eval;
use crate::network::types::{Dialect, Flow, Peer, Peers, Reason, Rule, Subject, protocol};

/// Most addresses of one prefix that are tried.
const TRIED: usize = 256;

/// Refuses policies that deny a host's management port to an address that the
/// inventory says the host is administered from. Told once for each rule that does.
pub fn management(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
    origins: &OriginTable,
    sink: &mut Sink,
) {
    let Some(Management { from, port }) = &inventory.management else { return };
    if !rules.iter().any(|rule| matches!(rule.subject, Subject::Nodes(_))) {
        return;
    }
    let sources: Vec<IpAddr> = from.iter().flat_map(|net| representatives(*net, rules)).collect();
    let mut told = BTreeSet::new();
    for node in inventory.nodes.values() {
        for destination in node.addresses.iter().copied() {
            for source in sources.iter().copied().filter(|s| s.is_ipv4() == destination.is_ipv4()) {
                let flow = Flow { source, destination, protocol: protocol::TCP, port: *port };
                let verdict = eval(rules, inventory, dialect, &flow).ingress;
                let (Reason::Entry(origin) | Reason::DefaultDeny(origin)) = verdict.reason else {
                    continue;
                };
                if !verdict.allowed && told.insert(origin) {
                    let message = format!(
                        "`{source}` administers the hosts and could not reach port {port} of \
                         `{}` any more",
                        node.name
                    );
                    report(origin, message, origins, sink);
                }
            }
        }
    }
}

fn report(origin: Origin, message: String, origins: &OriginTable, sink: &mut Sink) {
    let Some(span) = origins.get(origin).and_then(|info| info.span) else { return };
    let place = Span { end: span.start, ..span };
    let help = "allow it, or take the address out of `management` in the inventory";
    sink.push(Diagnostic::error(codes::LOCKOUT, place, message).with_help(help));
}

/// Addresses of a prefix such that, as far as prefixes in the rules go, every address
/// of it is judged like one of them: its ends, and those of every prefix inside it.
fn representatives(net: IpNet, rules: &[Rule]) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::from([net.network(), net.broadcast()]);
    let entries = rules.iter().flat_map(|rule| &rule.entries);
    let peers = entries.filter_map(|entry| match &entry.peers {
        Peers::OneOf(list) => Some(list),
        Peers::Any => None,
    });
    for peer in peers.flatten() {
        let Peer::Cidr { net: inner, except } = peer else { continue };
        for edge in std::iter::once(inner).chain(except).flat_map(edges) {
            if found.len() < TRIED && net.contains(&edge) {
                found.insert(edge);
            }
        }
    }
    found
}

/// The first and the last address of a prefix, and their neighbours outside.
fn edges(net: &IpNet) -> Vec<IpAddr> {
    let step = |address: IpAddr, up: bool| match address {
        IpAddr::V4(a) => {
            let next = if up { a.to_bits().checked_add(1) } else { a.to_bits().checked_sub(1) };
            next.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        IpAddr::V6(a) => {
            let next = if up { a.to_bits().checked_add(1) } else { a.to_bits().checked_sub(1) };
            next.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
    };
    let (first, last) = (net.network(), net.broadcast());
    [Some(first), Some(last), step(first, false), step(last, true)].into_iter().flatten().collect()
}

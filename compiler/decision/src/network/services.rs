//! Addresses of services: what is sent there is what would be sent to every backend.
//!
//! A service's address is of a class of its own kind: that of its address without the
//! service, with other cells at the ports where the service is. Services whose backends
//! no rule tells apart share one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use indexmap::IndexSet;
use policyc_base::EntityId;
use policyc_policy::network::{PortMatch, Ports};

use super::Frontends;
use super::addresses::Intervals;
use crate::intervals::{Family, number};
use crate::tables::{AddressClass, PortClass, PortTable};

/// What makes services alike.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Profile {
    /// The class that the address would be of.
    pub(super) base: AddressClass,
    /// For each port the class of the port, and those of the backends with their ports.
    pub(super) ports: Vec<(PortClass, Vec<(AddressClass, PortClass)>)>,
}

/// The ports of services: each has to be of a class of its own.
pub(super) fn ports(services: &Frontends) -> impl Iterator<Item = Ports> {
    let distinct: BTreeSet<_> =
        services.keys().map(|(_, protocol, port)| (*protocol, *port)).collect();
    let one = |(protocol, port)| PortMatch { protocol, first: port, last: port };
    distinct.into_iter().map(move |port| Ports::OneOf(vec![one(port)]))
}

/// Gives the addresses of services their classes, which are numbered behind the `first`
/// ones: see [`Profile`], in their order. `workload` says the class of addresses that
/// are a workload's whose addresses change.
pub(super) fn classify(
    services: &Frontends,
    intervals: &mut Intervals,
    ports: &PortTable,
    first: usize,
    workload: impl Fn(IpAddr) -> Option<AddressClass>,
) -> Vec<Profile> {
    let mut profiles = IndexSet::new();
    let mut classes = Vec::new();
    let mut left = services.iter().peekable();
    while let Some(((address, ..), _)) = left.peek() {
        let address = *address;
        let mut profile = Profile { base: intervals.class(address), ports: Vec::new() };
        while let Some(((_, protocol, port), backends)) =
            left.next_if(|((at, ..), _)| *at == address)
        {
            let mut distinct = IndexSet::new();
            for backend in backends {
                let port = ports.lookup(*protocol, backend.port);
                let class = workload(backend.address);
                let class = class.unwrap_or_else(|| intervals.class(backend.address));
                distinct.insert((class, port));
            }
            let port = ports.lookup(*protocol, *port);
            profile.ports.push((port, distinct.into_iter().collect()));
        }
        classes.push((address, profiles.insert_full(profile).0));
    }
    // Backends may have addresses of services, so classes change when all is known.
    for (address, profile) in classes {
        let class = AddressClass::from_index(first + profile);
        intervals.set(Family::of(address), number(address), class);
    }
    profiles.into_iter().collect()
}

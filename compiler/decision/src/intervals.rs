//! Address spaces cut into intervals.
//!
//! Every prefix and every known address cuts its family's space; between two
//! cuts no predicate can tell two addresses apart, so one representative stands
//! for all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An IP version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4; addresses are numbers below 2^32.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The highest address, as a number.
    pub const fn max(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }

    /// The address of this family with a number; INVARIANT: at most [`Family::max`].
    pub const fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }
}

/// The number of an address: its bytes read in network order.
pub const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits() as u128,
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The cuts of one family's space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuts {
    family: Family,
    /// First addresses of intervals. INVARIANT: contains 0.
    starts: BTreeSet<u128>,
}

impl Cuts {
    /// One interval: the whole space.
    pub fn new(family: Family) -> Self {
        Self { family, starts: BTreeSet::from([0]) }
    }

    /// Cuts before `first` and after `last`, both inclusive ends.
    pub fn range(&mut self, first: u128, last: u128) {
        self.starts.insert(first);
        if last < self.family.max() {
            self.starts.insert(last + 1);
        }
    }

    /// Cuts out a prefix, if it is of this family.
    pub fn net(&mut self, net: IpNet) {
        if Family::of(net.addr()) == self.family {
            self.range(number(net.network()), number(net.broadcast()));
        }
    }

    /// Cuts out one address, if it is of this family.
    pub fn address(&mut self, address: IpAddr) {
        if Family::of(address) == self.family {
            self.range(number(address), number(address));
        }
    }

    /// The first address of every interval, ascending.
    pub fn starts(&self) -> impl Iterator<Item = u128> + '_ {
        self.starts.iter().copied()
    }
}

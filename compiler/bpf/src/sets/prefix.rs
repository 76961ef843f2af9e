//! A prefix: addresses of one IP version that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KEY;

/// Bits of a key before the address.
const VERSION_BITS: u32 = 32;

/// A prefix without host bits. In this order, one comes before those inside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Neither a prefix as text nor as a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a prefix is an address without host bits, `/` and a length")]
pub struct NotAPrefix;

impl Prefix {
    /// The prefix of this length in bits.
    ///
    /// # Errors
    /// The address has other bits, or the length is more than it has.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, NotAPrefix> {
        let prefix = Self { address, length };
        let fits = length <= width(address) && prefix.masked(address) == prefix.number();
        fits.then_some(prefix).ok_or(NotAPrefix)
    }

    /// Its length in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether another prefix is inside it, or it.
    pub fn contains(&self, other: Self) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.length <= other.length
            && self.masked(other.address) == self.number()
    }

    /// Whether an address is.
    pub fn has(&self, address: IpAddr) -> bool {
        self.contains(Self { address, length: width(address) })
    }

    /// The fewest prefixes of its addresses that are in none of these; ascending.
    pub fn without(self, except: &[Self]) -> Vec<Self> {
        if except.iter().any(|hole| hole.contains(self)) {
            return Vec::new();
        }
        let inside: Vec<Self> =
            except.iter().copied().filter(|hole| self.contains(*hole)).collect();
        if inside.is_empty() {
            return vec![self];
        }
        // What is inside is longer, so there are halves.
        self.halves().into_iter().flat_map(|half| half.without(&inside)).collect()
    }

    /// Those that are one bit longer; none if that cannot be.
    fn halves(self) -> Vec<Self> {
        let bit = u32::from(width(self.address)).saturating_sub(u32::from(self.length) + 1);
        let second = match self.address {
            IpAddr::V4(v4) => {
                1_u32.checked_shl(bit).map(|bit| IpAddr::from((u32::from(v4) | bit).to_be_bytes()))
            }
            IpAddr::V6(v6) => 1_u128
                .checked_shl(bit)
                .map(|bit| IpAddr::from((u128::from(v6) | bit).to_be_bytes())),
        };
        let length = self.length.saturating_add(1);
        let halves = [Some(self.address), second].into_iter().flatten();
        halves.filter_map(|address| Self::new(address, length).ok()).collect()
    }

    /// Its key in a trie.
    pub fn key(&self) -> [u8; KEY] {
        let mut key = [0; KEY];
        let bits = VERSION_BITS + u32::from(self.length);
        key[..4].copy_from_slice(&bits.to_ne_bytes());
        match self.address {
            IpAddr::V4(v4) => {
                key[7] = 4;
                key[8..12].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                key[7] = 6;
                key[8..].copy_from_slice(&v6.octets());
            }
        }
        key
    }

    /// The prefix of a key.
    ///
    /// # Errors
    /// There is none.
    pub fn from_key(key: &[u8]) -> Result<Self, NotAPrefix> {
        let key: &[u8; KEY] = key.try_into().map_err(|_| NotAPrefix)?;
        let (bits, rest) = key.split_first_chunk::<4>().ok_or(NotAPrefix)?;
        let (version, address) = rest.split_first_chunk::<4>().ok_or(NotAPrefix)?;
        let v6: [u8; 16] = address.try_into().map_err(|_| NotAPrefix)?;
        let address = match (version, v6) {
            ([0, 0, 0, 4], [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            ([0, 0, 0, 6], v6) => IpAddr::from(v6),
            _ => return Err(NotAPrefix),
        };
        let length = u32::from_ne_bytes(*bits).checked_sub(VERSION_BITS).ok_or(NotAPrefix)?;
        Self::new(address, u8::try_from(length).map_err(|_| NotAPrefix)?)
    }

    fn number(&self) -> u128 {
        number(self.address)
    }

    /// The bits of an address of its version that it looks at.
    fn masked(&self, address: IpAddr) -> u128 {
        let host = u32::from(width(address).saturating_sub(self.length));
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        number(address) & mask
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let (address, length) = text.split_once('/').ok_or(NotAPrefix)?;
        let address = address.parse().map_err(|_| NotAPrefix)?;
        Self::new(address, length.parse().map_err(|_| NotAPrefix)?)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

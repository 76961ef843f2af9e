//! An entry of a table of connections, as its bytes say.
//!
//! The layout is that of `stdlib-bpf/bir/connection.bir`: words in the host's byte
//! order. Does not know: whose number a subject's is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policyc_bpf::Direction;

/// Bytes of a key.
pub(super) const KEY: usize = 48;
/// Bytes of a value.
pub(super) const VALUE: usize = 32;
/// Where an IPv4 address is in the low word (RFC 4291, section 2.5.5.2).
const MAPPED: u64 = 0xffff_0000_0000;
/// Where a tail says that the subject asks.
const OWN_ASKS: u64 = 1 << 48;

/// Which connection: whose, between which ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ends {
    /// The subject's number, of its name
    /// ([`subject_identity`](policyc_bpf::manifest::subject_identity)).
    pub subject: u64,
    /// IP protocol number.
    pub protocol: u8,
    /// The subject's address.
    pub own: IpAddr,
    /// Its port; of ICMP the identifier if the subject asks, else the question's type.
    pub own_port: u16,
    /// The other end's address.
    pub peer: IpAddr,
    /// Its port; of ICMP as with `own_port`.
    pub peer_port: u16,
    /// Whether the subject asks by ICMP.
    pub own_asks: bool,
}

/// What is known of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Entry {
    /// Gone from this time on, in nanoseconds of the monotonic clock.
    pub(super) expires: u64,
    /// When its first packet came.
    pub(super) made: u64,
    /// Which direction that had.
    pub(super) opened: Direction,
    /// Whether the other end answered.
    pub(super) replied: bool,
    /// Whether the opener has finished, and the other end.
    pub(super) finished: [bool; 2],
    /// Whether policy has denied a packet of the opener since.
    pub(super) cut: bool,
    /// Which adoption wrote it; 0 if a program did.
    pub(super) adoption: u32,
}

impl Ends {
    /// The ends that a key names; `None` for what is no key.
    pub(super) fn read(key: &[u8]) -> Option<Self> {
        let words: &[u8; KEY] = key.try_into().ok()?;
        let (words, _) = words.as_chunks::<8>();
        let [subject, own_hi, own_lo, peer_hi, peer_lo, tail] =
            <[[u8; 8]; 6]>::try_from(words).ok()?.map(u64::from_ne_bytes);
        let is_v4 = (tail >> 40) as u8 == 4;
        Some(Self {
            subject,
            protocol: (tail >> 32) as u8,
            own: address(is_v4, own_hi, own_lo),
            own_port: tail as u16,
            peer: address(is_v4, peer_hi, peer_lo),
            peer_port: (tail >> 16) as u16,
            own_asks: tail & OWN_ASKS != 0,
        })
    }
}

impl Ends {
    /// The key that names them.
    pub(super) fn key(&self) -> [u8; KEY] {
        let (own_hi, own_lo) = words(self.own);
        let (peer_hi, peer_lo) = words(self.peer);
        let version: u64 = if self.own.is_ipv4() { 4 } else { 6 };
        let ports = u64::from(self.own_port) | u64::from(self.peer_port) << 16;
        let asks = if self.own_asks { OWN_ASKS } else { 0 };
        let tail = ports | u64::from(self.protocol) << 32 | version << 40 | asks;
        let mut key = [0; KEY];
        let (slots, _) = key.as_chunks_mut::<8>();
        let words = [self.subject, own_hi, own_lo, peer_hi, peer_lo, tail];
        slots.iter_mut().zip(words).for_each(|(slot, word)| *slot = word.to_ne_bytes());
        key
    }
}

fn words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(v4) => (0, MAPPED | u64::from(u32::from(v4))),
        IpAddr::V6(v6) => ((u128::from(v6) >> 64) as u64, u128::from(v6) as u64),
    }
}

fn address(is_v4: bool, hi: u64, lo: u64) -> IpAddr {
    if is_v4 {
        return Ipv4Addr::from((lo ^ MAPPED) as u32).into();
    }
    Ipv6Addr::from(u128::from(hi) << 64 | u128::from(lo)).into()
}

impl Entry {
    /// What a value says; `None` for what is no value.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let value: &[u8; VALUE] = value.try_into().ok()?;
        let word = |at: usize| {
            let (words, _) = value.as_chunks::<8>();
            words.get(at).map(|word| u64::from_ne_bytes(*word))
        };
        let is = |at: usize| value.get(at).is_some_and(|byte| *byte != 0);
        Some(Self {
            expires: word(0)?,
            made: word(1)?,
            opened: if is(16) { Direction::Egress } else { Direction::Ingress },
            replied: is(17),
            finished: [is(18), is(19)],
            cut: is(20),
            // Else it is what the other end wants acknowledged.
            adoption: if is(ACCEPTED) { 0 } else { word_at(value, NUMBER)? },
        })
    }

    /// The value that says so, of an entry that has a place in the ring.
    pub(super) fn value(&self, place: u32) -> [u8; VALUE] {
        let mut value = [0; VALUE];
        value[..8].copy_from_slice(&self.expires.to_ne_bytes());
        value[8..16].copy_from_slice(&self.made.to_ne_bytes());
        let [opener, other] = self.finished;
        let facts = [self.opened == Direction::Egress, self.replied, opener, other, self.cut];
        value[16..21].copy_from_slice(&facts.map(u8::from));
        value[PLACE..PLACE + 4].copy_from_slice(&place.to_ne_bytes());
        value[NUMBER..].copy_from_slice(&self.adoption.to_ne_bytes());
        value
    }
}

/// Where a value says that what stands at [`NUMBER`] is of a SYN with ACK.
const ACCEPTED: usize = 23;
/// Where a value has its place in the ring.
const PLACE: usize = 24;
/// Where it has what the other end wants acknowledged, if it accepted, which programs
/// write while it is half-open; else which adoption wrote it, which they never read.
const NUMBER: usize = 28;

/// The place in the ring that a value has.
pub(super) fn place(value: &[u8]) -> Option<u32> {
    word_at(value, PLACE)
}

fn word_at(value: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*value.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;

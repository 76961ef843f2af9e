//! What a program is run on: its context and packet, and what helpers tell it.

use std::collections::BTreeMap;

/// What helpers see of the world.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct World {
    /// `ktime_get_ns`, in nanoseconds.
    pub time: u64,
    /// `ktime_get_coarse_ns`, in nanoseconds.
    pub coarse_time: u64,
    /// `get_prandom_u32`, one after the other; then 0.
    pub random: std::collections::VecDeque<u32>,
    /// The CPU that runs.
    pub cpu: u32,
    /// `get_current_pid_tgid`.
    pub pid_tgid: u64,
    /// `get_current_uid_gid`.
    pub uid_gid: u64,
    /// The name of the current thread, without the NUL.
    pub comm: Vec<u8>,
    /// The address of the current task.
    pub task: u64,
    /// `get_current_cgroup_id`.
    pub cgroup_id: u64,
    /// Memory of the kernel.
    pub kernel: AddressSpace,
    /// Memory of the current process.
    pub user: AddressSpace,
}

/// Memory at addresses; what is not there cannot be read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AddressSpace {
    regions: BTreeMap<u64, Vec<u8>>,
}

impl AddressSpace {
    /// Puts bytes at an address.
    pub fn insert(&mut self, address: u64, bytes: impl Into<Vec<u8>>) {
        self.regions.insert(address, bytes.into());
    }

    /// The byte at an address.
    pub fn byte(&self, address: u64) -> Option<u8> {
        let (start, bytes) = self.regions.range(..=address).next_back()?;
        bytes.get(usize::try_from(address - start).ok()?).copied()
    }
}

/// A packet.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Packet {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// How many of them direct access can reach.
    pub linear: usize,
}

/// Which context it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContextKind {
    /// `struct __sk_buff`.
    Skb,
    /// `struct xdp_md`.
    Xdp,
    /// What a tracing program gets: bytes.
    Raw,
}

/// What the program's argument points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    /// Which context it is.
    pub kind: ContextKind,
    /// Its bytes, as the program reads them.
    pub bytes: Vec<u8>,
    /// The packet; empty for tracing.
    pub packet: Packet,
}

/// Offsets of `struct __sk_buff`.
mod skb {
    pub(super) const SIZE: usize = 192;
    pub(super) const LEN: usize = 0;
    pub(super) const DATA: usize = 76;
    pub(super) const DATA_END: usize = 80;
}

/// Offsets of `struct xdp_md`.
mod xdp {
    pub(super) const SIZE: usize = 24;
    pub(super) const DATA: usize = 0;
    pub(super) const DATA_END: usize = 4;
}

/// Where the packet is, as far as a program can see addresses.
const PACKET: u32 = 0x1000_0000;

impl Context {
    /// A socket buffer with a packet that is all linear; other fields are 0.
    pub fn skb(packet: impl Into<Vec<u8>>) -> Self {
        Self::packet(ContextKind::Skb, skb::SIZE, packet.into())
    }

    /// An XDP buffer; other fields are 0.
    pub fn xdp(packet: impl Into<Vec<u8>>) -> Self {
        Self::packet(ContextKind::Xdp, xdp::SIZE, packet.into())
    }

    /// The argument of a tracing program.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind: ContextKind::Raw, bytes: bytes.into(), packet: Packet::default() }
    }

    fn packet(kind: ContextKind, size: usize, bytes: Vec<u8>) -> Self {
        let packet = Packet { linear: bytes.len(), bytes };
        let mut context = Self { kind, bytes: vec![0; size], packet };
        context.place_packet();
        context
    }

    /// The same with only the first bytes of the packet within direct access.
    #[must_use]
    pub fn with_linear(mut self, linear: usize) -> Self {
        self.packet.linear = linear.min(self.packet.bytes.len());
        self.place_packet();
        self
    }

    /// The same with a field of the context; nothing changes outside of it.
    #[must_use]
    pub fn with_u32(mut self, offset: usize, value: u32) -> Self {
        self.set_u32(offset, value);
        self
    }

    /// A field of the context; 0 outside of it.
    pub fn u32(&self, offset: usize) -> u32 {
        let bytes = self.bytes.get(offset..offset.saturating_add(4));
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    fn set_u32(&mut self, offset: usize, value: u32) {
        if let Some(bytes) = self.bytes.get_mut(offset..offset.saturating_add(4)) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Writes what the context tells about the packet.
    pub(super) fn place_packet(&mut self) {
        let end = PACKET + self.packet.linear as u32;
        match self.kind {
            ContextKind::Skb => {
                self.set_u32(skb::LEN, self.packet.bytes.len() as u32);
                self.set_u32(skb::DATA, PACKET);
                self.set_u32(skb::DATA_END, end);
            }
            ContextKind::Xdp => {
                self.set_u32(xdp::DATA, PACKET);
                self.set_u32(xdp::DATA_END, end);
            }
            ContextKind::Raw => {}
        }
    }
}

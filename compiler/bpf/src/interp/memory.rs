//! The simulated address space: what an address points to, and loads and stores
//! through it.
//!
//! An address has a tag (8 bits), an index (16 bits: which map, which frame) and
//! an offset (40 bits). Offset 0 of a region lies in the middle, so that a pointer
//! that runs out on either side stays in its region and is reported as such.

use super::context::{Access, ContextState};
use super::fault::AccessError;
use super::map::Map;
use crate::decode::Size;

/// Bytes of a stack frame.
pub(super) const STACK_SIZE: usize = 512;

const TAG_SHIFT: u32 = 56;
const INDEX_SHIFT: u32 = 40;
const OFFSET_BITS: u64 = (1 << INDEX_SHIFT) - 1;
const OFFSET_ZERO: u64 = 1 << (INDEX_SHIFT - 1);

/// What an address points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Region {
    Context,
    /// The packet, after that many moves.
    Packet(u16),
    /// The frame of a function, by depth.
    Stack(u16),
    /// A map itself, for helpers.
    Map(u16),
    /// The values of a map.
    Values(u16),
    /// A function of the program.
    Function,
}

impl Region {
    const fn tag_and_index(self) -> (u64, u16) {
        match self {
            Self::Context => (1, 0),
            Self::Packet(moves) => (2, moves),
            Self::Stack(frame) => (3, frame),
            Self::Map(map) => (4, map),
            Self::Values(map) => (5, map),
            Self::Function => (6, 0),
        }
    }

    /// The word for it in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Packet(_) => "packet",
            Self::Stack(_) => "stack",
            Self::Map(_) => "map",
            Self::Values(_) => "map value",
            Self::Function => "function",
        }
    }

    /// The address of a byte of it.
    pub(super) const fn address(self, offset: u64) -> u64 {
        let (tag, index) = self.tag_and_index();
        (tag << TAG_SHIFT | (index as u64) << INDEX_SHIFT | OFFSET_ZERO).wrapping_add(offset)
    }

    /// The region an address is in, and the offset in it.
    pub(super) const fn of(address: u64) -> Option<(Self, i64)> {
        let index = (address >> INDEX_SHIFT) as u16;
        let region = match address >> TAG_SHIFT {
            1 => Self::Context,
            2 => Self::Packet(index),
            3 => Self::Stack(index),
            4 => Self::Map(index),
            5 => Self::Values(index),
            6 => Self::Function,
            _ => return None,
        };
        Some((region, (address & OFFSET_BITS) as i64 - OFFSET_ZERO as i64))
    }
}

/// A stack frame and which of its bytes were written.
pub(super) struct Stack {
    bytes: [u8; STACK_SIZE],
    written: [bool; STACK_SIZE],
}

impl Stack {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; STACK_SIZE], written: [false; STACK_SIZE] }
    }
}

/// Everything that addresses can point to during a run.
pub(super) struct Memory<'a> {
    pub(super) context: ContextState,
    /// Frames of the functions that are running, the innermost last.
    pub(super) stacks: Vec<Stack>,
    pub(super) maps: &'a mut [Map],
}

impl Memory<'_> {
    /// A load by an instruction.
    pub(super) fn load(&self, address: u64, size: Size) -> Result<u64, AccessError> {
        if let Some((Region::Context, offset)) = Region::of(address) {
            return self.load_field(offset, size);
        }
        self.aligned(address, size)?;
        let bytes = self.read(address, size.bytes().into())?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A store by an instruction.
    pub(super) fn store(
        &mut self,
        address: u64,
        size: Size,
        value: u64,
    ) -> Result<(), AccessError> {
        let bytes = &value.to_le_bytes()[..size.bytes() as usize];
        if let Some((Region::Context, offset)) = Region::of(address) {
            let field = self.context.access(offset, size.bytes(), true);
            let at = field.and_then(|_| usize::try_from(offset).ok());
            let at = at.ok_or(AccessError::NoField)?;
            self.context.image[at..at + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        self.aligned(address, size)?;
        self.write(address, bytes)
    }

    /// Whether an atomic operation may touch an address.
    pub(super) fn atomics_allowed(&self, address: u64, size: Size) -> Result<(), AccessError> {
        match Region::of(address) {
            Some((region @ (Region::Context | Region::Packet(_)), _)) => {
                Err(AccessError::NoAtomics(region.name()))
            }
            Some((region, offset)) if offset % i64::from(size.bytes()) != 0 => {
                Err(AccessError::Misaligned(region.name()))
            }
            _ => Ok(()),
        }
    }

    fn load_field(&self, offset: i64, size: Size) -> Result<u64, AccessError> {
        let field = self.context.access(offset, size.bytes(), false).ok_or(AccessError::NoField)?;
        let packet = Region::Packet(self.context.moves);
        Ok(match field.access {
            Access::PacketStart => packet.address(0),
            Access::PacketEnd => packet.address(self.context.linear as u64),
            _ => {
                let bytes = self.context.image.iter().skip(offset as usize);
                let bytes: Vec<u8> = bytes.take(size.bytes() as usize).copied().collect();
                bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
            }
        })
    }

    /// The kernel wants aligned accesses to the stack on every host.
    fn aligned(&self, address: u64, size: Size) -> Result<(), AccessError> {
        match Region::of(address) {
            Some((region @ Region::Stack(_), offset)) if offset % i64::from(size.bytes()) != 0 => {
                Err(AccessError::Misaligned(region.name()))
            }
            _ => Ok(()),
        }
    }

    /// Bytes that programs and helpers may read; not from the context.
    pub(super) fn read(&self, address: u64, len: u64) -> Result<Vec<u8>, AccessError> {
        let (region, offset) = Region::of(address).ok_or(AccessError::Nowhere)?;
        let outside = AccessError::OutOfBounds(region.name());
        match region {
            Region::Packet(moves) if moves == self.context.moves => {
                let range = range(offset, len, self.context.linear).ok_or(outside)?;
                Ok(self.context.packet[range].to_vec())
            }
            Region::Stack(frame) => {
                let stack = self.stacks.get(frame as usize).ok_or(AccessError::Nowhere)?;
                let range = range(offset, len, STACK_SIZE).ok_or(outside)?;
                if !stack.written[range.clone()].iter().all(|written| *written) {
                    return Err(AccessError::Unset(region.name()));
                }
                Ok(stack.bytes[range].to_vec())
            }
            Region::Values(map) => {
                let map = self.maps.get(map as usize).ok_or(AccessError::Nowhere)?;
                let (slot, range) = value_range(map, offset, len).ok_or(outside)?;
                let zeros = || vec![0; range.len()];
                Ok(map.value(slot).map_or_else(zeros, |value| value[range.clone()].to_vec()))
            }
            _ => Err(AccessError::Nowhere),
        }
    }

    /// A byte of a tracepoint's record or arguments. The contexts of packets are views
    /// that the verifier translates: what memory holds at their place is the kernel's.
    pub(super) fn event(&self, address: u64) -> Option<u8> {
        let (region, offset) = Region::of(address)?;
        if region != Region::Context || self.context.is_skb() || self.context.is_xdp() {
            return None;
        }
        self.context.image.get(usize::try_from(offset).ok()?).copied()
    }

    /// Bytes that programs and helpers write; not to the context.
    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let (region, offset) = Region::of(address).ok_or(AccessError::Nowhere)?;
        let outside = AccessError::OutOfBounds(region.name());
        let len = bytes.len() as u64;
        match region {
            Region::Packet(moves) if moves == self.context.moves => {
                let range = range(offset, len, self.context.linear).ok_or(outside)?;
                if !self.context.packet_writable {
                    return Err(AccessError::ReadOnly(region.name()));
                }
                self.context.packet[range].copy_from_slice(bytes);
            }
            Region::Stack(frame) => {
                let stack = self.stacks.get_mut(frame as usize).ok_or(AccessError::Nowhere)?;
                let range = range(offset, len, STACK_SIZE).ok_or(outside)?;
                stack.written[range.clone()].fill(true);
                stack.bytes[range].copy_from_slice(bytes);
            }
            Region::Values(map) => {
                let map = self.maps.get_mut(map as usize).ok_or(AccessError::Nowhere)?;
                if map.spec().flags & super::RDONLY_PROG != 0 {
                    return Err(AccessError::ReadOnly(region.name()));
                }
                let (slot, range) = value_range(map, offset, len).ok_or(outside)?;
                let value = map.value_mut(slot).ok_or(outside)?;
                value[range].copy_from_slice(bytes);
            }
            _ => return Err(AccessError::Nowhere),
        }
        Ok(())
    }
}

/// `offset..offset + len` if it lies in `0..size`.
fn range(offset: i64, len: u64, size: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= size).then_some(start..end)
}

/// The slot of a map an offset lies in, and the bytes in its value; `None` if they
/// are not all in one value.
fn value_range(map: &Map, offset: i64, len: u64) -> Option<(u64, std::ops::Range<usize>)> {
    let offset = u64::try_from(offset).ok()?;
    let slot = offset / map.stride();
    let within = (offset % map.stride()) as i64;
    let range = range(within, len, map.spec().value_size as usize)?;
    map.has_slot(slot).then_some((slot, range))
}

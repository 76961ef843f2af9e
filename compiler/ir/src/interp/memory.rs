//! Loads and stores.

use policyc_base::{EntityId, PrimaryMap};

use super::{Cell, FaultKind, Region, Run};
use crate::types::{Function, Slot};

/// The slots of one running function.
pub(super) struct Stack {
    slots: PrimaryMap<Slot, Vec<Option<u8>>>,
}

impl Stack {
    pub(super) fn new(func: &Function) -> Self {
        Self { slots: func.slots.values().map(|slot| vec![None; slot.size as usize]).collect() }
    }
}

impl Run<'_, '_> {
    /// Bytes that a pointer points to, `offset` further on.
    pub(super) fn read(
        &mut self,
        pointer: Cell,
        offset: i32,
        len: usize,
    ) -> Result<Vec<u8>, FaultKind> {
        let (region, at) = resolve(pointer, offset)?;
        if let Region::Slot(depth, slot) = region {
            let bytes = self.slot(depth, slot)?;
            let range = within(at, len, bytes.len())?;
            let bytes: Option<Vec<u8>> = bytes[range].iter().copied().collect();
            return bytes.ok_or(FaultKind::Unwritten);
        }
        let bytes = self.bytes(region)?;
        let range = within(at, len, bytes.len())?;
        Ok(bytes[range].to_vec())
    }

    /// Writes bytes where a pointer points to, `offset` further on.
    pub(super) fn write(
        &mut self,
        pointer: Cell,
        offset: i32,
        data: &[u8],
    ) -> Result<(), FaultKind> {
        let (region, at) = resolve(pointer, offset)?;
        if let Region::Slot(depth, slot) = region {
            let bytes = self.slot(depth, slot)?;
            let range = within(at, data.len(), bytes.len())?;
            bytes[range].iter_mut().zip(data).for_each(|(to, from)| *to = Some(*from));
            return Ok(());
        }
        let bytes = self.bytes(region)?;
        let range = within(at, data.len(), bytes.len())?;
        bytes[range].copy_from_slice(data);
        Ok(())
    }

    fn slot(&mut self, depth: usize, slot: Slot) -> Result<&mut Vec<Option<u8>>, FaultKind> {
        let gone = FaultKind::IllFormed("the slot is gone");
        let stack = self.stack.get_mut(depth).filter(|s| slot.index() < s.slots.len());
        stack.map(|stack| &mut stack.slots[slot]).ok_or(gone)
    }

    /// All bytes of what is not on the stack.
    fn bytes(&mut self, region: Region) -> Result<&mut [u8], FaultKind> {
        match region {
            Region::Context => Ok(&mut self.context.bytes),
            Region::Packet(moves) if moves != self.moves => Err(FaultKind::Moved),
            Region::Packet(_) => {
                let packet = &mut self.context.packet;
                let linear = packet.linear.min(packet.bytes.len());
                Ok(&mut packet.bytes[..linear])
            }
            Region::Entry(map, entry, cpu) => {
                let value = self.machine.maps[map].value_mut(entry, cpu);
                value.map(Vec::as_mut_slice).ok_or(FaultKind::IllFormed("the entry is gone"))
            }
            Region::Slot(..) => Err(FaultKind::IllFormed("a slot is no plain memory")),
        }
    }
}

fn resolve(pointer: Cell, offset: i32) -> Result<(Region, i64), FaultKind> {
    match pointer {
        Cell::Pointer(region, at) => Ok((region, at.saturating_add(offset.into()))),
        Cell::Null => Err(FaultKind::Null),
        Cell::Int(_) | Cell::Map(_) => Err(FaultKind::IllFormed("this is no pointer")),
    }
}

fn within(at: i64, len: usize, size: usize) -> Result<std::ops::Range<usize>, FaultKind> {
    let end = at.saturating_add(len as i64);
    match (usize::try_from(at), usize::try_from(end)) {
        (Ok(start), Ok(stop)) if start <= stop && stop <= size => Ok(start..stop),
        _ => Err(FaultKind::Bounds { start: at, end, size }),
    }
}

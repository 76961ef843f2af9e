//! What is known before an instruction: registers, stack, reservations.
//!
//! Guarantees: joining two states keeps only what holds in both.
//! Does not know: instructions, or what must hold.

use std::collections::BTreeSet;

use policyc_bpf::Reg;

use super::value::{Id, Meeting, Packet, Range, Region, Value};

/// Bytes of the stack (`MAX_BPF_STACK`).
pub(crate) const STACK_BYTES: i64 = 512;
const SLOTS: usize = 64;

/// Eight bytes of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StackSlot {
    /// Bit n: byte n was written.
    Bytes(u8),
    /// A whole value, stored aligned.
    Spilled(Value),
}

/// What is known at one point of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    regs: [Option<Value>; 11],
    stack: [StackSlot; SLOTS],
    /// Reservations that must still be submitted or discarded.
    pub(crate) reserved: BTreeSet<Id>,
}

impl State {
    /// At entry: the context in R1, the stack in R10, nothing else.
    pub(crate) fn entry() -> Self {
        let mut state = Self {
            regs: [None; 11],
            stack: [StackSlot::Bytes(0); SLOTS],
            reserved: BTreeSet::new(),
        };
        state.regs[1] = Some(Value::Context);
        state.regs[10] = Some(Value::Stack { off: 0 });
        state
    }

    /// What a register holds; `None` if that is not known on every path.
    pub(crate) fn reg(&self, reg: Reg) -> Option<Value> {
        // INVARIANT: a `Reg` is at most 10.
        self.regs[usize::from(reg.number())]
    }

    pub(crate) fn set(&mut self, reg: Reg, value: Option<Value>) {
        self.regs[usize::from(reg.number())] = value;
    }

    /// Forgets what a call loses: R1 to R5.
    pub(crate) fn lose_arguments(&mut self) {
        self.regs[1..=5].fill(None);
    }

    /// The value spilled at `off` from R10, if a whole one lies there.
    pub(crate) fn spilled(&self, off: i64) -> Option<Value> {
        match self.stack.get(slot_of(off)?) {
            Some(StackSlot::Spilled(value)) if off % 8 == 0 => Some(*value),
            _ => None,
        }
    }

    /// The first byte of `size` at `off` that was not written, if there is one.
    /// Bytes outside the stack count as not written.
    pub(crate) fn first_unwritten(&self, off: i64, size: i64) -> Option<i64> {
        (off..off.saturating_add(size)).find(|&byte| {
            match slot_of(byte).and_then(|slot| self.stack.get(slot)) {
                Some(StackSlot::Spilled(_)) => false,
                Some(StackSlot::Bytes(written)) => written & byte_bit(byte) == 0,
                None => true,
            }
        })
    }

    /// The address spilled in any of `size` bytes at `off`, if there is one.
    pub(crate) fn spilled_address(&self, off: i64, size: i64) -> Option<Value> {
        (off..off.saturating_add(size)).find_map(|byte| match self.stack.get(slot_of(byte)?) {
            Some(StackSlot::Spilled(value)) if !matches!(value, Value::Number { .. }) => {
                Some(*value)
            }
            _ => None,
        })
    }

    /// Stores a whole value at an aligned `off`.
    pub(crate) fn spill(&mut self, off: i64, value: Value) {
        if let Some(slot) = slot_of(off).and_then(|slot| self.stack.get_mut(slot)) {
            *slot = StackSlot::Spilled(value);
        }
    }

    /// Marks `size` bytes at `off` as written with numbers.
    pub(crate) fn write_bytes(&mut self, off: i64, size: i64) {
        for byte in off..off.saturating_add(size).min(0) {
            if let Some(slot) = slot_of(byte).and_then(|slot| self.stack.get_mut(slot)) {
                *slot = match *slot {
                    StackSlot::Bytes(written) => StackSlot::Bytes(written | byte_bit(byte)),
                    // A number's other bytes stay readable, an address's do not.
                    StackSlot::Spilled(Value::Number { .. }) => StackSlot::Bytes(u8::MAX),
                    StackSlot::Spilled(_) => StackSlot::Bytes(byte_bit(byte)),
                };
            }
        }
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut Option<Value>> {
        self.regs.iter_mut()
    }

    /// Applies a change to every value known, wherever it lies; `None` forgets it.
    fn update(&mut self, change: impl Fn(Value) -> Option<Value>) {
        for value in self.values_mut() {
            *value = value.and_then(&change);
        }
        for slot in &mut self.stack {
            if let StackSlot::Spilled(value) = *slot {
                *slot = change(value).map_or(StackSlot::Bytes(0), StackSlot::Spilled);
            }
        }
    }

    /// Narrows the number called `id`, and its copies.
    pub(crate) fn learn_range(&mut self, id: Id, range: Range) {
        self.update(|value| match value {
            Value::Number { id: known, .. } if known == id => Some(Value::Number { range, id }),
            other => Some(other),
        });
    }

    /// The nullable address called `id`, and its copies, are not null.
    pub(crate) fn learn_not_null(&mut self, id: Id) {
        self.update(|value| match value {
            Value::Region(region) if region.id == id => {
                Some(Value::Region(Region { nullable: false, ..region }))
            }
            other => Some(other),
        });
    }

    /// The nullable address called `id`, and its copies, are null: nothing was reserved.
    pub(crate) fn learn_null(&mut self, id: Id) {
        self.reserved.remove(&id);
        self.update(|value| match value {
            Value::Region(region) if region.id == id => {
                Some(Value::Number { range: Range::exactly(0), id })
            }
            other => Some(other),
        });
    }

    /// `range` bytes behind the packet address called `id` are inside the packet.
    pub(crate) fn learn_packet(&mut self, id: Id, range: i64) {
        self.update(|value| match value {
            Value::Packet(packet) if packet.id == id => {
                Some(Value::Packet(Packet { range: packet.range.max(range), ..packet }))
            }
            other => Some(other),
        });
    }

    /// Packet memory has moved: its addresses are void.
    pub(crate) fn lose_packet(&mut self) {
        self.update(|value| match value {
            Value::Packet(_) | Value::PacketEnd => None,
            other => Some(other),
        });
    }

    /// A reservation was submitted or discarded: its addresses are void.
    pub(crate) fn release(&mut self, reservation: Id) {
        self.reserved.remove(&reservation);
        self.update(|value| match value {
            Value::Region(region) if region.reserved == Some(reservation) => None,
            other => Some(other),
        });
    }

    /// What holds in both states where they meet before `slot`. That they
    /// reserve the same is for the caller to check.
    pub(crate) fn join(&self, other: &Self, slot: usize) -> Self {
        let mut meeting = Meeting::at(slot);
        let mut joined = self.clone();
        for (ours, theirs) in joined.regs.iter_mut().zip(&other.regs) {
            *ours = ours.zip(*theirs).and_then(|(a, b)| meeting.join(a, b));
        }
        for (ours, theirs) in joined.stack.iter_mut().zip(&other.stack) {
            *ours = match (*ours, *theirs) {
                (StackSlot::Spilled(a), StackSlot::Spilled(b)) => {
                    meeting.join(a, b).map_or(StackSlot::Bytes(0), StackSlot::Spilled)
                }
                (a, b) => StackSlot::Bytes(a.written() & b.written()),
            };
        }
        joined.reserved = self.reserved.intersection(&other.reserved).copied().collect();
        joined
    }
}

impl StackSlot {
    fn written(self) -> u8 {
        match self {
            Self::Bytes(written) => written,
            Self::Spilled(Value::Number { .. }) => u8::MAX,
            Self::Spilled(_) => 0,
        }
    }
}

/// The slot that a byte of the stack lies in, or `None` outside.
fn slot_of(off: i64) -> Option<usize> {
    if (-STACK_BYTES..0).contains(&off) {
        usize::try_from((off + STACK_BYTES) / 8).ok()
    } else {
        None
    }
}

fn byte_bit(off: i64) -> u8 {
    1 << off.rem_euclid(8)
}

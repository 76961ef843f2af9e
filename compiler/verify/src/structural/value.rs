//! What a register or a spilled stack slot is known to hold.
//!
//! Guarantees: a [`Value`] never claims more than the kernel's verifier knows
//! on each path that leads to it; joining two forgets what they differ in.
//! Does not know: instructions.

/// Names one run-time value: copies of it carry the same id, so that what a
/// branch teaches about one is learnt about all. As no instruction runs twice,
/// the slot that made a value names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Id {
    slot: u32,
    /// 0 for what the instruction made, else the position where two values met.
    nth: u32,
}

impl Id {
    /// The start of the packet.
    pub(crate) const PACKET: Self = Self { slot: u32::MAX, nth: 0 };

    /// The value that the instruction at `slot` makes.
    pub(crate) const fn made_at(slot: usize) -> Self {
        Self { slot: slot as u32, nth: 0 }
    }
}

/// Unsigned bounds of a number, both included, and what divides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// Lowest bits that are known to be 0.
    pub(crate) zeros: u32,
}

impl Range {
    pub(crate) const ANY: Self = Self::up_to(u64::MAX);

    pub(crate) const fn exactly(value: u64) -> Self {
        Self { min: value, max: value, zeros: value.trailing_zeros() }
    }

    pub(crate) const fn up_to(max: u64) -> Self {
        Self { min: 0, max, zeros: 0 }
    }

    /// What a load of `size` bytes can give.
    pub(crate) const fn of_bytes(size: u8) -> Self {
        Self::up_to(if size >= 8 { u64::MAX } else { (1 << (8 * size as u32)) - 1 })
    }

    pub(crate) fn constant(self) -> Option<u64> {
        (self.min == self.max).then_some(self.min)
    }

    fn hull(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            zeros: self.zeros.min(other.zeros),
        }
    }
}

/// Memory of fixed size that a program was given an address in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    /// Bytes of the whole.
    pub(crate) size: u32,
    /// The address is this many bytes from its start, at least and at most.
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    /// Lowest bits in which its distance equals `lo`.
    pub(crate) zeros: u32,
    /// It may be null instead.
    pub(crate) nullable: bool,
    /// Reserved memory, by the reservation that must be released.
    pub(crate) reserved: Option<Id>,
    pub(crate) id: Id,
}

impl Region {
    /// Bits in which an address at its start equals itself: all.
    pub(crate) const EXACT: u32 = 64;
}

/// An address in the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    /// Names the part of the address that is not constant.
    pub(crate) id: Id,
    /// Bytes added to that part.
    pub(crate) off: i64,
    /// The part that is not constant is at most this far from the packet's start.
    pub(crate) var_max: u64,
    /// Bytes behind that part which were compared with the packet's end.
    pub(crate) range: i64,
}

/// What is known of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Number {
        range: Range,
        id: Id,
    },
    Context,
    /// R10 plus this many bytes.
    Stack {
        off: i64,
    },
    /// A map itself.
    Map(policyc_bpf::MapId),
    Region(Region),
    Packet(Packet),
    PacketEnd,
    /// An address that may only be handed to a helper which reads with care:
    /// the context plus something.
    Opaque,
}

impl Value {
    pub(crate) const fn number(range: Range, slot: usize) -> Self {
        Self::Number { range, id: Id::made_at(slot) }
    }

    /// What it is, for explanations.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Number { range, .. } => match range.constant() {
                Some(value) => format!("the number {}", value as i64),
                None if range == Range::ANY => "a number".into(),
                None => format!("a number from {} to {}", range.min, range.max),
            },
            Self::Context => "the context".into(),
            Self::Stack { off } => format!("the stack address r10{off:+}"),
            Self::Map(map) => format!("{map}"),
            Self::Region(Region { size, nullable, .. }) => {
                let null = if nullable { ", or null" } else { "" };
                format!("an address in {size} bytes{null}")
            }
            Self::Packet(_) => "a packet address".into(),
            Self::PacketEnd => "the packet's end".into(),
            Self::Opaque => "an address behind the context".into(),
        }
    }
}

/// Two values that meet: what they were called, and how far they are apart.
#[derive(PartialEq, Eq)]
struct Pair {
    left: Id,
    right: Id,
    apart: i64,
}

/// Names what comes out where two paths meet. Pairs that were equal on both
/// sides stay equal.
pub(crate) struct Meeting {
    slot: u32,
    /// The pair, its new name, and the offset at which it was first seen.
    pairs: Vec<(Pair, Id, i64)>,
}

impl Meeting {
    pub(crate) const fn at(slot: usize) -> Self {
        Self { slot: slot as u32, pairs: Vec::new() }
    }

    fn name(&mut self, left: Id, right: Id) -> Id {
        if left == right { left } else { self.rename(Pair { left, right, apart: 0 }, 0).0 }
    }

    /// The new name of a pair, and the offset of its first member.
    fn rename(&mut self, pair: Pair, off: i64) -> (Id, i64) {
        if let Some((_, id, first)) = self.pairs.iter().find(|(known, ..)| *known == pair) {
            return (*id, *first);
        }
        let id = Id { slot: self.slot, nth: self.pairs.len() as u32 + 1 };
        self.pairs.push((pair, id, off));
        (id, off)
    }

    /// What holds of both, or `None` if nothing useful does.
    pub(crate) fn join(&mut self, left: Value, right: Value) -> Option<Value> {
        match (left, right) {
            (Value::Number { range: a, id: left }, Value::Number { range: b, id: right }) => {
                Some(Value::Number { range: a.hull(b), id: self.name(left, right) })
            }
            (Value::Region(a), Value::Region(b)) => self.join_regions(a, b).map(Value::Region),
            (Value::Region(region), Value::Number { range, id })
            | (Value::Number { range, id }, Value::Region(region)) => {
                let null = range == Range::exactly(0);
                let plain = region.reserved.is_none() && (region.lo, region.hi) == (0, 0);
                let id = self.name(region.id, id);
                (null && plain).then_some(Value::Region(Region { nullable: true, id, ..region }))
            }
            (Value::Packet(a), Value::Packet(b)) => self.join_packets(a, b).map(Value::Packet),
            _ => (left == right).then_some(left),
        }
    }

    fn join_regions(&mut self, a: Region, b: Region) -> Option<Region> {
        let nullable = a.nullable || b.nullable;
        let moved = (a.lo, a.hi, b.lo, b.hi) != (0, 0, 0, 0);
        if a.reserved != b.reserved || (nullable && moved) {
            return None;
        }
        Some(Region {
            size: a.size.min(b.size),
            lo: a.lo.min(b.lo),
            hi: a.hi.max(b.hi),
            zeros: a.zeros.min(b.zeros).min(a.lo.wrapping_sub(b.lo).trailing_zeros()),
            nullable,
            reserved: a.reserved,
            id: self.name(a.id, b.id),
        })
    }

    fn join_packets(&mut self, a: Packet, b: Packet) -> Option<Packet> {
        if a.id == b.id && a.off == b.off {
            let (range, var_max) = (a.range.min(b.range), a.var_max.max(b.var_max));
            return Some(Packet { range, var_max, ..a });
        }
        // The difference becomes part of what is not constant. Offsets count
        // from the first member of the pair, so that those of one pair stay
        // comparable.
        let pair = Pair { left: a.id, right: b.id, apart: a.off.saturating_sub(b.off) };
        let (id, first) = self.rename(pair, a.off);
        let off = a.off - first;
        // What is not constant must not lie before the packet.
        if a.off < off || b.off < off {
            return None;
        }
        let end = |p: Packet| p.var_max.saturating_add_signed(p.off - off);
        Some(Packet {
            id,
            off,
            var_max: end(a).max(end(b)),
            range: (a.range - a.off).min(b.range - b.off).saturating_add(off).max(0),
        })
    }
}

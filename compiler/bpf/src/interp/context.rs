//! What a program gets in `r1`, and which of its fields programs may touch.
//!
//! Source: `struct __sk_buff` and `struct xdp_md` of `include/uapi/linux/bpf.h`;
//! access rules of `net/core/filter.c` (`tc_cls_act_is_valid_access`,
//! `cg_skb_is_valid_access`, `xdp_is_valid_access`) and
//! `kernel/trace/bpf_trace.c`, Linux 6.18. Socket and flow-key pointers are not
//! there.

use crate::ProgramKind;
use crate::interp::skb::{Skb, Xdp};

/// The input of a run; what a program changed comes back in
/// [`Outcome`](super::Outcome).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Context {
    /// For `tc` and `cgroup_skb`.
    Skb(Skb),
    /// For `xdp`.
    Xdp(Xdp),
    /// For raw tracepoints: the arguments of the event.
    RawTracepoint(Vec<u64>),
    /// For tracepoints: the record, its common header included.
    Tracepoint(Vec<u8>),
}

impl From<Skb> for Context {
    fn from(skb: Skb) -> Self {
        Self::Skb(skb)
    }
}

impl From<Xdp> for Context {
    fn from(xdp: Xdp) -> Self {
        Self::Xdp(xdp)
    }
}

/// What lies at a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// A number; parts of it may be loaded.
    Read,
    /// A number that only loads as a whole.
    ReadWhole,
    /// A number that may be stored as a whole.
    Write,
    /// Bytes that may be loaded and stored in any aligned size.
    Bytes,
    /// A packet pointer, written as 32 bits, loaded as 64.
    PacketStart,
    /// The end of what can be reached of the packet.
    PacketEnd,
}

/// A field of a context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) size: usize,
    pub(super) access: Access,
}

const fn field(start: usize, size: usize, access: Access) -> Field {
    Field { start, size, access }
}

/// Fields of `__sk_buff` in both kinds of program, `cb` as one.
const SKB: &[Field] = &[
    field(0, 4, Access::Read),         // len
    field(4, 4, Access::Read),         // pkt_type
    field(8, 4, Access::Write),        // mark
    field(16, 4, Access::Read),        // protocol
    field(20, 4, Access::Read),        // vlan_present
    field(24, 4, Access::Read),        // vlan_tci
    field(28, 4, Access::Read),        // vlan_proto
    field(32, 4, Access::Write),       // priority
    field(36, 4, Access::Read),        // ingress_ifindex
    field(40, 4, Access::Read),        // ifindex
    field(48, 20, Access::Bytes),      // cb
    field(68, 4, Access::Read),        // hash
    field(76, 4, Access::PacketStart), // data
    field(80, 4, Access::PacketEnd),   // data_end
    field(84, 4, Access::Read),        // napi_id
    field(152, 8, Access::Write),      // tstamp
    field(164, 4, Access::Read),       // gso_segs
    field(176, 4, Access::Read),       // gso_size
    field(184, 8, Access::ReadWhole),  // hwtstamp
];

/// Further fields of `__sk_buff` in `tc`.
const SKB_TC: &[Field] = &[
    field(12, 4, Access::Write),        // queue_mapping
    field(44, 4, Access::Write),        // tc_index
    field(72, 4, Access::Write),        // tc_classid
    field(140, 4, Access::PacketStart), // data_meta: there is none
    field(160, 4, Access::Read),        // wire_len
];

/// Further fields of `__sk_buff` in `cgroup_skb`.
const SKB_CGROUP: &[Field] = &[
    field(12, 4, Access::Read), // queue_mapping
    field(44, 4, Access::Read), // tc_index
];

/// Fields of `xdp_md`.
const XDP: &[Field] = &[
    field(0, 4, Access::PacketStart), // data
    field(4, 4, Access::PacketEnd),   // data_end
    field(8, 4, Access::PacketStart), // data_meta: there is none
    field(12, 4, Access::Read),       // ingress_ifindex
    field(16, 4, Access::Read),       // rx_queue_index
];

/// Bytes before the fields of a tracepoint's record that programs may not read.
const TRACEPOINT_HEAD: usize = 8;

/// The context of a running program.
pub(super) struct ContextState {
    /// The fields as programs see them, pointers left out.
    pub(super) image: Vec<u8>,
    fields: Vec<Field>,
    /// The packet; empty where there is none.
    pub(super) packet: Vec<u8>,
    /// Bytes of the packet before `data_end`.
    pub(super) linear: usize,
    /// Whether programs may store into the packet.
    pub(super) packet_writable: bool,
    /// Counts the moves of the packet: pointers of another count are dead.
    pub(super) moves: u16,
    origin: Context,
}

impl ContextState {
    /// The state at entry; `None` if the kind of program has another context.
    pub(super) fn new(kind: &ProgramKind, context: Context) -> Option<Self> {
        let (image, fields, packet, linear) = match (kind, &context) {
            (ProgramKind::Tc, Context::Skb(skb)) => {
                (skb.image(), [SKB, SKB_TC].concat(), skb.packet.clone(), skb.linear())
            }
            (ProgramKind::CgroupSkb(_), Context::Skb(skb)) => {
                (skb.image(), [SKB, SKB_CGROUP].concat(), skb.packet.clone(), skb.linear())
            }
            (ProgramKind::Xdp, Context::Xdp(xdp)) => {
                (xdp.image(), XDP.to_vec(), xdp.packet.clone(), xdp.packet.len())
            }
            (ProgramKind::RawTracepoint(_), Context::RawTracepoint(args)) => {
                let image: Vec<u8> = args.iter().flat_map(|a| a.to_le_bytes()).collect();
                let all = field(0, image.len(), Access::Read);
                (image, vec![all], Vec::new(), 0)
            }
            (ProgramKind::Tracepoint { .. }, Context::Tracepoint(record)) => {
                let rest = record.len().saturating_sub(TRACEPOINT_HEAD);
                let all = field(TRACEPOINT_HEAD, rest, Access::Read);
                (record.clone(), vec![all], Vec::new(), 0)
            }
            _ => return None,
        };
        let packet_writable = !matches!(kind, ProgramKind::CgroupSkb(_));
        Some(Self { image, fields, packet, linear, packet_writable, moves: 0, origin: context })
    }

    /// The context as the program left it.
    pub(super) fn finish(self) -> Context {
        match self.origin {
            Context::Skb(skb) => {
                Context::Skb(skb.with_image(&self.image, self.packet, self.linear))
            }
            Context::Xdp(xdp) => Context::Xdp(Xdp { packet: self.packet, ..xdp }),
            other => other,
        }
    }

    /// Has the context say how long the packet is now.
    pub(super) fn tell_length(&mut self) {
        if let Some(field) = self.image.get_mut(..4) {
            field.copy_from_slice(&(self.packet.len() as u32).to_le_bytes());
        }
    }

    /// Whether it is an skb.
    pub(super) const fn is_skb(&self) -> bool {
        matches!(self.origin, Context::Skb(_))
    }

    /// Whether it is a frame of XDP.
    pub(super) const fn is_xdp(&self) -> bool {
        matches!(self.origin, Context::Xdp(_))
    }

    /// What a load or store of `size` bytes at `offset` touches; `None` if that is
    /// not allowed.
    pub(super) fn access(&self, offset: i64, size: u32, write: bool) -> Option<Field> {
        let (offset, size) = (usize::try_from(offset).ok()?, size as usize);
        if !offset.is_multiple_of(size) {
            return None;
        }
        let inside = |f: &&Field| f.start <= offset && offset + size <= f.start + f.size;
        let found = *self.fields.iter().find(inside)?;
        let whole = offset == found.start && size == found.size;
        let allowed = match (found.access, write) {
            (Access::Bytes, _) => true,
            // The kernel takes narrow loads of numbers up to 32 bits only.
            (Access::Write, false) => whole || found.size < 8,
            (Access::Read, false) => true,
            (Access::Write, true) => whole,
            (Access::Read | Access::ReadWhole, true) => false,
            (_, false) => whole,
            (_, true) => false,
        };
        allowed.then_some(found)
    }
}

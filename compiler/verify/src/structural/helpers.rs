//! The helpers that programs may call, as the kernel declares them.
//!
//! Guarantees: what is not in the table is refused.
//! Does not know: which of them a running kernel really has.
//!
//! Source: `include/uapi/linux/bpf.h`; the `*_func_proto` functions of
//! `net/core/filter.c`, `kernel/bpf/helpers.c` and `kernel/trace/bpf_trace.c`
//! of 6.1; `bpf_helper_changes_pkt_data` of `net/core/filter.c`.

use policyc_bpf::{MapKind, ProgramKind};

use crate::Release;

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arg {
    /// The program's context, unchanged.
    Ctx,
    /// A map of one of these kinds.
    Map(&'static [MapKind]),
    /// Initialised memory of the map's key size.
    MapKey,
    /// Initialised memory of the map's value size.
    MapValue,
    /// Initialised memory, as long as the next argument says.
    Mem,
    /// Like [`Arg::Mem`], but may be the constant 0.
    MemOrNull,
    /// Memory to be written, as long as the next argument says.
    MemOut,
    /// A bounded number above 0, the length of the argument before.
    Size,
    /// Like [`Arg::Size`], but may be 0.
    SizeOrZero,
    /// A constant above 0, the bytes to reserve.
    AllocSize,
    /// What `ringbuf_reserve` returned, not null.
    Reserved,
    /// Any number.
    Number,
    /// Any number or address: the helper reads from it with care.
    Unsafe,
}

/// What R0 is afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Return {
    /// A number.
    Number,
    /// Nothing: R0 must not be read.
    Nothing,
    /// Address of the value, or null.
    ValueOrNull,
    /// Address of reserved memory, or null; must be released.
    ReservedOrNull,
}

/// One helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Helper {
    pub(crate) id: i32,
    pub(crate) name: &'static str,
    pub(crate) since: Release,
    pub(crate) gpl: bool,
    /// Packet addresses are lost.
    pub(crate) moves_packet: bool,
    /// Packet memory may be passed where memory is read (`pkt_access`).
    pub(crate) packet_args: bool,
    pub(crate) allowed: Callers,
    pub(crate) args: &'static [Arg],
    pub(crate) returns: Return,
}

/// Kinds of programs that may call a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers(u8);

const TC: Callers = Callers(1);
const XDP: Callers = Callers(2);
const CGROUP_SKB: Callers = Callers(4);
const TRACING: Callers = Callers(8);
const SKB: Callers = TC.and(CGROUP_SKB);
const ALL: Callers = SKB.and(XDP).and(TRACING);

impl Callers {
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether programs of this kind are among them.
    pub(crate) fn contains(self, kind: &ProgramKind) -> bool {
        let one = match kind {
            ProgramKind::Tc => TC,
            ProgramKind::Xdp => XDP,
            ProgramKind::CgroupSkb(_) => CGROUP_SKB,
            ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => TRACING,
        };
        self.0 & one.0 != 0
    }
}

/// The helper with a number, if it is in the table.
pub(crate) fn helper(id: i32) -> Option<&'static Helper> {
    TABLE.iter().find(|helper| helper.id == id)
}

/// When the ring buffer came; older helpers are given the same date.
const V5_8: Release = Release::new(5, 8);

/// A row of the table.
const fn row(
    id: i32,
    name: &'static str,
    allowed: Callers,
    args: &'static [Arg],
    returns: Return,
) -> Helper {
    Helper {
        id,
        name,
        since: V5_8,
        gpl: false,
        moves_packet: false,
        packet_args: false,
        allowed,
        args,
        returns,
    }
}

const fn gpl(helper: Helper) -> Helper {
    Helper { gpl: true, ..helper }
}

const fn moves(helper: Helper) -> Helper {
    Helper { moves_packet: true, ..helper }
}

const fn packet(helper: Helper) -> Helper {
    Helper { packet_args: true, ..helper }
}

const fn since(since: Release, helper: Helper) -> Helper {
    Helper { since, ..helper }
}

const KEYED: &[MapKind] =
    &[MapKind::Array, MapKind::PercpuArray, MapKind::Hash, MapKind::LruHash, MapKind::LpmTrie];
const HASHED: &[MapKind] = &[MapKind::Hash, MapKind::LruHash, MapKind::LpmTrie];
const RING: &[MapKind] = &[MapKind::Ringbuf];
const PROGS: &[MapKind] = &[MapKind::ProgArray];

use Arg::{
    AllocSize, Ctx, Map, MapKey, MapValue, Mem, MemOrNull, MemOut, Number, Reserved, Size,
    SizeOrZero, Unsafe,
};
use Return::{Nothing, ReservedOrNull, ValueOrNull};

const NUM: Return = Return::Number;

static TABLE: &[Helper] = &[
    // Maps.
    packet(row(1, "map_lookup_elem", ALL, &[Map(KEYED), MapKey], ValueOrNull)),
    packet(row(2, "map_update_elem", ALL, &[Map(KEYED), MapKey, MapValue, Number], NUM)),
    packet(row(3, "map_delete_elem", ALL, &[Map(HASHED), MapKey], NUM)),
    moves(row(12, "tail_call", ALL, &[Ctx, Map(PROGS), Number], Nothing)),
    row(130, "ringbuf_output", ALL, &[Map(RING), Mem, SizeOrZero, Number], NUM),
    row(131, "ringbuf_reserve", ALL, &[Map(RING), AllocSize, Number], ReservedOrNull),
    row(132, "ringbuf_submit", ALL, &[Reserved, Number], Nothing),
    row(133, "ringbuf_discard", ALL, &[Reserved, Number], Nothing),
    row(134, "ringbuf_query", ALL, &[Map(RING), Number], NUM),
    // Time, place and chance.
    row(5, "ktime_get_ns", ALL, &[], NUM),
    row(7, "get_prandom_u32", ALL, &[], NUM),
    row(8, "get_smp_processor_id", ALL, &[], NUM),
    row(42, "get_numa_node_id", ALL, &[], NUM),
    row(118, "jiffies64", ALL, &[], NUM),
    row(125, "ktime_get_boot_ns", ALL, &[], NUM),
    since(Release::new(5, 11), row(160, "ktime_get_coarse_ns", ALL, &[], NUM)),
    gpl(row(6, "trace_printk", ALL, &[Mem, Size, Number, Number, Number], NUM)),
    // The task and its memory.
    row(14, "get_current_pid_tgid", TRACING, &[], NUM),
    row(15, "get_current_uid_gid", TRACING, &[], NUM),
    row(16, "get_current_comm", TRACING, &[MemOut, Size], NUM),
    gpl(row(35, "get_current_task", TRACING, &[], NUM)),
    row(80, "get_current_cgroup_id", TRACING, &[], NUM),
    row(123, "get_current_ancestor_cgroup_id", TRACING, &[Number], NUM),
    gpl(row(112, "probe_read_user", TRACING, &[MemOut, SizeOrZero, Unsafe], NUM)),
    gpl(row(113, "probe_read_kernel", TRACING, &[MemOut, SizeOrZero, Unsafe], NUM)),
    gpl(row(114, "probe_read_user_str", TRACING, &[MemOut, SizeOrZero, Unsafe], NUM)),
    gpl(row(115, "probe_read_kernel_str", TRACING, &[MemOut, SizeOrZero, Unsafe], NUM)),
    // The packet and its socket.
    moves(row(9, "skb_store_bytes", TC, &[Ctx, Number, Mem, Size, Number], NUM)),
    moves(row(10, "l3_csum_replace", TC, &[Ctx, Number, Number, Number, Number], NUM)),
    moves(row(11, "l4_csum_replace", TC, &[Ctx, Number, Number, Number, Number], NUM)),
    moves(row(13, "clone_redirect", TC, &[Ctx, Number, Number], NUM)),
    moves(row(18, "skb_vlan_push", TC, &[Ctx, Number, Number], NUM)),
    moves(row(19, "skb_vlan_pop", TC, &[Ctx], NUM)),
    row(23, "redirect", TC.and(XDP), &[Number, Number], NUM),
    row(26, "skb_load_bytes", SKB, &[Ctx, Number, MemOut, Size], NUM),
    packet(row(
        28,
        "csum_diff",
        TC.and(XDP),
        &[MemOrNull, SizeOrZero, MemOrNull, SizeOrZero, Number],
        NUM,
    )),
    row(34, "get_hash_recalc", TC, &[Ctx], NUM),
    moves(row(38, "skb_change_tail", TC, &[Ctx, Number, Number], NUM)),
    moves(row(39, "skb_pull_data", TC, &[Ctx, Number], NUM)),
    moves(row(43, "skb_change_head", TC, &[Ctx, Number, Number], NUM)),
    moves(row(44, "xdp_adjust_head", XDP, &[Ctx, Number], NUM)),
    row(46, "get_socket_cookie", SKB, &[Ctx], NUM),
    row(47, "get_socket_uid", SKB, &[Ctx], NUM),
    moves(row(50, "skb_adjust_room", TC, &[Ctx, Number, Number, Number], NUM)),
    moves(row(65, "xdp_adjust_tail", XDP, &[Ctx, Number], NUM)),
    row(68, "skb_load_bytes_relative", SKB, &[Ctx, Number, MemOut, Size, Number], NUM),
    row(79, "skb_cgroup_id", SKB, &[Ctx], NUM),
    row(83, "skb_ancestor_cgroup_id", SKB, &[Ctx, Number], NUM),
    since(Release::new(5, 18), row(189, "xdp_load_bytes", XDP, &[Ctx, Number, MemOut, Size], NUM)),
    since(Release::new(5, 18), row(190, "xdp_store_bytes", XDP, &[Ctx, Number, Mem, Size], NUM)),
];

//! What a program may read and write of its context.
//!
//! Guarantees: what is not listed is refused, which is stricter than the kernel.
//!
//! Source: `net/core/filter.c`: `bpf_skb_is_valid_access`,
//! `tc_cls_act_is_valid_access`, `cg_skb_is_valid_access`, `xdp_is_valid_access`;
//! `kernel/trace/bpf_trace.c`: `raw_tp_prog_is_valid_access`, `tp_prog_is_valid_access`.

use policyc_bpf::ProgramKind;

use super::obligation::AccessMode;

/// What a load from the context gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// A number.
    Number,
    /// Address of the packet's first byte.
    PacketStart,
    /// Address behind the packet's last linear byte.
    PacketEnd,
}

/// A range of bytes in the context, and what it holds.
struct Row {
    from: i64,
    bytes: i64,
    width: Width,
    writable: bool,
}

/// How a field may be accessed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// 32-bit words, read whole or from their start, written whole.
    Words,
    /// Only as one 32-bit word.
    Whole,
    /// Only as 8 bytes.
    Double,
    /// Any aligned size.
    Any,
}

const fn words(from: i64, count: i64) -> Row {
    Row { from, bytes: 4 * count, width: Width::Words, writable: false }
}

const fn writable(row: Row) -> Row {
    Row { writable: true, ..row }
}

/// `struct __sk_buff` as `tc` sees it.
const TC: &[Row] = &[
    words(0, 2),
    // mark
    writable(words(8, 1)),
    words(12, 5),
    // priority
    writable(words(32, 1)),
    words(36, 2),
    // tc_index
    writable(words(44, 1)),
    // cb
    Row { from: 48, bytes: 20, width: Width::Any, writable: true },
    // hash
    words(68, 1),
    // tc_classid
    writable(words(72, 1)),
    // napi_id
    words(84, 1),
    // tstamp
    Row { from: 152, bytes: 8, width: Width::Double, writable: true },
    // wire_len, gso_segs, gso_size
    words(160, 2),
    words(176, 1),
];

/// `struct __sk_buff` as `cgroup_skb` sees it: the socket's addresses, but no class.
const CGROUP_SKB: &[Row] = &[
    words(0, 2),
    writable(words(8, 1)),
    words(12, 5),
    writable(words(32, 1)),
    words(36, 3),
    Row { from: 48, bytes: 20, width: Width::Any, writable: true },
    words(68, 1),
    // napi_id, family, remote and local addresses and ports
    words(84, 14),
    Row { from: 152, bytes: 8, width: Width::Double, writable: true },
    // gso_segs, gso_size
    words(164, 1),
    words(176, 1),
];

/// `struct xdp_md`: ingress_ifindex, rx_queue_index.
const XDP: &[Row] = &[Row { width: Width::Whole, ..words(12, 2) }];

/// `MAX_BPF_FUNC_ARGS` words.
const RAW_TRACEPOINT: &[Row] = &[Row { from: 0, bytes: 96, width: Width::Any, writable: false }];

/// `PERF_MAX_TRACE_SIZE` bytes, of which the first 8 are the kernel's own.
const TRACEPOINT: &[Row] = &[Row { from: 8, bytes: 8_192 - 8, width: Width::Any, writable: false }];

/// What `size` bytes at `off` of the context hold, or `None` if they may not
/// be accessed so.
pub(crate) fn field(kind: &ProgramKind, off: i64, size: u8, mode: AccessMode) -> Option<Field> {
    let (rows, start, end) = match kind {
        ProgramKind::Tc => (TC, Some(76), Some(80)),
        ProgramKind::CgroupSkb(_) => (CGROUP_SKB, Some(76), Some(80)),
        ProgramKind::Xdp => (XDP, Some(0), Some(4)),
        ProgramKind::RawTracepoint(_) => (RAW_TRACEPOINT, None, None),
        ProgramKind::Tracepoint { .. } => (TRACEPOINT, None, None),
    };
    if size == 4 && mode == AccessMode::Read {
        if Some(off) == start {
            return Some(Field::PacketStart);
        }
        if Some(off) == end {
            return Some(Field::PacketEnd);
        }
    }
    let bytes = i64::from(size);
    let row = rows.iter().find(|row| row.from <= off && off + bytes <= row.from + row.bytes)?;
    let fits = match (row.width, mode) {
        (_, AccessMode::Atomic) => false,
        (_, AccessMode::Write) if !row.writable => false,
        (Width::Words, AccessMode::Write) => size == 4 && off % 4 == 0,
        (Width::Words, AccessMode::Read) => size <= 4 && off % 4 == 0,
        (Width::Whole, _) => size == 4 && off % 4 == 0,
        (Width::Double, _) => size == 8,
        (Width::Any, _) => off % bytes == 0,
    };
    fits.then_some(Field::Number)
}

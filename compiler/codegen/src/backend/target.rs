//! What the kernel fixes for programs: context layouts, helper numbers, licences.
//!
//! Source: `include/uapi/linux/bpf.h` (`struct __sk_buff`, `struct xdp_md`,
//! `enum bpf_func_id`) and `gpl_only` of each `bpf_func_proto`.

use policyc_bpf::ProgramKind;
use policyc_ir::Helper;

/// Bytes of stack of one program (`MAX_BPF_STACK`).
///
/// Mixing tail calls with calls of functions of the same program would leave 256;
/// everything is inlined, so the two never meet.
pub(super) const STACK_BYTES: u32 = 512;

/// Instructions of one program (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub(super) const MAX_INSNS: u32 = 1_000_000;

/// Bytes that a packet pointer may be moved by (`MAX_PACKET_OFF`).
pub(super) const MAX_PACKET_OFFSET: u32 = 0xffff;

/// `bpf_tail_call`
pub(super) const TAIL_CALL: i32 = 12;

/// Offsets of the packet's bounds in the context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PacketFields {
    /// `data`
    pub(super) start: i16,
    /// `data_end`
    pub(super) end: i16,
}

/// Where a context keeps the packet's bounds; `None` for events.
pub(super) const fn packet_fields(kind: &ProgramKind) -> Option<PacketFields> {
    match kind {
        ProgramKind::Tc | ProgramKind::CgroupSkb(_) => Some(PacketFields { start: 76, end: 80 }),
        ProgramKind::Xdp => Some(PacketFields { start: 0, end: 4 }),
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => None,
    }
}

/// Number of a helper in `enum bpf_func_id`.
pub(super) const fn helper_number(helper: Helper) -> i32 {
    match helper {
        Helper::MapLookupElem => 1,
        Helper::MapUpdateElem => 2,
        Helper::MapDeleteElem => 3,
        Helper::KtimeGetNs => 5,
        Helper::GetPrandomU32 => 7,
        Helper::GetSmpProcessorId => 8,
        Helper::SkbStoreBytes => 9,
        Helper::GetCurrentPidTgid => 14,
        Helper::GetCurrentUidGid => 15,
        Helper::GetCurrentComm => 16,
        Helper::Redirect => 23,
        Helper::SkbLoadBytes => 26,
        Helper::GetCurrentTask => 35,
        Helper::SkbChangeTail => 38,
        Helper::SkbPullData => 39,
        Helper::SkbAdjustRoom => 50,
        Helper::GetCurrentCgroupId => 80,
        Helper::ProbeReadUser => 112,
        Helper::ProbeReadKernel => 113,
        Helper::ProbeReadUserStr => 114,
        Helper::ProbeReadKernelStr => 115,
        Helper::RingbufOutput => 130,
        Helper::KtimeGetCoarseNs => 160,
        Helper::XdpLoadBytes => 189,
    }
}

/// Whether the kernel reserves a helper for GPL programs.
pub(super) const fn is_gpl_only(helper: Helper) -> bool {
    match helper {
        Helper::GetCurrentTask
        | Helper::ProbeReadKernel
        | Helper::ProbeReadKernelStr
        | Helper::ProbeReadUser
        | Helper::ProbeReadUserStr => true,
        Helper::MapLookupElem
        | Helper::MapUpdateElem
        | Helper::MapDeleteElem
        | Helper::KtimeGetNs
        | Helper::KtimeGetCoarseNs
        | Helper::GetPrandomU32
        | Helper::GetSmpProcessorId
        | Helper::SkbLoadBytes
        | Helper::SkbPullData
        | Helper::SkbStoreBytes
        | Helper::SkbChangeTail
        | Helper::SkbAdjustRoom
        | Helper::Redirect
        | Helper::XdpLoadBytes
        | Helper::RingbufOutput
        | Helper::GetCurrentPidTgid
        | Helper::GetCurrentUidGid
        | Helper::GetCurrentComm
        | Helper::GetCurrentCgroupId => false,
    }
}

//! What each kernel helper takes, returns and touches.
//!
//! One table for builder, parser, checker and interpreter, so that they cannot
//! disagree. Does not know helper numbers: those are the code generator's.
//!
//! Source: `include/uapi/linux/bpf.h` and the `bpf_func_proto` of each helper
//! (`kernel/bpf/helpers.c`, `net/core/filter.c`, `kernel/trace/bpf_trace.c`).

use crate::types::{Helper, MapKind, Type, Width};

/// What a helper expects of one argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// The program's context.
    Ctx,
    /// A map that can be looked up or changed by key.
    KeyedMap,
    /// A ring buffer.
    Ringbuf,
    /// Memory that holds a key of the map in the first argument; read.
    Key,
    /// Memory that holds a value of the map in the first argument; read.
    Value,
    /// Memory that is read; the argument at `size` says how many bytes.
    Read {
        /// Position of the size.
        size: usize,
    },
    /// Memory that is written; the argument at `size` says how many bytes.
    Write {
        /// Position of the size.
        size: usize,
    },
    /// A number of bytes.
    Size {
        /// Whether the kernel takes 0.
        zero: bool,
    },
    /// An address in kernel memory, which may be a place in the context.
    KernelAddress,
    /// A native integer of this width.
    Int(Width),
}

/// What a helper returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returns {
    /// An integer; errors are small negative numbers in two's complement.
    Int(Type),
    /// A value of the map in the first argument, or null.
    MapValueOrNull,
}

/// The signature of a helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// What it takes.
    pub args: &'static [Arg],
    /// What it returns.
    pub returns: Returns,
    /// Whether packet pointers are dead after it.
    pub moves_packet: bool,
}

const STATUS: Returns = Returns::Int(Type::U64);
const BYTES: Arg = Arg::Size { zero: false };
const BYTES_OR_NONE: Arg = Arg::Size { zero: true };
const WORD: Arg = Arg::Int(Width::W64);

const fn signature(args: &'static [Arg], returns: Returns) -> Signature {
    Signature { args, returns, moves_packet: false }
}

/// A helper that changes the packet.
const fn moving(args: &'static [Arg]) -> Signature {
    Signature { args, returns: STATUS, moves_packet: true }
}

impl Helper {
    /// Every helper.
    pub const ALL: [Self; 24] = [
        Self::MapLookupElem,
        Self::MapUpdateElem,
        Self::MapDeleteElem,
        Self::KtimeGetNs,
        Self::KtimeGetCoarseNs,
        Self::GetPrandomU32,
        Self::GetSmpProcessorId,
        Self::SkbLoadBytes,
        Self::SkbPullData,
        Self::SkbStoreBytes,
        Self::SkbChangeTail,
        Self::SkbAdjustRoom,
        Self::Redirect,
        Self::XdpLoadBytes,
        Self::RingbufOutput,
        Self::GetCurrentPidTgid,
        Self::GetCurrentUidGid,
        Self::GetCurrentComm,
        Self::GetCurrentTask,
        Self::GetCurrentCgroupId,
        Self::ProbeReadKernel,
        Self::ProbeReadKernelStr,
        Self::ProbeReadUser,
        Self::ProbeReadUserStr,
    ];

    /// The kernel's name without `bpf_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MapLookupElem => "map_lookup_elem",
            Self::MapUpdateElem => "map_update_elem",
            Self::MapDeleteElem => "map_delete_elem",
            Self::KtimeGetNs => "ktime_get_ns",
            Self::KtimeGetCoarseNs => "ktime_get_coarse_ns",
            Self::GetPrandomU32 => "get_prandom_u32",
            Self::GetSmpProcessorId => "get_smp_processor_id",
            Self::SkbLoadBytes => "skb_load_bytes",
            Self::SkbPullData => "skb_pull_data",
            Self::SkbStoreBytes => "skb_store_bytes",
            Self::SkbChangeTail => "skb_change_tail",
            Self::SkbAdjustRoom => "skb_adjust_room",
            Self::Redirect => "redirect",
            Self::XdpLoadBytes => "xdp_load_bytes",
            Self::RingbufOutput => "ringbuf_output",
            Self::GetCurrentPidTgid => "get_current_pid_tgid",
            Self::GetCurrentUidGid => "get_current_uid_gid",
            Self::GetCurrentComm => "get_current_comm",
            Self::GetCurrentTask => "get_current_task",
            Self::GetCurrentCgroupId => "get_current_cgroup_id",
            Self::ProbeReadKernel => "probe_read_kernel",
            Self::ProbeReadKernelStr => "probe_read_kernel_str",
            Self::ProbeReadUser => "probe_read_user",
            Self::ProbeReadUserStr => "probe_read_user_str",
        }
    }

    /// The helper of a name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|helper| helper.name() == name)
    }

    /// What it takes, returns and touches.
    pub const fn signature(self) -> Signature {
        match self {
            Self::MapLookupElem => signature(&[Arg::KeyedMap, Arg::Key], Returns::MapValueOrNull),
            Self::MapUpdateElem => signature(&[Arg::KeyedMap, Arg::Key, Arg::Value, WORD], STATUS),
            Self::MapDeleteElem => signature(&[Arg::KeyedMap, Arg::Key], STATUS),
            Self::GetPrandomU32 | Self::GetSmpProcessorId => {
                signature(&[], Returns::Int(Type::U32))
            }
            Self::KtimeGetNs
            | Self::KtimeGetCoarseNs
            | Self::GetCurrentPidTgid
            | Self::GetCurrentUidGid
            | Self::GetCurrentTask
            | Self::GetCurrentCgroupId => signature(&[], STATUS),
            Self::SkbLoadBytes | Self::XdpLoadBytes => {
                const ARGS: [Arg; 4] =
                    [Arg::Ctx, Arg::Int(Width::W32), Arg::Write { size: 3 }, BYTES];
                signature(&ARGS, STATUS)
            }
            Self::SkbPullData => moving(&[Arg::Ctx, Arg::Int(Width::W32)]),
            Self::SkbStoreBytes => {
                const ARGS: [Arg; 5] =
                    [Arg::Ctx, Arg::Int(Width::W32), Arg::Read { size: 3 }, BYTES, WORD];
                moving(&ARGS)
            }
            Self::SkbChangeTail => moving(&[Arg::Ctx, Arg::Int(Width::W32), WORD]),
            Self::SkbAdjustRoom => {
                moving(&[Arg::Ctx, Arg::Int(Width::W32), Arg::Int(Width::W32), WORD])
            }
            Self::Redirect => signature(&[Arg::Int(Width::W32), WORD], STATUS),
            Self::RingbufOutput => {
                const ARGS: [Arg; 4] = [Arg::Ringbuf, Arg::Read { size: 2 }, BYTES_OR_NONE, WORD];
                signature(&ARGS, STATUS)
            }
            Self::GetCurrentComm => signature(&[Arg::Write { size: 1 }, BYTES], STATUS),
            Self::ProbeReadKernel | Self::ProbeReadKernelStr => {
                const ARGS: [Arg; 3] = [Arg::Write { size: 1 }, BYTES_OR_NONE, Arg::KernelAddress];
                signature(&ARGS, STATUS)
            }
            Self::ProbeReadUser | Self::ProbeReadUserStr => {
                signature(&[Arg::Write { size: 1 }, BYTES_OR_NONE, WORD], STATUS)
            }
        }
    }

    /// The type of its result when its first argument has type `first`; `None`
    /// when that is not what the helper takes.
    pub fn result(self, first: Option<Type>) -> Option<Type> {
        match (self.signature().returns, first) {
            (Returns::Int(ty), _) => Some(ty),
            (Returns::MapValueOrNull, Some(Type::Map(map))) => Some(Type::MapValueOrNull(map)),
            (Returns::MapValueOrNull, _) => None,
        }
    }

    /// Whether leaving a call out when its result is unused changes nothing:
    /// it reads at most the clock. A lookup is not: in an LRU map it counts as a use.
    pub const fn is_pure(self) -> bool {
        match self {
            Self::KtimeGetNs
            | Self::KtimeGetCoarseNs
            | Self::GetPrandomU32
            | Self::GetSmpProcessorId
            | Self::GetCurrentPidTgid
            | Self::GetCurrentUidGid
            | Self::GetCurrentTask
            | Self::GetCurrentCgroupId => true,
            Self::MapLookupElem
            | Self::MapUpdateElem
            | Self::MapDeleteElem
            | Self::SkbLoadBytes
            | Self::SkbPullData
            | Self::SkbStoreBytes
            | Self::SkbChangeTail
            | Self::SkbAdjustRoom
            | Self::Redirect
            | Self::XdpLoadBytes
            | Self::RingbufOutput
            | Self::GetCurrentComm
            | Self::ProbeReadKernel
            | Self::ProbeReadKernelStr
            | Self::ProbeReadUser
            | Self::ProbeReadUserStr => false,
        }
    }
}

impl MapKind {
    /// Whether entries are looked up and changed by key.
    pub const fn is_keyed(self) -> bool {
        !matches!(self, Self::ProgArray | Self::Ringbuf)
    }
}

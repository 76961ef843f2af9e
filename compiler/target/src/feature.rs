//! What a kernel was found able to do, by trying.
//!
//! A feature is in a profile because a program of that kind was attached, a map
//! created or a program with that instruction loaded; never because of a version
//! or a configuration. Absent means "tried and refused", or "not tried".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! features {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// One thing a kernel can do. Names are stable: they stand in profile files.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Feature {
            $($(#[$meta])* #[serde(rename = $name)] $variant,)*
        }

        impl Feature {
            /// Every feature, in the order in which profiles list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that stands in profile files: `attach/tcx`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

features! {
    /// `BPF_LINK_CREATE` with `BPF_TCX_INGRESS`/`EGRESS`.
    AttachTcx = "attach/tcx",
    /// A `cls_bpf` filter on a clsact qdisc.
    AttachClsact = "attach/clsact",
    /// An XDP link in native mode on some interface.
    AttachXdpNative = "attach/xdp_native",
    /// An XDP link in generic mode.
    AttachXdpGeneric = "attach/xdp_generic",
    /// A `cgroup_skb` link on a version 2 cgroup.
    AttachCgroupSkb = "attach/cgroup_skb",
    /// A `cgroup/sock_addr` link (connect, bind, sendmsg).
    AttachCgroupSockAddr = "attach/cgroup_sock_addr",
    /// A program on a perf event of a tracepoint.
    AttachTracepoint = "attach/tracepoint",
    /// `BPF_RAW_TRACEPOINT_OPEN` by name.
    AttachRawTracepoint = "attach/raw_tracepoint",
    /// A raw tracepoint with typed arguments.
    AttachTpBtf = "attach/tp_btf",
    /// A kprobe by its perf event source.
    AttachKprobe = "attach/kprobe",
    /// Many kprobes by one link.
    AttachKprobeMulti = "attach/kprobe_multi",
    /// A trampoline at a function's entry.
    AttachFentry = "attach/fentry",
    /// A trampoline at a function's return.
    AttachFexit = "attach/fexit",
    /// A trampoline that replaces a return value.
    AttachFmodRet = "attach/fmod_ret",
    /// A BPF LSM program.
    AttachLsm = "attach/lsm",
    /// A uprobe by its perf event source.
    AttachUprobe = "attach/uprobe",

    /// `BPF_LINK_UPDATE` on a link.
    LinkUpdate = "link/update",
    /// Several programs by order on one cgroup or interface.
    LinkOrder = "link/order",

    /// `BPF_MAP_TYPE_RINGBUF`.
    MapRingbuf = "map/ringbuf",
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    MapLpmTrie = "map/lpm_trie",
    /// `BPF_MAP_TYPE_PROG_ARRAY` with a tail call.
    MapProgArray = "map/prog_array",
    /// An array map that user space maps into its memory.
    MapMmapableArray = "map/mmapable_array",
    /// An array of maps.
    MapArrayOfMaps = "map/array_of_maps",

    /// `bpf_loop`.
    HelperLoop = "helper/bpf_loop",
    /// `bpf_timer_start` and its kin.
    HelperTimer = "helper/bpf_timer",
    /// `bpf_ktime_get_boot_ns`.
    HelperKtimeBoot = "helper/bpf_ktime_get_boot_ns",
    /// `bpf_probe_read_user_str`.
    HelperProbeReadUserStr = "helper/bpf_probe_read_user_str",
    /// `bpf_probe_read_kernel_str`.
    HelperProbeReadKernelStr = "helper/bpf_probe_read_kernel_str",
    /// `bpf_get_current_task_btf`.
    HelperCurrentTaskBtf = "helper/bpf_get_current_task_btf",
    /// `bpf_get_current_cgroup_id`.
    HelperCurrentCgroupId = "helper/bpf_get_current_cgroup_id",
    /// `bpf_skb_cgroup_id`.
    HelperSkbCgroupId = "helper/bpf_skb_cgroup_id",
    /// `bpf_send_signal`.
    HelperSendSignal = "helper/bpf_send_signal",
    /// `bpf_d_path`.
    HelperDPath = "helper/bpf_d_path",

    /// Instructions of `-mcpu=v2`: unsigned and signed less-than jumps.
    IsaV2 = "isa/v2",
    /// Instructions of `-mcpu=v3`: 32-bit jumps, fetching atomics.
    IsaV3 = "isa/v3",
    /// Instructions of `-mcpu=v4`: `gotol`, signed loads, division and moves, `bswap`.
    IsaV4 = "isa/v4",
    /// `may_goto`.
    IsaMayGoto = "isa/may_goto",
    /// Loops that the verifier follows to their end.
    BoundedLoops = "verifier/bounded_loops",
    /// Functions verified once, on their own.
    GlobalFunctions = "verifier/global_functions",
    /// A million instructions followed per program.
    LargePrograms = "verifier/large_programs",
    /// Open-coded iterators (`bpf_iter_num`).
    OpenIterators = "verifier/open_iterators",
    /// Stack bytes may be read before they were written.
    UninitializedStack = "verifier/uninitialized_stack",

    /// `BPF_PROG_TEST_RUN` of network programs.
    TestRunSkb = "test_run/skb",
    /// `BPF_PROG_TEST_RUN` of raw tracepoint programs.
    TestRunRawTracepoint = "test_run/raw_tracepoint",
    /// BTF of the running kernel can be read.
    KernelBtf = "kernel/btf",
    /// A bpffs that objects can be pinned in.
    KernelBpffs = "kernel/bpffs",
    /// `membarrier(MEMBARRIER_CMD_GLOBAL)`, the grace period of a flip.
    KernelMembarrier = "kernel/membarrier_global",
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Self, UnknownFeature> {
        let known = Self::ALL.iter().find(|feature| feature.name() == name);
        known.copied().ok_or_else(|| UnknownFeature(name.to_owned()))
    }
}

/// A name that is no feature's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown feature `{0}`")]
pub struct UnknownFeature(pub String);

/// The instruction set a program may use, as compilers number it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Isa {
    /// The instructions of Linux 3.18.
    #[default]
    V1,
    /// With less-than jumps.
    V2,
    /// With 32-bit jumps and fetching atomics.
    V3,
    /// With `gotol`, signed operations and `bswap`.
    V4,
}

//! Programs, maps and objects as blueprints: what is known before any kernel
//! is asked.
//!
//! Guarantees: plain data, deterministic order.
//! Does not know: file descriptors, interfaces, or whether a program verifies.

use policyc_base::{Origin, PrimaryMap, entity};
use serde::{Deserialize, Serialize};

use crate::Insn;

entity!(
    /// A map of an [`Object`].
    pub struct MapId, "map"
);

/// Which way a packet travels past a hook, seen from the network stack of the
/// interface or cgroup: ingress is received, egress is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the subject.
    Ingress,
    /// From the subject.
    Egress,
}

/// What a program is for: its kernel type, its attach type where the kernel
/// wants one at load, and for tracing the event it hooks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_SCHED_CLS`, for tcx and clsact.
    Tc,
    /// `BPF_PROG_TYPE_XDP`.
    Xdp,
    /// `BPF_PROG_TYPE_CGROUP_SKB` with the attach type of the direction.
    CgroupSkb(Direction),
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT` on the named raw tracepoint (`sched_process_exec`).
    RawTracepoint(String),
    /// `BPF_PROG_TYPE_TRACEPOINT` on `category/event`.
    Tracepoint {
        /// `syscalls`
        category: String,
        /// `sys_enter_execve`
        event: String,
    },
}

/// What a program judges, which is not always what its hook is called: on the
/// host side of a veth pair the hook's ingress is the workload's egress.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judges {
    /// Packets the subject receives: the peer is the source.
    Ingress,
    /// Packets the subject sends: the peer is the destination.
    Egress,
    /// Events of a tracing hook.
    Events,
}

/// The licence a program declares to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum License {
    /// No helper that the kernel reserves for GPL programs is called.
    #[serde(rename = "MIT OR Apache-2.0")]
    Permissive,
    /// A helper is called that the kernel reserves for GPL programs.
    #[serde(rename = "Dual MIT/GPL")]
    DualMitGpl,
}

impl License {
    /// The string of `BPF_PROG_LOAD`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permissive => "MIT OR Apache-2.0",
            Self::DualMitGpl => "Dual MIT/GPL",
        }
    }
}

/// What a relocated `lddw` loads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RelocTarget {
    /// The map itself (`BPF_PSEUDO_MAP_FD`), as helpers take it.
    Map(MapId),
    /// The address of byte `offset` in the only value of an array map
    /// (`BPF_PSEUDO_MAP_VALUE`).
    MapValue(MapId, u32),
}

/// A `lddw` whose immediate is filled in by the loader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reloc {
    /// Slot of the `lddw`.
    pub insn: u32,
    /// What it loads.
    pub target: RelocTarget,
}

/// One finished program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Unique in its object; at most 15 bytes of `[A-Za-z0-9_]`
    /// (`BPF_OBJ_NAME_LEN`).
    pub name: String,
    /// Kernel type and hook.
    pub kind: ProgramKind,
    /// Whose packets or events it judges.
    pub judges: Judges,
    /// Licence declared to the kernel.
    pub license: License,
    /// The code. INVARIANT: `lddw` takes two slots, the second with code 0.
    pub insns: Vec<Insn>,
    /// Map references, by slot, ascending. The `lddw` itself is written with
    /// `src` 0 and `imm` 0.
    pub relocs: Vec<Reloc>,
    /// For each slot the rule it was made for, if any. INVARIANT: as long as `insns`.
    pub origins: Vec<Option<Origin>>,
}

/// The kernel's map types that policyc uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PercpuArray,
    /// `BPF_MAP_TYPE_HASH`
    Hash,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie,
    /// `BPF_MAP_TYPE_PROG_ARRAY`
    ProgArray,
    /// `BPF_MAP_TYPE_RINGBUF`
    Ringbuf,
}

impl MapKind {
    /// The kernel's name, without its prefix and in lower case: `lpm_trie`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::PercpuArray => "percpu_array",
            Self::Hash => "hash",
            Self::LruHash => "lru_hash",
            Self::LpmTrie => "lpm_trie",
            Self::ProgArray => "prog_array",
            Self::Ringbuf => "ringbuf",
        }
    }
}

/// Who fills a map, and how long it lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapRole {
    /// Contents are part of the artifact and constant between two flips.
    Table,
    /// Filled by `apply` from the bindings, one per generation.
    Binding,
    /// Written by programs, one per generation: counters, scratch.
    Scratch,
    /// Written by programs and kept across generations, named by schema version.
    Shared,
}

/// A map's blueprint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MapSpec {
    /// Unique in its object; at most 15 bytes of `[A-Za-z0-9_]`.
    pub name: String,
    /// Kernel type.
    pub kind: MapKind,
    /// Bytes of a key; 0 for a ring buffer.
    pub key_size: u32,
    /// Bytes of a value; 0 for a ring buffer.
    pub value_size: u32,
    /// Entries; for a ring buffer its size in bytes, a power of two of pages.
    pub max_entries: u32,
    /// `BPF_F_*` of `BPF_MAP_CREATE`.
    pub flags: u32,
    /// Who fills it.
    pub role: MapRole,
    /// Bytes of the values from key 0 on, for arrays of role [`MapRole::Table`];
    /// empty means all zero. In the artifact they lie apart from the manifest.
    #[serde(skip)]
    pub contents: Vec<u8>,
}

impl MapSpec {
    /// Whether it is an array with one value, whose bytes programs address
    /// directly ([`RelocTarget::MapValue`]).
    pub fn is_flat(&self) -> bool {
        self.kind == MapKind::Array && self.max_entries == 1
    }
}

/// The line an [`Origin`] stands for, resolved for the kernel's line info, the
/// source map and `observe`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceLine {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// Path of the rule in the policy: `spec.ingress[0]`.
    pub rule: String,
    /// File name as the user typed it, relative.
    pub file: String,
    /// Line, from 1; 0 when policyc added the rule itself.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The text of that line.
    pub text: String,
}

/// Everything that one build made for the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Object {
    /// Programs, in the order of their names.
    pub programs: Vec<Program>,
    /// Maps the programs refer to.
    pub maps: PrimaryMap<MapId, MapSpec>,
    /// For each [`Origin`] by index, its line.
    pub lines: Vec<SourceLine>,
}

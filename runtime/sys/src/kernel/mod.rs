//! What `runtime` needs of a host, as one trait: the real kernel and a fake in
//! memory implement it.
//!
//! Guarantees: object handles keep their object alive and nothing else does
//! but a pin, an attachment, or a program that uses it; the fake keeps to that.
//! Does not know: gates, generations, artifacts.

pub mod fake;
mod real;

pub use fake::{FakeHost, FakeKernel};
pub use real::RealKernel;

use std::path::{Path, PathBuf};

use crate::SysError;
use crate::bpf::{
    AttachType, Direction, Entries, LinkInfo, MapDef, MapInfo, ProgInfo, ProgType, TestRun,
    TestRunResult,
};
use crate::host::{Capability, Invoker, LockError};
use crate::net::{Interface, Netns, NetnsId, TcpSocket, Tracked};

/// Where a link attaches a program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hook {
    /// Head of an interface's tcx chain. KERNEL: >= 6.6.
    Tcx {
        /// The interface.
        port: Port,
        /// Which chain.
        direction: Direction,
    },
    /// XDP of an interface, in the driver if it can, else generic.
    Xdp {
        /// The interface.
        port: Port,
    },
    /// A cgroup v2 directory.
    CgroupSkb {
        /// The directory.
        path: PathBuf,
        /// Which packets.
        direction: Direction,
    },
    /// A raw tracepoint.
    RawTracepoint {
        /// `sched_process_exec`
        name: String,
    },
    /// A tracepoint.
    Tracepoint {
        /// `syscalls`
        category: String,
        /// `sys_enter_execve`
        event: String,
    },
}

/// An interface by index, in a network namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Port {
    /// The namespace.
    pub netns: Netns,
    /// Interface index in it.
    pub ifindex: u32,
}

/// One direction of an interface, where filters of a `clsact` qdisc are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FilterPlace {
    /// The interface.
    pub port: Port,
    /// Which packets.
    pub direction: Direction,
}

/// A program on its way into the kernel.
#[derive(Debug)]
pub struct Code<'a, K: Kernel + ?Sized> {
    /// Kernel type.
    pub prog_type: ProgType,
    /// Attach type, for the types that check it at load.
    pub expected_attach_type: Option<AttachType>,
    /// Name, at most 15 bytes.
    pub name: &'a str,
    /// Licence string.
    pub license: &'a str,
    /// Instruction slots; those of `maps` are filled in by the kernel's side.
    pub insns: &'a [[u8; 8]],
    /// Which `lddw` loads which map.
    pub maps: Vec<MapRef<'a, K::Map>>,
    /// Types and source lines.
    pub debug: Option<Debug<'a, K::Btf>>,
}

/// A map that an instruction loads.
#[derive(Debug)]
pub struct MapRef<'a, M> {
    /// Slot of the `lddw`.
    pub insn: usize,
    /// The map.
    pub map: &'a M,
    /// `None` for the map itself, else the offset into its only value.
    pub value_offset: Option<u32>,
}

/// BTF of a program.
#[derive(Clone, Copy, Debug)]
pub struct Debug<'a, B> {
    /// The types, from [`Kernel::btf_load`].
    pub btf: &'a B,
    /// `struct bpf_func_info` records, offsets in slots.
    pub func_info: &'a [u8],
    /// `struct bpf_line_info` records, offsets in slots.
    pub line_info: &'a [u8],
}

/// An object to pin.
#[derive(Debug)]
pub enum Object<'a, K: Kernel + ?Sized> {
    /// A map.
    Map(&'a K::Map),
    /// A program.
    Prog(&'a K::Prog),
    /// A link.
    Link(&'a K::Link),
}

/// A host. Every method but `now` and `invoker` can fail with what the system said.
#[allow(missing_docs, reason = "the handles are what they are called")]
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Kernel {
    type Btf;
    type Map;
    type Prog;
    type Link;
    type Lock;

    // The machine.

    /// Those of `needed` that this process lacks.
    fn missing_capabilities(&self, needed: &[Capability]) -> Result<Vec<Capability>, SysError>;
    /// Takes a lock that ends with the handle, and writes `holder` into it.
    fn lock(&self, path: &Path, holder: &str) -> Result<Self::Lock, LockError>;
    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now(&self) -> u64;
    /// Who runs this process.
    fn invoker(&self) -> Invoker;
    /// Returns when every program that is running now has ended.
    fn grace_period(&self) -> Result<(), SysError>;
    /// A text that is another one after each boot.
    fn boot_id(&self) -> Result<String, SysError>;
    /// The device number of the BPF file system that `path` lies in; `None` if
    /// it lies in none.
    fn bpffs(&self, path: &Path) -> Result<Option<u64>, SysError>;
    /// Makes sure that a BPF file system is mounted on `path`.
    fn ensure_bpffs(&self, path: &Path) -> Result<(), SysError>;
    /// The network namespace at `path`, or this process's own; `ENOENT` if
    /// there is none.
    fn netns(&self, path: Option<&Path>) -> Result<NetnsId, SysError>;
    /// Finds an interface; `ENODEV` if there is none, `ESRCH` if nothing leads
    /// to the namespace.
    fn interface(&self, netns: &Netns, name: &str) -> Result<Interface, SysError>;
    /// Every interface of a namespace, by index.
    fn interfaces(&self, netns: &Netns) -> Result<Vec<Interface>, SysError>;
    /// Every network namespace that something leads to, this process's own included.
    fn visible_netns(&self) -> Vec<Netns>;
    /// The namespace behind the other end of an interface, if that is another one and
    /// something leads there.
    fn peer_netns(&self, port: &Port) -> Result<Option<Netns>, SysError>;
    /// TCP sockets of a namespace: those that listen, and ends of connections.
    fn tcp_sockets(&self, netns: &Netns) -> Result<Vec<TcpSocket>, SysError>;
    /// Answered connections that the kernel tracks in a namespace; `None` if it tracks
    /// none.
    fn tracked(&self, netns: &Netns) -> Result<Option<Vec<Tracked>>, SysError>;
    /// Where the cgroup version 2 hierarchy is mounted; `ENOENT` if it is not.
    fn cgroup_mount(&self) -> Result<PathBuf, SysError>;
    /// The id of a cgroup directory; `ENOENT` if there is none.
    fn cgroup_id(&self, path: &Path) -> Result<u64, SysError>;

    /// The ids of a cgroup and of all below it; none if there is none.
    fn cgroup_ids(&self, path: &Path) -> Result<Vec<u64>, SysError>;

    // Files and pins.

    /// Makes a directory and its parents.
    fn make_dir(&self, path: &Path) -> Result<(), SysError>;
    /// Names in a directory, sorted; empty if there is no such directory.
    fn list_dir(&self, path: &Path) -> Result<Vec<String>, SysError>;
    /// Removes a file, a pin or an empty directory; `false` if there was none.
    fn remove(&self, path: &Path) -> Result<bool, SysError>;
    /// Replaces a file so that a crash leaves the old contents or the new.
    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), SysError>;
    /// The first half of [`write_file`](Self::write_file): new contents are
    /// [beside](crate::host::beside) a file, where processes see them and a crash may lose
    /// them. What is killed meanwhile leaves a part of them.
    fn write_beside(&self, path: &Path, contents: &[u8]) -> Result<(), SysError>;
    /// The second half: what is beside a file replaces it.
    fn settle(&self, path: &Path) -> Result<(), SysError>;
    /// The contents of a file, if it exists.
    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, SysError>;
    /// Gives an object a name in a BPF file system.
    fn pin(&self, object: Object<'_, Self>, path: &Path) -> Result<(), SysError>;
    /// Opens a pinned map, if it exists.
    fn open_map(&self, path: &Path) -> Result<Option<Self::Map>, SysError>;
    /// Opens a pinned program, if it exists.
    fn open_prog(&self, path: &Path) -> Result<Option<Self::Prog>, SysError>;
    /// Opens a pinned link, if it exists.
    fn open_link(&self, path: &Path) -> Result<Option<Self::Link>, SysError>;

    // Maps.

    /// Creates a map.
    fn map_create(&self, def: &MapDef) -> Result<Self::Map, SysError>;
    /// What the kernel says about a map.
    fn map_info(&self, map: &Self::Map) -> Result<MapInfo, SysError>;
    /// The value at `key`, of every CPU in per-CPU maps; the program's id in
    /// program arrays.
    fn map_lookup(&self, map: &Self::Map, key: &[u8]) -> Result<Option<Vec<u8>>, SysError>;
    /// Stores one value.
    fn map_update(&self, map: &Self::Map, key: &[u8], value: &[u8]) -> Result<(), SysError>;
    /// Stores one value where none is; `false` if there is one.
    fn map_insert(&self, map: &Self::Map, key: &[u8], value: &[u8]) -> Result<bool, SysError>;
    /// Removes a value; `false` if there was none.
    fn map_delete(&self, map: &Self::Map, key: &[u8]) -> Result<bool, SysError>;
    /// Stores many values; keys and values are packed.
    fn map_update_batch(&self, map: &Self::Map, keys: &[u8], values: &[u8])
    -> Result<(), SysError>;
    /// Every entry of a hash map. What is there throughout is found; what comes or
    /// goes meanwhile may be.
    fn map_entries(&self, map: &Self::Map) -> Result<Entries, SysError>;
    /// Shows every entry of a hash map, without keeping them where the kernel can. On an
    /// error some have been shown.
    fn map_visit(
        &self,
        map: &Self::Map,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), SysError> {
        self.map_entries(map)?.iter().for_each(|(key, value)| show(key, value));
        Ok(())
    }
    /// Forbids further changes from user space.
    fn map_freeze(&self, map: &Self::Map) -> Result<(), SysError>;
    /// Puts a program into a program array, in place of the one that is there.
    fn set_slot(&self, slots: &Self::Map, index: u32, prog: &Self::Prog) -> Result<(), SysError>;

    // Programs.

    /// Loads a `.BTF` section.
    fn btf_load(&self, btf: &[u8]) -> Result<Self::Btf, SysError>;
    /// Loads and verifies a program.
    fn prog_load(&self, code: &Code<'_, Self>) -> Result<Self::Prog, SysError>;
    /// What the kernel says about a program.
    fn prog_info(&self, prog: &Self::Prog) -> Result<ProgInfo, SysError>;
    /// Whether a program with this id is loaded.
    fn prog_exists(&self, id: u32) -> Result<bool, SysError>;
    /// Runs a program on a packet or context; `ENOTSUPP` (524) for types that
    /// cannot.
    fn test_run(&self, prog: &Self::Prog, run: &TestRun<'_>) -> Result<TestRunResult, SysError>;

    // Attachments. What concerns an interface fails with `ESRCH` when nothing
    // leads to its namespace.

    /// Attaches by link.
    fn attach(&self, prog: &Self::Prog, hook: &Hook) -> Result<Self::Link, SysError>;
    /// Detaches now, whoever else holds the link. Links of tracing programs end
    /// with their last holder instead.
    fn detach(&self, link: &Self::Link) -> Result<(), SysError>;
    /// What the kernel says about a link.
    fn link_info(&self, link: &Self::Link) -> Result<LinkInfo, SysError>;
    /// Whether the interface has a `clsact` qdisc.
    fn has_clsact(&self, port: &Port) -> Result<bool, SysError>;
    /// Adds a `clsact` qdisc; `false` if it was there already.
    fn clsact_add(&self, port: &Port) -> Result<bool, SysError>;
    /// Removes a `clsact` qdisc if no filter is left on it; whether it did. A
    /// filter that somebody adds between the look and the removal goes with it:
    /// the kernel has no removal that looks.
    fn clsact_remove_if_empty(&self, port: &Port) -> Result<bool, SysError>;
    /// Adds a filter that runs the program, before all others.
    fn filter_add(&self, prog: &Self::Prog, place: &FilterPlace) -> Result<(), SysError>;
    /// Removes policyc's filter that runs the program with this id; `false` if
    /// there is none.
    fn filter_remove(&self, prog: u32, place: &FilterPlace) -> Result<bool, SysError>;
    /// Every place that can be seen with a filter of policyc's that runs the
    /// program with this id.
    fn find_filters(&self, prog: u32) -> Result<Vec<FilterPlace>, SysError>;
    /// Ids of the programs at a place in the order they run: the tcx chain, then
    /// the filters.
    fn chain(&self, place: &FilterPlace) -> Result<Vec<u32>, SysError>;
}

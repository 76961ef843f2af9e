//! The running kernel.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{Code, FilterPlace, Hook, Kernel, Object, Port};
use crate::SysError;
use crate::bpf::{
    self, DebugInfo, Direction, Entries, LinkInfo, LinkTarget, Map, MapDef, MapInfo, ObjectKind,
    ProgInfo, ProgLoad, QueryTarget, TestRun, TestRunResult, XdpMode,
};
use crate::host::{self, Capability, FileLock, Invoker, LockError};
use crate::net::tc::{self, Filter, FilterKey};
use crate::net::{
    self, Interface, Netns, NetnsId, TcpSocket, Tracked, in_netns_of, interface_by_name,
    interfaces, netns_id, visible_netns,
};

/// Priority of policyc's filters: first in the chain.
const FILTER_PRIORITY: u16 = 1;
/// Their handles are this (`pc`) plus the id of the program: no two are the
/// same, whoever adds them.
const FILTER_HANDLES: u32 = 0x7063_0000;
const FILTER_NAME: &str = "policyc";

/// The running kernel and its host.
#[derive(Clone, Copy, Default, Debug)]
pub struct RealKernel;

impl Kernel for RealKernel {
    type Btf = OwnedFd;
    type Map = Map;
    type Prog = OwnedFd;
    type Link = OwnedFd;
    type Lock = FileLock;

    fn missing_capabilities(&self, needed: &[Capability]) -> Result<Vec<Capability>, SysError> {
        host::missing_capabilities(needed)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<FileLock, LockError> {
        FileLock::acquire(path, holder)
    }

    fn now(&self) -> u64 {
        host::monotonic_ns()
    }

    fn invoker(&self) -> Invoker {
        host::invoker()
    }

    fn grace_period(&self) -> Result<(), SysError> {
        host::grace_period()
    }

    fn boot_id(&self) -> Result<String, SysError> {
        host::boot_id()
    }

    fn bpffs(&self, path: &Path) -> Result<Option<u64>, SysError> {
        host::bpffs(path)
    }

    fn ensure_bpffs(&self, path: &Path) -> Result<(), SysError> {
        host::ensure_bpffs(path)
    }

    fn netns(&self, path: Option<&Path>) -> Result<NetnsId, SysError> {
        netns_id(path)
    }

    fn interface(&self, netns: &Netns, name: &str) -> Result<Interface, SysError> {
        in_netns_of(netns, || interface_by_name(name))
    }

    fn interfaces(&self, netns: &Netns) -> Result<Vec<Interface>, SysError> {
        in_netns_of(netns, interfaces)
    }

    fn visible_netns(&self) -> Vec<Netns> {
        visible_netns()
    }

    fn peer_netns(&self, port: &Port) -> Result<Option<Netns>, SysError> {
        net::peer_netns(&port.netns, port.ifindex)
    }

    fn tcp_sockets(&self, netns: &Netns) -> Result<Vec<TcpSocket>, SysError> {
        in_netns_of(netns, net::tcp_sockets)
    }

    fn tracked(&self, netns: &Netns) -> Result<Option<Vec<Tracked>>, SysError> {
        in_netns_of(netns, net::tracked)
    }

    fn cgroup_mount(&self) -> Result<PathBuf, SysError> {
        host::cgroup2_mount()
    }

    fn cgroup_id(&self, path: &Path) -> Result<u64, SysError> {
        host::cgroup_id(path)
    }

    fn cgroup_ids(&self, path: &Path) -> Result<Vec<u64>, SysError> {
        host::cgroup_ids(path)
    }

    fn make_dir(&self, path: &Path) -> Result<(), SysError> {
        fs::create_dir_all(path)
            .map_err(|e| SysError::from_io("mkdir", &e).about(path.to_string_lossy()))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>, SysError> {
        let about = |e: &io::Error| SysError::from_io("readdir", e).about(path.to_string_lossy());
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(about(&error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| about(&e))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> Result<bool, SysError> {
        host::remove_if_present(path)
    }

    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), SysError> {
        host::write_durable(path, contents)
    }

    fn write_beside(&self, path: &Path, contents: &[u8]) -> Result<(), SysError> {
        host::write_beside(path, contents)
    }

    fn settle(&self, path: &Path) -> Result<(), SysError> {
        host::settle(path)
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, SysError> {
        host::read_optional(path)
    }

    fn pin(&self, object: Object<'_, Self>, path: &Path) -> Result<(), SysError> {
        let fd = match object {
            Object::Map(map) => map.as_fd(),
            Object::Prog(fd) | Object::Link(fd) => fd.as_fd(),
        };
        bpf::obj_pin(fd, path)
    }

    fn open_map(&self, path: &Path) -> Result<Option<Map>, SysError> {
        open(path)?.map(Map::from_fd).transpose()
    }

    fn open_prog(&self, path: &Path) -> Result<Option<OwnedFd>, SysError> {
        open(path)
    }

    fn open_link(&self, path: &Path) -> Result<Option<OwnedFd>, SysError> {
        open(path)
    }

    fn map_create(&self, def: &MapDef) -> Result<Map, SysError> {
        bpf::map_create(def)
    }

    fn map_info(&self, map: &Map) -> Result<MapInfo, SysError> {
        bpf::map_info(map.as_fd())
    }

    fn map_lookup(&self, map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        map.lookup(key)
    }

    fn map_update(&self, map: &Map, key: &[u8], value: &[u8]) -> Result<(), SysError> {
        map.update(key, value, 0)
    }

    fn map_insert(&self, map: &Map, key: &[u8], value: &[u8]) -> Result<bool, SysError> {
        const NOEXIST: u64 = 1;
        match map.update(key, value, NOEXIST) {
            Ok(()) => Ok(true),
            Err(error) if error.is(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn map_delete(&self, map: &Map, key: &[u8]) -> Result<bool, SysError> {
        map.delete(key)
    }

    fn map_update_batch(&self, map: &Map, keys: &[u8], values: &[u8]) -> Result<(), SysError> {
        map.update_batch(keys, values)
    }

    fn map_entries(&self, map: &Map) -> Result<Entries, SysError> {
        map.entries()
    }

    fn map_visit(&self, map: &Map, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), SysError> {
        map.visit(show)
    }

    fn map_freeze(&self, map: &Map) -> Result<(), SysError> {
        map.freeze()
    }

    fn set_slot(&self, slots: &Map, index: u32, prog: &OwnedFd) -> Result<(), SysError> {
        slots.update(&index.to_ne_bytes(), &prog.as_raw_fd().to_ne_bytes(), 0)
    }

    fn btf_load(&self, btf: &[u8]) -> Result<OwnedFd, SysError> {
        bpf::btf_load(btf)
    }

    fn prog_load(&self, code: &Code<'_, Self>) -> Result<OwnedFd, SysError> {
        let mut insns = code.insns.to_vec();
        for reference in &code.maps {
            bpf::set_map(&mut insns, reference.insn, reference.map, reference.value_offset)?;
        }
        let debug = code.debug.as_ref().map(|debug| DebugInfo {
            btf: debug.btf.as_fd(),
            func_info: debug.func_info,
            line_info: debug.line_info,
        });
        let load = ProgLoad {
            expected_attach_type: code.expected_attach_type,
            name: code.name,
            debug,
            ..ProgLoad::new(code.prog_type, code.license, &insns)
        };
        Ok(bpf::prog_load(&load)?.fd)
    }

    fn prog_info(&self, prog: &OwnedFd) -> Result<ProgInfo, SysError> {
        bpf::prog_info(prog.as_fd())
    }

    fn prog_exists(&self, id: u32) -> Result<bool, SysError> {
        match bpf::fd_by_id(ObjectKind::Prog, id) {
            Ok(_) => Ok(true),
            Err(error) if error.is(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn test_run(&self, prog: &OwnedFd, run: &TestRun<'_>) -> Result<TestRunResult, SysError> {
        bpf::prog_test_run(prog.as_fd(), run)
    }

    fn attach(&self, prog: &OwnedFd, hook: &Hook) -> Result<OwnedFd, SysError> {
        match hook {
            Hook::Tcx { port, direction } => in_port(port, |ifindex| {
                bpf::link_create(prog.as_fd(), LinkTarget::Tcx { ifindex, direction: *direction })
            }),
            Hook::Xdp { port } => in_port(port, |ifindex| attach_xdp(prog, ifindex)),
            Hook::CgroupSkb { path, direction } => {
                let cgroup = File::open(path)
                    .map_err(|e| SysError::from_io("open", &e).about(path.to_string_lossy()))?;
                let target =
                    LinkTarget::CgroupSkb { cgroup: cgroup.as_fd(), direction: *direction };
                bpf::link_create(prog.as_fd(), target)
            }
            Hook::RawTracepoint { name } => bpf::raw_tracepoint_open(prog.as_fd(), name),
            Hook::Tracepoint { category, event } => {
                let event = bpf::perf_event_open(host::tracepoint_id(category, event)?)?;
                bpf::link_create(prog.as_fd(), LinkTarget::PerfEvent(event.as_fd()))
            }
        }
    }

    fn detach(&self, link: &OwnedFd) -> Result<(), SysError> {
        match bpf::link_detach(link.as_fd()) {
            // KERNEL: >= 5.9 has the command; EOPNOTSUPP is of tracing links.
            Err(error) if [libc::EOPNOTSUPP, libc::EINVAL].contains(&error.errno) => Ok(()),
            other => other,
        }
    }

    fn link_info(&self, link: &OwnedFd) -> Result<LinkInfo, SysError> {
        bpf::link_info(link.as_fd())
    }

    fn has_clsact(&self, port: &Port) -> Result<bool, SysError> {
        in_port(port, tc::has_clsact)
    }

    fn clsact_add(&self, port: &Port) -> Result<bool, SysError> {
        in_port(port, tc::clsact_add)
    }

    fn clsact_remove_if_empty(&self, port: &Port) -> Result<bool, SysError> {
        in_port(port, |ifindex| {
            for direction in [Direction::Ingress, Direction::Egress] {
                if !tc::filters(ifindex, direction)?.is_empty() {
                    return Ok(false);
                }
            }
            tc::clsact_remove(ifindex)
        })
    }

    fn filter_add(&self, prog: &OwnedFd, place: &FilterPlace) -> Result<(), SysError> {
        let handle = FILTER_HANDLES.wrapping_add(bpf::prog_info(prog.as_fd())?.id);
        in_port(&place.port, |ifindex| {
            let (direction, priority) = (place.direction, FILTER_PRIORITY);
            let key = FilterKey { ifindex, direction, priority, handle };
            tc::filter_add(key, prog.as_fd(), FILTER_NAME)
        })
    }

    fn filter_remove(&self, prog: u32, place: &FilterPlace) -> Result<bool, SysError> {
        in_port(&place.port, |ifindex| {
            let filters = tc::filters(ifindex, place.direction)?;
            match filters.into_iter().find(|filter| is_ours(filter, prog)) {
                Some(filter) => tc::filter_remove(filter.key),
                None => Ok(false),
            }
        })
    }

    fn find_filters(&self, prog: u32) -> Result<Vec<FilterPlace>, SysError> {
        let mut found = Vec::new();
        for netns in visible_netns() {
            let places = in_netns_of(&netns, || filters_here(prog));
            // It may be gone since it was seen.
            found.extend(places.unwrap_or_default().into_iter().map(|(ifindex, direction)| {
                FilterPlace { port: Port { netns: netns.clone(), ifindex }, direction }
            }));
        }
        Ok(found)
    }

    fn chain(&self, place: &FilterPlace) -> Result<Vec<u32>, SysError> {
        in_port(&place.port, |ifindex| {
            let target = QueryTarget::Interface(ifindex);
            let mut programs = match bpf::prog_query(target, place.direction.tcx()) {
                // KERNEL: < 6.6 has no tcx; ENODEV is an interface that is gone.
                Err(error) if [libc::EINVAL, libc::ENODEV].contains(&error.errno) => Vec::new(),
                other => other?,
            };
            let filters = tc::filters(ifindex, place.direction)?;
            programs.extend(filters.into_iter().filter_map(|filter| filter.prog_id));
            Ok(programs)
        })
    }
}

fn is_ours(filter: &Filter, prog: u32) -> bool {
    filter.prog_id == Some(prog) && filter.name.as_deref() == Some(FILTER_NAME)
}

/// Interfaces and directions of this namespace with a filter that runs `prog`.
fn filters_here(prog: u32) -> Result<Vec<(u32, Direction)>, SysError> {
    let mut found = Vec::new();
    for interface in interfaces()? {
        for direction in [Direction::Ingress, Direction::Egress] {
            if tc::filters(interface.index, direction)?.iter().any(|f| is_ours(f, prog)) {
                found.push((interface.index, direction));
            }
        }
    }
    Ok(found)
}

/// In the driver where it has XDP and takes the program (it may not with large
/// frames or too few queues), else generic.
fn attach_xdp(prog: &OwnedFd, ifindex: u32) -> Result<OwnedFd, SysError> {
    let link = |mode| bpf::link_create(prog.as_fd(), LinkTarget::Xdp { ifindex, mode });
    match link(XdpMode::Auto) {
        Err(error) if [libc::EINVAL, libc::EOPNOTSUPP, libc::ERANGE].contains(&error.errno) => {
            link(XdpMode::Generic).map_err(|_| error)
        }
        other => other,
    }
}

fn in_port<T: Send>(
    port: &Port,
    f: impl FnOnce(u32) -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    let ifindex = port.ifindex;
    in_netns_of(&port.netns, || f(ifindex))
}

fn open(path: &Path) -> Result<Option<OwnedFd>, SysError> {
    match bpf::obj_get(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.is(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

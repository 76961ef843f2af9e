//! One process on a fake host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::host::{CGROUPS, FakeHost, Pin, State};
use super::objects::{FakeLink, FakeMap, FakeProg, LinkObject, MapObject, ProgObject};
use crate::SysError;
use crate::bpf::{
    Entries, LinkDetails, LinkInfo, MapDef, MapInfo, ProgInfo, ProgType, TestRun, TestRunResult,
};
use crate::host::{Capability, Invoker, LockError};
use crate::kernel::{Code, FilterPlace, Hook, Kernel, Object, Port};
use crate::net::{Interface, Netns, NetnsId, TcpSocket, Tracked};

/// What happens at a chosen call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// That call fails with this errno; later ones work.
    Fail { at: usize, errno: i32 },
    /// Nothing happens from that call on.
    Die { at: usize },
}

/// A process on a [`FakeHost`].
#[derive(Debug)]
pub struct FakeKernel {
    host: FakeHost,
    calls: RefCell<Vec<&'static str>>,
    fault: Option<Fault>,
    missing: Vec<Capability>,
    bpffs: Option<u64>,
    retval: Cell<Option<u32>>,
}

/// A held lock of a [`FakeHost`].
#[derive(Debug)]
pub struct FakeLock(Rc<State>);

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.0.locked.set(false);
    }
}

impl FakeKernel {
    /// A process with every privilege.
    pub fn new(host: &FakeHost) -> Self {
        Self {
            host: host.clone(),
            calls: RefCell::default(),
            fault: None,
            missing: Vec::new(),
            bpffs: Some(1),
            retval: Cell::new(None),
        }
    }

    /// Its call number `at`, from 0, fails with `errno`.
    #[must_use]
    pub fn failing_at(mut self, at: usize, errno: i32) -> Self {
        self.fault = Some(Fault::Fail { at, errno });
        self
    }

    /// It is killed at call number `at`, from 0.
    #[must_use]
    pub fn killed_at(mut self, at: usize) -> Self {
        self.fault = Some(Fault::Die { at });
        self
    }

    /// It is in a mount namespace without the BPF file system.
    #[must_use]
    pub fn without_bpffs(mut self) -> Self {
        self.bpffs = None;
        self
    }

    /// It lacks these capabilities.
    #[must_use]
    pub fn without(mut self, missing: &[Capability]) -> Self {
        self.missing = missing.to_vec();
        self
    }

    /// What every test run returns from now on, instead of "allow".
    pub fn set_retval(&self, retval: u32) {
        self.retval.set(Some(retval));
    }

    /// The calls so far, by the trait's names.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.borrow().clone()
    }

    /// Counts a call, and fails it when its number has come.
    fn enter(&self, call: &'static str) -> Result<&State, SysError> {
        let number = self.calls.borrow().len();
        self.calls.borrow_mut().push(call);
        match self.fault {
            Some(Fault::Fail { at, errno }) if number == at => Err(SysError::new(call, errno)),
            Some(Fault::Die { at }) if number >= at => {
                Err(SysError::new(call, libc::EINTR).with_log("killed"))
            }
            _ => Ok(&self.host.0),
        }
    }

    /// What this process sees pinned at the path.
    fn pinned(&self, call: &'static str, path: &Path) -> Result<Option<Pin>, SysError> {
        let pins = self.enter(call)?.pins.borrow();
        Ok(self.bpffs.and_then(|_| pins.get(path).cloned()))
    }

    fn error(call: &'static str, errno: i32, about: &Path) -> SysError {
        SysError::new(call, errno).about(about.to_string_lossy())
    }
}

impl Kernel for FakeKernel {
    type Btf = ();
    type Map = FakeMap;
    type Prog = FakeProg;
    type Link = FakeLink;
    type Lock = FakeLock;

    fn missing_capabilities(&self, needed: &[Capability]) -> Result<Vec<Capability>, SysError> {
        self.enter("missing_capabilities")?;
        Ok(needed.iter().copied().filter(|c| self.missing.contains(c)).collect())
    }

    fn lock(&self, _: &Path, _: &str) -> Result<FakeLock, LockError> {
        let state = self.enter("lock").map_err(LockError::Sys)?;
        if state.locked.replace(true) {
            return Err(LockError::Held("another process".to_owned()));
        }
        Ok(FakeLock(Rc::clone(&self.host.0)))
    }

    fn now(&self) -> u64 {
        self.host.0.now.get()
    }

    fn invoker(&self) -> Invoker {
        Invoker { uid: 0, sudo_user: None, command: "test".to_owned() }
    }

    fn grace_period(&self) -> Result<(), SysError> {
        self.enter("grace_period").map(drop)
    }

    fn boot_id(&self) -> Result<String, SysError> {
        Ok(format!("boot {}", self.enter("boot_id")?.boots.get()))
    }

    fn bpffs(&self, _: &Path) -> Result<Option<u64>, SysError> {
        self.enter("bpffs").map(|_| self.bpffs)
    }

    fn ensure_bpffs(&self, path: &Path) -> Result<(), SysError> {
        self.enter("ensure_bpffs")?;
        self.bpffs.map(drop).ok_or_else(|| Self::error("mount", libc::EINVAL, path))
    }

    fn netns(&self, path: Option<&Path>) -> Result<NetnsId, SysError> {
        let found = self.enter("netns")?.netns(path);
        found.ok_or_else(|| SysError::new("stat", libc::ENOENT))
    }

    fn interface(&self, netns: &Netns, name: &str) -> Result<Interface, SysError> {
        let state = self.enter("interface")?;
        state.see(netns)?;
        let found = state.interfaces.borrow().get(&(netns.id, name.to_owned())).cloned();
        found.ok_or_else(|| SysError::new("RTM_GETLINK", libc::ENODEV).about(name))
    }

    fn interfaces(&self, netns: &Netns) -> Result<Vec<Interface>, SysError> {
        let state = self.enter("interfaces")?;
        state.see(netns)?;
        let interfaces = state.interfaces.borrow();
        let here = interfaces.iter().filter(|((other, _), _)| *other == netns.id);
        let mut found: Vec<_> = here.map(|(_, interface)| interface.clone()).collect();
        found.sort_by_key(|interface| interface.index);
        Ok(found)
    }

    fn visible_netns(&self) -> Vec<Netns> {
        let netns = self.host.0.netns.borrow();
        netns.iter().map(|(path, id)| Netns { id: *id, path: path.clone() }).collect()
    }

    fn peer_netns(&self, port: &Port) -> Result<Option<Netns>, SysError> {
        let state = self.enter("peer_netns")?;
        let behind = state.behind.borrow().get(&port.ifindex).copied();
        Ok(self.visible_netns().into_iter().find(|netns| Some(netns.id) == behind))
    }

    fn tcp_sockets(&self, netns: &Netns) -> Result<Vec<TcpSocket>, SysError> {
        let state = self.enter("tcp_sockets")?;
        state.see(netns)?;
        Ok(state.sockets.borrow().get(&netns.id).cloned().unwrap_or_default())
    }

    fn tracked(&self, netns: &Netns) -> Result<Option<Vec<Tracked>>, SysError> {
        let state = self.enter("tracked")?;
        state.see(netns)?;
        Ok(state.tracked.borrow().get(&netns.id).cloned())
    }

    fn cgroup_mount(&self) -> Result<PathBuf, SysError> {
        self.enter("cgroup_mount").map(|_| CGROUPS.into())
    }

    fn cgroup_id(&self, path: &Path) -> Result<u64, SysError> {
        let state = self.enter("cgroup_id")?;
        let found = state.cgroups.borrow().get(path).copied();
        found.ok_or_else(|| Self::error("stat", libc::ENOENT, path))
    }

    fn cgroup_ids(&self, path: &Path) -> Result<Vec<u64>, SysError> {
        let state = self.enter("cgroup_ids")?;
        let cgroups = state.cgroups.borrow();
        let below = cgroups.iter().filter(|(other, _)| other.starts_with(path));
        Ok(below.map(|(_, id)| *id).collect())
    }

    fn make_dir(&self, path: &Path) -> Result<(), SysError> {
        let state = self.enter("make_dir")?;
        if path.starts_with(CGROUPS) {
            self.host.add_cgroup(path);
            return Ok(());
        }
        let parents = path.ancestors().filter(|p| p.parent().is_some()).map(Path::to_owned);
        state.dirs.borrow_mut().extend(parents);
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>, SysError> {
        let state = self.enter("list_dir")?;
        let mut names: Vec<String> = Vec::new();
        let mut add = |entry: &PathBuf| {
            if entry.parent() == Some(path) {
                names.extend(entry.file_name().map(|n| n.to_string_lossy().into_owned()));
            }
        };
        state.pins.borrow().keys().for_each(&mut add);
        state.files.borrow().keys().for_each(&mut add);
        state.dirs.borrow().iter().for_each(&mut add);
        state.cgroups.borrow().keys().for_each(&mut add);
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> Result<bool, SysError> {
        let state = self.enter("remove")?;
        let inside = |entry: &PathBuf| entry.parent() == Some(path);
        let occupied = state.pins.borrow().keys().any(inside)
            || state.files.borrow().keys().any(inside)
            || state.dirs.borrow().iter().any(inside);
        if occupied {
            return Err(Self::error("unlink", libc::ENOTEMPTY, path));
        }
        if state.cgroups.borrow_mut().remove(path).is_some() {
            return Ok(true);
        }
        let pin = state.pins.borrow_mut().remove(path);
        let file = state.files.borrow_mut().remove(path);
        let dir = state.dirs.borrow_mut().remove(path);
        Ok(pin.is_some() || file.is_some() || dir)
    }

    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), SysError> {
        let state = self.enter("write_file")?;
        let parents = path.ancestors().skip(1).filter(|p| p.parent().is_some());
        state.dirs.borrow_mut().extend(parents.map(Path::to_owned));
        state.files.borrow_mut().insert(path.to_owned(), contents.to_vec());
        Ok(())
    }

    fn write_beside(&self, path: &Path, contents: &[u8]) -> Result<(), SysError> {
        let path = crate::host::beside(path);
        if self.enter("write_beside").is_err() {
            // Killed meanwhile.
            let part = contents[..contents.len() / 2].to_vec();
            self.host.0.files.borrow_mut().insert(path.clone(), part);
            return Err(Self::error("write", libc::EINTR, &path));
        }
        self.host.0.files.borrow_mut().insert(path, contents.to_vec());
        Ok(())
    }

    fn settle(&self, path: &Path) -> Result<(), SysError> {
        let state = self.enter("settle")?;
        let contents = state.files.borrow_mut().remove(&crate::host::beside(path));
        let contents = contents.ok_or_else(|| Self::error("fsync", libc::ENOENT, path))?;
        state.files.borrow_mut().insert(path.to_owned(), contents);
        Ok(())
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, SysError> {
        let state = self.enter("read_file")?;
        Ok(state.files.borrow().get(path).cloned())
    }

    fn pin(&self, object: Object<'_, Self>, path: &Path) -> Result<(), SysError> {
        let state = self.enter("pin")?;
        let parent = path.parent().unwrap_or(path);
        if !state.dirs.borrow().contains(parent) {
            return Err(Self::error("BPF_OBJ_PIN", libc::ENOENT, path));
        }
        if state.pins.borrow().contains_key(path) {
            return Err(Self::error("BPF_OBJ_PIN", libc::EEXIST, path));
        }
        let pin = match object {
            Object::Map(map) => Pin::Map(map.clone()),
            Object::Prog(prog) => Pin::Prog(prog.clone()),
            Object::Link(link) => Pin::Link(link.clone()),
        };
        state.pins.borrow_mut().insert(path.to_owned(), pin);
        Ok(())
    }

    fn open_map(&self, path: &Path) -> Result<Option<FakeMap>, SysError> {
        match self.pinned("open_map", path)? {
            Some(Pin::Map(map)) => Ok(Some(map)),
            Some(_) => Err(Self::error("BPF_OBJ_GET_INFO_BY_FD", libc::EINVAL, path)),
            None => Ok(None),
        }
    }

    fn open_prog(&self, path: &Path) -> Result<Option<FakeProg>, SysError> {
        match self.pinned("open_prog", path)? {
            Some(Pin::Prog(prog)) => Ok(Some(prog)),
            Some(_) => Err(Self::error("BPF_OBJ_GET", libc::EINVAL, path)),
            None => Ok(None),
        }
    }

    fn open_link(&self, path: &Path) -> Result<Option<FakeLink>, SysError> {
        match self.pinned("open_link", path)? {
            Some(Pin::Link(link)) => Ok(Some(link)),
            Some(_) => Err(Self::error("BPF_OBJ_GET", libc::EINVAL, path)),
            None => Ok(None),
        }
    }

    fn map_create(&self, def: &MapDef) -> Result<FakeMap, SysError> {
        let state = self.enter("map_create")?;
        let map = Rc::new(MapObject {
            id: self.host.next_id(),
            def: def.clone(),
            frozen: Cell::new(false),
            values: RefCell::default(),
            slots: RefCell::new(BTreeMap::new()),
        });
        state.maps.borrow_mut().push(Rc::downgrade(&map));
        Ok(FakeMap(map))
    }

    fn map_info(&self, map: &FakeMap) -> Result<MapInfo, SysError> {
        self.enter("map_info")?;
        let def = &map.0.def;
        Ok(MapInfo {
            id: map.0.id,
            map_type: def.map_type,
            key_size: def.key_size,
            value_size: def.value_size,
            max_entries: def.max_entries,
            flags: def.flags,
            name: def.name.clone(),
        })
    }

    fn map_lookup(&self, map: &FakeMap, key: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        self.enter("map_lookup")?;
        if let Ok(index) = key.try_into().map(u32::from_ne_bytes)
            && let Some(prog) = map.slot(index)
        {
            return Ok(Some(prog.id().to_ne_bytes().to_vec()));
        }
        Ok(map.value(key))
    }

    fn map_update(&self, map: &FakeMap, key: &[u8], value: &[u8]) -> Result<(), SysError> {
        self.enter("map_update")?;
        map.store(key, value)
    }

    fn map_insert(&self, map: &FakeMap, key: &[u8], value: &[u8]) -> Result<bool, SysError> {
        self.enter("map_insert")?;
        if map.0.values.borrow().contains_key(key) {
            return Ok(false);
        }
        map.store(key, value).map(|()| true)
    }

    fn map_delete(&self, map: &FakeMap, key: &[u8]) -> Result<bool, SysError> {
        self.enter("map_delete")?;
        Ok(map.0.values.borrow_mut().remove(key).is_some())
    }

    fn map_update_batch(&self, map: &FakeMap, keys: &[u8], values: &[u8]) -> Result<(), SysError> {
        self.enter("map_update_batch")?;
        let keys = keys.chunks(map.0.def.key_size.max(1) as usize);
        for (key, value) in keys.zip(values.chunks(map.value_len().max(1))) {
            map.store(key, value)?;
        }
        Ok(())
    }

    fn map_entries(&self, map: &FakeMap) -> Result<Entries, SysError> {
        self.enter("map_entries")?;
        let mut entries = Entries::of_sizes(map.0.def.key_size as usize, map.value_len());
        for (key, value) in map.0.values.borrow().iter() {
            entries.push(key, value);
        }
        Ok(entries)
    }

    fn map_freeze(&self, map: &FakeMap) -> Result<(), SysError> {
        self.enter("map_freeze")?;
        map.0.frozen.set(true);
        Ok(())
    }

    fn set_slot(&self, slots: &FakeMap, index: u32, prog: &FakeProg) -> Result<(), SysError> {
        self.enter("set_slot")?;
        slots.0.slots.borrow_mut().insert(index, prog.clone());
        Ok(())
    }

    fn btf_load(&self, _: &[u8]) -> Result<(), SysError> {
        self.enter("btf_load").map(drop)
    }

    fn prog_load(&self, code: &Code<'_, Self>) -> Result<FakeProg, SysError> {
        let state = self.enter("prog_load")?;
        let prog = Rc::new(ProgObject {
            id: self.host.next_id(),
            name: code.name.to_owned(),
            prog_type: code.prog_type,
            maps: code.maps.iter().map(|reference| reference.map.clone()).collect(),
        });
        state.progs.borrow_mut().push(Rc::downgrade(&prog));
        Ok(FakeProg(prog))
    }

    fn prog_info(&self, prog: &FakeProg) -> Result<ProgInfo, SysError> {
        self.enter("prog_info")?;
        Ok(ProgInfo {
            id: prog.0.id,
            prog_type: prog.0.prog_type,
            tag: u64::from(prog.0.id).to_ne_bytes(),
            name: prog.0.name.clone(),
            verified_insns: 1,
            jited_size: 0,
        })
    }

    fn prog_exists(&self, id: u32) -> Result<bool, SysError> {
        let state = self.enter("prog_exists")?;
        let progs = state.progs.borrow();
        Ok(progs.iter().filter_map(Weak::upgrade).any(|prog| prog.id == id))
    }

    fn test_run(&self, prog: &FakeProg, run: &TestRun<'_>) -> Result<TestRunResult, SysError> {
        self.enter("test_run")?;
        let allow = match prog.0.prog_type {
            ProgType::SCHED_CLS => u32::MAX,
            ProgType::XDP => 2,
            ProgType::CGROUP_SKB => 1,
            ProgType::RAW_TRACEPOINT => 0,
            _ => return Err(SysError::new("BPF_PROG_TEST_RUN", 524)),
        };
        let retval = self.retval.get().unwrap_or(allow);
        Ok(TestRunResult { retval, duration: 1, data: run.data.to_vec(), ctx: run.ctx.to_vec() })
    }

    fn attach(&self, prog: &FakeProg, hook: &Hook) -> Result<FakeLink, SysError> {
        let state = self.enter("attach")?;
        let refuse = |errno| Err(SysError::new("BPF_LINK_CREATE", errno));
        match hook {
            Hook::Tcx { .. } if !state.has_tcx.get() => return refuse(libc::EINVAL),
            Hook::Tcx { port, .. } | Hook::Xdp { port } if !state.has_port(port) => {
                return refuse(libc::ENODEV);
            }
            Hook::CgroupSkb { path, .. } if !state.cgroups.borrow().contains_key(path) => {
                return refuse(libc::ENOENT);
            }
            _ => {}
        }
        let link = Rc::new(LinkObject {
            id: self.host.next_id(),
            prog: prog.clone(),
            hook: hook.clone(),
            dead: Cell::new(false),
        });
        state.links.borrow_mut().push(Rc::downgrade(&link));
        Ok(FakeLink(link))
    }

    fn detach(&self, link: &FakeLink) -> Result<(), SysError> {
        self.enter("detach")?;
        let tracing = matches!(link.0.hook, Hook::RawTracepoint { .. } | Hook::Tracepoint { .. });
        if !tracing {
            link.0.dead.set(true);
        }
        Ok(())
    }

    fn link_info(&self, link: &FakeLink) -> Result<LinkInfo, SysError> {
        let state = self.enter("link_info")?;
        let alive = |port: &Port| if link.0.dead.get() { 0 } else { port.ifindex };
        let details = match &link.0.hook {
            Hook::Tcx { port, direction } => {
                LinkDetails::Tcx { ifindex: alive(port), attach_type: direction.tcx() }
            }
            Hook::Xdp { port } => LinkDetails::Xdp { ifindex: alive(port) },
            Hook::CgroupSkb { path, direction } => LinkDetails::Cgroup {
                cgroup_id: state.cgroups.borrow().get(path).copied().unwrap_or_default(),
                attach_type: direction.cgroup_skb(),
            },
            Hook::RawTracepoint { name } => LinkDetails::RawTracepoint { name: name.clone() },
            Hook::Tracepoint { .. } => LinkDetails::PerfEvent,
        };
        Ok(LinkInfo { id: link.0.id, prog_id: link.0.prog.id(), details })
    }

    fn has_clsact(&self, port: &Port) -> Result<bool, SysError> {
        let state = self.enter("has_clsact")?;
        state.see(&port.netns)?;
        Ok(state.qdiscs.borrow().contains(port))
    }

    fn clsact_add(&self, port: &Port) -> Result<bool, SysError> {
        let state = self.enter("clsact_add")?;
        state.see(&port.netns)?;
        if !state.has_port(port) {
            return Err(SysError::new("RTM_NEWQDISC", libc::ENODEV));
        }
        Ok(state.qdiscs.borrow_mut().insert(port.clone()))
    }

    fn clsact_remove_if_empty(&self, port: &Port) -> Result<bool, SysError> {
        let state = self.enter("clsact_remove_if_empty")?;
        state.see(&port.netns)?;
        if state.filters.borrow().keys().any(|(place, _)| place.port == *port) {
            return Ok(false);
        }
        Ok(state.qdiscs.borrow_mut().remove(port))
    }

    fn filter_add(&self, prog: &FakeProg, place: &FilterPlace) -> Result<(), SysError> {
        let state = self.enter("filter_add")?;
        if !state.qdiscs.borrow().contains(&place.port) {
            return Err(SysError::new("RTM_NEWTFILTER", libc::EINVAL));
        }
        state.filters.borrow_mut().insert((place.clone(), prog.id()), prog.clone());
        Ok(())
    }

    fn filter_remove(&self, prog: u32, place: &FilterPlace) -> Result<bool, SysError> {
        let state = self.enter("filter_remove")?;
        state.see(&place.port.netns)?;
        Ok(state.filters.borrow_mut().remove(&(place.clone(), prog)).is_some())
    }

    fn find_filters(&self, prog: u32) -> Result<Vec<FilterPlace>, SysError> {
        let state = self.enter("find_filters")?;
        let filters = state.filters.borrow();
        let ours = filters
            .keys()
            .filter(|(place, id)| *id == prog && state.see(&place.port.netns).is_ok());
        Ok(ours.map(|(place, _)| place.clone()).collect())
    }

    fn chain(&self, place: &FilterPlace) -> Result<Vec<u32>, SysError> {
        let state = self.enter("chain")?;
        state.see(&place.port.netns)?;
        let hook = Hook::Tcx { port: place.port.clone(), direction: place.direction };
        let links = state.links.borrow();
        let here = links.iter().rev().filter_map(Weak::upgrade);
        let here = here.filter(|link| link.hook == hook && !link.dead.get());
        let filters = state.filters.borrow();
        let behind = filters.keys().filter(|(other, _)| other == place).map(|(_, id)| *id);
        Ok(here.map(|link| link.prog.id()).chain(behind).collect())
    }
}

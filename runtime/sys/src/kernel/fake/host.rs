//! The machine: what outlives a process.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::objects::{FakeLink, FakeMap, FakeProg, LinkObject, MapObject, ProgObject};
use crate::SysError;
use crate::kernel::{FilterPlace, Hook, Port};
use crate::net::{Hardware, Interface, Netns, NetnsId, TcpSocket, Tracked};

/// Where cgroups are.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";

/// A pinned object.
#[derive(Clone, Debug)]
pub(super) enum Pin {
    Map(FakeMap),
    Prog(FakeProg),
    Link(FakeLink),
}

/// A program that runs at a hook or as a filter.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Where, in words.
    pub place: String,
    /// What.
    pub prog: FakeProg,
}

/// A machine in memory.
#[derive(Clone, Default, Debug)]
pub struct FakeHost(pub(super) Rc<State>);

#[derive(Default, Debug)]
pub(super) struct State {
    pub(super) next_id: Cell<u32>,
    pub(super) now: Cell<u64>,
    pub(super) has_tcx: Cell<bool>,
    pub(super) locked: Cell<bool>,
    pub(super) boots: Cell<u32>,
    /// What the paths mean; `None` is the namespace of every process.
    pub(super) netns: RefCell<BTreeMap<Option<PathBuf>, NetnsId>>,
    pub(super) interfaces: RefCell<BTreeMap<(NetnsId, String), Interface>>,
    pub(super) sockets: RefCell<BTreeMap<NetnsId, Vec<TcpSocket>>>,
    pub(super) tracked: RefCell<BTreeMap<NetnsId, Vec<Tracked>>>,
    /// What is behind the other ends of interfaces, by their indices.
    pub(super) behind: RefCell<BTreeMap<u32, NetnsId>>,
    pub(super) cgroups: RefCell<BTreeMap<PathBuf, u64>>,
    pub(super) files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    pub(super) dirs: RefCell<BTreeSet<PathBuf>>,
    pub(super) pins: RefCell<BTreeMap<PathBuf, Pin>>,
    pub(super) qdiscs: RefCell<BTreeSet<Port>>,
    /// By place and id of the program.
    pub(super) filters: RefCell<BTreeMap<(FilterPlace, u32), FakeProg>>,
    pub(super) maps: RefCell<Vec<Weak<MapObject>>>,
    pub(super) progs: RefCell<Vec<Weak<ProgObject>>>,
    pub(super) links: RefCell<Vec<Weak<LinkObject>>>,
}

impl FakeHost {
    /// A machine with tcx and nothing else.
    pub fn new() -> Self {
        let host = Self::default();
        host.0.has_tcx.set(true);
        host.add_netns(None);
        host
    }

    /// Makes it a kernel before 6.6, without tcx.
    pub fn without_tcx(self) -> Self {
        self.0.has_tcx.set(false);
        self
    }

    /// Makes a new network namespace at the path; what the path meant before
    /// stays, without it.
    pub fn add_netns(&self, path: Option<&Path>) {
        let id = NetnsId { dev: 4, ino: u64::from(self.next_id()) };
        self.0.netns.borrow_mut().insert(path.map(Path::to_owned), id);
    }

    /// Takes the path of a network namespace away: nothing leads to it any more.
    pub fn hide_netns(&self, path: &Path) {
        self.0.netns.borrow_mut().remove(&Some(path.to_owned()));
    }

    /// Adds an Ethernet interface to a network namespace and returns its index.
    pub fn add_interface(&self, netns: Option<&Path>, name: &str) -> u32 {
        self.add_hardware(netns, name, Hardware::ETHER)
    }

    /// Adds an interface of another sort.
    pub fn add_hardware(&self, netns: Option<&Path>, name: &str, hardware: Hardware) -> u32 {
        let index = self.next_id();
        let (name, kind) = (name.to_owned(), Some("veth".to_owned()));
        let key = (self.netns(netns), name.clone());
        let (generic_xdp, is_up, master) = (false, true, None);
        let interface = Interface { index, name, kind, hardware, generic_xdp, is_up, master };
        self.0.interfaces.borrow_mut().insert(key, interface);
        index
    }

    /// Makes an interface one end of a pair, whose other end is in a namespace.
    pub fn pair(&self, ifindex: u32, netns: &Path) {
        let netns = self.netns(Some(netns));
        self.0.behind.borrow_mut().insert(ifindex, netns);
    }

    /// Adds a TCP socket to a network namespace.
    pub fn add_socket(&self, netns: Option<&Path>, socket: TcpSocket) {
        self.0.sockets.borrow_mut().entry(self.netns(netns)).or_default().push(socket);
    }

    /// Tracks a connection in a network namespace.
    pub fn track(&self, netns: Option<&Path>, connection: Tracked) {
        self.0.tracked.borrow_mut().entry(self.netns(netns)).or_default().push(connection);
    }

    fn netns(&self, path: Option<&Path>) -> NetnsId {
        self.0.netns(path).expect("a namespace that was added")
    }

    /// Removes an interface: its links stay but do nothing, its filters go.
    pub fn remove_interface(&self, netns: Option<&Path>, name: &str) {
        let key = (self.netns(netns), name.to_owned());
        let Some(interface) = self.0.interfaces.borrow_mut().remove(&key) else { return };
        let netns = Netns { id: key.0, path: netns.map(Path::to_owned) };
        let port = Port { netns, ifindex: interface.index };
        self.0.qdiscs.borrow_mut().remove(&port);
        self.0.filters.borrow_mut().retain(|(place, _), _| place.port != port);
        for link in self.0.links.borrow().iter().filter_map(Weak::upgrade) {
            match &link.hook {
                Hook::Tcx { port: own, .. } | Hook::Xdp { port: own } if *own == port => {
                    link.dead.set(true);
                }
                _ => {}
            }
        }
    }

    /// Adds a cgroup, and runs what is attached to the tracepoint that tells of it:
    /// programs that look its path up in `paths` and write its id into `members`.
    pub fn add_cgroup(&self, path: &Path) {
        let id = u64::from(self.next_id());
        self.0.cgroups.borrow_mut().insert(path.to_owned(), id);
        let Ok(below) = path.strip_prefix(CGROUPS) else { return };
        let name = Path::new("/").join(below).into_os_string().into_encoded_bytes();
        for link in self.0.links.borrow().iter().filter_map(Weak::upgrade) {
            let is_mkdir =
                matches!(&link.hook, Hook::Tracepoint { event, .. } if event == "cgroup_mkdir");
            let maps = (link.prog.map("paths"), link.prog.map("members"));
            let (true, (Some(paths), Some(members))) = (is_mkdir, maps) else { continue };
            for direction in [0, 1] {
                let mut key = name.clone();
                key.resize(paths.0.def.key_size as usize - 1, 0);
                key.push(direction);
                if let Some(gate) = paths.value(&key) {
                    members.store(&gate, &id.to_ne_bytes()).expect("an array");
                }
            }
        }
    }

    /// Removes a cgroup: what is attached to it goes.
    pub fn remove_cgroup(&self, path: &Path) {
        self.0.cgroups.borrow_mut().remove(path);
        for link in self.0.links.borrow().iter().filter_map(Weak::upgrade) {
            if matches!(&link.hook, Hook::CgroupSkb { path: own, .. } if own == path) {
                link.dead.set(true);
            }
        }
    }

    /// Lets time pass.
    pub fn advance(&self, nanoseconds: u64) {
        self.0.now.set(self.0.now.get() + nanoseconds);
    }

    /// Restarts the machine: pins, links, filters and namespaces' state are
    /// gone, files stay.
    pub fn reboot(&self) {
        self.0.boots.set(self.0.boots.get() + 1);
        self.0.pins.borrow_mut().clear();
        self.0.filters.borrow_mut().clear();
        self.0.qdiscs.borrow_mut().clear();
        self.0.dirs.borrow_mut().retain(|dir| !dir.starts_with("/sys"));
    }

    /// Every program that runs somewhere, in order of attachment.
    pub fn attached(&self) -> Vec<Attached> {
        let links = self.0.links.borrow();
        let by_link = links.iter().filter_map(Weak::upgrade).filter(|l| !l.dead.get());
        let by_link =
            by_link.map(|l| Attached { place: format!("{:?}", l.hook), prog: l.prog.clone() });
        let filters = self.0.filters.borrow();
        let by_filter = filters
            .iter()
            .map(|((p, _), prog)| Attached { place: format!("{p:?}"), prog: prog.clone() });
        by_link.chain(by_filter).collect()
    }

    /// Everything a command could leave behind, one line each: live objects,
    /// pins, filters, qdiscs and files. Empty on a new machine.
    pub fn leftovers(&self) -> Vec<String> {
        let state = &self.0;
        let mut found = Vec::new();
        found.extend(alive(&state.maps, |m| format!("map {} {}", m.id, m.def.name)));
        found.extend(alive(&state.progs, |p| format!("prog {} {}", p.id, p.name)));
        found.extend(alive(&state.links, |l| format!("link {} {:?}", l.id, l.hook)));
        found.extend(state.pins.borrow().keys().map(|p| format!("pin {}", p.display())));
        found.extend(state.dirs.borrow().iter().map(|p| format!("dir {}", p.display())));
        found.extend(state.filters.borrow().keys().map(|(p, _)| format!("filter {p:?}")));
        found.extend(state.qdiscs.borrow().iter().map(|p| format!("qdisc {p:?}")));
        found.extend(state.files.borrow().keys().map(|p| format!("file {}", p.display())));
        found
    }

    pub(super) fn next_id(&self) -> u32 {
        self.0.next_id.set(self.0.next_id.get() + 1);
        self.0.next_id.get()
    }
}

impl State {
    /// The namespace at a path.
    pub(super) fn netns(&self, path: Option<&Path>) -> Option<NetnsId> {
        self.netns.borrow().get(&path.map(Path::to_owned)).copied()
    }

    /// Fails when nothing leads to the namespace.
    pub(super) fn see(&self, netns: &Netns) -> Result<(), SysError> {
        let seen = self.netns.borrow().values().any(|id| *id == netns.id);
        if seen { Ok(()) } else { Err(SysError::new("setns", libc::ESRCH)) }
    }
    pub(super) fn has_port(&self, port: &Port) -> bool {
        self.interfaces
            .borrow()
            .iter()
            .any(|((netns, _), i)| *netns == port.netns.id && i.index == port.ifindex)
    }
}

fn alive<T>(registry: &RefCell<Vec<Weak<T>>>, line: impl Fn(&T) -> String) -> Vec<String> {
    registry.borrow().iter().filter_map(Weak::upgrade).map(|object| line(&object)).collect()
}

//! Following a control group by its path, however often it is made again.
//!
//! A service manager removes a unit's cgroup when the unit ends, and makes another,
//! with another id, when it starts again. A gate in the old one is gone with it. So
//! the gate is at a cgroup above, which stays, and lets pass what is not of the
//! cgroup with the id that is a *member* now. A program on the tracepoint
//! `cgroup_mkdir` writes the id of every cgroup that is made at a followed path: the
//! kernel runs it before anybody can see the new directory, so no process is in it
//! before its packets are judged.
//!
//! Guarantees: no process is needed; if the tracepoint does not say what is expected,
//! the binding is refused.
//! Does not know: units, or why a cgroup is followed.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use policyc_bpf::decode::{AluOp, Imm64, JmpOp, Size};
use policyc_bpf::{Direction, Insn, Reg, helper};
use policyc_sys::bpf::{MapDef, MapType, ProgType};
use policyc_sys::kernel::{Code, Hook, MapRef, Object};
use policyc_sys::{Kernel, SysError, errno};

use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::Gate;
use crate::point::Point;

/// Most gates that follow: their ids are below.
const ROOM: u32 = 4096;
/// The member that tells whether the tracepoint works.
const PROBE: u32 = ROOM;
/// Bytes of a path, padded with NUL, and the direction in the last.
const KEY: usize = 256;
/// `BPF_F_NO_PREALLOC`
const NO_PREALLOC: u32 = 1;

const PATHS: &str = "paths";
const MEMBERS: &str = "members";
const LINK: &str = "link";

/// What follows.
#[derive(Debug)]
pub(crate) struct Follower<K: Kernel> {
    /// Path and direction to the id of the gate.
    paths: K::Map,
    /// Id of a gate to that of the cgroup which is there now; 0 for none.
    pub(crate) members: K::Map,
}

impl<K: Kernel> Follower<K> {
    /// The one that is pinned, or a new one.
    pub(crate) fn ensure(host: &Host<'_, K>) -> Result<Self, Error> {
        let (kernel, dir) = (host.kernel, host.dirs.followed());
        kernel.make_dir(&dir).or_doing("make a directory for pins")?;
        let follower = Self {
            paths: open_or_create(host, &dir.join(PATHS), &paths_def())?,
            members: open_or_create(host, &dir.join(MEMBERS), &members_def())?,
        };
        let pin = dir.join(LINK);
        if kernel.open_link(&pin).or_doing("open a link")?.is_none() {
            let link = follower.attach(kernel).map_err(|error| Error::CannotFollow { error })?;
            follower.probe(host).map_err(|error| Error::CannotFollow { error })?;
            kernel.pin(Object::Link(&link), &pin).or_doing("pin a link")?;
        }
        Ok(follower)
    }

    /// The one that is pinned.
    pub(crate) fn open(host: &Host<'_, K>) -> Result<Option<Self>, SysError> {
        let (kernel, dir) = (host.kernel, host.dirs.followed());
        if kernel.open_link(&dir.join(LINK))?.is_none() {
            return Ok(None);
        }
        let maps = (kernel.open_map(&dir.join(PATHS))?, kernel.open_map(&dir.join(MEMBERS))?);
        Ok(if let (Some(paths), Some(members)) = maps {
            Some(Self { paths, members })
        } else {
            None
        })
    }

    /// Follows a path for a gate from now on.
    pub(crate) fn follow(&self, kernel: &K, gate: u32, point: &Point) -> Result<(), Error> {
        let Point::Followed { path, mount, direction, .. } = point else { return Ok(()) };
        if gate >= ROOM {
            return Err(Error::TooManyPoints { points: gate.saturating_add(1), room: ROOM });
        }
        let key = key(path, mount, *direction)?;
        self.set_member(kernel, gate, 0)?;
        kernel.map_update(&self.paths, &key, &gate.to_ne_bytes()).or_doing("follow a cgroup")?;
        // The one that is there now. It may be made again meanwhile: then the program
        // wrote the new id, perhaps before the older one was written here.
        let mut known = 0;
        loop {
            let now = match kernel.cgroup_id(path) {
                Err(error) if error.is(errno::ENOENT) => return Ok(()),
                found => found.or_doing("look at a cgroup")?,
            };
            if now == known {
                return Ok(());
            }
            self.set_member(kernel, gate, now)?;
            known = now;
        }
    }

    /// The id of the cgroup that a gate follows now.
    pub(crate) fn member(&self, kernel: &K, gate: u32) -> Result<u64, SysError> {
        let value = kernel.map_lookup(&self.members, &gate.to_ne_bytes())?;
        Ok(value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_ne_bytes))
    }

    fn set_member(&self, kernel: &K, gate: u32, id: u64) -> Result<(), Error> {
        let (key, value) = (gate.to_ne_bytes(), id.to_ne_bytes());
        kernel.map_update(&self.members, &key, &value).or_doing("follow a cgroup")
    }

    fn attach(&self, kernel: &K) -> Result<K::Link, SysError> {
        let (insns, uses) = code();
        let insns: Vec<_> = insns.iter().map(|insn| insn.to_bytes()).collect();
        let map = |is_paths| if is_paths { &self.paths } else { &self.members };
        let maps = uses.into_iter().map(|(insn, is_paths)| MapRef {
            insn,
            map: map(is_paths),
            value_offset: None,
        });
        let program = kernel.prog_load(&Code {
            prog_type: ProgType::TRACEPOINT,
            expected_attach_type: None,
            name: "follow_cgroups",
            // `probe_read_kernel` is for GPL-compatible programs.
            license: "Dual MIT/GPL",
            insns: &insns,
            maps: maps.collect(),
            debug: None,
        })?;
        let (category, event) = ("cgroup".to_owned(), "cgroup_mkdir".to_owned());
        kernel.attach(&program, &Hook::Tracepoint { category, event })
    }

    /// Makes a cgroup and sees whether the program says so: that the record is laid
    /// out as expected, and that paths are seen from the same root.
    fn probe(&self, host: &Host<'_, K>) -> Result<(), SysError> {
        let kernel = host.kernel;
        let mount = kernel.cgroup_mount()?;
        let path = mount.join(format!("{}-probe", host.dirs.name));
        let failed = |log: &str| SysError::new("mkdir", errno::EINVAL).with_log(log);
        let key = key(&path, &mount, Direction::Ingress).map_err(|_| failed("too long"))?;
        kernel.map_update(&self.paths, &key, &PROBE.to_ne_bytes())?;
        // A killed command may have left it.
        kernel.remove(&path)?;
        let made = kernel.make_dir(&path).and_then(|()| kernel.cgroup_id(&path));
        let seen = self.member(kernel, PROBE);
        kernel.remove(&path)?;
        kernel.map_delete(&self.paths, &key)?;
        if made? == seen? {
            return Ok(());
        }
        Err(failed("the tracepoint `cgroup/cgroup_mkdir` does not tell of a cgroup made here"))
    }
}

/// Follows these gates' paths no longer.
pub(crate) fn forget<K: Kernel>(host: &Host<'_, K>, gates: &[Gate]) -> Result<(), Error> {
    let mut following = gates.iter().filter(|gate| follows(gate)).peekable();
    if following.peek().is_none() {
        return Ok(());
    }
    let path = host.dirs.followed().join(PATHS);
    let Some(paths) = host.kernel.open_map(&path).or_doing("open what follows cgroups")? else {
        return Ok(());
    };
    following.try_for_each(|gate| {
        let Point::Followed { path, mount, direction, .. } = &gate.point else { return Ok(()) };
        let key = key(path, mount, *direction)?;
        host.kernel.map_delete(&paths, &key).map(drop).or_doing("forget a cgroup")
    })
}

/// Removes what follows once none of the gates that stay needs it.
pub(crate) fn retire<K: Kernel>(host: &Host<'_, K>, stay: &[Gate]) -> Result<(), Error> {
    if stay.iter().any(follows) { Ok(()) } else { host.remove_dir(&host.dirs.followed()) }
}

fn follows(gate: &Gate) -> bool {
    matches!(gate.point, Point::Followed { .. })
}

fn open_or_create<K: Kernel>(
    host: &Host<'_, K>,
    path: &Path,
    def: &MapDef,
) -> Result<K::Map, Error> {
    if let Some(map) = host.kernel.open_map(path).or_doing("open a map")? {
        return Ok(map);
    }
    let map = host.kernel.map_create(def).or_doing("create a map")?;
    host.kernel.pin(Object::Map(&map), path).or_doing("pin a map")?;
    Ok(map)
}

fn paths_def() -> MapDef {
    MapDef {
        map_type: MapType::HASH,
        key_size: KEY as u32,
        value_size: 4,
        max_entries: ROOM + 1,
        flags: NO_PREALLOC,
        name: PATHS.to_owned(),
    }
}

fn members_def() -> MapDef {
    MapDef {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: ROOM + 1,
        flags: 0,
        name: MEMBERS.to_owned(),
    }
}

/// As the tracepoint says the path: from the root of the hierarchy on.
fn key(path: &Path, mount: &Path, direction: Direction) -> Result<[u8; KEY], Error> {
    let below: PathBuf = path.strip_prefix(mount).unwrap_or(path).into();
    let mut key = [0; KEY];
    let name = Path::new("/").join(below);
    let name = name.as_os_str().as_bytes();
    // The last byte is the direction, and one NUL ends the path.
    let Some(room) = key[..KEY - 2].get_mut(..name.len()) else {
        return Err(Error::LongPath { path: path.to_owned() });
    };
    room.copy_from_slice(name);
    key[KEY - 1] = direction as u8;
    Ok(key)
}

/// The program, and which slot of it loads the map of paths (`true`) or members.
fn code() -> (Vec<Insn>, Vec<(usize, bool)>) {
    // `/sys/kernel/tracing/events/cgroup/cgroup_mkdir/format`; the same in every
    // kernel from 6.1 on, and tried when it is attached.
    const ROOT: i16 = 8;
    const ID: i16 = 16;
    const PATH: i16 = 24;
    const KEY_AT: i16 = -(KEY as i16);
    const GATE_AT: i16 = KEY_AT - 8;
    let mut code = vec![Insn::mov64(Reg::R6, Reg::R1)];
    let mut to_end = Vec::new();
    let mut uses = Vec::new();
    // Other hierarchies than version 2 have a number.
    code.push(Insn::load(Size::W, Reg::R2, Reg::R6, ROOT));
    to_end.push(code.len());
    code.push(Insn::jump(JmpOp::Ne, Reg::R2, 0, 0));
    code.push(Insn::load(Size::DW, Reg::R7, Reg::R6, ID));
    // Length and offset of the path.
    code.push(Insn::load(Size::W, Reg::R8, Reg::R6, PATH));
    code.push(Insn::mov64(Reg::R9, Reg::R8));
    code.push(Insn::alu64(AluOp::Rsh, Reg::R9, 16));
    to_end.push(code.len());
    code.push(Insn::jump(JmpOp::Gt, Reg::R9, KEY as i32 - 1, 0));
    to_end.push(code.len());
    code.push(Insn::jump(JmpOp::Eq, Reg::R9, 0, 0));
    code.push(Insn::alu64(AluOp::And, Reg::R8, 0xffff));
    code.push(Insn::alu64(AluOp::Add, Reg::R6, Reg::R8));
    for at in (KEY_AT..0).step_by(8) {
        code.push(Insn::store_imm(Size::DW, Reg::R10, at, 0));
    }
    code.push(Insn::mov64(Reg::R1, Reg::R10));
    code.push(Insn::alu64(AluOp::Add, Reg::R1, i32::from(KEY_AT)));
    code.push(Insn::mov64(Reg::R2, Reg::R9));
    code.push(Insn::mov64(Reg::R3, Reg::R6));
    code.push(Insn::call_helper(helper::PROBE_READ_KERNEL));
    for direction in [Direction::Ingress, Direction::Egress] {
        let mut to_next = Vec::new();
        code.push(Insn::store_imm(Size::B, Reg::R10, -1, direction as i32));
        for (at, is_paths) in [(KEY_AT, true), (GATE_AT, false)] {
            uses.push((code.len(), is_paths));
            code.extend(Insn::lddw_from(Reg::R1, Imm64::Value(0)));
            code.push(Insn::mov64(Reg::R2, Reg::R10));
            code.push(Insn::alu64(AluOp::Add, Reg::R2, i32::from(at)));
            code.push(Insn::call_helper(helper::MAP_LOOKUP_ELEM));
            to_next.push(code.len());
            code.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 0));
            if is_paths {
                code.push(Insn::load(Size::W, Reg::R1, Reg::R0, 0));
                code.push(Insn::store(Size::W, Reg::R10, GATE_AT, Reg::R1));
            } else {
                code.push(Insn::store(Size::DW, Reg::R0, 0, Reg::R7));
            }
        }
        land(&mut code, &to_next);
    }
    land(&mut code, &to_end);
    // 0 would keep the event from everybody else who traces it with perf.
    code.push(Insn::mov64_imm(Reg::R0, 1));
    code.push(Insn::exit());
    (code, uses)
}

/// Makes the jumps land on the next instruction.
fn land(code: &mut [Insn], jumps: &[usize]) {
    let next = code.len();
    for &jump in jumps {
        // INVARIANT: `jump` is an instruction of the some 90 here.
        code[jump].off = (next - jump - 1) as i16;
    }
}

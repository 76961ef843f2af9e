//! Kernel helpers, with the numbers they return.

use super::map::MapError;
use super::{Cell, FaultKind, Region, Run};
use crate::types::{Helper, MapKind, MapRef};

const EFAULT: u64 = -14_i64 as u64;
const EINVAL: u64 = -22_i64 as u64;
const EAGAIN: u64 = -11_i64 as u64;
const ENOMEM: u64 = -12_i64 as u64;

const ENOTSUPP: u64 = -524_i64 as u64;

/// `BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH`
const STORE_FLAGS: u64 = 3;
/// `BPF_F_INGRESS`
const REDIRECT_INGRESS: u64 = 1;
/// `BPF_ADJ_ROOM_MAC`
const ROOM_MAC: u64 = 1;
/// Most bytes of room at once.
const MAX_ROOM: u64 = 0xfff;
/// Most bytes before what is stored (`INT_MAX`).
const MAX_STORE_OFFSET: u64 = 0x7fff_ffff;
/// The Ethernet header, which stays.
const ETHERNET: usize = 14;
const MIN_PACKET: u64 = ETHERNET as u64;
/// `BPF_SKB_MAX_LEN` is about that.
const MAX_PACKET: u64 = 0xffff;
/// `TC_ACT_SHOT`, `TC_ACT_REDIRECT`
const TC_SHOT: u64 = 2;
const TC_REDIRECT: u64 = 7;

/// The length of `task_struct.comm` with its NUL.
const COMM: usize = 16;

/// Bytes before each record of a ring buffer.
const RECORD_HEADER: usize = 8;

impl Run<'_, '_> {
    /// Calls a helper.
    pub(super) fn helper(&mut self, helper: Helper, args: &[Cell]) -> Result<Cell, FaultKind> {
        let result = match helper {
            Helper::MapLookupElem => return self.map_lookup(args),
            Helper::MapUpdateElem => self.map_update(args)?,
            Helper::MapDeleteElem => {
                let (map, key) = self.map_and_key(args)?;
                status(self.machine.maps[map].remove(&key))
            }
            Helper::KtimeGetNs => self.machine.world.time,
            Helper::KtimeGetCoarseNs => self.machine.world.coarse_time,
            Helper::GetPrandomU32 => self.machine.world.random.pop_front().unwrap_or(0).into(),
            Helper::GetSmpProcessorId => self.machine.world.cpu.into(),
            Helper::SkbLoadBytes => self.load_bytes(args, true)?,
            Helper::XdpLoadBytes => self.load_bytes(args, false)?,
            Helper::SkbPullData => self.pull_data(int(args, 1)?),
            Helper::SkbStoreBytes => self.store_bytes(args)?,
            Helper::SkbChangeTail => self.change_tail(int(args, 1)?, int(args, 2)?),
            Helper::SkbAdjustRoom => self.adjust_room(int(args, 1)?, int(args, 2)?, int(args, 3)?),
            Helper::Redirect => self.redirect(int(args, 0)?, int(args, 1)?),
            Helper::RingbufOutput => self.ringbuf_output(args)?,
            Helper::GetCurrentPidTgid => self.machine.world.pid_tgid,
            Helper::GetCurrentUidGid => self.machine.world.uid_gid,
            Helper::GetCurrentTask => self.machine.world.task,
            Helper::GetCurrentCgroupId => self.machine.world.cgroup_id,
            Helper::GetCurrentComm => self.current_comm(args)?,
            Helper::ProbeReadKernel => self.probe_read(args, true)?,
            Helper::ProbeReadUser => self.probe_read(args, false)?,
            Helper::ProbeReadKernelStr => self.probe_read_str(args, true)?,
            Helper::ProbeReadUserStr => self.probe_read_str(args, false)?,
        };
        Ok(Cell::Int(result))
    }

    fn map_and_key(&mut self, args: &[Cell]) -> Result<(MapRef, Vec<u8>), FaultKind> {
        let map = self.map_arg(args)?;
        let size = self.machine.maps[map].decl().key_size as usize;
        Ok((map, self.read(arg(args, 1)?, 0, size)?))
    }

    fn map_arg(&self, args: &[Cell]) -> Result<MapRef, FaultKind> {
        match arg(args, 0)? {
            Cell::Map(map) if self.machine.maps.get(map).is_some() => Ok(map),
            _ => Err(FaultKind::IllFormed("this is no map")),
        }
    }

    fn map_lookup(&mut self, args: &[Cell]) -> Result<Cell, FaultKind> {
        let (map, key) = self.map_and_key(args)?;
        let cpu = self.machine.world.cpu;
        let found = self.machine.maps[map].lookup(&key);
        Ok(found.map_or(Cell::Null, |entry| Cell::Pointer(Region::Entry(map, entry, cpu), 0)))
    }

    fn map_update(&mut self, args: &[Cell]) -> Result<u64, FaultKind> {
        let (map, key) = self.map_and_key(args)?;
        let size = self.machine.maps[map].decl().value_size as usize;
        let value = self.read(arg(args, 2)?, 0, size)?;
        let cpu = self.machine.world.cpu;
        Ok(status(self.machine.maps[map].update(&key, &value, int(args, 3)?, cpu)))
    }

    /// Also bytes that are not linear. On failure a socket buffer's helper writes zeros,
    /// the other leaves memory alone.
    fn load_bytes(&mut self, args: &[Cell], skb: bool) -> Result<u64, FaultKind> {
        let (offset, len) = (int(args, 1)?, size(int(args, 3)?));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.context.packet.bytes.get(start..start.saturating_add(len));
        match bytes.map(<[u8]>::to_vec) {
            Some(bytes) => self.write(arg(args, 2)?, 0, &bytes).map(|()| 0),
            None if skb => self.zero(arg(args, 2)?, len).map(|()| EFAULT),
            None => Ok(if offset > 0xffff || len > 0xffff { EFAULT } else { EINVAL }),
        }
    }

    /// Makes bytes linear. Packet pointers are dead after it, also when it fails.
    fn pull_data(&mut self, len: u64) -> u64 {
        self.moves += 1;
        let packet = &mut self.context.packet;
        let len = size(len);
        if len > packet.bytes.len() {
            return ENOMEM;
        }
        packet.linear = packet.linear.max(len);
        self.context.place_packet();
        0
    }

    /// Packet pointers are dead after it, as after every change of the packet.
    fn store_bytes(&mut self, args: &[Cell]) -> Result<u64, FaultKind> {
        let (offset, len) = (int(args, 1)?, size(int(args, 3)?));
        let bytes = self.read(arg(args, 2)?, 0, len)?;
        self.moves += 1;
        if int(args, 4)? & !STORE_FLAGS != 0 {
            return Ok(EINVAL);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.context.packet.bytes.get_mut(start..start.saturating_add(len)) {
            Some(to) if offset <= MAX_STORE_OFFSET => to.copy_from_slice(&bytes),
            _ => return Ok(EFAULT),
        }
        Ok(0)
    }

    /// Makes the packet longer, by zeros, or shorter; then all of it is linear.
    fn change_tail(&mut self, len: u64, flags: u64) -> u64 {
        self.moves += 1;
        let packet = &mut self.context.packet;
        if flags != 0 || !(MIN_PACKET..=MAX_PACKET).contains(&len) {
            return EINVAL;
        }
        packet.bytes.resize(size(len), 0);
        packet.linear = packet.bytes.len();
        self.context.place_packet();
        0
    }

    /// Makes room, of zeros, between the Ethernet header and what is behind it. Only
    /// that mode, and only room that is made, not taken.
    fn adjust_room(&mut self, len: u64, mode: u64, flags: u64) -> u64 {
        self.moves += 1;
        let packet = &mut self.context.packet;
        if mode != ROOM_MAC || flags != 0 {
            return EINVAL;
        }
        if len > MAX_ROOM {
            return EFAULT;
        }
        if packet.bytes.len() < ETHERNET {
            return ENOTSUPP;
        }
        let room = std::iter::repeat_n(0, size(len));
        packet.bytes.splice(ETHERNET..ETHERNET, room);
        packet.linear += size(len);
        self.context.place_packet();
        0
    }

    fn redirect(&mut self, interface: u64, flags: u64) -> u64 {
        if flags & !REDIRECT_INGRESS != 0 {
            return TC_SHOT;
        }
        self.redirected = Some((interface as u32, flags));
        TC_REDIRECT
    }

    fn ringbuf_output(&mut self, args: &[Cell]) -> Result<u64, FaultKind> {
        let map = self.map_arg(args)?;
        let decl = self.machine.maps[map].decl();
        if decl.kind != MapKind::Ringbuf {
            return Err(FaultKind::IllFormed("this is no ring buffer"));
        }
        let capacity = decl.max_entries as usize;
        let len = size(int(args, 2)?);
        let record = |len: usize| (len + RECORD_HEADER).next_multiple_of(8);
        let mine = self.events.iter().filter(|(ring, _)| *ring == map);
        let used: usize = mine.map(|(_, bytes)| record(bytes.len())).sum();
        let bytes = self.read(arg(args, 1)?, 0, len)?;
        if used + record(len) > capacity {
            return Ok(EAGAIN);
        }
        self.events.push((map, bytes));
        Ok(0)
    }

    fn current_comm(&mut self, args: &[Cell]) -> Result<u64, FaultKind> {
        let len = size(int(args, 1)?);
        let mut comm = self.machine.world.comm.clone();
        comm.truncate(len.min(COMM).saturating_sub(1));
        comm.resize(len, 0);
        self.write(arg(args, 0)?, 0, &comm).map(|()| 0)
    }

    fn probe_read(&mut self, args: &[Cell], kernel: bool) -> Result<u64, FaultKind> {
        let (len, address) = (size(int(args, 1)?), address(args, 2)?);
        let read = (0..len as u64).map(|i| self.foreign_byte(kernel, address, i));
        match read.collect::<Option<Vec<u8>>>() {
            Some(bytes) => self.write(arg(args, 0)?, 0, &bytes).map(|()| 0),
            None => self.zero(arg(args, 0)?, len).map(|()| EFAULT),
        }
    }

    /// Up to the NUL, or as much as fits with one; returns the length with the NUL.
    fn probe_read_str(&mut self, args: &[Cell], kernel: bool) -> Result<u64, FaultKind> {
        let (len, address) = (size(int(args, 1)?), address(args, 2)?);
        if len == 0 {
            return Ok(0);
        }
        let mut bytes = vec![];
        for i in 0..len as u64 - 1 {
            match self.foreign_byte(kernel, address, i) {
                Some(0) => break,
                Some(byte) => bytes.push(byte),
                None => return self.zero(arg(args, 0)?, len).map(|()| EFAULT),
            }
        }
        bytes.push(0);
        self.write(arg(args, 0)?, 0, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// The byte that is `i` bytes behind an address.
    fn foreign_byte(&self, kernel: bool, address: Address, i: u64) -> Option<u8> {
        let world = &self.machine.world;
        match address {
            Address::Context(at) => {
                let at = u64::try_from(at).ok()?.checked_add(i)?;
                self.context.bytes.get(usize::try_from(at).ok()?).copied()
            }
            Address::Number(address) if kernel => world.kernel.byte(address.wrapping_add(i)),
            Address::Number(address) => world.user.byte(address.wrapping_add(i)),
        }
    }

    fn zero(&mut self, pointer: Cell, len: usize) -> Result<(), FaultKind> {
        self.write(pointer, 0, &vec![0; len])
    }
}

fn arg(args: &[Cell], i: usize) -> Result<Cell, FaultKind> {
    args.get(i).copied().ok_or(FaultKind::IllFormed("an argument is missing"))
}

/// What a helper reads from.
#[derive(Clone, Copy)]
enum Address {
    Number(u64),
    /// That many bytes into the context.
    Context(i64),
}

fn address(args: &[Cell], i: usize) -> Result<Address, FaultKind> {
    match arg(args, i)? {
        Cell::Pointer(Region::Context, at) => Ok(Address::Context(at)),
        _ => int(args, i).map(Address::Number),
    }
}

fn int(args: &[Cell], i: usize) -> Result<u64, FaultKind> {
    match arg(args, i)? {
        Cell::Int(bits) => Ok(bits),
        _ => Err(FaultKind::IllFormed("this is no integer")),
    }
}

/// A size that memory can have: anything larger is out of bounds all the same.
fn size(bits: u64) -> usize {
    bits.min(1 << 24) as usize
}

fn status(result: Result<(), MapError>) -> u64 {
    result.map_or_else(MapError::code, |()| 0)
}

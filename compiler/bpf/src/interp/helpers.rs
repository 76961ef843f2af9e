//! Kernel helpers.
//!
//! Source: `kernel/bpf/{helpers,ringbuf}.c`, `kernel/trace/bpf_trace.c`,
//! `net/core/filter.c`, `mm/maccess.c`, Linux 6.18.

mod change;

use super::Event;
use super::exec::{Run, Step};
use super::fault::FaultKind;
use super::map::Errno;
use super::memory::Region;
use crate::{MapId, MapKind, helper};
use policyc_base::EntityId;

/// Bytes a helper call may name; no map value or packet is larger.
const MAX_LEN: u64 = 1 << 29;
/// Bytes of the header of a ring buffer's record.
const RING_HEADER: u64 = 8;
/// `BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP`
const RING_FLAGS: u64 = 3;
/// Bytes of a task's name.
const COMM_SIZE: usize = 16;
/// Largest offset of `xdp_load_bytes`.
const XDP_MAX_OFFSET: u64 = 0xffff;

type Result<T> = std::result::Result<T, FaultKind>;

/// One call: the helper's number, for messages.
#[derive(Clone, Copy)]
struct Call(i32);

impl Call {
    fn refuse<T>(self, argument: u8, why: &'static str) -> Result<T> {
        Err(FaultKind::Argument { helper: self.0, argument, why })
    }
}

/// Calls a helper. Sets `r0`; losing `r1` to `r5` is the caller's.
pub(super) fn call(run: &mut Run<'_>, number: i32) -> Result<Step> {
    let this = Call(number);
    if number == helper::TAIL_CALL {
        return tail_call(run, this);
    }
    let result = match number {
        helper::MAP_LOOKUP_ELEM => map_lookup(run, this)?,
        helper::MAP_UPDATE_ELEM => map_update(run, this)?,
        helper::MAP_DELETE_ELEM => map_delete(run, this)?,
        helper::KTIME_GET_NS | helper::KTIME_GET_COARSE_NS => run.clock(),
        helper::GET_PRANDOM_U32 => run.random().into(),
        helper::GET_SMP_PROCESSOR_ID => run.environment.cpu.into(),
        helper::GET_CURRENT_PID_TGID => {
            let task = &run.environment.task;
            u64::from(task.pid) << 32 | u64::from(task.tid)
        }
        helper::GET_CURRENT_UID_GID => {
            let task = &run.environment.task;
            u64::from(task.gid) << 32 | u64::from(task.uid)
        }
        helper::GET_CURRENT_COMM => current_comm(run, this)?,
        helper::GET_CURRENT_TASK => run.environment.task.address,
        helper::GET_CURRENT_CGROUP_ID => run.environment.task.cgroup_id,
        helper::SKB_LOAD_BYTES => skb_load_bytes(run, this)?,
        helper::SKB_PULL_DATA => skb_pull_data(run, this)?,
        helper::SKB_STORE_BYTES => change::store_bytes(run, this)?,
        helper::SKB_CHANGE_TAIL => change::change_tail(run, this)?,
        helper::SKB_ADJUST_ROOM => change::adjust_room(run, this)?,
        helper::REDIRECT => change::redirect(run, this)?,
        helper::XDP_LOAD_BYTES => xdp_load_bytes(run, this)?,
        helper::RINGBUF_OUTPUT => ringbuf_output(run, this)?,
        helper::PROBE_READ_KERNEL => probe_read(run, this, Space::Kernel)?,
        helper::PROBE_READ_USER => probe_read(run, this, Space::User)?,
        helper::PROBE_READ_KERNEL_STR => probe_read_str(run, this, Space::Kernel)?,
        helper::PROBE_READ_USER_STR => probe_read_str(run, this, Space::User)?,
        _ => return Err(FaultKind::UnknownHelper(number)),
    };
    run.set(crate::Reg::R0, result)?;
    Ok(Step::Next)
}

impl Run<'_> {
    fn clock(&mut self) -> u64 {
        let now = self.environment.clock_ns;
        self.environment.clock_ns = now.wrapping_add(self.environment.clock_step_ns);
        now
    }

    fn random(&mut self) -> u32 {
        let turn = *self.random_turn;
        *self.random_turn = turn.wrapping_add(1);
        let randoms = &self.environment.randoms;
        randoms.get(turn.checked_rem(randoms.len()).unwrap_or(0)).copied().unwrap_or(0)
    }

    /// Argument `n`, from 1.
    fn argument(&self, n: u8) -> Result<u64> {
        // INVARIANT: helpers have at most five arguments, in r1 to r5.
        self.get(crate::Reg::new(n).unwrap_or(crate::Reg::R1))
    }

    /// Argument `n` as a map of one of the given kinds.
    fn map_argument(&self, this: Call, n: u8, kinds: &[MapKind]) -> Result<usize> {
        let map = match Region::of(self.argument(n)?) {
            Some((Region::Map(map), 0)) => usize::from(map),
            _ => return this.refuse(n, "is not a map"),
        };
        match self.memory.maps.get(map) {
            Some(m) if kinds.contains(&m.spec().kind) => Ok(map),
            _ => this.refuse(n, "is a map of another kind"),
        }
    }

    /// Argument 1 as a map that programs may change.
    fn writable_map_argument(&self, this: Call) -> Result<usize> {
        let map = self.map_argument(this, 1, KEYED)?;
        match self.memory.maps[map].spec().flags & super::RDONLY_PROG {
            0 => Ok(map),
            _ => this.refuse(1, "is read-only for programs"),
        }
    }

    /// Argument `n` as the address of `len` bytes that can be read.
    fn bytes_argument(&self, n: u8, len: u64) -> Result<Vec<u8>> {
        let address = self.argument(n)?;
        self.memory.read(address, len).map_err(|why| access(address, len, false, why))
    }

    fn write_bytes(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        self.memory.write(address, bytes).map_err(|why| access(address, len, true, why))
    }

    /// Argument `n` as a number of bytes.
    fn len_argument(&self, this: Call, n: u8, zero: bool) -> Result<u64> {
        match self.argument(n)? {
            0 if !zero => this.refuse(n, "must not be 0"),
            len if len <= MAX_LEN => Ok(len),
            _ => this.refuse(n, "is larger than any memory"),
        }
    }

    /// Argument 1 as the context.
    fn context_argument(&self, this: Call) -> Result<()> {
        match Region::of(self.argument(1)?) {
            Some((Region::Context, 0)) => Ok(()),
            _ => this.refuse(1, "is not the context"),
        }
    }
}

fn access(address: u64, size: u64, write: bool, why: super::fault::AccessError) -> FaultKind {
    FaultKind::Access { address, size, write, why }
}

fn errno_or_zero(result: std::result::Result<(), Errno>) -> u64 {
    result.err().map_or(0, Errno::as_result)
}

/// Maps with keys and values.
const KEYED: &[MapKind] =
    &[MapKind::Array, MapKind::PercpuArray, MapKind::Hash, MapKind::LruHash, MapKind::LpmTrie];

fn map_lookup(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let map = run.map_argument(this, 1, KEYED)?;
    let key = run.bytes_argument(2, run.memory.maps[map].spec().key_size.into())?;
    let cpu = run.environment.cpu;
    let target = &mut run.memory.maps[map];
    let slot = target.lookup_slot(&key, cpu);
    let stride = target.stride();
    // INVARIANT: `Machine::new` admits no more maps than 16 bits count.
    Ok(slot.map_or(0, |slot| Region::Values(map as u16).address(slot * stride)))
}

fn map_update(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let map = run.writable_map_argument(this)?;
    let spec = run.memory.maps[map].spec();
    let (key_size, value_size) = (spec.key_size.into(), spec.value_size.into());
    let key = run.bytes_argument(2, key_size)?;
    let value = run.bytes_argument(3, value_size)?;
    let (flags, cpu) = (run.argument(4)?, run.environment.cpu);
    Ok(errno_or_zero(run.memory.maps[map].update_on(&key, &value, flags, cpu)))
}

fn map_delete(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let map = run.writable_map_argument(this)?;
    let key = run.bytes_argument(2, run.memory.maps[map].spec().key_size.into())?;
    Ok(errno_or_zero(run.memory.maps[map].delete(&key)))
}

fn current_comm(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let address = run.argument(1)?;
    let len = run.len_argument(this, 2, false)? as usize;
    // `strscpy_pad`: cut to leave a zero, the rest zero.
    let mut name = run.environment.task.comm.clone();
    name.truncate(len.min(COMM_SIZE) - 1);
    name.resize(len, 0);
    run.write_bytes(address, &name)?;
    Ok(0)
}

fn skb_load_bytes(run: &mut Run<'_>, this: Call) -> Result<u64> {
    run.context_argument(this)?;
    if !run.memory.context.is_skb() {
        return this.refuse(1, "is not an skb");
    }
    let offset = run.argument(2)? as u32 as usize;
    let len = run.len_argument(this, 4, false)?;
    let to = run.argument(3)?;
    let end = offset.saturating_add(len as usize);
    match run.memory.context.packet.get(offset..end).map(<[u8]>::to_vec) {
        Some(bytes) if offset <= i32::MAX as usize => {
            run.write_bytes(to, &bytes)?;
            Ok(0)
        }
        _ => {
            run.write_bytes(to, &vec![0; len as usize])?;
            Ok(Errno::EFAULT.as_result())
        }
    }
}

fn skb_pull_data(run: &mut Run<'_>, this: Call) -> Result<u64> {
    run.context_argument(this)?;
    let len = run.argument(2)? as u32 as usize;
    let context = &mut run.memory.context;
    if !context.is_skb() {
        return this.refuse(1, "is not an skb");
    }
    // The verifier takes every packet pointer away, whether or not bytes move.
    context.moves = context.moves.wrapping_add(1);
    let len = if len == 0 { context.linear } else { len };
    if len > context.packet.len() {
        return Ok(Errno::ENOMEM.as_result());
    }
    context.linear = context.linear.max(len);
    Ok(0)
}

fn xdp_load_bytes(run: &mut Run<'_>, this: Call) -> Result<u64> {
    run.context_argument(this)?;
    if !run.memory.context.is_xdp() {
        return this.refuse(1, "is not a frame of XDP");
    }
    let offset = u64::from(run.argument(2)? as u32);
    let to = run.argument(3)?;
    let len = run.len_argument(this, 4, false)?;
    if offset > XDP_MAX_OFFSET || len > XDP_MAX_OFFSET {
        return Ok(Errno::EFAULT.as_result());
    }
    let (start, end) = (offset as usize, (offset + len) as usize);
    match run.memory.context.packet.get(start..end).map(<[u8]>::to_vec) {
        Some(bytes) => {
            run.write_bytes(to, &bytes)?;
            Ok(0)
        }
        None => Ok(Errno::EINVAL.as_result()),
    }
}

fn ringbuf_output(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let map = run.map_argument(this, 1, &[MapKind::Ringbuf])?;
    let len = run.len_argument(this, 3, true)?;
    let data = run.bytes_argument(2, len)?;
    if run.argument(4)? & !RING_FLAGS != 0 {
        return Ok(Errno::EINVAL.as_result());
    }
    let size = u64::from(run.memory.maps[map].spec().max_entries);
    let id = MapId::from_index(map);
    let record = |len: u64| (len + RING_HEADER).next_multiple_of(8);
    let of_this = run.events.iter().filter(|event| event.map == id);
    let used: u64 = of_this.map(|event| record(event.data.len() as u64)).sum();
    if used + record(len) > size - 1 {
        return Ok(Errno::EAGAIN.as_result());
    }
    run.events.push(Event { map: id, data });
    Ok(0)
}

/// Whose memory is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Kernel,
    User,
}

impl Run<'_> {
    /// One byte behind an untrusted address.
    fn probe(&self, space: Space, address: u64) -> Option<u8> {
        match space {
            Space::User => self.environment.user.byte(address),
            Space::Kernel => self.environment.kernel.byte(address).or_else(|| {
                let own = self.memory.read(address, 1).ok();
                own.and_then(|bytes| bytes.first().copied()).or_else(|| self.memory.event(address))
            }),
        }
    }
}

fn probe_read(run: &mut Run<'_>, this: Call, space: Space) -> Result<u64> {
    let to = run.argument(1)?;
    let len = run.len_argument(this, 2, true)?;
    let from = run.argument(3)?;
    if len == 0 {
        return Ok(0);
    }
    let bytes: Option<Vec<u8>> = (0..len).map(|i| run.probe(space, from.wrapping_add(i))).collect();
    let (bytes, result) = match bytes {
        Some(bytes) => (bytes, 0),
        None => (vec![0; len as usize], Errno::EFAULT.as_result()),
    };
    run.write_bytes(to, &bytes)?;
    Ok(result)
}

fn probe_read_str(run: &mut Run<'_>, this: Call, space: Space) -> Result<u64> {
    let to = run.argument(1)?;
    let len = run.len_argument(this, 2, true)?;
    let from = run.argument(3)?;
    if len == 0 {
        return Ok(0);
    }
    let mut text = Vec::new();
    while (text.len() as u64) < len {
        let Some(byte) = run.probe(space, from.wrapping_add(text.len() as u64)) else {
            run.write_bytes(to, &vec![0; len as usize])?;
            return Ok(Errno::EFAULT.as_result());
        };
        text.push(byte);
        if byte == 0 {
            break;
        }
    }
    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    run.write_bytes(to, &text)?;
    Ok(text.len() as u64)
}

fn tail_call(run: &mut Run<'_>, this: Call) -> Result<Step> {
    run.context_argument(this)?;
    let map = run.map_argument(this, 2, &[MapKind::ProgArray])?;
    let slot = run.argument(3)? as u32;
    match run.memory.maps[map].program(slot) {
        Some(program) if run.tail_calls < super::MAX_TAIL_CALLS => Ok(Step::TailCall(program)),
        _ => {
            run.unset(crate::Reg::R0);
            Ok(Step::Next)
        }
    }
}

//! Helpers that change a packet, and where it goes.
//!
//! Does not know: checksums that a device has yet to fill in, segments of a packet
//! that is to be cut, or headers that the stack has seen, for which the kernel keeps
//! the packet long enough.
//!
//! Source: `bpf_skb_store_bytes`, `bpf_skb_change_tail`, `bpf_skb_adjust_room`,
//! `bpf_redirect` of `net/core/filter.c`, Linux 6.18.

use super::{Call, Result, Run};
use crate::interp::context::ContextState;
use crate::interp::map::Errno;

/// `BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH`
const STORE_FLAGS: u64 = 3;
/// `BPF_F_INGRESS`
const REDIRECT_INGRESS: u64 = 1;
/// `BPF_ADJ_ROOM_MAC`
const ROOM_MAC: u32 = 1;
/// Most bytes of room at once.
const MAX_ROOM: u32 = 0xfff;
/// The Ethernet header, which stays.
const ETHERNET: usize = 14;
/// `BPF_SKB_MAX_LEN` is about that.
const MAX_PACKET: usize = 0xffff;
/// `TC_ACT_SHOT`, `TC_ACT_REDIRECT`
const TC_SHOT: u64 = 2;
const TC_REDIRECT: u64 = 7;

/// The packet, to be changed: every address of it is lost.
fn packet<'r>(run: &'r mut Run<'_>, this: Call) -> Result<&'r mut ContextState> {
    run.context_argument(this)?;
    let context = &mut run.memory.context;
    if !context.is_skb() || !context.packet_writable {
        return this.refuse(1, "is not an skb of tc");
    }
    context.moves = context.moves.wrapping_add(1);
    Ok(context)
}

pub(super) fn store_bytes(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let offset = run.argument(2)? as u32 as usize;
    let len = run.len_argument(this, 4, false)?;
    let bytes = run.bytes_argument(3, len)?;
    let flags = run.argument(5)?;
    let context = packet(run, this)?;
    if flags & !STORE_FLAGS != 0 {
        return Ok(Errno::EINVAL.as_result());
    }
    match context.packet.get_mut(offset..offset.saturating_add(bytes.len())) {
        Some(to) if offset <= i32::MAX as usize => to.copy_from_slice(&bytes),
        _ => return Ok(Errno::EFAULT.as_result()),
    }
    Ok(0)
}

/// Longer, by zeros, or shorter; then all of it is linear.
pub(super) fn change_tail(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let (len, flags) = (run.argument(2)? as u32 as usize, run.argument(3)?);
    let context = packet(run, this)?;
    if flags != 0 || !(ETHERNET..=MAX_PACKET).contains(&len) {
        return Ok(Errno::EINVAL.as_result());
    }
    context.packet.resize(len, 0);
    context.linear = len;
    context.tell_length();
    Ok(0)
}

/// Room, of zeros, behind the Ethernet header; no other mode, and none is taken.
pub(super) fn adjust_room(run: &mut Run<'_>, this: Call) -> Result<u64> {
    let (len, mode) = (run.argument(2)? as u32, run.argument(3)? as u32);
    let flags = run.argument(4)?;
    let context = packet(run, this)?;
    if mode != ROOM_MAC || flags != 0 {
        return Ok(Errno::EINVAL.as_result());
    }
    if len > MAX_ROOM {
        return Ok(Errno::EFAULT.as_result());
    }
    if context.packet.len() < ETHERNET {
        return Ok(Errno::ENOTSUPP.as_result());
    }
    context.packet.splice(ETHERNET..ETHERNET, std::iter::repeat_n(0, len as usize));
    context.linear += len as usize;
    context.tell_length();
    Ok(0)
}

pub(super) fn redirect(run: &mut Run<'_>, _: Call) -> Result<u64> {
    let (interface, flags) = (run.argument(1)? as u32, run.argument(2)?);
    if flags & !REDIRECT_INGRESS != 0 {
        return Ok(TC_SHOT);
    }
    run.redirected = Some((interface, flags));
    Ok(TC_REDIRECT)
}

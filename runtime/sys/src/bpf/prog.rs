//! Loading programs.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::attr::{self, address, address_mut};
use super::{AttachType, Command, Map, ProgType, call_fd, object_name, raw, text};
use crate::SysError;

/// First size of the log buffer; it grows while the kernel says `ENOSPC`.
const LOG_SIZE: usize = 1 << 18;
/// The largest log any kernel accepts (`UINT_MAX >> 2` before 5.2 was smaller).
const MAX_LOG_SIZE: usize = 1 << 26;

/// What `BPF_PROG_LOAD` gets.
#[derive(Clone, Copy, Debug)]
pub struct ProgLoad<'a> {
    /// Kernel type.
    pub prog_type: ProgType,
    /// Attach type, for the types that check it at load (cgroup_skb, tracing).
    pub expected_attach_type: Option<AttachType>,
    /// Name shown by `bpftool`; cut to 15 bytes.
    pub name: &'a str,
    /// Licence; GPL-only helpers want a GPL-compatible one.
    pub license: &'a str,
    /// Instruction slots, little-endian as the kernel stores them, map
    /// references already filled in with descriptors.
    pub insns: &'a [[u8; 8]],
    /// 0 no log on success, 1 branches, 2 every instruction, 4 statistics; bits
    /// add up. A failed load is logged at level 1 at least.
    pub log_level: u32,
    /// `BPF_F_*` of `BPF_PROG_LOAD`.
    pub flags: u32,
    /// Types and source lines.
    pub debug: Option<DebugInfo<'a>>,
    /// BTF id of the kernel function or hook, for tracing and LSM; else 0.
    pub attach_btf_id: u32,
}

impl<'a> ProgLoad<'a> {
    /// A program of `prog_type` without name, log or debug information.
    pub fn new(prog_type: ProgType, license: &'a str, insns: &'a [[u8; 8]]) -> Self {
        Self {
            prog_type,
            expected_attach_type: None,
            name: "",
            license,
            insns,
            log_level: 0,
            flags: 0,
            debug: None,
            attach_btf_id: 0,
        }
    }
}

/// BTF of a program.
#[derive(Clone, Copy, Debug)]
pub struct DebugInfo<'a> {
    /// From [`btf_load`](super::btf_load).
    pub btf: BorrowedFd<'a>,
    /// `struct bpf_func_info` records of 8 bytes, offsets in instruction slots.
    pub func_info: &'a [u8],
    /// `struct bpf_line_info` records of 16 bytes, offsets in instruction slots.
    pub line_info: &'a [u8],
}

/// A loaded program.
#[derive(Debug)]
pub struct ProgLoaded {
    /// Keeps the program loaded.
    pub fd: OwnedFd,
    /// The verifier's log, empty at level 0.
    pub log: String,
}

/// Loads and verifies a program.
///
/// # Errors
/// What the kernel said, with the verifier's log: when `log_level` is 0 a
/// refused program is offered once more at level 1 to get it.
pub fn prog_load(load: &ProgLoad<'_>) -> Result<ProgLoaded, SysError> {
    match load_at(load, load.log_level) {
        Err(error) if load.log_level == 0 && !error.is(libc::EPERM) => load_at(load, 1),
        other => other,
    }
}

/// Loads at one log level, with a larger buffer as long as the log did not fit.
fn load_at(load: &ProgLoad<'_>, log_level: u32) -> Result<ProgLoaded, SysError> {
    let mut size = if log_level == 0 { 0 } else { LOG_SIZE };
    loop {
        let mut log = vec![0; size];
        match load_once(load, log_level, &mut log) {
            Err(error) if error.is(libc::ENOSPC) && size != 0 && size < MAX_LOG_SIZE => size *= 4,
            Err(error) => return Err(error.about(load.name).with_log(text(&log))),
            Ok(fd) => return Ok(ProgLoaded { fd, log: text(&log) }),
        }
    }
}

fn load_once(load: &ProgLoad<'_>, log_level: u32, log: &mut [u8]) -> Result<OwnedFd, SysError> {
    let license = CString::new(load.license)
        .map_err(|_| SysError::new("BPF_PROG_LOAD", libc::EINVAL).with_log("license has a NUL"))?;
    let mut attr = attr::ProgLoad {
        prog_type: load.prog_type.0,
        insn_cnt: load.insns.len() as u32,
        insns: address(load.insns),
        license: license.as_ptr() as u64,
        log_level,
        log_size: log.len() as u32,
        log_buf: address_mut(log),
        prog_flags: load.flags,
        prog_name: object_name(load.name),
        expected_attach_type: load.expected_attach_type.map_or(0, |a| a.0),
        attach_btf_id: load.attach_btf_id,
        ..attr::ProgLoad::default()
    };
    if let Some(debug) = &load.debug {
        attr.prog_btf_fd = raw(debug.btf);
        if !debug.func_info.is_empty() {
            attr.func_info_rec_size = 8;
            attr.func_info = address(debug.func_info);
            attr.func_info_cnt = (debug.func_info.len() / 8) as u32;
        }
        if !debug.line_info.is_empty() {
            attr.line_info_rec_size = 16;
            attr.line_info = address(debug.line_info);
            attr.line_info_cnt = (debug.line_info.len() / 16) as u32;
        }
    }
    call_fd(Command::ProgLoad, &mut attr)
}

/// Makes the `lddw` at slot `insn` load a map, or with `value_offset` the
/// address of a byte in the map's only value.
///
/// # Errors
/// `EINVAL` when there is no `lddw` at that slot.
pub fn set_map(
    insns: &mut [[u8; 8]],
    insn: usize,
    map: &Map,
    value_offset: Option<u32>,
) -> Result<(), SysError> {
    const LDDW: u8 = 0x18;
    const PSEUDO_MAP_FD: u8 = 1;
    const PSEUDO_MAP_VALUE: u8 = 2;
    let Some([low, high]) = insns.get_mut(insn..insn.saturating_add(2)) else {
        return Err(not_a_load(insn));
    };
    if low[0] != LDDW {
        return Err(not_a_load(insn));
    }
    let source = if value_offset.is_some() { PSEUDO_MAP_VALUE } else { PSEUDO_MAP_FD };
    low[1] = (low[1] & 0xf) | source << 4;
    low[4..].copy_from_slice(&raw(map.as_fd()).to_le_bytes());
    high[4..].copy_from_slice(&value_offset.unwrap_or_default().to_le_bytes());
    Ok(())
}

fn not_a_load(insn: usize) -> SysError {
    SysError::new("BPF_PROG_LOAD", libc::EINVAL)
        .with_log(format!("no 64-bit load at instruction {insn} to refer to a map"))
}

//! A thin, typed `bpf(2)`.
//!
//! Guarantees: one function per command; sizes of keys and values are checked
//! against what the kernel says about the map, so no buffer is too short.
//! Does not know: ELF, BTF contents, or what a program does.
//! Source: `include/uapi/linux/bpf.h`; layouts in [`attr`].

mod attr;
mod btf;
mod info;
mod link;
mod map;
mod map_entries;
mod pin;
mod prog;
mod query;
mod test_run;
mod types;

pub use btf::btf_load;
pub use info::{LinkDetails, LinkInfo, ProgInfo, link_info, prog_info, prog_run_stats};
pub use link::{
    LinkTarget, XdpMode, link_create, link_detach, link_update, perf_event_open,
    raw_tracepoint_open,
};
pub use map::{Map, MapDef, MapInfo, map_create, map_create_of, map_info, possible_cpus};
pub use map_entries::Entries;
pub use pin::{obj_get, obj_pin};
pub use prog::{DebugInfo, ProgLoad, ProgLoaded, prog_load, set_map};
pub use query::{QueryTarget, fd_by_id, ids, prog_query};
pub use test_run::{TestRun, TestRunResult, prog_test_run};
pub use types::{AttachType, Direction, MapType, ObjectKind, ProgType};

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::SysError;
use attr::Attr;

/// Calls `bpf(2)` with one command's attributes, again while the kernel says
/// `EAGAIN` (a signal came while it verified), at most a few times.
fn call<A: Attr>(cmd: Command, attr: &mut A) -> Result<i64, SysError> {
    let mut tries = 5;
    loop {
        // SAFETY: `attr` is a live, exclusive, plain-data value of the size
        // passed; the pointers inside it were made from live borrows by the
        // caller, with the lengths the kernel will use.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                cmd.number(),
                std::ptr::from_mut(attr).cast::<libc::c_void>(),
                size_of::<A>(),
            )
        };
        if result >= 0 {
            return Ok(result);
        }
        let error = SysError::last(cmd.name());
        tries -= 1;
        if !error.is(libc::EAGAIN) || tries == 0 {
            return Err(error);
        }
    }
}

/// Like [`call`], for commands that return a new file descriptor.
fn call_fd<A: Attr>(cmd: Command, attr: &mut A) -> Result<OwnedFd, SysError> {
    let fd = call(cmd, attr)?;
    // SAFETY: a non-negative result of these commands is a descriptor that the
    // kernel just installed and nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The descriptor's number as `bpf_attr` carries it. Valid while `fd` is borrowed.
fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

/// A name as the kernel stores it: at most 15 bytes, then zeros. Bytes that the
/// kernel refuses in names become `_`.
fn object_name(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (slot, byte) in out.iter_mut().take(15).zip(name.bytes()) {
        *slot = if byte.is_ascii_alphanumeric() || byte == b'.' { byte } else { b'_' };
    }
    out
}

/// The text of a kernel buffer up to its first zero byte; other than UTF-8 is
/// replaced, because old kernels cut logs inside a character.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

macro_rules! commands {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// A command of `bpf(2)`.
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Command { $($name,)* }
        impl Command {
            const fn number(self) -> libc::c_long {
                match self { $(Self::$name => $number,)* }
            }
            const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

commands! {
    MapCreate = 0, "BPF_MAP_CREATE";
    MapLookupElem = 1, "BPF_MAP_LOOKUP_ELEM";
    MapUpdateElem = 2, "BPF_MAP_UPDATE_ELEM";
    MapDeleteElem = 3, "BPF_MAP_DELETE_ELEM";
    MapGetNextKey = 4, "BPF_MAP_GET_NEXT_KEY";
    ProgLoad = 5, "BPF_PROG_LOAD";
    ObjPin = 6, "BPF_OBJ_PIN";
    ObjGet = 7, "BPF_OBJ_GET";
    ProgTestRun = 10, "BPF_PROG_TEST_RUN";
    ProgGetNextId = 11, "BPF_PROG_GET_NEXT_ID";
    MapGetNextId = 12, "BPF_MAP_GET_NEXT_ID";
    ProgGetFdById = 13, "BPF_PROG_GET_FD_BY_ID";
    MapGetFdById = 14, "BPF_MAP_GET_FD_BY_ID";
    ObjGetInfoByFd = 15, "BPF_OBJ_GET_INFO_BY_FD";
    ProgQuery = 16, "BPF_PROG_QUERY";
    RawTracepointOpen = 17, "BPF_RAW_TRACEPOINT_OPEN";
    BtfLoad = 18, "BPF_BTF_LOAD";
    MapFreeze = 22, "BPF_MAP_FREEZE";
    MapLookupBatch = 24, "BPF_MAP_LOOKUP_BATCH";
    MapUpdateBatch = 26, "BPF_MAP_UPDATE_BATCH";
    LinkCreate = 28, "BPF_LINK_CREATE";
    LinkUpdate = 29, "BPF_LINK_UPDATE";
    LinkGetFdById = 30, "BPF_LINK_GET_FD_BY_ID";
    LinkGetNextId = 31, "BPF_LINK_GET_NEXT_ID";
    LinkDetach = 34, "BPF_LINK_DETACH";
}

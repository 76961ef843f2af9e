//! `BPF_PROG_TEST_RUN`.

use std::os::fd::BorrowedFd;

use super::attr::{self, address, address_mut};
use super::{Command, call, raw};
use crate::SysError;

/// Room behind the input for programs that grow the packet.
const HEADROOM: usize = 256;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`
const XDP_LIVE_FRAMES: u32 = 1 << 1;

/// What a test run gets.
#[derive(Clone, Debug, Default)]
pub struct TestRun<'a> {
    /// The packet, from its Ethernet header on; empty for tracing.
    pub data: &'a [u8],
    /// `struct __sk_buff`, `struct xdp_md` or the tracepoint's arguments; may
    /// be empty.
    pub ctx: &'a [u8],
    /// How often it runs; 0 is once.
    pub repeat: u32,
    /// XDP only: really redirect and transmit, and return no data.
    pub live_frames: bool,
}

/// What came of a test run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRunResult {
    /// What the program returned in the last run.
    pub retval: u32,
    /// Nanoseconds of one run, the mean of all.
    pub duration: u32,
    /// The packet afterwards.
    pub data: Vec<u8>,
    /// The context afterwards, as long as the one given.
    pub ctx: Vec<u8>,
}

/// Runs a loaded program on one packet or context.
///
/// # Errors
/// `ENOTSUPP` (524) for program types without test runs; what the kernel said.
pub fn prog_test_run(fd: BorrowedFd<'_>, run: &TestRun<'_>) -> Result<TestRunResult, SysError> {
    let with_output = !run.live_frames && !run.data.is_empty();
    let mut data = vec![0; if with_output { run.data.len() + HEADROOM } else { 0 }];
    let mut ctx = vec![0; if run.live_frames { 0 } else { run.ctx.len() }];
    let mut attr = attr::TestRun {
        prog_fd: raw(fd),
        data_size_in: run.data.len() as u32,
        data_size_out: data.len() as u32,
        data_in: address(run.data),
        data_out: address_mut(&mut data),
        repeat: run.repeat,
        ctx_size_in: run.ctx.len() as u32,
        ctx_size_out: ctx.len() as u32,
        ctx_in: address(run.ctx),
        ctx_out: address_mut(&mut ctx),
        flags: if run.live_frames { XDP_LIVE_FRAMES } else { 0 },
        ..Default::default()
    };
    match call(Command::ProgTestRun, &mut attr) {
        // Raw tracepoints take no output context at all.
        Err(error) if error.is(libc::EINVAL) && run.data.is_empty() && !ctx.is_empty() => {
            attr.ctx_out = 0;
            attr.ctx_size_out = 0;
            ctx.clear();
            // KERNEL: they also refuse a repeat count; the caller's is kept
            // for the types that take one.
            attr.repeat = 0;
            call(Command::ProgTestRun, &mut attr)?;
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    data.truncate(attr.data_size_out as usize);
    ctx.truncate(attr.ctx_size_out as usize);
    Ok(TestRunResult { retval: attr.retval, duration: attr.duration, data, ctx })
}

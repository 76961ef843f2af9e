//! Loading BTF.

use std::os::fd::OwnedFd;

use super::attr::{self, address, address_mut};
use super::{Command, call_fd, text};
use crate::SysError;

/// Loads a `.BTF` section and returns the descriptor that programs and maps
/// refer to.
///
/// # Errors
/// What the kernel said, with its log.
pub fn btf_load(btf: &[u8]) -> Result<OwnedFd, SysError> {
    let mut attr =
        attr::BtfLoad { btf: address(btf), btf_size: btf.len() as u32, ..Default::default() };
    let error = match call_fd(Command::BtfLoad, &mut attr) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    let mut log = vec![0; 1 << 16];
    attr.btf_log_buf = address_mut(&mut log);
    attr.btf_log_size = log.len() as u32;
    attr.btf_log_level = 1;
    match call_fd(Command::BtfLoad, &mut attr) {
        Ok(fd) => Ok(fd),
        Err(_) => Err(error.with_log(text(&log))),
    }
}

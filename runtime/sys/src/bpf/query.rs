//! Finding objects: by id, and by where they are attached.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::attr::{self, address_mut};
use super::{AttachType, Command, ObjectKind, call, call_fd, raw};
use crate::SysError;

/// Every id of a kind that exists now, ascending.
///
/// # Errors
/// What the kernel said; needs CAP_SYS_ADMIN.
pub fn ids(kind: ObjectKind) -> Result<Vec<u32>, SysError> {
    let command = match kind {
        ObjectKind::Prog => Command::ProgGetNextId,
        ObjectKind::Map => Command::MapGetNextId,
        ObjectKind::Link => Command::LinkGetNextId,
    };
    let mut found = Vec::new();
    let mut attr = attr::GetId::default();
    loop {
        match call(command, &mut attr) {
            Ok(_) => found.push(attr.next_id),
            Err(error) if error.is(libc::ENOENT) => return Ok(found),
            Err(error) => return Err(error),
        }
        attr.id = attr.next_id;
    }
}

/// Opens an object by its id. Not for waiting until a program array is gone:
/// opening one that is being freed can keep it for ever (seen on 6.18); list
/// [`ids`] instead.
///
/// # Errors
/// `ENOENT` when it is gone; what the kernel said.
pub fn fd_by_id(kind: ObjectKind, id: u32) -> Result<OwnedFd, SysError> {
    let command = match kind {
        ObjectKind::Prog => Command::ProgGetFdById,
        ObjectKind::Map => Command::MapGetFdById,
        ObjectKind::Link => Command::LinkGetFdById,
    };
    let mut attr = attr::GetId { id, ..Default::default() };
    call_fd(command, &mut attr).map_err(|e| e.about(id.to_string()))
}

/// What [`prog_query`] asks about.
#[derive(Clone, Copy, Debug)]
pub enum QueryTarget<'a> {
    /// An interface of the calling thread's network namespace.
    Interface(u32),
    /// A cgroup directory.
    Cgroup(BorrowedFd<'a>),
}

/// Ids of the programs attached at a place, in the order they run.
///
/// # Errors
/// What the kernel said.
pub fn prog_query(target: QueryTarget<'_>, attach: AttachType) -> Result<Vec<u32>, SysError> {
    let mut capacity = 64;
    loop {
        let mut programs = vec![0_u32; capacity];
        let mut attr = attr::Query {
            target: match target {
                QueryTarget::Interface(index) => index,
                QueryTarget::Cgroup(fd) => raw(fd),
            },
            attach_type: attach.0,
            prog_ids: address_mut(&mut programs),
            prog_cnt: capacity as u32,
            ..Default::default()
        };
        match call(Command::ProgQuery, &mut attr) {
            Ok(_) => {
                programs.truncate(attr.prog_cnt as usize);
                return Ok(programs);
            }
            Err(error) if error.is(libc::ENOSPC) && capacity < 1 << 16 => capacity *= 4,
            Err(error) => return Err(error),
        }
    }
}

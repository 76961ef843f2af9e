//! Errors as the kernel numbers them.

use thiserror::Error;

/// An error of a map operation or a helper, positive as in `errno.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("errno {0}")]
pub struct Errno(pub i32);

impl Errno {
    /// No such entry.
    pub const ENOENT: Self = Self(2);
    /// The map or ring is too small for it.
    pub const E2BIG: Self = Self(7);
    /// The ring buffer is full.
    pub const EAGAIN: Self = Self(11);
    /// Out of memory; more than the packet has.
    pub const ENOMEM: Self = Self(12);
    /// A bad address or offset.
    pub const EFAULT: Self = Self(14);
    /// The entry is there already.
    pub const EEXIST: Self = Self(17);
    /// A bad argument.
    pub const EINVAL: Self = Self(22);
    /// The trie is full.
    pub const ENOSPC: Self = Self(28);
    /// Not for this kind of map.
    pub const EOPNOTSUPP: Self = Self(95);
    /// Not for this kind of packet (`ENOTSUPP`, which is the kernel's own).
    pub const ENOTSUPP: Self = Self(524);

    /// What a helper returns.
    pub const fn as_result(self) -> u64 {
        -(self.0 as i64) as u64
    }
}

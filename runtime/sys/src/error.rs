//! What a system call failed with.

use std::fmt;
use std::io;

/// A failed system call: which, with which errno, and what the kernel logged.
#[derive(Clone, PartialEq, Eq)]
pub struct SysError {
    /// The call as its manual page names it: `BPF_PROG_LOAD`, `setns`.
    pub call: &'static str,
    /// The errno, positive.
    pub errno: i32,
    /// What the call was about: a path, a program, an interface. May be empty.
    pub subject: String,
    /// The kernel's own log (verifier, BTF, netlink extended ack); may be empty.
    pub log: String,
}

impl SysError {
    /// A failure of `call` with `errno`.
    pub fn new(call: &'static str, errno: i32) -> Self {
        Self { call, errno, subject: String::new(), log: String::new() }
    }

    /// The failure that the calling thread's errno describes.
    pub(crate) fn last(call: &'static str) -> Self {
        Self::from_io(call, &io::Error::last_os_error())
    }

    /// The failure an [`io::Error`] describes; `EIO` if it has no errno.
    pub fn from_io(call: &'static str, error: &io::Error) -> Self {
        let mut own = Self::new(call, error.raw_os_error().unwrap_or(libc::EIO));
        if error.raw_os_error().is_none() {
            own.log = error.to_string();
        }
        own
    }

    /// Names what the call was about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Adds what the kernel logged.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = log.into();
        self
    }

    /// Whether the errno is `errno`.
    pub fn is(&self, errno: i32) -> bool {
        self.errno == errno
    }

    /// The kernel's symbol for the errno where it is one that BPF, netlink or
    /// namespaces return (`EPERM`), else its number.
    pub fn errno_name(&self) -> String {
        let name = match self.errno {
            libc::E2BIG => "E2BIG",
            libc::EACCES => "EACCES",
            libc::EAGAIN => "EAGAIN",
            libc::EBADF => "EBADF",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::EFAULT => "EFAULT",
            libc::EINTR => "EINTR",
            libc::EINVAL => "EINVAL",
            libc::EIO => "EIO",
            libc::EISDIR => "EISDIR",
            libc::ELOOP => "ELOOP",
            libc::ENODEV => "ENODEV",
            libc::ENOENT => "ENOENT",
            libc::ENOLINK => "ENOLINK",
            libc::ENOMEM => "ENOMEM",
            libc::ENOSPC => "ENOSPC",
            libc::ENOSYS => "ENOSYS",
            libc::ENOTDIR => "ENOTDIR",
            libc::ENOTEMPTY => "ENOTEMPTY",
            libc::ENXIO => "ENXIO",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::EPERM => "EPERM",
            libc::ERANGE => "ERANGE",
            libc::EROFS => "EROFS",
            libc::ESRCH => "ESRCH",
            524 => "ENOTSUPP",
            other => return format!("errno {other}"),
        };
        name.to_owned()
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if !self.subject.is_empty() {
            write!(f, " `{}`", self.subject)?;
        }
        let text = io::Error::from_raw_os_error(self.errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        write!(f, ": {} ({})", text.to_lowercase(), self.errno_name())
    }
}

impl fmt::Debug for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if !self.log.is_empty() {
            write!(f, "\n{}", self.log)?;
        }
        Ok(())
    }
}

impl std::error::Error for SysError {}

//! What host and init say to each other.
//!
//! The host writes a list of jobs into the initial file system. Init does them
//! in order and prints one line of JSON per message on the console, each behind
//! [`PREFIX`], because the kernel may print there too, and [`END`] when all is
//! done. A new kind of job is a new variant of [`Job`] and of [`Message`], and a new
//! [`VERSION`]: each side refuses another's, because the init may be of another
//! release than its host. Another init ([`serve`](super::serve)) has messages of its
//! own.

use serde::{Deserialize, Serialize};

use crate::report::ProgramReport;

/// Folder of the files that the host has packed; that it is there is how init
/// knows that it is init.
pub const FILES_PATH: &str = "/policyc";
/// The file of the jobs in it.
pub(super) const JOBS_FILE: &str = "jobs.json";

/// Of this language.
pub(super) const VERSION: u32 = 1;

/// What begins a line of the console that is a message.
const PREFIX: &str = "@policyc ";
/// The last message.
pub(super) const END: &str = "end";

/// The line for the console that carries a message, which is one line.
pub(super) fn to_line(message: &str) -> String {
    format!("{PREFIX}{message}")
}

/// The message of a line of the console, `None` if it is another line.
pub(super) fn from_line(line: &str) -> Option<&str> {
    line.split_once(PREFIX).map(|(_, message)| message.trim())
}

/// What the file of the jobs holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Jobs {
    /// The host's [`VERSION`].
    pub(super) version: u32,
    /// In order.
    pub(super) jobs: Vec<Job>,
}

impl Jobs {
    /// The jobs of a text, if it is of this version.
    pub(super) fn from_json(text: &str) -> Result<Vec<Job>, String> {
        // The version first: another one need not have the same jobs.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| error.to_string();
        let Head { version } = serde_json::from_str(text).map_err(unreadable)?;
        if version != VERSION {
            return Err(format!(
                "the jobs are of version {version}, and this init knows {VERSION}"
            ));
        }
        let Self { jobs, .. } = serde_json::from_str(text).map_err(unreadable)?;
        Ok(jobs)
    }
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub(super) enum Job {
    /// Offer every program of an ELF object to the kernel.
    Load {
        /// Path of the object.
        object: String,
    },
}

/// What init has to say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(super) enum Message {
    /// Init runs, on this kernel.
    Ready {
        /// `uname -r`
        kernel: String,
        /// Its [`VERSION`]; 0 before there were any.
        #[serde(default)]
        version: u32,
    },
    /// A program of a [`Job::Load`].
    Program {
        /// Position of the job in the list, from 0.
        job: usize,
        /// What the kernel said.
        report: ProgramReport,
    },
    /// A job could not be done.
    Failed {
        /// Position of the job in the list; none if the list itself is at fault.
        job: Option<usize>,
        /// Why.
        error: String,
    },
}

impl Message {
    /// The message as text.
    pub(super) fn to_json(&self) -> String {
        // INVARIANT: a message is plain data with text keys, which is always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The text as a message.
    pub(super) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

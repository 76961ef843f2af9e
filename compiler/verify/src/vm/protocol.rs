//! What host and init say to each other.
//!
//! The host writes a list of jobs into the initial file system. Init does them
//! in order and prints one line of JSON per message on the console, each behind
//! [`PREFIX`], because the kernel may print there too. A new kind of job is a
//! new variant of [`Job`] and of [`Message`].

use serde::{Deserialize, Serialize};

use crate::report::ProgramReport;

/// Where init finds its jobs; that the file is there is how it knows that it is init.
pub(super) const JOBS_PATH: &str = "/policyc/jobs.json";
/// Folder of the files that jobs refer to.
pub(super) const FILES_PATH: &str = "/policyc";

/// What begins a line of the console that is a message.
pub(super) const PREFIX: &str = "@policyc ";

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
    /// All jobs are done.
    End,
}

impl Message {
    /// The line for the console, without a line end.
    pub(super) fn to_line(&self) -> String {
        // INVARIANT: a message is plain data with text keys, which is always JSON.
        format!("{PREFIX}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// The message of a line, `None` if it is another line, or why it cannot be read.
    pub(super) fn from_line(line: &str) -> Option<Result<Self, serde_json::Error>> {
        let (_, json) = line.split_once(PREFIX)?;
        Some(serde_json::from_str(json.trim()))
    }
}

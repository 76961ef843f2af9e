//! What was live on this host: when, by whom, and how it ended.
//!
//! It is in the journal, so it is written with what it tells of, by one rename, or not at
//! all: no command can be known and not told, nor told and not have happened.
//! Guarantees: the last [`MOST`] generations; ascending by number.

use policyc_bpf::{Artifact, Digest, Finding, Level};
use policyc_sys::Kernel;
use policyc_sys::host::Invoker;
use serde::{Deserialize, Serialize};

use crate::apply::seconds_since_1970;
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::{Journal, Record};
use crate::restore::ARTIFACT;

/// How many generations are remembered.
const MOST: usize = 100;
/// How many of them have copies, to go back to.
const COPIES: usize = 8;

/// Who made a generation live.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct By {
    /// Real user id.
    pub uid: u32,
    /// Whom sudo said that it ran for.
    pub sudo_user: Option<String>,
    /// The command with its arguments.
    pub command: String,
}

impl From<Invoker> for By {
    fn from(Invoker { uid, sudo_user, command }: Invoker) -> Self {
        Self { uid, sudo_user, command }
    }
}

/// How a generation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Another one was applied and is confirmed.
    Superseded,
    /// Somebody went back to the one before.
    RolledBack,
    /// Nobody confirmed it in time.
    NotConfirmed,
    /// Somebody removed it.
    Removed,
    /// Its pins were gone, as they are after a boot.
    Lost,
}

/// A generation that was live.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Past {
    /// Its number.
    pub generation: u64,
    /// The artifact's name.
    pub name: String,
    /// The artifact's content.
    pub hash: Digest,
    /// When it went live, in seconds since 1970.
    pub since: u64,
    /// By whom.
    pub by: By,
    /// What had found its programs to be safe, each once: `prevail 0.4 (model)`.
    pub evidence: Vec<String>,
    /// Whether forwarded packets were reported too.
    pub report_forwarded: bool,
    /// The generation instead of which it denied everything.
    pub stands_for: Option<u64>,
    /// Whether there is a copy of it, to go back to.
    #[serde(skip)]
    pub is_kept: bool,
    /// How it ended, and when it was seen, in seconds since 1970.
    pub ended: Option<(Ended, u64)>,
}

/// What was live, ascending by number.
///
/// # Errors
/// What failed.
pub fn history<K: Kernel>(host: &Host<'_, K>) -> Result<Vec<Past>, Error> {
    let journal = host.read_journal()?;
    let kept: Vec<u64> = journal.kept().map(|past| past.generation).collect();
    let mut history = journal.history;
    for past in &mut history {
        let copy = host.dirs.copy(past.generation).join(ARTIFACT);
        // What was pruned has none, whatever is remembered.
        past.is_kept = kept.contains(&past.generation)
            && host.kernel.read_file(&copy).or_doing("read a copy")?.is_some();
    }
    Ok(history)
}

/// Who found the programs of an artifact to be safe.
pub(crate) fn evidence(artifact: &Artifact) -> Vec<String> {
    let mut found = Vec::new();
    for check in artifact.evidence() {
        let level = match check.level {
            Level::Structural => "structural",
            Level::Model => "model",
            Level::Kernel => "kernel",
        };
        let by = match &check.kernel {
            Some(kernel) => format!("{} {kernel} ({level})", check.engine),
            None => format!("{} {} ({level})", check.engine, check.engine_version),
        };
        if check.finding == Finding::Accepted && !found.contains(&by) {
            found.push(by);
        }
    }
    found
}

impl Journal {
    /// A generation is live.
    pub(crate) fn remember(&mut self, record: &Record) {
        self.history.push(Past {
            generation: record.number,
            name: record.name.clone(),
            hash: record.hash,
            since: record.since,
            by: record.by.clone(),
            evidence: record.evidence.clone(),
            report_forwarded: record.report_forwarded,
            stands_for: record.stands_for,
            is_kept: false,
            ended: None,
        });
        let surplus = self.history.len().saturating_sub(MOST);
        self.history.drain(..surplus);
    }

    /// A generation has ended.
    pub(crate) fn has_ended(&mut self, number: u64, how: Ended) {
        let past = self.history.iter_mut().find(|past| past.generation == number);
        if let Some(past) = past.filter(|past| past.ended.is_none()) {
            past.ended = Some((how, seconds_since_1970()));
        }
    }

    /// The generations that were live for good, and whose copies are kept: newest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Past> {
        let failed = |past: &&Past| {
            past.stands_for.is_some()
                || matches!(past.ended, Some((Ended::RolledBack | Ended::NotConfirmed, _)))
        };
        self.history.iter().rev().filter(move |past| !failed(past)).take(COPIES)
    }
}

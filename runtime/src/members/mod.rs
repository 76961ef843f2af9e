//! The members of run-time sets: what is known of groups and workloads, carried from
//! generation to generation.
//!
//! Guarantees: a new generation begins with what the live one knows, unless its artifact
//! says something else of a group than the one before said: then it is taken at its
//! word, and that is told if somebody had changed the group. A group that no rule names
//! is known as long as nobody says something else of it.
//! Does not know: who says what the members are.

mod maps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policyc_bpf::Artifact;
use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::{Member, Prefix, digest};
use policyc_sys::Kernel;
use policyc_sys::host::beside;
use serde::{Deserialize, Serialize};

use maps::view;
pub(crate) use maps::{Maps, fill, finish, is_unfinished, of as view_of, seen};

use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::journal::{Journal, Record};

/// File name in the copy of a generation.
pub(crate) const FILE: &str = "members.json";
/// The format that this release reads and writes.
const FORMAT: u32 = 1;

/// What is known of the groups and workloads whose addresses change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    format: u32,
    /// Counts changes. The maps say which of them they show.
    pub(crate) change: u64,
    /// By their ids.
    pub(crate) groups: BTreeMap<u64, Group>,
}

/// What is known of a group, or of a workload whose addresses change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its kind.
    pub kind: SetKind,
    /// Its name.
    pub name: String,
    /// A number of what the last artifact that names it said of it.
    pub(crate) said: u64,
    /// Its members, with those that some rule leaves out; ascending.
    pub members: Vec<Prefix>,
    /// When a patch was stored that made it so, in seconds since 1970; `None` if it is
    /// what the artifact said.
    pub patched: Option<u64>,
}

/// With what a generation begins.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Beginning {
    pub(crate) facts: Facts,
    /// What was learnt besides, and ends: the group and the member.
    pub(crate) learnt: Vec<(u64, Member)>,
    /// The names of groups that had been patched, and of which the artifact says
    /// something else.
    pub(crate) replaced: Vec<String>,
}

impl Default for Facts {
    fn default() -> Self {
        Self { format: FORMAT, change: 0, groups: BTreeMap::new() }
    }
}

impl Facts {
    /// What an artifact says, as this change.
    pub(crate) fn said(sets: &[RuntimeSet], change: u64) -> Self {
        let groups = sets.iter().map(|set| (set.id, Group::said(set))).collect();
        Self { format: FORMAT, change, groups }
    }

    /// The members of each set; with what was learnt of their groups.
    pub(crate) fn members(
        &self,
        sets: &[RuntimeSet],
        learnt: &[(u64, Member)],
    ) -> Vec<Vec<Member>> {
        let of = |set: &RuntimeSet| {
            let group = self.groups.get(&set.id).map_or(&[][..], |group| &group.members);
            let learnt = learnt.iter().filter(|(id, _)| *id == set.id).map(|(_, member)| *member);
            let all = group.iter().copied().map(Member::forever).chain(learnt);
            let parts = all.flat_map(|member| {
                let parts = set.part_of(member.prefix).into_iter();
                parts.map(move |prefix| Member { prefix, ..member })
            });
            parts.collect()
        };
        sets.iter().map(of).collect()
    }
}

impl Group {
    /// What an artifact says of the group of a set.
    pub fn said(set: &RuntimeSet) -> Self {
        let RuntimeSet { kind, name, members, .. } = set.clone();
        Self { kind, name, said: digest(&members), members, patched: None }
    }
}

/// With what a generation of this artifact begins, and whether it can.
pub(crate) fn next<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    journal: &Journal,
) -> Result<Beginning, Error> {
    let sets = &artifact.manifest().sets;
    let (before, is_boot) = match (journal.judging(), &journal.lost) {
        (Some(live), _) => (Some(live), false),
        (None, lost) => (lost.as_ref(), true),
    };
    let known = before.map(|record| read(host, record)).transpose();
    let mut known = match known {
        // What cannot be read must not keep a generation away that needs none of it.
        Err(Error::Members { .. }) if sets.is_empty() => Facts::default(),
        known => known?.flatten().unwrap_or_default(),
    };
    if is_boot {
        // Workloads have other addresses after a boot.
        known.groups.retain(|_, group| group.kind == SetKind::Group);
    }
    let facts = Facts::said(sets, known.change + 1);
    let mut beginning = Beginning { facts, ..Beginning::default() };
    let Beginning { facts, learnt, replaced } = &mut beginning;
    for (id, group) in &mut facts.groups {
        match known.groups.remove(id) {
            Some(known) if known.said == group.said && known.kind == group.kind => *group = known,
            Some(known) if known.patched.is_some() && known.members != group.members => {
                replaced.push(known.name);
            }
            _ => {}
        }
    }
    // Somebody said it, and it is no rule's now.
    facts.groups.extend(known.groups.into_iter().filter(|(_, group)| group.patched.is_some()));
    if let Some(live) = &journal.active
        && let Some(maps) = Maps::open(host, live.number)?
    {
        let now = host.kernel.now();
        *learnt = maps.learnt(host.kernel)?;
        learnt.retain(|(id, member)| member.expires > now && sets.iter().any(|set| set.id == *id));
    }
    view(sets, &facts.members(sets, learnt))?;
    Ok(beginning)
}

/// What a generation knows, if it was ever said.
pub(crate) fn read<K: Kernel>(host: &Host<'_, K>, record: &Record) -> Result<Option<Facts>, Error> {
    let path = file(host, record.number);
    let Some(bytes) = host.kernel.read_file(&path).or_doing("read the members")? else {
        return Ok(None);
    };
    let facts: Facts = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Members { path: path.clone(), reason: error.to_string() })?;
    if facts.format == FORMAT {
        return Ok(Some(facts));
    }
    let reason = format!("it has format {}, and this release reads {FORMAT}", facts.format);
    Err(Error::Members { path, reason })
}

/// What a generation is to know, if a command was killed that had begun to say so. A part
/// of it says nothing: it was killed before anything else was done.
fn begun<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
    known: &Facts,
) -> Result<Option<Facts>, Error> {
    let path = beside(&file(host, record.number));
    let bytes = host.kernel.read_file(&path).or_doing("read the members")?.unwrap_or_default();
    let facts: Option<Facts> = serde_json::from_slice(&bytes).ok();
    Ok(facts.filter(|facts| facts.format == FORMAT && facts.change > known.change))
}

/// Says what a generation is to know: other processes see it, a crash may lose it.
pub(crate) fn begin<K: Kernel>(
    host: &Host<'_, K>,
    number: u64,
    facts: &Facts,
) -> Result<(), Error> {
    let path = file(host, number);
    let bytes = text(&path, facts)?;
    host.kernel.write_beside(&path, &bytes).or_doing(WRITING)
}

/// What was begun is what is known.
pub(crate) fn settle<K: Kernel>(host: &Host<'_, K>, number: u64) -> Result<(), Error> {
    host.kernel.settle(&file(host, number)).or_doing(WRITING)
}

/// This is known and nothing else was begun, whatever is killed.
pub(crate) fn write<K: Kernel>(
    host: &Host<'_, K>,
    number: u64,
    facts: &Facts,
) -> Result<(), Error> {
    let path = file(host, number);
    host.remove(&beside(&path))?;
    host.kernel.write_file(&path, &text(&path, facts)?).or_doing(WRITING)
}

const WRITING: &str = "write the members";

fn file<K: Kernel>(host: &Host<'_, K>, number: u64) -> PathBuf {
    host.dirs.copy(number).join(FILE)
}

fn text(path: &Path, facts: &Facts) -> Result<Vec<u8>, Error> {
    let unsaid = |error: serde_json::Error| error.to_string();
    serde_json::to_vec(facts)
        .map_err(|error| Error::Members { path: path.to_owned(), reason: unsaid(error) })
}

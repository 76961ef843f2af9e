//! Binding more places to the generation that is live, without another one.
//!
//! A new interface or namespace gets gates of its own, with the live generation's
//! programs in their slots; everything else stays as it is.
//!
//! Guarantees: all new gates are attached, or none. The journal names them as being
//! attached until all are; what a killed command left, the next one takes away.

use policyc_bpf::{Artifact, MapRole};
use policyc_sys::Kernel;

use crate::apply::{AddTo, Wanted, add_gates, present, refuse_pending, resolve_all};
use crate::bindings::{Binding, Bindings};
use crate::bring_back::{Restored, is_absent};
use crate::connection::{self, Adopted};
use crate::discard::tear_down;
use crate::error::{Error, OrDoing};
use crate::follow;
use crate::generation::{Generation, LoadedMap, LoadedProgram};
use crate::host::Host;
use crate::journal::{Journal, Judged, Record};
use crate::point::Point;
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover};
use crate::restore::{BINDINGS, read_copy};

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attached {
    /// The generation that judges there.
    pub generation: u64,
    /// Where it judges now and did not before.
    pub points: Vec<(Point, Option<String>)>,
    /// What became of connections that existed, if they were to be adopted.
    pub adopted: Option<Adopted>,
}

/// Attaches the live generation where these bindings say and it is not yet. Places
/// that it judges already, for the same subject, are left as they are. With `adopt`
/// connections that exist at all of these places are adopted, as by `apply`.
///
/// # Errors
/// [`Error::NothingLive`]; as `apply`. Nothing changed then.
pub fn attach<K: Kernel>(
    host: &Host<'_, K>,
    more: &[Binding],
    adopt: bool,
) -> Result<Attached, Error> {
    let _lock = host.lock("attach")?;
    check_privileges(host, &host.read_journal()?)?;
    let Recovered { mut journal, .. } = recover(host)?;
    let (Some(state), Some(record)) = (host.open_state()?, journal.active.clone()) else {
        return Err(Error::NothingLive);
    };
    refuse_pending(host.kernel, &journal, host.read_state(&state)?)?;
    let (artifact, mut bindings) = read_copy(host, &record)?.ok_or(Error::NothingLive)?;

    let judged = judged(&artifact, &journal, &record);
    let wanted = resolve_all(host, &artifact, &Bindings::from(more.to_vec()), judged)?;
    let points = wanted.iter().map(|w| (w.point.clone(), w.subject.as_ref().map(|s| s.0.clone())));
    let mut attached =
        Attached { generation: record.number, points: points.collect(), adopted: None };
    let news = more.iter().filter(|binding| !bindings.bindings.contains(binding)).cloned();
    let news: Vec<Binding> = news.collect();
    if wanted.is_empty() && news.is_empty() && !adopt {
        return Ok(attached);
    }
    bindings.bindings.extend(news);

    let into = AddTo { artifact: &artifact, bindings: &bindings, record: &record, state: &state };
    let more = adopt.then(|| Bindings::from(more.to_vec()));
    let added = add(host, &into, wanted, more.as_ref(), &mut journal);
    attached.adopted = added.inspect_err(|_| {
        // What cannot be undone now, the next command undoes.
        let _ = undo(host, &mut journal);
    })?;
    Ok(attached)
}

/// Attaches the live generation where its bindings say and it is not, as far as that is
/// there. The caller has the lock, and the journal is true.
pub(crate) fn attach_missing<K: Kernel>(
    host: &Host<'_, K>,
    mut journal: Journal,
) -> Result<Restored, Error> {
    let (Some(state), Some(record)) = (host.open_state()?, journal.active.clone()) else {
        return Err(Error::NothingLive);
    };
    let (artifact, bindings) = read_copy(host, &record)?.ok_or(Error::NothingLive)?;
    let judged = judged(&artifact, &journal, &record);
    let (wanted, missing) = present(host, &artifact, &bindings, judged, is_absent)?;
    let points = wanted.iter().map(|w| (w.point.clone(), w.subject.as_ref().map(|s| s.0.clone())));
    let points: Vec<_> = points.collect();
    if !wanted.is_empty() {
        refuse_pending(host.kernel, &journal, host.read_state(&state)?)?;
        let into =
            AddTo { artifact: &artifact, bindings: &bindings, record: &record, state: &state };
        add(host, &into, wanted, None, &mut journal).inspect_err(|_| {
            // What cannot be undone now, the next command undoes.
            let _ = undo(host, &mut journal);
        })?;
    }
    Ok(Restored::Live { generation: record.number, points, missing })
}

/// Attaches the gates, and adopts what exists where these bindings say.
fn add<K: Kernel>(
    host: &Host<'_, K>,
    into: &AddTo<'_, K::Map>,
    wanted: Vec<Wanted>,
    adopt: Option<&Bindings>,
    journal: &mut Journal,
) -> Result<Option<Adopted>, Error> {
    let AddTo { artifact, bindings, record, .. } = *into;
    let open = || open_generation(host, artifact, record);
    let mut adopted = None;
    let mut adopt_existing = |number: Option<u32>| match (adopt, number) {
        (Some(places), Some(number)) => {
            let adopted = adopted.get_or_insert_default();
            connection::adopt(host, artifact, places, &open()?, number, adopted)
        }
        _ => Ok(()),
    };
    if adopt.is_some() {
        journal.last_adoption = journal.next_adoption();
        journal.adopting = Some(journal.last_adoption);
        host.write_journal(journal)?;
    }
    adopt_existing(journal.adopting)?;
    if !wanted.is_empty() {
        add_gates(host, into, open()?, wanted, journal)?;
        // Once more: what came before its gate did.
        adopt_existing(journal.adopting)?;
    }
    write_bindings(host, record, bindings)?;
    host.write_journal(&journal.with_all_attached())?;
    Ok(adopted)
}

/// Takes gates away that were being attached, and what was adopted for them.
pub(crate) fn undo<K: Kernel>(host: &Host<'_, K>, journal: &mut Journal) -> Result<(), Error> {
    connection::take_back(host, journal.adopting)?;
    if journal.attaching.is_empty() && journal.adopting.is_none() {
        return Ok(());
    }
    let ids = journal.attaching.clone();
    let (gone, stay): (Vec<_>, Vec<_>) =
        journal.gates.iter().cloned().partition(|gate| ids.contains(&gate.id));
    let unseen = tear_down(host, &gone)?;
    follow::retire(host, &stay)?;
    journal.gates = stay;
    unseen.into_iter().for_each(|gate| journal.add_gate(gate));
    if let Some(active) = &mut journal.active {
        active.judges.retain(|judged| !ids.contains(&judged.gate));
    }
    journal.attaching.clear();
    journal.adopting = None;
    host.write_journal(journal)
}

/// What the generation judges now.
pub(crate) fn judged(artifact: &Artifact, journal: &Journal, record: &Record) -> Vec<Wanted> {
    let of = |judged: &Judged| {
        let gate = journal.gates.iter().find(|gate| gate.id == judged.gate)?;
        let programs = &artifact.object().programs;
        let program = programs.iter().position(|program| program.name == judged.program)?;
        let subject = judged.subject.as_ref().map(|name| {
            let subjects = &artifact.manifest().subjects;
            let row = subjects.iter().find(|s| s.name == *name).map(|s| s.row);
            (name.clone(), row.unwrap_or_default())
        });
        Some(Wanted { point: gate.point.clone(), mechanism: None, subject, program })
    };
    record.judges.iter().filter_map(of).collect()
}

/// The generation as it is pinned. Programs that no place needed are not.
fn open_generation<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    record: &Record,
) -> Result<Generation<K>, Error> {
    let (kernel, dirs) = (host.kernel, host.dirs);
    let object = artifact.object();
    let mut maps = Vec::new();
    for spec in object.maps.values() {
        let own = dirs.generation_maps(record.number);
        let dir = if spec.role == MapRole::Shared { dirs.shared() } else { own };
        let map = kernel.open_map(&dir.join(&spec.name)).or_doing("open a map")?;
        let map = map.ok_or_else(|| Error::Map {
            map: spec.name.clone(),
            reason: "is not pinned any more".to_owned(),
        })?;
        maps.push(LoadedMap { name: spec.name.clone(), role: spec.role, map, reused: true });
    }
    let mut programs = Vec::new();
    for (index, program) in object.programs.iter().enumerate() {
        let pin = dirs.generation_programs(record.number).join(&program.name);
        if let Some(prog) = kernel.open_prog(&pin).or_doing("open a program")? {
            let (name, kind) = (program.name.clone(), program.kind.clone());
            programs.push(LoadedProgram { index, name, kind, prog });
        }
    }
    Ok(Generation { number: record.number, maps, programs })
}

/// The copy tells the next `apply` after boot what was bound.
fn write_bindings<K: Kernel>(
    host: &Host<'_, K>,
    record: &Record,
    bindings: &Bindings,
) -> Result<(), Error> {
    let path = host.dirs.copy(record.number).join(BINDINGS);
    let bytes = serde_json::to_vec_pretty(bindings).map_err(|e| Error::Artifact(e.to_string()))?;
    host.kernel.write_file(&path, &bytes).or_doing("copy the bindings")
}

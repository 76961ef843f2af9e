//! Rules that report instead of enforce, for a time, while a generation is live.
//!
//! Guarantees: it ends at its deadline without any process, at boot, and with the last
//! generation; a swap carries it over, by names. What other rules deny stays denied.
//! Does not know: what a rule says. What holds without one, the artifact knows for each
//! of its decisions.

use std::collections::BTreeSet;
use std::time::Duration;

use policyc_bpf::manifest::{Decision, Manifest, Outcome};
use policyc_bpf::{MapKind, MapSpec, SourceLine};
use policyc_sys::Kernel;
use serde::{Deserialize, Serialize};

use crate::error::{Error, OrDoing};
use crate::host::{Host, KEY_0};
use crate::journal::{Journal, Record};
use crate::privileges::check_privileges;
use crate::recover::{Recovered, recover};
use crate::restore::read_copy;

/// The map with a deadline for each decision.
pub(crate) const MAP: &str = "audits";
/// Bytes of a deadline.
const DEADLINE: usize = 8;

/// What is audited.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Audited {
    /// `namespace/name` of the policy, or its name.
    pub policy: String,
    /// Path of one of its rules, or all of it.
    pub rule: Option<String>,
}

/// An audit and when it ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Audit {
    pub(crate) what: Audited,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub(crate) until: u64,
}

impl Audited {
    /// Whether a rule is meant.
    fn includes(&self, line: &SourceLine) -> bool {
        self.policy == line.policy && self.rule.as_ref().is_none_or(|rule| *rule == line.rule)
    }
}

/// Audits a policy or one of its rules from now on; again, with another end. Returns the
/// number of the live generation, and the paths of the rules that it is about.
///
/// # Errors
/// [`Error::NothingLive`]; [`Error::DeniesNothing`] where the live generation knows no
/// such rule that denies; what failed.
pub fn audit<K: Kernel>(
    host: &Host<'_, K>,
    what: &Audited,
    within: Duration,
) -> Result<(u64, BTreeSet<String>), Error> {
    let _lock = host.lock("audit")?;
    let (mut journal, live) = open(host)?;
    let Some((artifact, _)) = read_copy(host, &live)? else { return Err(Error::NothingLive) };
    let rules = rules(artifact.manifest(), what)?;
    let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    let until = host.kernel.now().saturating_add(within);
    journal.audits.retain(|audit| audit.what != *what);
    journal.audits.push(Audit { what: what.clone(), until });
    forget_ended(&mut journal, host.kernel.now());
    // What is not enforced is always known to the journal.
    host.write_journal(&journal)?;
    tell(host, &journal)?;
    Ok((live.number, rules))
}

/// Ends audits: of a policy with those of its rules, or of a rule.
///
/// # Errors
/// [`Error::NothingLive`]; [`Error::NotAudited`]; what failed.
pub fn enforce<K: Kernel>(host: &Host<'_, K>, what: &Audited) -> Result<u64, Error> {
    let _lock = host.lock("audit")?;
    let (mut journal, live) = open(host)?;
    forget_ended(&mut journal, host.kernel.now());
    let before = journal.audits.len();
    let is_of = |audit: &Audit| {
        audit.what.policy == what.policy && (what.rule.is_none() || what.rule == audit.what.rule)
    };
    journal.audits.retain(|audit| !is_of(audit));
    if journal.audits.len() == before {
        return Err(Error::NotAudited { policy: what.policy.clone(), rule: what.rule.clone() });
    }
    // What is not enforced is always known to the journal: until the programs are told,
    // it goes on, and so does the record.
    tell(host, &journal)?;
    host.write_journal(&journal)?;
    Ok(live.number)
}

/// The audits of the live generation and how long each goes on, by name.
///
/// # Errors
/// What failed.
pub fn audits<K: Kernel>(host: &Host<'_, K>) -> Result<Vec<(Audited, Duration)>, Error> {
    let journal = host.read_journal()?;
    let is_live = host.find_home(&journal)?.state().is_some();
    Ok(if is_live { left(&journal, host.kernel.now()) } else { Vec::new() })
}

/// What is audited now, and for how much longer.
pub(crate) fn left(journal: &Journal, now: u64) -> Vec<(Audited, Duration)> {
    let left = |audit: &Audit| {
        let left = audit.until.checked_sub(now).filter(|left| *left > 0)?;
        Some((audit.what.clone(), Duration::from_nanos(left)))
    };
    let mut audits: Vec<_> = journal.audits.iter().filter_map(left).collect();
    audits.sort();
    audits
}

/// The journal in order, and what is live.
fn open<K: Kernel>(host: &Host<'_, K>) -> Result<(Journal, Record), Error> {
    check_privileges(host, &host.read_journal()?)?;
    let Recovered { journal, .. } = recover(host)?;
    if host.open_state()?.is_none() {
        return Err(Error::NothingLive);
    }
    let live = journal.active.clone().ok_or(Error::NothingLive)?;
    Ok((journal, live))
}

fn forget_ended(journal: &mut Journal, now: u64) {
    journal.audits.retain(|audit| audit.until > now);
}

/// Writes what the journal says into every generation that is kept. What is killed
/// before the end, the same command given again finishes.
fn tell<K: Kernel>(host: &Host<'_, K>, journal: &Journal) -> Result<(), Error> {
    for record in journal.generations() {
        let Some((artifact, _)) = read_copy(host, record)? else { continue };
        let Some(spec) = artifact.object().maps.values().find(|spec| spec.name == MAP) else {
            continue;
        };
        let path = host.dirs.generation_maps(record.number).join(MAP);
        let Some(map) = host.kernel.open_map(&path).or_doing("open the audits")? else { continue };
        fill(host.kernel, spec, &map, artifact.manifest(), &journal.audits)?;
    }
    Ok(())
}

/// Writes until when each decision is audited.
// KERNEL: an array's value is copied while programs read it. A packet of that moment may
// meet bytes of the old deadline and of the new one, and be judged as with either.
pub(crate) fn fill<K: Kernel>(
    kernel: &K,
    spec: &MapSpec,
    map: &K::Map,
    manifest: &Manifest,
    audits: &[Audit],
) -> Result<(), Error> {
    let deadlines = deadlines(manifest, audits);
    let mut value: Vec<u8> = deadlines.into_iter().flat_map(u64::to_ne_bytes).collect();
    let size = spec.value_size as usize;
    // Decisions of tracing come last, and nobody asks for theirs.
    value.resize(size, 0);
    let fits = spec.kind == MapKind::Array && spec.key_size == 4 && size.is_multiple_of(DEADLINE);
    if !fits {
        let reason = "has not the shape this release fills".to_owned();
        return Err(Error::Map { map: spec.name.clone(), reason });
    }
    kernel.map_update(map, &KEY_0, &value).or_doing("fill the audits")
}

/// For each decision until when it is not enforced: until the first of the rules that
/// deny, one behind the other, is enforced.
fn deadlines(manifest: &Manifest, audits: &[Audit]) -> Vec<u64> {
    let own = |decision: &Decision| {
        let line = decision.line.and_then(|line| manifest.lines.get(line as usize));
        // Which of several was meant is not known: none is.
        let line = line.filter(|line| !manifest.namesakes.contains(&line.policy));
        let about = audits.iter().filter(|audit| line.is_some_and(|l| audit.what.includes(l)));
        about.map(|audit| audit.until).max().unwrap_or(0)
    };
    let mut deadlines: Vec<u64> = Vec::new();
    for decision in &manifest.decisions {
        // INVARIANT: what holds without a rule comes before its decision; artifacts
        // where it does not are refused.
        let behind = decision.unless_audited.map(|index| index as usize);
        let until = match behind.and_then(|index| Some((index, manifest.decisions.get(index)?))) {
            _ if decision.outcome != Outcome::Deny => 0,
            None => 0,
            Some((index, next)) if next.outcome == Outcome::Deny => {
                own(decision).min(deadlines.get(index).copied().unwrap_or(0))
            }
            Some(_) => own(decision),
        };
        deadlines.push(until);
    }
    deadlines
}

/// The rules that deny and are meant.
fn rules(manifest: &Manifest, what: &Audited) -> Result<BTreeSet<String>, Error> {
    if manifest.namesakes.contains(&what.policy) {
        return Err(Error::Namesakes { policy: what.policy.clone() });
    }
    let denying = manifest.decisions.iter().filter(|decision| decision.unless_audited.is_some());
    let lines: Vec<_> = denying.filter_map(|d| manifest.lines.get(d.line? as usize)).collect();
    let meant = lines.iter().filter(|line| what.includes(line));
    let rules: BTreeSet<String> = meant.map(|line| line.rule.clone()).collect();
    if !rules.is_empty() {
        return Ok(rules);
    }
    let of_policy = lines.iter().filter(|line| line.policy == what.policy);
    let of_policy: BTreeSet<String> = of_policy.map(|line| line.rule.clone()).collect();
    let is_policy = of_policy.is_empty();
    let policies = lines.iter().map(|line| line.policy.clone());
    let others = if is_policy { policies.collect() } else { of_policy };
    let (policy, rule) = (what.policy.clone(), what.rule.clone());
    Err(Error::DeniesNothing { policy, rule, others: others.into_iter().collect() })
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;

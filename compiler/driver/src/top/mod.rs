//! Rules by what they decide: two readings of the counters, and the difference.
//!
//! Guarantees: the same readings give the same rows in the same order; a generation that
//! went live between two readings counts from nothing.
//! Does not know: when the counters were read, or how.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use policyc_bpf::{Manifest, SourceLine};
use policyc_runtime::Counter;
use serde::Serialize;

use crate::metrics::{direction, verdict};

/// The counters of a generation at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Which generation.
    pub generation: u64,
    /// By decision.
    pub counters: Vec<Counter>,
}

/// What comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Sort {
    /// Who decided most packets, or events.
    #[default]
    Packets,
    /// Who decided most bytes.
    Bytes,
    /// By policy and rule.
    Name,
}

/// What a rule decided.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize)]
pub struct Row {
    /// `namespace/name` of the policy; none where no rule decided.
    pub policy: Option<String>,
    /// Path of the rule in the policy.
    pub rule: Option<String>,
    /// Where it is written: `web.yaml:9:3`.
    pub at: Option<String>,
    /// The direction that the rule is about, if it is about one.
    pub direction: Option<&'static str>,
    /// What becomes of a packet or an event; empty where none can come.
    pub verdict: &'static str,
    /// Why, in the words of documents.
    pub reason: String,
    /// Packets, or events.
    pub packets: u64,
    /// Bytes of the packets.
    pub bytes: u64,
}

impl Row {
    /// What decided, without how much.
    fn name(&self) -> Self {
        Self { packets: 0, bytes: 0, ..self.clone() }
    }
}

/// What was decided between two readings, by rule; rows of nothing too.
pub fn rows(
    before: &Reading,
    after: &Reading,
    manifest: Option<&Manifest>,
    sort: Sort,
) -> Vec<Row> {
    let is_same = before.generation == after.generation;
    let known: BTreeMap<u32, &Counter> =
        before.counters.iter().filter(|_| is_same).map(|c| (c.decision, c)).collect();
    let mut sums = BTreeMap::<Row, (u64, u64)>::new();
    for now in &after.counters {
        let then = known.get(&now.decision).map_or((0, 0), |c| (c.packets, c.bytes));
        // Other processors may have been read earlier than before.
        let more = (now.packets.saturating_sub(then.0), now.bytes.saturating_sub(then.1));
        let sum = sums.entry(named(manifest, now.decision)).or_default();
        *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
    }
    let full = sums.into_iter().map(|(row, (packets, bytes))| Row { packets, bytes, ..row });
    let mut rows: Vec<Row> = full.collect();
    rows.sort_by_cached_key(|row| {
        let amount = match sort {
            Sort::Packets => (row.packets, row.bytes),
            Sort::Bytes => (row.bytes, row.packets),
            Sort::Name => (0, 0),
        };
        (Reverse(amount), row.name())
    });
    rows
}

/// The rules among the rows that decided nothing.
pub fn unused(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.policy.is_some() && row.packets == 0)
}

/// The rules that no packet and no event can reach: others come first wherever they could
/// decide, or they select nobody in the artifact.
pub fn unreachable(manifest: &Manifest) -> Vec<Row> {
    let decided: BTreeSet<u32> = manifest.decisions.iter().filter_map(|d| d.line).collect();
    let lines = (0..).zip(&manifest.lines).filter(|(index, _)| !decided.contains(index));
    // A path without a `.` is what its policy denies by default; line 0 is nobody's rule.
    let rules = lines.filter(|(_, line)| line.rule.contains('.') && line.line > 0);
    let rows = rules.map(|(_, line)| Row { reason: "unreachable".to_owned(), ..of_line(line) });
    rows.collect()
}

/// A decision's names, with nothing decided.
fn named(manifest: Option<&Manifest>, index: u32) -> Row {
    let found = manifest.and_then(|m| m.decisions.get(index as usize));
    let line = manifest.and_then(|m| m.line_of(index));
    Row {
        verdict: found.map_or("", |decision| verdict(decision.outcome)),
        reason: found.map_or_else(
            || format!("decision {index}"),
            |decision| {
                let reason = serde_json::to_value(decision.reason).unwrap_or_default();
                reason.as_str().unwrap_or_default().to_owned()
            },
        ),
        ..line.map(of_line).unwrap_or_default()
    }
}

/// Where a rule is.
fn of_line(line: &SourceLine) -> Row {
    Row {
        policy: Some(line.policy.clone()),
        rule: Some(line.rule.clone()),
        at: Some(format!("{}:{}:{}", line.file, line.line, line.column)),
        direction: Some(direction(&line.rule)).filter(|direction| !direction.is_empty()),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests;

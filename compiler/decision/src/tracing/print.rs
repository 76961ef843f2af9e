//! Tracing decisions as text: what `policyc dump --at decision` shows.

use std::fmt::Write as _;

use policyc_base::OriginTable;
use policyc_policy::tracing::{ArgKind, Test, TextOp};

use super::{EventDecision, EventLeaf, EventOutcome, EventTest, HookDecision};
use crate::graph::{self, FieldId, Names, TableId};

/// The text of a decision; `origins` names the selectors.
pub fn print(decision: &EventDecision, origins: &OriginTable) -> String {
    let mut text = String::new();
    for hook in &decision.hooks {
        // Writing to a string cannot fail.
        let _ = write_hook(&mut text, hook, decision, origins);
    }
    text
}

fn write_hook(
    text: &mut String,
    hook: &HookDecision,
    decision: &EventDecision,
    origins: &OriginTable,
) -> std::fmt::Result {
    writeln!(text, "{}", hook.hook)?;
    for (i, read) in hook.reads.iter().enumerate() {
        writeln!(text, "  read {i}: {} as {} from {:?}", read.name, kind(read.kind), read.access)?;
    }
    for graph in &hook.graphs {
        writeln!(text, "  policy {}", graph.policy)?;
        let names = Vocabulary { hook, outcomes: &decision.outcomes, origins };
        for line in graph::print(&graph.graph, &names).lines() {
            writeln!(text, "    {line}")?;
        }
    }
    Ok(())
}

fn kind(kind: ArgKind) -> String {
    match kind {
        ArgKind::Int(ty) => ty.to_string(),
        ArgKind::Text => "text".to_owned(),
    }
}

struct Vocabulary<'a> {
    hook: &'a HookDecision,
    outcomes: &'a [EventOutcome],
    origins: &'a OriginTable,
}

impl Names<EventTest, EventLeaf> for Vocabulary<'_> {
    fn field(&self, field: FieldId) -> String {
        let read = self.hook.reads.get(field.0 as usize);
        read.map_or_else(|| format!("{field:?}"), |r| r.name.clone())
    }

    fn table(&self, table: TableId) -> String {
        format!("{table:?}")
    }

    fn test(&self, test: &EventTest) -> String {
        let doubt = if test.doubt { "in doubt yes" } else { "in doubt no" };
        format!("{} ({doubt})", question(&test.test))
    }

    fn leaf(&self, leaf: &EventLeaf) -> String {
        let EventLeaf::Selected(index) = leaf else { return "nothing".to_owned() };
        let Some(outcome) = self.outcomes.get(*index) else { return format!("{leaf:?}") };
        let action = if outcome.posts { "post" } else { "no post" };
        let rule = self.origins.get(outcome.origin);
        let rule = rule.map(|i| format!("{} {}", i.policy, i.rule)).unwrap_or_default();
        format!("{action} {rule}")
    }
}

fn question(test: &Test) -> String {
    match test {
        Test::InRanges(ranges) => {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|r| {
                    if r.first == r.last {
                        r.first.to_string()
                    } else {
                        format!("{}..={}", r.first, r.last)
                    }
                })
                .collect();
            format!("in {}", ranges.join(", "))
        }
        Test::HasBits(masks) => {
            let masks: Vec<_> = masks.iter().map(|m| format!("{m:#x}")).collect();
            format!("has bits {}", masks.join(", "))
        }
        Test::Text { op, values } => {
            let op = match op {
                TextOp::Equal => "equals",
                TextOp::Prefix => "begins with",
                TextOp::Postfix => "ends with",
            };
            let values: Vec<_> =
                values.iter().map(|v| format!("\"{}\"", v.escape_ascii())).collect();
            format!("{op} {}", values.join(", "))
        }
    }
}

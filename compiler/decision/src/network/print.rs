//! The decision as text: what `policyc dump --at decision` shows.
//!
//! One fact a line, in a fixed order, so that a diff of two dumps is a diff of
//! two meanings.

use std::fmt::Write as _;

use ipnet::IpNet;
use policyc_base::{EntityId, OriginTable};
use policyc_policy::network::Reason;

use super::judge::{field, table};
use super::{Decision, Leaf, NetworkDecision, NoTest, SetMembers, SetTables, Why, Word, builtin};
use crate::graph::{self, FieldId, Names, TableId};
use crate::tables::IntervalTable;

/// The text of a decision; `origins` names the rules.
pub fn print(decision: &NetworkDecision, origins: &OriginTable) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, decision, origins);
    text
}

fn write_all(
    text: &mut String,
    decision: &NetworkDecision,
    origins: &OriginTable,
) -> std::fmt::Result {
    writeln!(text, "graph")?;
    for line in graph::print(&decision.graph, &Vocabulary).lines() {
        writeln!(text, "  {line}")?;
    }
    writeln!(text, "subjects")?;
    for subject in &decision.subjects {
        writeln!(text, "  {} -> behaviour {}", subject.name, subject.behaviour)?;
    }
    writeln!(text, "addr4")?;
    write_intervals(text, &decision.addresses.v4)?;
    writeln!(text, "addr6")?;
    write_intervals(text, &decision.addresses.v6)?;
    writeln!(text, "ports")?;
    write_ports(text, decision)?;
    writeln!(text, "rows")?;
    write_rows(text, decision)?;
    writeln!(text, "cells")?;
    for (row, cells) in decision.cells.rows.iter() {
        let cells: Vec<_> = cells.iter().map(|c| format!("{}@{:#x}", c.decision, c.rank)).collect();
        writeln!(text, "  {row}: {}", cells.join(" "))?;
    }
    if let Some(sets) = &decision.sets {
        write_sets(text, sets)?;
    }
    writeln!(text, "decisions")?;
    for (i, d) in decision.decisions.iter().enumerate() {
        writeln!(text, "  d{i}: {}", describe(d, origins))?;
    }
    Ok(())
}

fn write_intervals(text: &mut String, table: &IntervalTable) -> std::fmt::Result {
    for (start, class) in table.starts.iter().zip(&table.classes) {
        writeln!(text, "  {}.. -> {class}", table.family.address(*start))?;
    }
    Ok(())
}

fn write_ports(text: &mut String, decision: &NetworkDecision) -> std::fmt::Result {
    let ports = &decision.ports;
    let other = ports.protocols[255];
    for (protocol, slice) in ports.protocols.iter().enumerate() {
        if *slice == other && protocol != 255 {
            continue;
        }
        let mut previous = None;
        for port in 0..=slice.mask {
            let class = ports.lookup(protocol as u8, port);
            if previous != Some(class) {
                let name = if protocol == 255 { "other".to_owned() } else { protocol.to_string() };
                writeln!(text, "  {name} {port}.. -> {class}")?;
            }
            previous = Some(class);
        }
    }
    Ok(())
}

fn write_sets(text: &mut String, tables: &SetTables) -> std::fmt::Result {
    let list = |nets: &[IpNet]| {
        let nets: Vec<_> = nets.iter().map(ToString::to_string).collect();
        nets.join(" ")
    };
    writeln!(text, "sets")?;
    for (number, SetMembers { set, members, .. }) in tables.sets.iter().enumerate() {
        let except = list(set.except());
        let but = if except.is_empty() { except } else { format!(" but {except}") };
        writeln!(text, "  s{number}: {}{but}: {}", set.name(), list(members))?;
    }
    for (place, number) in tables.places.iter().enumerate().filter(|(_, number)| **number > 0) {
        let direction = if place % 2 == 0 { "ingress" } else { "egress" };
        let line = (*number as usize - 1) * tables.columns();
        let row = |at: usize| match tables.rows[line + at].index() {
            0 => "-".to_owned(),
            row => format!("w{row}"),
        };
        let classes: Vec<_> = (0..tables.address_classes).map(row).collect();
        let sets: Vec<_> = (tables.address_classes + 1..tables.columns()).map(row).collect();
        let (classes, sets) = (classes.join(" "), sets.join(" "));
        writeln!(text, "  behaviour {} {direction}: {classes} | {sets}", place / 2)?;
    }
    for (row, words) in tables.words.iter().skip(1) {
        let word = |word: &Word| match (word.rank, word.decision) {
            (0, _) => "-".to_owned(),
            (rank, None) => format!("pass@{rank:#x}"),
            (rank, Some(decision)) => format!("{decision}@{rank:#x}"),
        };
        let cell = |cell: &[Word]| cell.iter().map(word).collect::<Vec<_>>().join(",");
        let cells: Vec<_> = words.chunks(tables.width()).map(cell).collect();
        writeln!(text, "  w{}: {}", row.index(), cells.join(" "))?;
    }
    Ok(())
}

fn write_rows(text: &mut String, decision: &NetworkDecision) -> std::fmt::Result {
    let classes = decision.rows.address_classes;
    for behaviour in 0..decision.behaviours.len() {
        for (egress, name) in [(false, "ingress"), (true, "egress")] {
            let rows: Vec<_> = (0..classes)
                .map(|c| decision.rows.index(behaviour, egress, EntityId::from_index(c)))
                .map(|index| decision.rows.rows[index].to_string())
                .collect();
            writeln!(text, "  behaviour {behaviour} {name}: {}", rows.join(" "))?;
        }
    }
    Ok(())
}

/// A decision in words: `deny shop/web spec.ingressDeny[0]`.
pub fn describe(decision: &Decision, origins: &OriginTable) -> String {
    let verdict = if decision.allowed { "allow" } else { "deny" };
    let why = match decision.why {
        Why::UnknownSubject => "(unknown subject)".to_owned(),
        Why::Truncated => "(truncated headers)".to_owned(),
        Why::Malformed => "(malformed headers)".to_owned(),
        Why::Arp => "(ARP)".to_owned(),
        Why::UnknownL3 => "(neither IP nor ARP)".to_owned(),
        Why::Established => "(reply to a connection allowed earlier)".to_owned(),
        Why::Related => "(error about a connection allowed earlier)".to_owned(),
        Why::ConntrackFull => "(no room for another connection)".to_owned(),
        Why::Fragment => "(fragment whose first part was not forwarded)".to_owned(),
        Why::Neighbour => "(neighbour discovery)".to_owned(),
        Why::Unenforced => "(nothing that is enforced)".to_owned(),
        Why::Policy(reason) => words(reason, origins),
    };
    let mut text = format!("{verdict} {why}");
    if let Some(reason) = decision.audited {
        text.push_str(&format!(", audited {}", words(reason, origins)));
    }
    if let Some(answer) = decision.response.answer() {
        text.push_str(&format!(", answered: {answer}"));
    }
    if let Some(unless) = decision.unless_audited {
        text.push_str(&format!(", unless audited {unless}"));
    }
    text
}

fn words(reason: Reason, origins: &OriginTable) -> String {
    let rule = |origin| {
        let info = origins.get(origin);
        info.map(|i| format!("{} {}", i.policy, i.rule)).unwrap_or_else(|| format!("{origin}"))
    };
    match reason {
        Reason::Entry(origin) => rule(origin),
        Reason::DefaultDeny(origin) => format!("(default deny of {})", rule(origin)),
        Reason::FromHost => "(from the subject's host)".to_owned(),
        Reason::ToHost => "(to the subject's host)".to_owned(),
        Reason::NoPolicy => "(no policy)".to_owned(),
        Reason::NotASubject => "(not a subject)".to_owned(),
    }
}

struct Vocabulary;

impl Names<NoTest, Leaf> for Vocabulary {
    fn field(&self, field: FieldId) -> String {
        field::NAMES.get(field.0 as usize).map_or_else(|| format!("{field:?}"), |n| (*n).into())
    }

    fn table(&self, table: TableId) -> String {
        table::NAMES.get(table.0 as usize).map_or_else(|| format!("{table:?}"), |n| (*n).into())
    }

    fn test(&self, test: &NoTest) -> String {
        match *test {}
    }

    fn leaf(&self, leaf: &Leaf) -> String {
        match leaf {
            Leaf::Cell => "cells[row, port_class]".to_owned(),
            Leaf::Merged => "cells[row, port_class], or the best with sets[peer]".to_owned(),
            Leaf::Fixed(builtin::UNKNOWN_L3) => "neither IP nor ARP".to_owned(),
            Leaf::Fixed(builtin::ARP) => "ARP".to_owned(),
            Leaf::Fixed(decision) => format!("d{decision}"),
        }
    }
}

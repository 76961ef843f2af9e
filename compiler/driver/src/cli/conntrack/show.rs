//! Connections as people and programs read them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use policyc_bpf::manifest::subject_identity;
use policyc_bpf::{Direction, Subject};
use policyc_policy::network::protocol;
use policyc_runtime::{Connection, Stage};
use serde_json::{Value, json};

/// Subjects by their numbers.
#[derive(Default)]
pub(super) struct Names(BTreeMap<u64, String>);

impl Names {
    /// Those of an artifact.
    pub(super) fn of(subjects: &[Subject]) -> Self {
        let named = subjects.iter().map(|s| (subject_identity(&s.name), s.name.clone()));
        Self(named.collect())
    }

    /// Whether somebody has the number.
    pub(super) fn has(&self, subject: u64) -> bool {
        self.0.contains_key(&subject)
    }

    fn get(&self, subject: u64) -> String {
        self.0.get(&subject).cloned().unwrap_or_else(|| format!("#{subject:016x}"))
    }
}

/// Whether a protocol has ports.
pub(super) const fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

const fn is_icmp(number: u8) -> bool {
    matches!(number, protocol::ICMP | protocol::ICMPV6)
}

fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::SCTP => "SCTP".to_owned(),
        protocol::ICMP => "ICMP".to_owned(),
        protocol::ICMPV6 => "ICMPv6".to_owned(),
        other => other.to_string(),
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::HalfOpen => "half-open",
        Stage::Established => "established",
        Stage::Closing => "closing",
        Stage::Cut => "cut",
    }
}

/// One end, as text. Who asks by ICMP has an identifier, who is asked a type.
fn end(number: u8, address: IpAddr, port: u16, asks: bool) -> String {
    match (has_ports(number), is_icmp(number)) {
        (true, _) => SocketAddr::new(address, port).to_string(),
        (_, true) if asks => format!("{address} id {port}"),
        (_, true) => format!("{address} type {port}"),
        _ => address.to_string(),
    }
}

const HEAD: [&str; 7] = ["SUBJECT", "PROTOCOL", "OWN", "PEER", "OPENED BY", "STAGE", "EXPIRES"];

/// A line for each, below a head.
pub(super) fn text(connections: &[&Connection], names: &Names) -> String {
    if connections.is_empty() {
        return "no connections\n".to_owned();
    }
    let rows = connections.iter().map(|connection| {
        let (ends, own_asks) = (&connection.ends, connection.opened == Direction::Egress);
        [
            names.get(ends.subject),
            protocol_name(ends.protocol),
            end(ends.protocol, ends.own, ends.own_port, own_asks),
            end(ends.protocol, ends.peer, ends.peer_port, !own_asks),
            if own_asks { "subject" } else { "peer" }.to_owned(),
            stage_name(connection.stage).to_owned(),
            format!("{}s", connection.expires.as_secs()),
        ]
    });
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// One document.
pub(super) fn json(connections: &[&Connection], names: &Names) -> Value {
    let connections = connections.iter().map(|connection| one(connection, names));
    json!({"version": 1, "connections": connections.collect::<Vec<_>>()})
}

fn one(connection: &Connection, names: &Names) -> Value {
    let ends = &connection.ends;
    let own_asks = connection.opened == Direction::Egress;
    let port = |port: u16| has_ports(ends.protocol).then_some(port);
    let (asks, asked) = match own_asks {
        true => (ends.own_port, ends.peer_port),
        false => (ends.peer_port, ends.own_port),
    };
    json!({
        "subject": names.0.get(&ends.subject),
        "subject_number": format!("{:016x}", ends.subject),
        "protocol": protocol_name(ends.protocol),
        "protocol_number": ends.protocol,
        "own": {"address": ends.own, "port": port(ends.own_port)},
        "peer": {"address": ends.peer, "port": port(ends.peer_port)},
        "icmp": is_icmp(ends.protocol).then(|| json!({"type": asked, "id": asks})),
        "opened_by": if own_asks { "subject" } else { "peer" },
        "replied": connection.replied,
        "stage": stage_name(connection.stage),
        "age_seconds": connection.age.as_secs(),
        "expires_seconds": connection.expires.as_secs(),
    })
}

#[cfg(test)]
mod tests;

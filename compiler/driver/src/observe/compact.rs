//! One line an event.

use policyc_bpf::{Manifest, Reason, Subject};
use std::net::IpAddr;

use super::packet::{self, Endpoints};
use super::record::{Event, Field, FieldValue, Record, Verdict};
use super::time::{Clock, utc};

/// The line of a record, with the line break. Without a manifest (the generation's
/// artifact is gone) numbers stand for names.
pub fn compact(record: &Record, manifest: Option<&Manifest>, clock: &Clock) -> String {
    match record {
        Record::Verdict(verdict) => verdict_line(verdict, manifest, clock),
        Record::Event(event) => event_line(event, manifest, clock),
        Record::Unknown(kind, size) => {
            format!(
                "unreadable record of {size} bytes, kind {kind:?}: written by another release?\n"
            )
        }
    }
}

fn verdict_line(verdict: &Verdict, manifest: Option<&Manifest>, clock: &Clock) -> String {
    let time = utc(clock.wall(verdict.time));
    let outcome = verdict.outcome();
    let direction = if verdict.egress { "egress" } else { "ingress" };
    let packet = packet::head(&verdict.head, verdict.from_network_header);
    let flow = packet.as_ref().map_or_else(|| "not IP".to_owned(), |p| flow(p, manifest));
    let why = why(manifest, verdict.decision);
    let decision = manifest.and_then(|m| m.decisions.get(verdict.decision as usize));
    let log = decision.and_then(|d| d.log.as_ref()).map(|log| format!(" log {log:?}"));
    let log = log.unwrap_or_default();
    format!("{time} {outcome:<9} {direction:<7} {flow} {why}{log}\n")
}

/// `shop/web (10.1.0.2:49152) -> shop/db (10.1.0.3:5432) TCP SYN`
fn flow(packet: &Endpoints, manifest: Option<&Manifest>) -> String {
    let end = |address: IpAddr, port: Option<u16>| {
        let place = match (address, port) {
            (IpAddr::V6(a), Some(port)) => format!("[{a}]:{port}"),
            (address, Some(port)) => format!("{address}:{port}"),
            (address, None) => address.to_string(),
        };
        match manifest.and_then(|m| subject_at(m, address)) {
            Some(subject) => format!("{} ({place})", subject.name),
            None => place,
        }
    };
    let source = end(packet.source, packet.ports.map(|p| p.0));
    let destination = end(packet.destination, packet.ports.map(|p| p.1));
    let detail = match (packet.icmp_type, packet.flag_names()) {
        (Some(kind), _) => format!(" type {kind}"),
        (None, Some(flags)) => format!(" {flags}"),
        (None, None) => String::new(),
    };
    format!("{source} -> {destination} {}{detail}", packet.protocol_name())
}

/// The subject that has an address.
pub(super) fn subject_at(manifest: &Manifest, address: IpAddr) -> Option<&Subject> {
    manifest.subjects.iter().find(|subject| subject.addresses.contains(&address))
}

/// `by shop/billing spec.ingress[0] (billing.yaml:12:5)`
pub(super) fn why(manifest: Option<&Manifest>, decision: u32) -> String {
    let known = manifest.and_then(|m| Some((m, m.decisions.get(decision as usize)?)));
    let Some((manifest, found)) = known else { return format!("(decision {decision})") };
    let line = manifest.line_of(decision).map(|line| {
        format!("{} {} ({}:{}:{})", line.policy, line.rule, line.file, line.line, line.column)
    });
    let line = line.unwrap_or_default();
    match found.reason {
        Reason::Rule => format!("by {line}"),
        Reason::DefaultDeny => format!("by default of {line}"),
        Reason::NoPolicy => "(no policy)".to_owned(),
        Reason::FromHost => "(from the subject's host)".to_owned(),
        Reason::ToHost => "(to the subject's host)".to_owned(),
        Reason::UnknownSubject => "(unknown subject)".to_owned(),
        Reason::Truncated => "(truncated headers)".to_owned(),
        Reason::Malformed => "(malformed headers)".to_owned(),
        Reason::Arp => "(ARP)".to_owned(),
        Reason::UnknownL3 => "(neither IP nor ARP)".to_owned(),
        Reason::Established => "(reply to a connection allowed earlier)".to_owned(),
        Reason::Related => "(error about a connection allowed earlier)".to_owned(),
        Reason::ConntrackFull => "(no room for another connection)".to_owned(),
        Reason::Fragment => "(fragment whose first part was not forwarded)".to_owned(),
        Reason::Neighbour => "(neighbour discovery)".to_owned(),
    }
}

fn event_line(event: &Event, manifest: Option<&Manifest>, clock: &Clock) -> String {
    let time = utc(clock.wall(event.time));
    let process = &event.process;
    let spec = manifest.and_then(|m| {
        let decision = m.decisions.get(event.decision as usize)?;
        m.events.get(decision.event? as usize)
    });
    let policy = spec.map_or_else(|| format!("decision {}", event.decision), |s| s.policy.clone());
    let message = spec.and_then(|s| s.message.as_deref());
    let message = message.map(|m| format!(" \"{m}\"")).unwrap_or_default();
    let fields = manifest.map(|m| event.fields(m)).unwrap_or_default();
    let fields: String = fields.iter().map(|field| format!(" {}", field_text(field))).collect();
    let arguments = process.arguments.join(" ");
    format!(
        "{time} EVENT     {policy}{message} pid {} parent {} uid {} cgroup {} {}{fields} args \"{arguments}\"\n",
        process.pid, process.parent, process.uid, process.cgroup, process.comm,
    )
}

fn field_text(field: &Field) -> String {
    let name = &field.name;
    match &field.value {
        FieldValue::Signed(number) => format!("{name}={number}"),
        FieldValue::Unsigned(number) => format!("{name}={number}"),
        FieldValue::Text(text, false) => format!("{name}={text:?}"),
        FieldValue::Text(text, true) => format!("{name}={text:?}..."),
        FieldValue::Unreadable => format!("{name}=?"),
    }
}

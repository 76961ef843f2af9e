//! One JSON document a line.

use policyc_bpf::Manifest;
use serde_json::{Map, Value, json};

use super::compact::subject_at;
use super::packet;
use super::record::{Event, FieldValue, Record, Verdict};
use super::time::{Clock, utc};

/// The document of a record, with the line break.
pub fn json(record: &Record, manifest: Option<&Manifest>, clock: &Clock) -> String {
    let value = match record {
        Record::Verdict(verdict) => verdict_value(verdict, manifest, clock),
        Record::Event(event) => event_value(event, manifest, clock),
        Record::Unknown(kind, size) => json!({"unreadable": {"kind": kind, "bytes": size}}),
    };
    format!("{value}\n")
}

fn rule(manifest: Option<&Manifest>, decision: u32) -> Value {
    let line = manifest.and_then(|m| m.line_of(decision));
    line.map_or(Value::Null, |line| {
        json!({
            "policy": line.policy, "rule": line.rule,
            "file": line.file, "line": line.line, "column": line.column,
        })
    })
}

fn verdict_value(verdict: &Verdict, manifest: Option<&Manifest>, clock: &Clock) -> Value {
    let packet = packet::head(&verdict.head, verdict.from_network_header);
    let name = |address| manifest.and_then(|m| subject_at(m, address)).map(|s| s.name.clone());
    let reason = manifest.and_then(|m| m.decisions.get(verdict.decision as usize));
    let log = reason.and_then(|decision| decision.log.clone());
    let reason = reason.map(|d| serde_json::to_value(d.reason).unwrap_or_default());
    let flow = packet.map(|p| {
        json!({
            "source": {"address": p.source, "name": name(p.source), "port": p.ports.map(|p| p.0)},
            "destination":
                {"address": p.destination, "name": name(p.destination), "port": p.ports.map(|p| p.1)},
            "protocol": p.protocol_name(),
            "icmp_type": p.icmp_type,
            "tcp_flags": p.flag_names(),
        })
    });
    json!({
        "time": utc(clock.wall(verdict.time)),
        "verdict": verdict.outcome(),
        "direction": if verdict.egress { "egress" } else { "ingress" },
        "flow": flow,
        "reason": reason,
        "by": rule(manifest, verdict.decision),
        "log": log,
        "attach": verdict.attach,
        "generation": verdict.generation,
        "bytes": verdict.length,
    })
}

fn event_value(event: &Event, manifest: Option<&Manifest>, clock: &Clock) -> Value {
    let process = &event.process;
    let spec = manifest.and_then(|m| {
        let decision = m.decisions.get(event.decision as usize)?;
        m.events.get(decision.event? as usize)
    });
    let mut fields = Map::new();
    for field in manifest.map(|m| event.fields(m)).unwrap_or_default() {
        let value = match field.value {
            FieldValue::Signed(number) => json!(number),
            FieldValue::Unsigned(number) => json!(number),
            FieldValue::Text(text, false) => json!(text),
            FieldValue::Text(text, true) => json!({"text": text, "truncated": true}),
            FieldValue::Unreadable => Value::Null,
        };
        fields.insert(field.name, value);
    }
    json!({
        "time": utc(clock.wall(event.time)),
        "event": spec.map(|s| s.hook.clone()),
        "policy": spec.map(|s| s.policy.clone()),
        "message": spec.and_then(|s| s.message.clone()),
        "tags": spec.map(|s| s.tags.clone()),
        "process": {
            "pid": process.pid, "tid": process.tid, "parent": process.parent,
            "uid": process.uid, "gid": process.gid, "cgroup": process.cgroup,
            "comm": process.comm, "arguments": process.arguments,
        },
        "fields": fields,
        "by": rule(manifest, event.decision),
        "generation": event.generation,
    })
}

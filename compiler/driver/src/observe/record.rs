//! Records as the ring holds them → values.
//!
//! The layouts are those of `stdlib-bpf/bir/report.bir` (verdicts) and of code
//! generation's `record` (events); their version is in the artifact.

use policyc_bpf::{EventFieldKind, Manifest};
use policyc_codegen::lower::layout::{ALLOW, AUDITED, decision_index};
use policyc_codegen::lower::record::{KIND_EVENT, KIND_VERDICT, TEXT_READ, head};

/// What a program reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A packet was judged.
    Verdict(Verdict),
    /// A hook fired and a policy asked to be told.
    Event(Event),
    /// Something this release cannot read: its first word and its size.
    Unknown(Option<u32>, usize),
}

/// A packet that was judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The generation that judged.
    pub generation: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time: u64,
    /// Where: the attach point's id.
    pub attach: u32,
    /// Index of the decision.
    pub decision: u32,
    /// Whether it was forwarded.
    pub forwarded: bool,
    /// Whether it was forwarded only because a rule is audited.
    pub audited: bool,
    /// Whether the subject sent it.
    pub egress: bool,
    /// Whether `head` begins with the network header.
    pub from_network_header: bool,
    /// Bytes of the packet; 0 where the hook does not know.
    pub length: u32,
    /// Its first bytes.
    pub head: Vec<u8>,
}

impl Verdict {
    /// What became of the packet, in Hubble's words.
    pub fn outcome(&self) -> &'static str {
        match (self.forwarded, self.audited) {
            (false, _) => "DROPPED",
            (true, false) => "FORWARDED",
            (true, true) => "AUDIT",
        }
    }
}

/// A hook that fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The generation that reported.
    pub generation: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time: u64,
    /// Index of the decision.
    pub decision: u32,
    /// Who was running.
    pub process: Process,
    /// The whole record, for fields.
    bytes: Vec<u8>,
}

/// Who was running when a hook fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent; 0 when it is not known.
    pub parent: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Id of the version 2 cgroup.
    pub cgroup: u64,
    /// The thread's name.
    pub comm: String,
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
}

/// A field that a policy reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// What the policy calls it, or its name in the kernel's record.
    pub name: String,
    /// What it holds.
    pub value: FieldValue,
}

/// What a field holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// Text; bytes that are no UTF-8 are escaped. The flag says that it may go on.
    Text(String, bool),
    /// Memory that could not be read.
    Unreadable,
}

/// Offsets of a verdict.
mod verdict {
    pub(super) const GENERATION: usize = 4;
    pub(super) const TIME: usize = 8;
    pub(super) const ATTACH: usize = 16;
    pub(super) const DECISION: usize = 20;
    pub(super) const FLAGS: usize = 24;
    pub(super) const LENGTH: usize = 28;
    pub(super) const CAPTURED: usize = 32;
    pub(super) const HEAD: usize = 40;
}

/// Reads a record.
pub fn decode(bytes: &[u8]) -> Record {
    let kind = u32_at(bytes, 0);
    let known = match kind {
        Some(KIND_VERDICT) => decode_verdict(bytes).map(Record::Verdict),
        Some(KIND_EVENT) => decode_event(bytes).map(Record::Event),
        _ => None,
    };
    known.unwrap_or(Record::Unknown(kind, bytes.len()))
}

fn decode_verdict(bytes: &[u8]) -> Option<Verdict> {
    let word = u32_at(bytes, verdict::DECISION)?;
    let flags = u32_at(bytes, verdict::FLAGS)?;
    let captured = u32_at(bytes, verdict::CAPTURED)? as usize;
    let end = verdict::HEAD.checked_add(captured)?.min(bytes.len());
    Some(Verdict {
        generation: u32_at(bytes, verdict::GENERATION)?,
        time: u64_at(bytes, verdict::TIME)?,
        attach: u32_at(bytes, verdict::ATTACH)?,
        decision: decision_index(word),
        forwarded: word & ALLOW != 0,
        audited: word & AUDITED != 0,
        egress: flags & 1 != 0,
        from_network_header: flags & 2 != 0,
        length: u32_at(bytes, verdict::LENGTH)?,
        head: bytes.get(verdict::HEAD..end)?.to_vec(),
    })
}

fn decode_event(bytes: &[u8]) -> Option<Event> {
    let u32_of = |offset: i32| u32_at(bytes, offset as usize);
    let u64_of = |offset: i32| u64_at(bytes, offset as usize);
    let (pid_tgid, uid_gid) = (u64_of(head::PID_TGID)?, u64_of(head::UID_GID)?);
    let comm = bytes.get(head::COMM as usize..head::COMM as usize + 16)?;
    let length = u32_of(head::ARGUMENTS)?.min(TEXT_READ) as usize;
    let at = head::ARGUMENTS_TEXT as usize;
    let arguments = bytes.get(at..at + length)?;
    let process = Process {
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        parent: u32_of(head::PARENT)?,
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        cgroup: u64_of(head::CGROUP)?,
        comm: text(until_nul(comm)),
        arguments: split_arguments(arguments),
    };
    Some(Event {
        generation: u32_of(head::GENERATION)?,
        time: u64_of(head::TIME)?,
        decision: u32_of(head::DECISION)?,
        process,
        bytes: bytes.to_vec(),
    })
}

/// Arguments end with a NUL each; the last one may have been cut.
fn split_arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|b| *b == 0).map(text).collect()
}

impl Event {
    /// The fields that the event's policy reports, by the manifest of the artifact
    /// that made it.
    pub fn fields(&self, manifest: &Manifest) -> Vec<Field> {
        let decision = manifest.decisions.get(self.decision as usize);
        let spec = decision.and_then(|d| d.event).and_then(|e| manifest.events.get(e as usize));
        let fields = spec.map_or(&[][..], |spec| &spec.fields);
        let values = fields.iter().map(|field| Field {
            name: field.label.clone().unwrap_or_else(|| field.name.clone()),
            value: self.value(field.kind, field.offset as usize),
        });
        values.collect()
    }

    fn value(&self, kind: EventFieldKind, offset: usize) -> FieldValue {
        let Some(word) = u64_at(&self.bytes, offset) else { return FieldValue::Unreadable };
        match kind {
            EventFieldKind::Signed => FieldValue::Signed(word as i64),
            EventFieldKind::Unsigned => FieldValue::Unsigned(word),
            EventFieldKind::Text => self.text_value(word as i64, offset + 8),
        }
    }

    /// `length` is what reading returned: with the NUL, or negative.
    fn text_value(&self, length: i64, offset: usize) -> FieldValue {
        let bytes = usize::try_from(length).ok().filter(|n| *n > 0).and_then(|n| {
            let end = offset.checked_add(n.min(TEXT_READ as usize) - 1)?;
            self.bytes.get(offset..end)
        });
        match bytes {
            Some(bytes) => FieldValue::Text(text(bytes), length >= i64::from(TEXT_READ)),
            None => FieldValue::Unreadable,
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Text as people can read it: what is no UTF-8, and control characters, escaped.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

//! What a hook offers to rules.

use super::classify::{RecordOf, classify};
use super::packet::packet_fields;
use super::process::process_fields;
use super::{Field, Hook};
use crate::suggest::did_you_mean;
use crate::{Profile, tracepoint::FormatField};

/// The fields of a hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    /// The hook's own fields. A policy's argument index is a position here.
    pub fields: Vec<Field>,
    /// What is known about the current task; empty for packets.
    pub process: Vec<Field>,
}

/// A hook that the profile does not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the target has no {hook}")]
pub struct UnknownHook {
    /// The hook.
    pub hook: Hook,
    /// The known name most like it: `category/event`, or a raw tracepoint's name.
    pub did_you_mean: Option<String>,
}

impl Schema {
    /// What network rules can ask about a packet.
    pub fn packet() -> Self {
        Self { fields: packet_fields(), process: Vec::new() }
    }

    /// The field of this name, of the hook or of the process.
    pub fn find(&self, name: &str) -> Option<&Field> {
        self.fields.iter().chain(&self.process).find(|field| field.name == name)
    }
}

impl Profile {
    /// What a hook of this host offers.
    ///
    /// # Errors
    /// If the profile does not have the hook, with the nearest name that it has.
    pub fn schema(&self, hook: &Hook) -> Result<Schema, Box<UnknownHook>> {
        let (record, of) = match hook {
            Hook::Tracepoint { category, event } => {
                let record = self.tracepoints.get(&format!("{category}/{event}"));
                let of =
                    if category == "syscalls" { RecordOf::Syscall } else { RecordOf::Tracepoint };
                (record, of)
            }
            Hook::RawTracepoint { name } => {
                (self.raw_tracepoints.get(name), RecordOf::RawTracepoint)
            }
        };
        let record = record.ok_or_else(|| self.unknown(hook))?;
        let fields = record.iter().map(|field: &FormatField| classify(field, of));
        Ok(Schema { fields: fields.collect(), process: process_fields(self) })
    }

    fn unknown(&self, hook: &Hook) -> Box<UnknownHook> {
        let near = match hook {
            Hook::Tracepoint { category, event } => {
                let known = self.tracepoints.keys().map(String::as_str);
                // The right event in the wrong subsystem is nearer than any spelling.
                let same_event = known
                    .clone()
                    .find(|name| name.rsplit_once('/').is_some_and(|(_, known)| known == event));
                same_event.or_else(|| did_you_mean(&format!("{category}/{event}"), known))
            }
            Hook::RawTracepoint { name } => {
                did_you_mean(name, self.raw_tracepoints.keys().map(String::as_str))
            }
        };
        Box::new(UnknownHook { hook: hook.clone(), did_you_mean: near.map(str::to_owned) })
    }
}

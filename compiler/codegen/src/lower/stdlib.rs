//! The standard library's functions, linked into a module by name.

use policyc_base::{Sink, SourceMap};
use policyc_ir::{FuncId, Module};
use policyc_stdlib_bpf::Unit;

use crate::CodegenError;

/// Reads library text into a module that has the maps the text refers to.
///
/// # Errors
/// An internal error when the text does not fit the module.
pub(super) fn link(units: &[Unit], module: &mut Module) -> Result<(), CodegenError> {
    let mut sources = SourceMap::new();
    for unit in units {
        let file = sources.add(unit.name, unit.text);
        let mut sink = Sink::new();
        if policyc_ir::parse_into(module, file, unit.text, &mut sink).is_none() {
            let first = sink.iter().next().map(|d| d.message.clone()).unwrap_or_default();
            return Err(CodegenError::internal(format!("{} does not parse: {first}", unit.name)));
        }
    }
    Ok(())
}

/// The function of a name.
///
/// # Errors
/// An internal error when there is none.
pub(super) fn find(module: &Module, name: &str) -> Result<FuncId, CodegenError> {
    let found = module.functions.iter().find(|(_, f)| f.name == name);
    found
        .map(|(id, _)| id)
        .ok_or_else(|| CodegenError::internal(format!("the standard library has no @{name}")))
}

/// The functions that packet programs call.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "documented in stdlib-bpf")]
pub(super) struct PacketLib {
    pub(super) subject: FuncId,
    pub(super) frame_attach_id: FuncId,
    pub(super) ethernet: FuncId,
    pub(super) network: FuncId,
    pub(super) ipv4: FuncId,
    pub(super) ipv6: FuncId,
    pub(super) kind_between: FuncId,
    pub(super) connection: FuncId,
    pub(super) is_reply: FuncId,
    pub(super) reply: FuncId,
    pub(super) cut: FuncId,
    pub(super) allow: FuncId,
    pub(super) first_fragment: FuncId,
    pub(super) later_fragment: FuncId,
    pub(super) count: FuncId,
    pub(super) reports_forwarded: FuncId,
    pub(super) event_skb: FuncId,
    pub(super) event_xdp: FuncId,
}

impl PacketLib {
    /// Links the packet library.
    ///
    /// # Errors
    /// See [`link`] and [`find`].
    pub(super) fn link(module: &mut Module) -> Result<Self, CodegenError> {
        link(policyc_stdlib_bpf::PACKET, module)?;
        Ok(Self {
            subject: find(module, "subject")?,
            frame_attach_id: find(module, "frame_attach_id")?,
            ethernet: find(module, "ethernet")?,
            network: find(module, "network")?,
            ipv4: find(module, "ipv4")?,
            ipv6: find(module, "ipv6")?,
            kind_between: find(module, "kind_between")?,
            connection: find(module, "connection")?,
            is_reply: find(module, "is_reply")?,
            reply: find(module, "reply")?,
            cut: find(module, "cut")?,
            allow: find(module, "allow")?,
            first_fragment: find(module, "first_fragment")?,
            later_fragment: find(module, "later_fragment")?,
            count: find(module, "count")?,
            reports_forwarded: find(module, "reports_forwarded")?,
            event_skb: find(module, "event_skb")?,
            event_xdp: find(module, "event_xdp")?,
        })
    }
}

/// The functions of packet programs that answer what they deny.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "documented in stdlib-bpf")]
pub(super) struct AnswerLib {
    pub(super) is_answer: FuncId,
    pub(super) answer: FuncId,
}

impl AnswerLib {
    /// Links the library of answers.
    ///
    /// # Errors
    /// See [`link`] and [`find`].
    pub(super) fn link(module: &mut Module) -> Result<Self, CodegenError> {
        link(policyc_stdlib_bpf::ANSWER, module)?;
        Ok(Self { is_answer: find(module, "is_answer")?, answer: find(module, "answer")? })
    }
}

/// The functions that tracing programs call.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "documented in stdlib-bpf")]
pub(super) struct EventLib {
    pub(super) count: FuncId,
    pub(super) generation: FuncId,
    pub(super) count_lost: FuncId,
}

impl EventLib {
    /// Finds what the common library has.
    ///
    /// # Errors
    /// See [`find`].
    pub(super) fn find(module: &Module) -> Result<Self, CodegenError> {
        Ok(Self {
            count: find(module, "count")?,
            generation: find(module, "generation")?,
            count_lost: find(module, "count_lost")?,
        })
    }
}

//! From where hosts are administered, as an inventory says it: so that a policy that
//! would lock the administrators out is refused.

use std::net::IpAddr;

use ipnet::IpNet;
use policyc_base::{Diagnostic, Sink, Spanned};

use crate::codes;
use crate::yaml::{Fields, decode, shorten};

/// The port of SSH.
const SSH: u16 = 22;

/// From where hosts are administered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Management {
    /// By whom: addresses and prefixes.
    pub from: Vec<IpNet>,
    /// The hosts' TCP port, host byte order.
    pub port: u16,
}

/// The field `management`.
pub(super) fn read(object: &mut Fields<'_>, sink: &mut Sink) -> Option<Management> {
    let mut fields = object.fields("management", "`management`", sink)?;
    fields.require("from", sink);
    let from = fields.list("from", sink).unwrap_or(&[]);
    let from = from.iter().filter_map(|node| {
        let text = decode::string(node, "each of `from`", sink)?;
        prefix(text, sink)
    });
    let from = from.collect();
    // INVARIANT: the range fits into 16 bits.
    let port = fields.integer("port", 1..=65_535, sink).map_or(SSH, |port| port.value as u16);
    fields.finish(sink);
    Some(Management { from, port })
}

/// A prefix, or an address, which is one of full length.
fn prefix(text: Spanned<&str>, sink: &mut Sink) -> Option<IpNet> {
    let address = text.value.parse::<IpAddr>().map(IpNet::from);
    let net = text.value.parse::<IpNet>().or(address);
    if net.is_err() {
        let message = format!("`{}` is no address and no prefix", shorten(text.value));
        sink.push(Diagnostic::error(codes::ADDRESS_INVALID, text.span, message));
    }
    net.ok().map(|net| net.trunc())
}

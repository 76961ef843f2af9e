//! Ports and protocols.

use policyc_base::{Diagnostic, Span, Spanned};

use super::Context;
use crate::codes;
use crate::network::doc::PortDoc;
use crate::network::types::{NamedRange, PortMatch, PortName, protocol};
use crate::yaml::{closest, shorten};

/// What a missing protocol or `ANY` stands for.
const ANY: &[u8] = &[protocol::TCP, protocol::UDP, protocol::SCTP];

/// Most ports of one element of `toPorts`.
const MAX_PORTS: usize = 40;

/// Protocols without ports, which Cilium calls extended IP protocols.
const EXTENDED: &[(&str, u8)] = &[
    ("VRRP", protocol::VRRP),
    ("IGMP", protocol::IGMP),
    ("GRE", protocol::GRE),
    ("IPIP", protocol::IPIP),
    ("IPV6", protocol::IPV6),
    ("ESP", protocol::ESP),
    ("AH", protocol::AH),
];

/// What one port of a policy stands for.
#[derive(Default)]
pub(super) struct Found {
    pub(super) numbers: Vec<PortMatch>,
    pub(super) names: Vec<NamedRange>,
}

/// A port as it is written.
enum Port {
    Number(Spanned<u16>),
    Name(String),
}

pub(super) fn check_count(count: usize, span: Span, what: &str, cx: &mut Context<'_>) {
    if count > MAX_PORTS {
        let message = format!("{count} elements of `{what}`, and at most {MAX_PORTS} are allowed");
        cx.error(codes::PORTS_TOO_MANY, span, message);
    }
}

/// The matches of one port of a Cilium policy; nothing if it is wrong.
pub(super) fn cilium(doc: &PortDoc, cx: &mut Context<'_>) -> Found {
    let extended = doc.protocol.as_ref().and_then(|text| {
        EXTENDED.iter().find(|(name, _)| *name == text.value).map(|(_, number)| *number)
    });
    if let Some(protocol) = extended {
        return without_ports(doc, protocol, cx);
    }
    let protocols = match &doc.protocol {
        None => Some(ANY),
        Some(text) => cilium_protocol(text, cx),
    };
    if doc.port.is_none() && protocols.is_some() {
        cx.error(codes::FIELD_MISSING, doc.span, "a port needs `port`");
    }
    match doc.port.as_ref().and_then(|port| read_port(port, cx)) {
        Some(Port::Number(number)) => {
            let (first, last) = cilium_range(number, doc.end_port, cx);
            if number.value == 0 && doc.end_port.is_none() && protocols == Some(ANY) {
                let message = "port 0 stands for every port of TCP, UDP and SCTP: ICMP and other \
                               protocols have none";
                let help = "leave out `toPorts` for every protocol, or name the protocols";
                cx.warn(codes::PORTS_NOT_ICMP, number.span, message, help);
            }
            all(protocols, first, last)
        }
        Some(Port::Name(name)) => {
            let end = doc.end_port.filter(|end| end.value != 0);
            if let Some(end) = end {
                let message = format!("where the range begins depends on whose port `{name}` is");
                let help = "write a number, or leave out `endPort`";
                cx.warn(codes::PORT_RANGE_NAMED, end.span, message, help);
            }
            named(protocols, &name, end.map_or(0, |end| end.value))
        }
        None => Found::default(),
    }
}

/// A protocol that has no ports.
fn without_ports(doc: &PortDoc, protocol: u8, cx: &mut Context<'_>) -> Found {
    if let Some(port) = doc.port.as_ref().filter(|port| !matches!(port.value.as_str(), "" | "0")) {
        let message = "a protocol without ports cannot have one";
        let finding = Diagnostic::error(codes::PORT_WITHOUT_PORTS, port.span, message);
        cx.sink.push(finding.with_help("leave out `port`"));
        return Found::default();
    }
    all(Some(&[protocol]), 0, u16::MAX)
}

fn all(protocols: Option<&[u8]>, first: u16, last: u16) -> Found {
    let one = |protocol: &u8| PortMatch { protocol: *protocol, first, last };
    Found { numbers: protocols.unwrap_or(&[]).iter().map(one).collect(), names: Vec::new() }
}

/// A name in each of the protocols.
fn named(protocols: Option<&[u8]>, name: &str, end: u16) -> Found {
    let range = |protocol: &u8| {
        let port = PortName { protocol: *protocol, name: name.to_ascii_lowercase() };
        NamedRange { port, end }
    };
    Found { numbers: Vec::new(), names: protocols.unwrap_or(&[]).iter().map(range).collect() }
}

fn cilium_protocol(text: &Spanned<String>, cx: &mut Context<'_>) -> Option<&'static [u8]> {
    match text.value.as_str() {
        "ANY" => Some(ANY),
        "ICMP" | "ICMPv6" => {
            let message = format!("`{}` has no ports", text.value);
            let finding = Diagnostic::error(codes::PROTOCOL_INVALID, text.span, message);
            cx.sink.push(finding.with_help("write a rule with `icmps`"));
            None
        }
        _ => transport(text, &["TCP", "UDP", "SCTP", "ANY"], cx),
    }
}

fn transport(
    text: &Spanned<String>,
    known: &[&'static str],
    cx: &mut Context<'_>,
) -> Option<&'static [u8]> {
    match text.value.as_str() {
        "TCP" => Some(&[protocol::TCP]),
        "UDP" => Some(&[protocol::UDP]),
        "SCTP" => Some(&[protocol::SCTP]),
        other => {
            let message = format!("`{}` is no protocol with ports", shorten(other));
            let finding = Diagnostic::error(codes::PROTOCOL_INVALID, text.span, message);
            let near = closest(other, known.iter().copied());
            let help = near.map_or(format!("write one of {}", known.join(", ")), |near| {
                format!("did you mean `{near}`?")
            });
            cx.sink.push(finding.with_help(help));
            None
        }
    }
}

/// A name, or the number that Cilium reads: base 8 after a leading zero.
fn read_port(text: &Spanned<String>, cx: &mut Context<'_>) -> Option<Port> {
    let port = text.value.as_str();
    if is_service_name(port) {
        if let Some(number) = prefixed_number(port) {
            let message = format!("`{port}` is a name, and not port {number}");
            let help = format!("write `\"{number}\"`");
            cx.warn(codes::PORT_LOOKS_NUMERIC, text.span, message, &help);
        }
        return Some(Port::Name(port.to_owned()));
    }
    let octal = port.len() > 1 && port.starts_with('0');
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let value = u16::from_str_radix(port, if octal { 8 } else { 10 }).ok().filter(|_| digits);
    let Some(value) = value else {
        let message = format!("`{}` is no port from 0 to 65535", shorten(port));
        cx.error(codes::PORT_INVALID, text.span, message);
        return None;
    };
    if octal {
        let message = format!("`{port}` is octal and means port {value}");
        let help = format!("write `\"{value}\"`");
        cx.warn(codes::PORT_OCTAL, text.span, message, &help);
    }
    Some(Port::Number(Spanned::new(value, text.span)))
}

/// The number that a name is in other languages: `0x50`, `0b101`, `0o17`.
fn prefixed_number(name: &str) -> Option<u16> {
    let (prefix, digits) = name.split_at_checked(2)?;
    let radix = match prefix.to_ascii_lowercase().as_str() {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return None,
    };
    u16::from_str_radix(digits, radix).ok()
}

/// A port by name in any of the protocols that have ports.
pub(super) fn any_named(text: &Spanned<String>, cx: &mut Context<'_>) -> Found {
    if is_service_name(&text.value) {
        return named(Some(ANY), &text.value, 0);
    }
    let message = format!("`{}` is no name of a port", shorten(&text.value));
    cx.error(codes::PORT_INVALID, text.span, message);
    Found::default()
}

/// Ports of one protocol by number, the last inclusive; nothing if the protocol is
/// wrong.
pub(super) fn numbers(
    protocol: &Spanned<String>,
    (first, last): (u16, u16),
    cx: &mut Context<'_>,
) -> Found {
    all(transport(protocol, &["TCP", "UDP", "SCTP"], cx), first, last)
}

/// Whether it is a service name as IANA defines one, RFC 6335 section 5.1.
fn is_service_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_alphabetic())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn cilium_range(port: Spanned<u16>, end: Option<Spanned<u16>>, cx: &mut Context<'_>) -> (u16, u16) {
    let first = port.value;
    match end {
        _ if first == 0 => {
            if let Some(end) = end.filter(|end| end.value != 0) {
                let message = format!("port 0 stands for every port, not for 0 to {}", end.value);
                let help = "write the first port of the range, or leave out `endPort`";
                cx.warn(codes::PORT_ZERO, port.span, message, help);
            }
            (0, u16::MAX)
        }
        Some(end) if end.value != 0 && end.value < first => {
            let message = format!("the range ends before it begins: this is port {first} only");
            let help = "leave out `endPort`, or write the smaller port first";
            cx.warn(codes::PORT_REVERSED, end.span, message, help);
            (first, first)
        }
        Some(end) => (first, end.value.max(first)),
        None => (first, first),
    }
}

/// The matches of one port of a NetworkPolicy; nothing if it is wrong.
pub(super) fn kubernetes(doc: &PortDoc, cx: &mut Context<'_>) -> Found {
    let protocols: Option<&[u8]> = match &doc.protocol {
        None => Some(&[protocol::TCP]),
        Some(text) => transport(text, &["TCP", "UDP", "SCTP"], cx),
    };
    let Some(port) = &doc.port else {
        if let Some(end) = doc.end_port {
            cx.error(codes::PORT_RANGE, end.span, "`endPort` needs `port`");
            return Found::default();
        }
        return all(protocols, 0, u16::MAX);
    };
    let first = match read_port(port, cx) {
        Some(Port::Number(number)) => kubernetes_number(number, doc.is_number, cx),
        Some(Port::Name(name)) => {
            if let Some(end) = doc.end_port {
                let message = format!("the range begins at the name `{name}`");
                cx.error(codes::PORT_RANGE, end.span, message);
                return Found::default();
            }
            return named(protocols, &name, 0);
        }
        None => None,
    };
    let Some(first) = first else { return Found::default() };
    let last = doc.end_port.map_or(first, |end| end.value);
    if last < first {
        let message = format!("the range ends before it begins: {first} to {last}");
        cx.error(codes::PORT_RANGE, doc.end_port.map_or(port.span, |e| e.span), message);
        return Found::default();
    }
    all(protocols, first, last)
}

fn kubernetes_number(port: Spanned<u16>, is_number: bool, cx: &mut Context<'_>) -> Option<u16> {
    let Spanned { value: port, span } = port;
    if port == 0 {
        cx.error(codes::PORT_INVALID, span, "a port is from 1 to 65535");
        return None;
    }
    if !is_number {
        let message = format!("the port {port} is written as a string");
        let help = format!("write `{port}` without quotes");
        cx.warn(codes::PORT_STRING, span, message, &help);
    }
    Some(port)
}

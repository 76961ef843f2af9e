//! ICMP types.
//!
//! Source: `pkg/policy/api/icmp.go`, whose names are kept to the letter.

use policyc_base::{Diagnostic, Spanned};

use super::Context;
use crate::codes;
use crate::network::doc::IcmpDoc;
use crate::network::types::{PortMatch, protocol};
use crate::yaml::{closest, shorten};

const V4: &[(&str, u8)] = &[
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEcho Request", 42),
    ("ExtendedEcho Reply", 43),
];

const V6: &[(&str, u8)] = &[
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];

/// The match of one ICMP type; nothing if it is wrong.
pub(super) fn check(doc: &IcmpDoc, cx: &mut Context<'_>) -> Option<PortMatch> {
    let (protocol, names) = match doc.family.as_ref().map(|f| f.value.as_str()) {
        None | Some("IPv4") => (protocol::ICMP, V4),
        Some("IPv6") => (protocol::ICMPV6, V6),
        Some(other) => {
            let message = format!("`{}` is neither `IPv4` nor `IPv6`", shorten(other));
            let span = doc.family.as_ref().map_or(doc.icmp_type.span, |f| f.span);
            cx.error(codes::ICMP_FAMILY, span, message);
            return None;
        }
    };
    let icmp_type = type_number(&doc.icmp_type, names, cx)?;
    if icmp_type != 0 {
        let port = u16::from(icmp_type);
        return Some(PortMatch { protocol, first: port, last: port });
    }
    // Cilium keeps the type where the port stands, and port 0 is the wildcard.
    let message = "type 0 stands for every ICMP type of its family";
    let help = "that is Cilium's reading: no rule can name echo replies alone";
    cx.warn(codes::ICMP_ZERO, doc.icmp_type.span, message, help);
    Some(PortMatch { protocol, first: 0, last: u16::MAX })
}

fn type_number(
    text: &Spanned<String>,
    names: &[(&'static str, u8)],
    cx: &mut Context<'_>,
) -> Option<u8> {
    if let Some((_, number)) = names.iter().find(|(name, _)| *name == text.value) {
        return Some(*number);
    }
    if let Ok(number) = text.value.parse::<u8>() {
        return Some(number);
    }
    let message = format!("`{}` is no ICMP type of this family", shorten(&text.value));
    let mut finding = Diagnostic::error(codes::ICMP_TYPE, text.span, message);
    if let Some(near) = closest(&text.value, names.iter().map(|(name, _)| *name)) {
        finding = finding.with_help(format!("did you mean `{near}`?"));
    }
    cx.sink.push(finding);
    None
}

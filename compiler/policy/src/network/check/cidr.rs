//! Prefixes.

use std::net::IpAddr;

use ipnet::IpNet;
use policyc_base::{Diagnostic, Spanned};

use super::{Context, selector};
use crate::codes;
use crate::network::doc::CidrDoc;
use crate::network::types::{Dialect, Peer};
use crate::yaml::shorten;

pub(super) fn peer(doc: &CidrDoc, cx: &mut Context<'_>) -> Option<Peer> {
    match (&doc.cidr, &doc.group, &doc.groups) {
        (Some(cidr), None, None) => {
            let net = prefix(cidr, cx);
            let except: Vec<_> = doc.except.iter().filter_map(|e| exception(e, net, cx)).collect();
            (except.len() == doc.except.len()).then_some(Peer::Cidr { net: net?, except })
        }
        (None, Some(name), None) => {
            let selector = selector::group(&name.value);
            let except = exceptions(doc, cx)?;
            Some(Peer::CidrGroups { selector, except })
        }
        (None, None, Some(labels)) => {
            let selector = selector::groups(labels, cx);
            if selector.asks_for_absence_only() {
                let message = "whoever is in no CIDR group is among these: pods, nodes and the \
                               world";
                let help = "add a label that the groups have";
                cx.warn(codes::GROUPS_ABSENT, labels.span, message, help);
            }
            let except = exceptions(doc, cx)?;
            Some(Peer::CidrGroups { selector, except })
        }
        (None, None, None) => {
            let message = "a CIDR set element needs one of `cidr`, `cidrGroupRef` and \
                           `cidrGroupSelector`";
            cx.error(codes::CIDR_SET, doc.span, message);
            None
        }
        _ => {
            let message = "a CIDR set element has one of `cidr`, `cidrGroupRef` and \
                           `cidrGroupSelector`, not several";
            cx.error(codes::CIDR_SET, doc.span, message);
            None
        }
    }
}

/// The exceptions of groups, which may lie anywhere.
fn exceptions(doc: &CidrDoc, cx: &mut Context<'_>) -> Option<Vec<IpNet>> {
    let except: Vec<_> = doc.except.iter().filter_map(|text| prefix(text, cx)).collect();
    (except.len() == doc.except.len()).then_some(except)
}

fn exception(text: &Spanned<String>, net: Option<IpNet>, cx: &mut Context<'_>) -> Option<IpNet> {
    let except = prefix(text, cx)?;
    let net = net?;
    if net.contains(&except) {
        return Some(except);
    }
    let message = format!("the exception `{except}` lies outside `{net}`");
    cx.error(codes::CIDR_EXCEPT, text.span, message);
    None
}

/// The prefix, host bits cleared.
pub(in crate::network) fn prefix(text: &Spanned<String>, cx: &mut Context<'_>) -> Option<IpNet> {
    if let Ok(net) = text.value.parse::<IpNet>() {
        return no_mapped(net, text, cx).map(|net| truncated(net, text, cx));
    }
    if let Ok(address) = text.value.parse::<IpAddr>() {
        return bare(address, text, cx);
    }
    let message = format!("`{}` is not a prefix like `10.0.0.0/8`", shorten(&text.value));
    cx.error(codes::CIDR_INVALID, text.span, message);
    None
}

/// A prefix of IPv4 addresses written as IPv6 matches no packet.
fn no_mapped(net: IpNet, text: &Spanned<String>, cx: &mut Context<'_>) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return Some(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96) else {
        return Some(net);
    };
    let length = v6.prefix_len() - 96;
    let message = format!("`{}` is an IPv4 prefix written as IPv6", text.value);
    let finding = Diagnostic::error(codes::CIDR_INVALID, text.span, message);
    cx.sink.push(finding.with_help(format!("write `{v4}/{length}`")));
    None
}

fn truncated(net: IpNet, text: &Spanned<String>, cx: &mut Context<'_>) -> IpNet {
    if net.addr() != net.network() {
        let message = format!("`{}` has host bits set", text.value);
        let help = format!("write `{}`", net.trunc());
        cx.warn(codes::CIDR_HOST_BITS, text.span, message, &help);
    }
    net.trunc()
}

/// A bare address is a prefix up to Cilium 1.19.
fn bare(address: IpAddr, text: &Spanned<String>, cx: &mut Context<'_>) -> Option<IpNet> {
    let net = IpNet::from(address);
    if cx.dialect == Dialect::Cilium119 {
        return no_mapped(net, text, cx);
    }
    let message = format!("the prefix `{}` has no length", text.value);
    let finding = Diagnostic::error(codes::CIDR_BARE, text.span, message);
    cx.sink.push(finding.with_help(format!("write `{net}`")));
    None
}

//! Which records are shown: Hubble's filters.
//!
//! Guarantees: as in Hubble, a record is shown if every kind of filter that is given has
//! one that fits it, and none fits that is turned round by `--not`. Records that cannot
//! be read are always shown.
//! Does not know: where filters are typed, or how records are written.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use policyc_bpf::Manifest;
use policyc_policy::network::protocol;

use super::compact::subject_at;
use super::packet::{self, Endpoints};
use super::record::{Record, Verdict};

/// Which end of a flow is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Who sends.
    From,
    /// Who receives.
    To,
    /// Either.
    Any,
}

/// What is asked about a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Whether the name of an end, `namespace/name`, begins so.
    Pod(End, String),
    /// Whether an end is in a namespace.
    Namespace(End, String),
    /// Whether an end's address is in a prefix.
    Address(End, IpNet),
    /// Whether an end's port is one of these.
    Port(End, RangeInclusive<u16>),
    /// Whether the IP protocol is one of these.
    Protocol(Vec<u8>),
    /// Whether the verdict is called so.
    Verdict(&'static str),
    /// Whether the subject sends, or else receives.
    Egress(bool),
}

/// One filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Filters of one kind are alternatives.
    pub kind: &'static str,
    /// What fits it is not shown.
    pub is_not: bool,
    /// What it asks.
    pub question: Question,
}

/// All that were given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filters(pub Vec<Filter>);

/// A flow as filters look at it.
struct Flow<'a> {
    verdict: &'a Verdict,
    ends: Option<Endpoints>,
    manifest: Option<&'a Manifest>,
}

impl Filters {
    /// Whether a record is shown; names come from the artifact.
    pub fn show(&self, record: &Record, manifest: Option<&Manifest>) -> bool {
        let verdict = match record {
            Record::Unknown(..) => return true,
            // Events have none of what filters ask about.
            Record::Event(_) => return self.0.iter().all(|filter| filter.is_not),
            Record::Verdict(verdict) => verdict,
        };
        let ends = packet::head(&verdict.head, verdict.from_network_header);
        let flow = Flow { verdict, ends, manifest };
        let fits = |filter: &Filter| flow.fits(&filter.question);
        let has_alternative = |filter: &Filter| {
            let same = self.0.iter().filter(|f| !f.is_not && f.kind == filter.kind);
            same.into_iter().any(fits)
        };
        self.0.iter().all(|f| if f.is_not { !fits(f) } else { has_alternative(f) })
    }
}

impl Flow<'_> {
    fn fits(&self, question: &Question) -> bool {
        match question {
            Question::Verdict(name) => self.verdict.outcome() == *name,
            Question::Egress(egress) => self.verdict.egress == *egress,
            Question::Protocol(protocols) => {
                self.ends.as_ref().is_some_and(|ends| protocols.contains(&ends.protocol))
            }
            Question::Pod(end, prefix) => {
                self.name(*end, |name| name.contains('/') && name.starts_with(prefix.as_str()))
            }
            Question::Namespace(end, namespace) => {
                self.name(*end, |name| name.split_once('/').is_some_and(|(of, _)| of == namespace))
            }
            Question::Address(end, net) => self.address(*end, |address| net.contains(&address)),
            Question::Port(end, ports) => {
                let found = self.ends.as_ref().and_then(|ends| ends.ports);
                found.is_some_and(|(from, to)| either(*end, from, to, |port| ports.contains(&port)))
            }
        }
    }

    fn address(&self, end: End, fits: impl Fn(IpAddr) -> bool) -> bool {
        let ends = self.ends.as_ref();
        ends.is_some_and(|ends| either(end, ends.source, ends.destination, fits))
    }

    fn name(&self, end: End, fits: impl Fn(&str) -> bool) -> bool {
        self.address(end, |address| {
            let subject = self.manifest.and_then(|manifest| subject_at(manifest, address));
            subject.is_some_and(|subject| fits(&subject.name))
        })
    }
}

fn either<T>(end: End, from: T, to: T, fits: impl Fn(T) -> bool) -> bool {
    match end {
        End::From => fits(from),
        End::To => fits(to),
        End::Any => fits(from) || fits(to),
    }
}

/// `shop/web`, the beginning of a name; without a namespace `default`, as in Hubble.
///
/// # Errors
/// What is expected.
pub fn pod(text: &str, end: End) -> Result<Question, String> {
    match text.split_once('/') {
        None if text.is_empty() => Err("write `namespace/name`".to_owned()),
        None => Ok(Question::Pod(end, format!("default/{text}"))),
        Some(_) => Ok(Question::Pod(end, text.to_owned())),
    }
}

/// An address or a prefix.
///
/// # Errors
/// What is expected.
pub fn address(text: &str, end: End) -> Result<Question, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let net = address.or_else(|_| text.parse::<IpNet>());
    let net = net.map_err(|_| "write an address or a prefix: `10.0.0.7`, `fd00::/64`")?;
    Ok(Question::Address(end, net))
}

/// A port, or several: `80`, `8000-8080`.
///
/// # Errors
/// What is expected.
pub fn port(text: &str, end: End) -> Result<Question, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Question::Port(end, first..=last)),
        _ => Err("write a port or a range: `443`, `8000-8080`".to_owned()),
    }
}

/// `tcp`, `icmp` for both versions of it, or a number.
///
/// # Errors
/// What is expected.
pub fn protocols(text: &str) -> Result<Question, String> {
    let numbers = match text.to_ascii_lowercase().as_str() {
        "tcp" => vec![protocol::TCP],
        "udp" => vec![protocol::UDP],
        "sctp" => vec![protocol::SCTP],
        "icmp" => vec![protocol::ICMP, protocol::ICMPV6],
        "icmpv4" => vec![protocol::ICMP],
        "icmpv6" => vec![protocol::ICMPV6],
        number => match number.parse() {
            Ok(number) => vec![number],
            Err(_) => {
                let expected = "`tcp`, `udp`, `sctp`, `icmp`, `icmpv4`, `icmpv6`";
                return Err(format!("write {expected} or a number to 255"));
            }
        },
    };
    Ok(Question::Protocol(numbers))
}

/// `FORWARDED`, `DROPPED` or `AUDIT`.
///
/// # Errors
/// What is expected.
pub fn verdict(text: &str) -> Result<Question, String> {
    const NAMES: [&str; 3] = ["FORWARDED", "DROPPED", "AUDIT"];
    let found = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(text));
    found.map(Question::Verdict).ok_or_else(|| "write `FORWARDED`, `DROPPED` or `AUDIT`".to_owned())
}

/// `ingress` or `egress`.
///
/// # Errors
/// What is expected.
pub fn direction(text: &str) -> Result<Question, String> {
    match text.to_ascii_lowercase().as_str() {
        "egress" => Ok(Question::Egress(true)),
        "ingress" => Ok(Question::Egress(false)),
        _ => Err("write `ingress` or `egress`".to_owned()),
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;

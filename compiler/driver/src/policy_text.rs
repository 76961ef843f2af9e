//! Policies as they were understood, as text.
//!
//! The stage `policy` of `policyc dump`: what a rule selects, what it denies by
//! default, and its entries with tier, priority, peers and ports.

use std::fmt::{self, Write as _};

use policyc_base::Origin;
use policyc_policy::labels::LabelSelector;
use policyc_policy::network::{
    Direction, Entity, Entry, EntryVerdict, Peer, Peers, PortMatch, Ports, Rule, ServiceMatch,
    ServiceSelector, Subject, protocol,
};
use policyc_policy::tracing::{Action, Filter, Test, TextOp, TracingHook, TracingPolicy};

use crate::pipeline::Policy;
use crate::session::Session;

/// The text of all policies.
pub fn print(session: &Session, policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = Printer { session, out: &mut text }.policy(policy);
    text
}

struct Printer<'a> {
    session: &'a Session,
    out: &'a mut String,
}

impl Printer<'_> {
    fn policy(&mut self, policy: &Policy) -> fmt::Result {
        policy.network.iter().try_for_each(|rule| self.rule(rule))?;
        policy.tracing.iter().try_for_each(|policy| self.tracing(policy))
    }

    /// Who wrote something, and at which line.
    fn name(&self, origin: Origin) -> String {
        let Some(info) = self.session.origins.get(origin) else { return String::new() };
        let at = info.span.and_then(|span| self.session.sources.location(span));
        let at = at.map(|at| format!("  ; {}:{}:{}", at.file, at.line, at.column));
        format!("{} {}{}", info.policy, info.rule, at.unwrap_or_default())
    }

    fn rule(&mut self, rule: &Rule) -> fmt::Result {
        let name = self.name(rule.origin);
        writeln!(self.out, "rule {name}")?;
        match &rule.subject {
            Subject::Endpoints(labels) => writeln!(self.out, "  for {}", workloads(labels))?,
            Subject::Nodes(labels) if labels.requirements.is_empty() => {
                writeln!(self.out, "  for every node")?;
            }
            Subject::Nodes(labels) => writeln!(self.out, "  for nodes with {labels}")?,
        }
        let denied = Direction::BOTH.into_iter().filter(|d| *rule.default_deny.get(*d));
        for direction in denied {
            writeln!(self.out, "  denies {} by default", direction_name(direction))?;
        }
        rule.entries.iter().try_for_each(|entry| self.entry(entry))
    }

    fn entry(&mut self, entry: &Entry) -> fmt::Result {
        let name = self.name(entry.origin);
        let verdict = match entry.verdict {
            EntryVerdict::Deny => "deny",
            EntryVerdict::Allow => "allow",
            EntryVerdict::Pass => "pass",
        };
        let direction = direction_name(entry.direction);
        let (tier, priority) = (entry.tier.0, entry.priority);
        writeln!(self.out, "  {verdict} {direction} {name}")?;
        writeln!(self.out, "    tier {tier}, priority {priority}")?;
        writeln!(self.out, "    peers {}", peers(&entry.peers))?;
        writeln!(self.out, "    ports {}", ports(&entry.ports))
    }

    fn tracing(&mut self, policy: &TracingPolicy) -> fmt::Result {
        for hook in &policy.hooks {
            writeln!(self.out, "tracing {} at {}", policy.name, hook.hook)?;
            for selector in &hook.selectors {
                let name = self.name(selector.origin);
                let actions = selector.actions.iter().map(|action| match action {
                    Action::Post => "post",
                    Action::NoPost => "no post",
                });
                let actions: Vec<_> = actions.collect();
                writeln!(self.out, "  {} {name}", actions.join(", "))?;
                for filter in &selector.filters {
                    writeln!(self.out, "    if {}", filter_text(hook, filter))?;
                }
            }
        }
        Ok(())
    }
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn workloads(labels: &LabelSelector) -> String {
    if labels.requirements.is_empty() {
        return "every workload".to_owned();
    }
    format!("workloads with {labels}")
}

fn peers(peers: &Peers) -> String {
    match peers {
        Peers::Any => "any".to_owned(),
        Peers::OneOf(list) => one_of(list.iter().map(peer)),
    }
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Endpoints(labels) => workloads(labels),
        Peer::Cidr { net, except } if except.is_empty() => net.to_string(),
        Peer::Cidr { net, except } => {
            let except: Vec<_> = except.iter().map(ToString::to_string).collect();
            format!("{net} without {}", except.join(" "))
        }
        Peer::Entity(entity) => {
            let name = Entity::NAMES.iter().find(|(_, known)| known == entity);
            name.map_or("", |(name, _)| name).to_owned()
        }
        Peer::Nodes { selector, own } => {
            let which = if *own { "nodes" } else { "other nodes" };
            format!("{which} with {selector}")
        }
        Peer::CidrGroups { selector, except } => {
            let except = except.iter().map(|net| format!(" without {net}"));
            format!("CIDR groups with {selector}{}", except.collect::<String>())
        }
        Peer::Services(ServiceSelector { namespace, services }) => {
            let namespace = namespace.as_deref().unwrap_or("*");
            match services {
                ServiceMatch::Name(name) => format!("service {namespace}/{name}"),
                ServiceMatch::Labels(labels) => format!("services of {namespace} with {labels}"),
            }
        }
    }
}

fn ports(ports: &Ports) -> String {
    match ports {
        Ports::Any => "any".to_owned(),
        Ports::OneOf(_) | Ports::Named { .. } => {
            let names = ports.names().iter().map(|range| {
                let (name, protocol) = (&range.port.name, protocol(range.port.protocol));
                match range.end {
                    0 => format!("{name}/{protocol}"),
                    end => format!("{name}-{end}/{protocol}"),
                }
            });
            one_of(ports.numbers().iter().map(port).chain(names))
        }
    }
}

/// `443/TCP`, `8080-8089/TCP`, `8/ICMP` for a type, `any/UDP`.
fn port(port: &PortMatch) -> String {
    let numbers = match (port.first, port.last) {
        (0, u16::MAX) => "any".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    format!("{numbers}/{}", protocol(port.protocol))
}

fn protocol(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::SCTP => "SCTP".to_owned(),
        protocol::ICMP => "ICMP".to_owned(),
        protocol::ICMPV6 => "ICMPv6".to_owned(),
        other => format!("protocol {other}"),
    }
}

fn one_of(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join("; ") }
}

fn filter_text(hook: &TracingHook, filter: &Filter) -> String {
    let field = hook.args.get(filter.arg).map_or("", |arg| arg.field.name.as_str());
    let not = if filter.negated { "not " } else { "" };
    match &filter.test {
        Test::InRanges(ranges) => {
            let range = |range: &policyc_policy::tracing::IntRange| match (range.first, range.last)
            {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}..{last}"),
            };
            format!("{not}{field} is {}", one_of(ranges.iter().map(range)))
        }
        Test::HasBits(bits) => {
            format!("{not}{field} has bits of {}", one_of(bits.iter().map(|b| format!("{b:#x}"))))
        }
        Test::Text { op, values } => {
            let op = match op {
                TextOp::Equal => "is",
                TextOp::Prefix => "begins with",
                TextOp::Postfix => "ends with",
            };
            let values = values.iter().map(|value| format!("\"{}\"", value.escape_ascii()));
            format!("{not}{field} {op} {}", one_of(values))
        }
    }
}

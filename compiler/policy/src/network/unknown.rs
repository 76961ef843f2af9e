//! What only an inventory can tell about what policies name beside workloads: entities,
//! nodes, CIDR groups, services and ports that nobody is or has; and addresses and ports
//! that are there and yet not what the policy says.

mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use policyc_base::{Diagnostic, Origin, OriginTable, Severity, Sink, Span};

use super::types::{
    Dialect, Direction, Entity, Entry, EntryVerdict, Peer, Peers, PortName, Rule, ServiceMatch,
    ServiceSelector,
};
use crate::codes;
use crate::inventory::{Identity, Inventory};
use crate::labels::{self, CIDR_GROUP, LabelSelector, Operator, RESERVED};

/// Reserved labels that everybody's inventory has somebody for.
const EVERYWHERE: &[&str] = &["host", "remote-node", "world", "world-ipv4", "world-ipv6"];

/// Reports what rules name and the inventory does not know.
pub fn unknown(
    rules: &[Rule],
    inventory: &Inventory,
    dialect: Dialect,
    origins: &OriginTable,
    sink: &mut Sink,
) {
    let workloads = inventory.workloads.values();
    let ports = workloads.clone().flat_map(|workload| &workload.ports);
    let port_names =
        ports.map(|p| PortName { protocol: p.protocol, name: p.name.to_ascii_lowercase() });
    let frontends = inventory.services.frontends().map(|(at, protocol, port, _)| {
        let service = inventory.services.behind(at, protocol, port);
        (at, service.map_or_else(String::new, |(service, _)| service.full_name()))
    });
    let services = frontends.collect();
    let port_names = port_names.collect();
    let mut lint = Lint { port_names, services, inventory, dialect, origins, sink };
    let several = ports::Several::new(inventory, dialect);
    for rule in rules {
        for entry in &rule.entries {
            lint.ports(entry);
            lint.several(&several, rule, entry);
            let Peers::OneOf(peers) = &entry.peers else { continue };
            peers.iter().for_each(|peer| lint.peer(peer, entry));
        }
    }
}

struct Lint<'a> {
    inventory: &'a Inventory,
    port_names: BTreeSet<PortName>,
    /// The services that stand for their backends at an address.
    services: BTreeMap<IpAddr, String>,
    dialect: Dialect,
    origins: &'a OriginTable,
    sink: &'a mut Sink,
}

impl Lint<'_> {
    fn peer(&mut self, peer: &Peer, entry: &Entry) {
        match peer {
            Peer::Endpoints(selector) => {
                for requirement in selector.requirements.iter().filter(|r| r.source == RESERVED) {
                    self.reserved(&requirement.key, entry);
                }
            }
            Peer::Entity(entity) => self.entity(*entity, entry),
            Peer::Nodes { selector, .. } => {
                let nodes = &self.inventory.nodes;
                if !nodes.values().any(|node| selector.matches(&node.labels)) {
                    let message = format!("a peer is nobody: no node has `{selector}`");
                    self.nobody(message, entry.origin);
                }
            }
            Peer::CidrGroups { selector, .. } => self.groups(selector, entry.origin),
            Peer::Services(services) => self.services(services, entry.origin),
            Peer::Cidr { net, .. } => self.prefix(*net, entry),
        }
    }

    fn entity(&mut self, entity: Entity, entry: &Entry) {
        let name = match entity {
            Entity::KubeApiserver => "kube-apiserver",
            Entity::Init => "init",
            Entity::Ingress => "ingress",
            Entity::Health => "health",
            Entity::Unmanaged => "unmanaged",
            _ => return,
        };
        self.reserved(name, entry);
    }

    /// To allow nobody is safe; to deny nobody is not, where somebody is meant who is
    /// allowed under another name.
    fn reserved(&mut self, name: &str, entry: &Entry) {
        let mut workloads = self.inventory.workloads.values();
        let known = EVERYWHERE.contains(&name)
            || name == "kube-apiserver" && !self.inventory.apiservers.is_empty()
            || workloads.any(|workload| workload.labels.has(RESERVED, name));
        if known {
            return;
        }
        let message = format!("the inventory does not say who `{name}` is: it is nobody");
        let denies = entry.verdict == EntryVerdict::Deny && name == "kube-apiserver";
        let severity = if denies { Severity::Error } else { Severity::Warning };
        let help = if name == "kube-apiserver" {
            "give the EndpointSlice of `default/kubernetes`"
        } else {
            "give a Workload with `reserved`, or name its addresses"
        };
        self.report(codes::ENTITY_NOBODY, severity, message, help, entry.origin);
    }

    fn groups(&mut self, selector: &LabelSelector, origin: Origin) {
        for requirement in &selector.requirements {
            let key = requirement.key.as_str();
            let wants = matches!(requirement.operator, Operator::Exists | Operator::In(_));
            if !wants || self.inventory.groups.has_key(key) {
                continue;
            }
            if let Some(group) = key.strip_prefix(labels::EXTERNAL_GROUP) {
                let message = format!("nothing says what the group `{group}` is");
                let help = "give a document of the kind Groups with its prefixes";
                self.report(codes::GROUP_UNRESOLVED, Severity::Error, message, help, origin);
                return;
            }
            let message = match key.strip_prefix(labels::CIDR_GROUP_NAME) {
                Some(name) => format!("a peer is nobody: no CIDR group is called `{name}`"),
                None => format!("a peer is nobody: no CIDR group has `{selector}`"),
            };
            return self.nobody(message, origin);
        }
        let found = self.inventory.groups.iter().any(|group| selector.matches(&group.labels));
        let is_about_groups = selector.requirements.iter().all(|r| r.source == CIDR_GROUP);
        if !found && is_about_groups {
            let message = format!("a peer is nobody: no CIDR group has `{selector}`");
            self.nobody(message, origin);
        }
    }

    /// Cilium lets such a rule match every peer on its ports.
    fn services(&mut self, services: &ServiceSelector, origin: Origin) {
        if !self.inventory.services_named(services).is_empty() {
            return;
        }
        let place = match &services.namespace {
            Some(namespace) => format!("in `{namespace}`"),
            None => "in any namespace".to_owned(),
        };
        let message = match &services.services {
            ServiceMatch::Name(name) => {
                format!("a peer is nobody: no service {place} is called `{name}`")
            }
            ServiceMatch::Labels(labels) => {
                format!("a peer is nobody: no service {place} has `{labels}`")
            }
        };
        self.nobody(message, origin);
    }

    /// A prefix of one address that prefixes do not select.
    fn prefix(&mut self, net: IpNet, entry: &Entry) {
        if self.dialect == Dialect::Kubernetes || net.prefix_len() != net.max_prefix_len() {
            return;
        }
        let address = net.addr();
        let (whose, help) = match self.inventory.identify(address) {
            Identity::Workload(id) => {
                (format!("of `{}`", self.inventory.workloads[id].name), "select it by its labels")
            }
            Identity::Node(id) => (
                format!("of the node `{}`", self.inventory.nodes[id].name),
                "use the entities `host` and `remote-node`, or labels of nodes",
            ),
            // What is sent to a service is judged by its backends.
            Identity::World => match self.services.get(&address) {
                Some(name) if entry.direction == Direction::Egress => {
                    (format!("of the service `{name}`"), "use `toServices`")
                }
                _ => return,
            },
        };
        let message = format!("`{address}` is the address {whose}: no prefix selects it");
        self.report(codes::CIDR_OF_SOMEBODY, Severity::Warning, message, help, entry.origin);
    }

    /// Names of ports that mean nothing because they mean several numbers.
    fn several(&mut self, several: &ports::Several<'_>, rule: &Rule, entry: &Entry) {
        let Some((name, who)) = several.first(rule, entry) else { return };
        let message = match entry.direction {
            Direction::Egress if self.dialect != Dialect::Kubernetes => format!(
                "workloads with the labels of `{who}` have several ports called `{name}`: there \
                 the name stands for none"
            ),
            _ => {
                format!("`{who}` has several ports called `{name}`: there the name stands for none")
            }
        };
        let help = "give the port one number, or write the number";
        self.report(codes::PORT_NAME_SEVERAL, Severity::Warning, message, help, entry.origin);
    }

    fn ports(&mut self, entry: &Entry) {
        let ports = entry.ports.names().iter().map(|range| &range.port);
        let names: BTreeSet<&str> = ports.clone().map(|port| port.name.as_str()).collect();
        for name in names {
            let mut written = ports.clone().filter(|port| port.name == name);
            if written.any(|port| self.port_names.contains(port)) {
                continue;
            }
            let message = format!("no workload has a port called `{name}` of this protocol");
            let severity = self.severity();
            let help = "write the number, or give the workloads' ports in the inventory";
            self.report(codes::PORT_NAME_NOBODY, severity, message, help, entry.origin);
        }
    }

    fn severity(&self) -> Severity {
        if self.inventory.complete { Severity::Error } else { Severity::Warning }
    }

    fn nobody(&mut self, message: String, origin: Origin) {
        let help = "give it in the inventory, or correct the policy";
        self.report(codes::SELECTS_NOBODY, self.severity(), message, help, origin);
    }

    fn report(
        &mut self,
        code: policyc_base::Code,
        severity: Severity,
        message: String,
        help: &str,
        origin: Origin,
    ) {
        let Some(span) = self.origins.get(origin).and_then(|info| info.span) else { return };
        let place = Span { end: span.start, ..span };
        let finding = Diagnostic::warning(code, place, message).with_severity(severity);
        self.sink.push(finding.with_help(help));
    }
}

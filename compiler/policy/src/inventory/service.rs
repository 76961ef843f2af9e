//! Services: addresses that stand for others.
//!
//! A packet to a service's address is meant for one of its backends, whom kube-proxy
//! chooses after a workload's egress policy has seen the packet. So a verdict asks for
//! the backends.
//! Guarantees: an address, protocol and port are one service's at most.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_base::{Diagnostic, Sink, Span};

use crate::codes;
use crate::labels::{LabelSelector, Labels};
use crate::network::{ServiceMatch, ServiceSelector};

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The pods it selects, of its namespace; none when others say who its backends
    /// are.
    pub selector: Option<LabelSelector>,
    /// Cluster, external and load-balancer addresses.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Where it is written.
    pub span: Span,
}

/// One port of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Its name; empty where there is only one.
    pub name: String,
    /// IP protocol number.
    pub protocol: u8,
    /// The port at the service's addresses, host byte order.
    pub port: u16,
    /// The port at every node's addresses.
    pub node_port: Option<u16>,
    /// Who answers, ready or not.
    pub endpoints: Vec<Endpoint>,
}

/// Who may answer for a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Where.
    pub backend: Backend,
    /// Whether packets are sent there.
    pub ready: bool,
}

/// The end of a translated flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port, host byte order.
    pub port: u16,
}

impl Service {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The addresses of its endpoints, ready or not.
    pub fn backends(&self) -> impl Iterator<Item = IpAddr> {
        let endpoints = self.ports.iter().flat_map(|port| &port.endpoints);
        endpoints.map(|endpoint| endpoint.backend.address)
    }
}

/// What is at an address: IP protocol number and port.
type Frontend = (IpAddr, u8, u16);

/// Every service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Services {
    all: Vec<Service>,
    frontends: BTreeMap<Frontend, (usize, Vec<Backend>)>,
}

impl Services {
    /// Adds a service, whose node ports are at `nodes`; reports what another one has.
    pub(super) fn add(&mut self, service: Service, nodes: &[IpAddr], sink: &mut Sink) {
        let name = service.full_name();
        if let Some(first) = self.all.iter().find(|first| first.full_name() == name) {
            let message = format!("there are two services called `{name}`");
            let finding = Diagnostic::error(codes::SERVICE_TWICE, service.span, message);
            sink.push(finding.with_label(first.span, "the first one"));
            return;
        }
        for port in &service.ports {
            let own = service.addresses.iter().map(|address| (*address, port.port));
            let of_nodes = port
                .node_port
                .into_iter()
                .flat_map(|number| nodes.iter().map(move |address| (*address, number)));
            for (address, number) in own.chain(of_nodes) {
                self.add_frontend((address, port.protocol, number), &service, port, sink);
            }
        }
        self.all.push(service);
    }

    fn add_frontend(
        &mut self,
        frontend: Frontend,
        service: &Service,
        port: &ServicePort,
        sink: &mut Sink,
    ) {
        let (address, _, number) = frontend;
        if let Some((first, _)) = self.frontends.get(&frontend) {
            // INVARIANT: the index of a service that was added, or of this one.
            let first = self.all.get(*first).unwrap_or(service);
            let message = format!(
                "`{}` and `{}` are both at `{address}`, port {number}",
                service.full_name(),
                first.full_name()
            );
            let finding = Diagnostic::error(codes::SERVICE_ADDRESS_TWICE, service.span, message);
            sink.push(finding.with_label(first.span, "the other one"));
            return;
        }
        let ready = port.endpoints.iter().filter(|endpoint| endpoint.ready);
        let mut backends: Vec<_> = ready.map(|endpoint| endpoint.backend).collect();
        backends.retain(|backend| backend.address.is_ipv4() == address.is_ipv4());
        backends.sort();
        backends.dedup();
        if !backends.is_empty() {
            self.frontends.insert(frontend, (self.all.len(), backends));
        }
    }

    /// The services that a policy names.
    pub(super) fn named(&self, selector: &ServiceSelector) -> Vec<&Service> {
        let matches = |service: &&Service| {
            selector.namespace.as_ref().is_none_or(|namespace| *namespace == service.namespace)
                && match &selector.services {
                    ServiceMatch::Name(name) => *name == service.name,
                    ServiceMatch::Labels(labels) => labels.matches(&service.labels),
                }
        };
        self.all.iter().filter(matches).collect()
    }

    /// Every service, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.all.iter()
    }

    /// The service at an address, protocol and port, with its ready backends in
    /// order; nothing if none is ready.
    pub fn behind(
        &self,
        address: IpAddr,
        protocol: u8,
        port: u16,
    ) -> Option<(&Service, &[Backend])> {
        let (service, backends) = self.frontends.get(&(address, protocol, port))?;
        Some((self.all.get(*service)?, backends))
    }

    /// Every address, protocol and port with ready backends, in order.
    pub fn frontends(&self) -> impl Iterator<Item = (IpAddr, u8, u16, &[Backend])> {
        let frontends = self.frontends.iter();
        frontends.map(|((address, protocol, port), (_, b))| (*address, *protocol, *port, &b[..]))
    }
}

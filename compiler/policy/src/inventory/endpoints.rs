//! Who answers for a service: what endpoint slices say, or else the pods that the
//! service selects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_base::Sink;

use super::load::{full_name, namespace_of};
use super::ports::the_only;
use super::service_doc::{PortDoc, ServiceDoc, SliceDoc, Target};
use super::{Backend, Endpoint, Inventory, Service, ServicePort};
use crate::labels::{LabelSelector, Labels};
use crate::network::PortName;

/// The service in front of the API server.
const APISERVER: &str = "default/kubernetes";

/// Puts services with their endpoints into an inventory whose workloads are known.
pub(super) fn add(
    services: Vec<ServiceDoc>,
    slices: Vec<SliceDoc>,
    inventory: &mut Inventory,
    sink: &mut Sink,
) {
    let mut by_service: BTreeMap<String, Vec<SliceDoc>> = BTreeMap::new();
    for slice in slices {
        let Some(service) = &slice.service else { continue };
        let name = format!("{}/{service}", namespace_of(&slice.meta));
        by_service.entry(name).or_default().push(slice);
    }
    let apiserver = by_service.get(APISERVER).into_iter().flatten();
    inventory.apiservers.extend(apiserver.flat_map(|slice| &slice.endpoints).map(|(a, _)| *a));
    let nodes: Vec<IpAddr> =
        inventory.nodes.values().flat_map(|node| node.addresses.clone()).collect();
    for doc in services {
        let namespace = namespace_of(&doc.meta).to_owned();
        let selector = doc.pods(&namespace);
        let slices = by_service.get(&full_name(&doc.meta));
        let ports = doc.ports.iter().map(|port| {
            let endpoints = match (slices, &selector) {
                (Some(slices), _) => of_slices(slices, port),
                (None, Some(pods)) => of_pods(pods, port, inventory),
                (None, None) => Vec::new(),
            };
            let PortDoc { name, protocol, port, node_port, .. } = port;
            let (protocol, port, node_port) = (*protocol, *port, *node_port);
            ServicePort { name: name.clone(), protocol, port, node_port, endpoints }
        });
        let service = Service {
            ports: ports.collect(),
            namespace,
            selector,
            labels: doc.labels.into_iter().collect::<Labels>(),
            addresses: doc.addresses,
            span: doc.meta.span(),
            name: doc.meta.name.value,
        };
        inventory.services.add(service, &nodes, sink);
    }
}

fn of_slices(slices: &[SliceDoc], port: &PortDoc) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for slice in slices {
        let ours = |(name, protocol, _): &&(String, u8, u16)| {
            *name == port.name && *protocol == port.protocol
        };
        for (_, _, number) in slice.ports.iter().filter(ours) {
            endpoints.extend(slice.endpoints.iter().map(|(address, ready)| {
                let backend = Backend { address: *address, port: *number };
                Endpoint { backend, ready: *ready }
            }));
        }
    }
    endpoints
}

/// Without slices every address of the selected pods is ready.
fn of_pods(pods: &LabelSelector, port: &PortDoc, inventory: &Inventory) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for workload in inventory.workloads.values().filter(|w| pods.matches(&w.labels)) {
        let number = match &port.target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => {
                let name = PortName { protocol: port.protocol, name: name.to_ascii_lowercase() };
                the_only(workload.ports.iter().filter(|port| port.is(&name)))
            }
        };
        let Some(port) = number else { continue };
        endpoints.extend(workload.addresses.iter().map(|address| {
            let backend = Backend { address: *address, port };
            Endpoint { backend, ready: true }
        }));
    }
    endpoints
}

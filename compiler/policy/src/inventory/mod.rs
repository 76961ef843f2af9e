//! Who there is: workloads and nodes, their labels and addresses.
//!
//! Guarantees: an address is one workload's or one node's at most; names are
//! unique.
//! Does not know: policies.

mod accounts;
mod by_label;
mod endpoints;
mod external;
mod groups;
mod kubernetes;
mod load;
mod management;
mod ports;
mod service;
mod service_doc;
mod template;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policyc_base::{PrimaryMap, Span, entity};

use crate::labels::Labels;
use crate::network::{PortName, ServiceSelector};

pub use by_label::ByLabel;
pub(crate) use external::reference as group_reference;
pub(crate) use groups::read as read_group;
pub use groups::{CidrGroup, DYNAMIC, Groups};
pub use load::{load, load_beside};
pub use management::Management;
use ports::PortNames;
pub use service::{Backend, Endpoint, Service, ServicePort, Services};

entity!(
    /// A workload of the inventory.
    pub struct WorkloadId, "w"
);

entity!(
    /// A node of the inventory.
    pub struct NodeId, "n"
);

/// Something that policies are about: a pod, or a service of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// `namespace/name`.
    pub name: String,
    /// Its labels and what is derived from them: namespace, the namespace's
    /// labels, service account, cluster.
    pub labels: Labels,
    /// Its addresses; none before it starts and after it finished.
    pub addresses: Vec<IpAddr>,
    /// Its named ports.
    pub ports: Vec<NamedPort>,
    /// The nodes it is local on.
    pub nodes: Vec<NodeId>,
    /// Whether it can be local on no others, even if there are none: `hosts` was
    /// written, or it is a pod.
    pub is_placed: bool,
    /// Where its traffic can be met, if the inventory says so.
    pub attach: Option<Attach>,
    /// Whether its addresses change while policy is live: then what is built does not
    /// depend on them.
    pub dynamic: bool,
    /// Where its name is written.
    pub span: Span,
}

/// A port with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// The port, host byte order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl NamedPort {
    /// Whether it is the port of this name.
    fn is(&self, name: &PortName) -> bool {
        self.protocol == name.protocol && self.name.eq_ignore_ascii_case(&name.name)
    }
}

/// Where a workload's traffic can be met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attach {
    /// The control group of this systemd unit.
    SystemdUnit(String),
    /// This network interface.
    Interface(String),
    /// The network namespace at this path.
    Netns(String),
    /// The control group at this path.
    Cgroup(String),
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where its name is written.
    pub span: Span,
}

/// Whose an address is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Identity {
    /// A workload's.
    Workload(WorkloadId),
    /// A node's, and that of the workloads on its network.
    Node(NodeId),
    /// Nobody's whom the inventory knows.
    World,
}

/// Everybody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    /// The workloads, in the order written.
    pub workloads: PrimaryMap<WorkloadId, Workload>,
    /// The nodes, in the order written.
    pub nodes: PrimaryMap<NodeId, Node>,
    /// Whether nobody is missing, so that a selector that matches nobody is wrong.
    pub complete: bool,
    /// The name of the cluster that it is about.
    pub cluster: String,
    /// The service accounts that there are, as `namespace/name`; not all of them where
    /// the inventory has none of a namespace.
    pub service_accounts: BTreeSet<String>,
    /// From where hosts are administered, if that is said.
    pub management: Option<Management>,
    /// How many documents of kinds that do not matter were skipped.
    pub skipped: BTreeMap<&'static str, usize>,
    /// The CIDR groups.
    pub groups: Groups,
    /// The services.
    pub services: Services,
    /// The addresses of the API server.
    pub apiservers: BTreeSet<IpAddr>,
    by_address: BTreeMap<IpAddr, Identity>,
    by_name: BTreeMap<String, Identity>,
    port_names: PortNames,
}

impl Inventory {
    /// Whose the address is.
    pub fn identify(&self, address: IpAddr) -> Identity {
        self.by_address.get(&address).copied().unwrap_or(Identity::World)
    }

    /// Gives a workload other addresses, which are nobody else's then.
    pub fn move_to(&mut self, id: WorkloadId, addresses: Vec<IpAddr>) {
        for address in &self.workloads[id].addresses {
            self.by_address.remove(address);
        }
        for address in &addresses {
            let before = self.by_address.insert(*address, Identity::Workload(id));
            if let Some(Identity::Workload(other)) = before {
                self.workloads[other].addresses.retain(|theirs| theirs != address);
            }
        }
        self.workloads[id].addresses = addresses;
    }

    /// The workload called `namespace/name`; its node if it is on the node's
    /// network.
    pub fn lookup(&self, name: &str) -> Option<Identity> {
        self.by_name.get(name).copied()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().find(|(_, node)| node.name == name).map(|(id, _)| id)
    }

    /// Whether `node` is the host that `subject` is on, or is.
    pub fn is_host_of(&self, node: NodeId, subject: Identity) -> bool {
        match subject {
            Identity::Workload(id) => self.workloads[id].nodes.contains(&node),
            Identity::Node(id) => id == node,
            Identity::World => false,
        }
    }

    /// Whether the API server listens at the address.
    pub fn is_apiserver(&self, address: IpAddr) -> bool {
        self.apiservers.contains(&address)
    }

    /// The labels of the CIDR groups that an address is in.
    pub fn groups_at(&self, address: IpAddr) -> Labels {
        self.groups.labels_at(address)
    }

    /// The services that a policy names.
    pub fn services_named<'a>(&'a self, selector: &ServiceSelector) -> Vec<&'a Service> {
        self.services.named(selector)
    }

    /// The number of a workload's port; nothing if it has none of this name, or
    /// several.
    pub fn own_port(&self, identity: Identity, name: &PortName) -> Option<u16> {
        let Identity::Workload(id) = identity else { return None };
        ports::the_only(self.workloads[id].ports.iter().filter(|port| port.is(name)))
    }

    /// The number that a port has at all workloads with one set of labels; nothing if
    /// it is at none of them, or not the same everywhere. That is how Cilium
    /// resolves the names of a destination.
    pub fn port_of_identity(&self, identity: Identity, name: &PortName) -> Option<u16> {
        let Identity::Workload(id) = identity else { return None };
        self.port_names.number(&self.workloads[id].labels, name)
    }
}

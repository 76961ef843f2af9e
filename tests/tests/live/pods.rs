//! Pods as on a node of a cluster: each a network namespace of its own, with a wire
//! to the node, which routes between them; judged at the node's end of their wires.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use policyc_bpf::Artifact;
use policyc_policy::network::protocol::{TCP, UDP};
use policyc_runtime::{self as runtime, Bindings, Dirs, Host, Options};
use policyc_sys::RealKernel;
use tempfile::TempDir;

use crate::lab::{PATIENCE, can_run, must, place, run};
use crate::traffic::{Background, within};

/// The node's address, on each wire the same.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// How long a connection that policy denies is given to come about all the same.
const DENIED: Duration = Duration::from_millis(300);
/// Between two looks at a socket.
const LOOK: Duration = Duration::from_millis(20);

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// `namespace/name` in the inventory.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its network namespace.
    pub(crate) netns: String,
}

/// A node with its pods; gone with the value.
#[derive(Debug)]
pub(crate) struct Pods {
    /// The node's network namespace.
    pub(crate) node: String,
    pub(crate) pods: Vec<Pod>,
    dirs: Dirs,
    _folder: TempDir,
}

impl Pods {
    /// Pods of these names and addresses. `None`, loudly, where they cannot be.
    pub(crate) fn new(test: &str, pods: &[(String, Ipv4Addr)]) -> Option<Self> {
        can_run(test).then(|| Self::build(pods))
    }

    fn build(pods: &[(String, Ipv4Addr)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (id, dirs) = place(&folder);
        let pods = pods.iter().enumerate().map(|(index, (name, address))| Pod {
            name: name.clone(),
            address: *address,
            netns: format!("pc-{id}-{index}"),
        });
        let node = format!("pc-{id}-n");
        let pods = Self { node, pods: pods.collect(), dirs, _folder: folder };
        pods.lay_wires();
        pods
    }

    fn lay_wires(&self) {
        let node = &self.node;
        add_netns(node);
        must(&format!("ip netns exec {node} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"));
        for (index, Pod { address, netns, .. }) in self.pods.iter().enumerate() {
            add_netns(netns);
            let port = format!("pod{index}");
            must(&format!(
                "ip link add eth0 netns {netns} type veth peer name {port} netns {node}"
            ));
            for command in [
                format!("-n {node} addr add {NODE}/32 dev {port}"),
                format!("-n {node} link set {port} up"),
                format!("-n {node} route add {address}/32 dev {port} src {NODE}"),
                format!("-n {netns} addr add {address}/32 dev eth0"),
                format!("-n {netns} link set eth0 up"),
                format!("-n {netns} route add {NODE}/32 dev eth0 scope link"),
                format!("-n {netns} route add default via {NODE} dev eth0"),
            ] {
                must(&format!("ip {command}"));
            }
        }
    }

    /// Makes an artifact live for all pods.
    pub(crate) fn apply(&self, artifact: &Artifact) {
        let lines = self.pods.iter().enumerate().map(|(index, pod)| {
            let (subject, node) = (&pod.name, &self.node);
            format!(
                "- subject: {subject}\n  attach: {{tc: {{interface: pod{index}, \
                 netns: /run/netns/{node}, side: host}}}}\n"
            )
        });
        let lines: String = lines.collect();
        let bindings =
            format!("apiVersion: policyc.io/v1alpha1\nkind: Bindings\nbindings:\n{lines}");
        let bindings: Bindings = policyc::bindings::read(&bindings).expect("bindings");
        let host = Host { kernel: &RealKernel, dirs: &self.dirs };
        let applied = runtime::apply(&host, artifact, &bindings, Options::default());
        applied.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Whether an address answers the node itself, over TCP.
    pub(crate) fn node_reaches(&self, to: SocketAddrV4, expected: bool) -> bool {
        connects(&self.node, to, if expected { PATIENCE } else { DENIED })
    }

    /// Everybody listens on a port.
    pub(crate) fn serve(&self, protocol: u8, port: u16) -> Vec<Background<()>> {
        self.pods.iter().map(|pod| pod.serve(protocol, port)).collect()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        let _ = runtime::remove(&Host { kernel: &RealKernel, dirs: &self.dirs }, true);
        for netns in self.pods.iter().map(|pod| &pod.netns).chain([&self.node]) {
            let _ = run(&format!("ip netns del {netns}"));
        }
    }
}

/// Without IPv6, and with it the packets that the kernel sends by itself.
fn add_netns(name: &str) {
    must(&format!("ip netns add {name}"));
    let disable = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    must(&format!("ip netns exec {name} sh -c '{disable}'"));
    must(&format!("ip -n {name} link set lo up"));
}

impl Pod {
    /// Listens on a port: connections are taken, datagrams are sent back.
    pub(crate) fn serve(&self, protocol: u8, port: u16) -> Background<()> {
        let address = SocketAddrV4::new(self.address, port);
        if protocol == TCP {
            let listener = within(&self.netns, || TcpListener::bind(address));
            listener.set_nonblocking(true).expect("a flag");
            return Background::start(move |stop| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    if listener.accept().is_err() {
                        std::thread::sleep(LOOK);
                    }
                }
            });
        }
        let socket = within(&self.netns, || UdpSocket::bind(address));
        socket.set_read_timeout(Some(LOOK)).expect("a timeout");
        Background::start(move |stop| {
            let mut datagram = [0; 64];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok((bytes, from)) = socket.recv_from(&mut datagram) {
                    let _ = socket.send_to(&datagram[..bytes], from);
                }
            }
        })
    }

    /// Whether an address answers this pod. One that should is waited for; one that
    /// should not has a moment to do so.
    pub(crate) fn reaches(&self, to: SocketAddrV4, protocol: u8, expected: bool) -> bool {
        let patience = if expected { PATIENCE } else { DENIED };
        match protocol {
            TCP => connects(&self.netns, to, patience),
            UDP => is_echoed(&self.netns, to, patience),
            other => panic!("protocol {other}"),
        }
    }
}

fn connects(netns: &str, to: SocketAddrV4, patience: Duration) -> bool {
    let connect = || match TcpStream::connect_timeout(&SocketAddr::V4(to), patience) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    };
    within(netns, connect)
}

fn is_echoed(netns: &str, to: SocketAddrV4, patience: Duration) -> bool {
    let socket = within(netns, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(DENIED / 3))?;
        Ok(socket)
    });
    let start = Instant::now();
    while start.elapsed() < patience {
        // A datagram that policy drops at a cgroup is an error of `send`.
        let _ = socket.send(b"?");
        if socket.recv(&mut [0; 8]).is_ok() {
            return true;
        }
    }
    false
}

/// Whether a tool is here; says so if not, and fails where tests are required.
pub(crate) fn has_tool(test: &str, tool: &str) -> bool {
    let has = run(&format!("command -v {tool}")).status.success();
    let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
    assert!(has || !required, "{test} needs `{tool}`");
    if !has {
        eprintln!("SKIPPED {test}: there is no `{tool}`");
    }
    has
}

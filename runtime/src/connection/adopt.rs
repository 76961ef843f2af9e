//! Connections that are older than what judges them: they are written into the tables,
//! so that their replies pass as those of others do.
//!
//! Guarantees: what programs know of a connection is left as it is. The opener's
//! packets are judged by policy all the same: adopting allows nothing but replies to
//! what policy allows.
//! Does not know: whether policy allows a connection.

use std::collections::{BTreeMap, BTreeSet};

use policyc_bpf::Artifact;
use policyc_bpf::manifest::subject_identity;
use policyc_sys::Kernel;
use policyc_sys::kernel::Port as SysPort;
use policyc_sys::net::{Netns, TcpSocket, Tracked};

use super::existing::{Found, Tracker, from_sockets, from_tracked};
use super::tables::{Added, Tables};
use crate::apply::unit_cgroup;
use crate::bindings::{Attach, Bindings, Side};
use crate::error::{Error, OrDoing};
use crate::generation::Generation;
use crate::host::Host;

/// What became of connections that were there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adopted {
    /// How many are known now that were not before.
    pub connections: usize,
    /// What could not be adopted, and why.
    pub left_out: BTreeSet<String>,
}

/// What the host's lists say, each asked for once.
struct Lists<'h, 'a, K: Kernel> {
    host: &'h Host<'a, K>,
    sockets: BTreeMap<Netns, Vec<TcpSocket>>,
    tracked: BTreeMap<Netns, Option<Vec<Tracked>>>,
}

/// Adopts the connections of everybody who is bound, under the adoption's number, by
/// which [`take_back`](super::take_back()) finds them. `adopted` grows.
pub(crate) fn adopt<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    generation: &Generation<K>,
    number: u32,
    adopted: &mut Adopted,
) -> Result<(), Error> {
    let Some(mut tables) = Tables::open(host, generation, number)? else { return Ok(()) };
    let mut lists = Lists { host, sockets: BTreeMap::new(), tracked: BTreeMap::new() };
    let mut found = Found::new();
    for (name, attach) in bindings.places() {
        let Some(name) = name else { continue };
        lists.find(artifact, name, attach, &mut found, &mut adopted.left_out)?;
    }
    // Each subject has a share of its own: that one has none left says nothing of others.
    let mut full = BTreeSet::new();
    let mut left = 0;
    for (ends, existing) in &found {
        if full.contains(&ends.subject) {
            left += 1;
            continue;
        }
        match tables.add(ends, existing)? {
            Added::Yes => adopted.connections += 1,
            Added::Known => {}
            Added::NoRoom => {
                full.insert(ends.subject);
                left += 1;
            }
        }
    }
    let lost = tables.give_up_lost()?;
    adopted.connections = adopted.connections.saturating_sub(lost);
    left += lost;
    if left > 0 {
        let what = format!("{left} connections, for which the tables have no room");
        adopted.left_out.insert(what);
    }
    Ok(())
}

impl<K: Kernel> Lists<'_, '_, K> {
    /// What one binding's subject has.
    fn find(
        &mut self,
        artifact: &Artifact,
        name: &str,
        attach: &Attach,
        found: &mut Found,
        left_out: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let subjects = &artifact.manifest().subjects;
        let subject = subjects.iter().find(|subject| subject.name == name);
        let addresses = subject.map(|s| s.addresses.as_slice()).unwrap_or_default();
        let subject = (subject_identity(name), addresses);
        let netns = |path: Option<&std::path::Path>| -> Result<Netns, Error> {
            let id = self.host.kernel.netns(path).or_doing("find a network namespace")?;
            Ok(Netns { id, path: path.map(Into::into) })
        };
        match attach {
            Attach::Tc(port) | Attach::Clsact(port) | Attach::Xdp(port) => {
                let netns = netns(port.netns.as_deref())?;
                if port.side == Side::Own {
                    return self.own(subject, &netns, found, left_out);
                }
                let interface = self.host.kernel.interface(&netns, &port.interface);
                let ifindex = interface.or_doing("look at an interface")?.index;
                let port = SysPort { netns: netns.clone(), ifindex };
                self.behind(name, subject, &port, found, left_out)
            }
            Attach::Netns { path } => self.own(subject, &netns(Some(path))?, found, left_out),
            Attach::Host { .. } => self.own(subject, &netns(None)?, found, left_out),
            Attach::Cgroup { path, .. } => self.of_cgroup(subject.0, path, found, left_out),
            Attach::Unit { name: unit } => match unit_cgroup(self.host, name, unit)? {
                Some(path) => self.of_cgroup(subject.0, &path, found, left_out),
                None => Ok(()),
            },
        }
    }

    /// Everything of the subject's own network namespace.
    fn own(
        &mut self,
        subject: (u64, &[std::net::IpAddr]),
        netns: &Netns,
        found: &mut Found,
        left_out: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        match self.tracked(netns)? {
            Some(tracked) => from_tracked(found, subject, tracked, Tracker::Own),
            None => {
                left_out.insert(ONLY_TCP.to_owned());
            }
        }
        if from_sockets(found, subject.0, self.sockets(netns)?, |_| true) {
            left_out.insert(DISPUTED.to_owned());
        }
        Ok(())
    }

    /// What is behind the host's end of a pair.
    fn behind(
        &mut self,
        name: &str,
        subject: (u64, &[std::net::IpAddr]),
        port: &SysPort,
        found: &mut Found,
        left_out: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let kernel = self.host.kernel;
        let peer = kernel.peer_netns(port).or_doing("look for the other end of an interface")?;
        let tracked = self.tracked(&port.netns)?;
        let is_tracked = tracked.is_some();
        if let Some(tracked) = tracked {
            from_tracked(found, subject, tracked, Tracker::Host);
        }
        match (peer, is_tracked) {
            (Some(netns), true) => {
                if from_sockets(found, subject.0, self.sockets(&netns)?, |_| true) {
                    left_out.insert(DISPUTED.to_owned());
                }
                Ok(())
            }
            (Some(netns), false) => self.own(subject, &netns, found, left_out),
            (None, true) => Ok(()),
            (None, false) => {
                left_out.insert(format!(
                    "connections of `{name}`: nothing leads to its network namespace, and the \
                     host tracks none (no nf_conntrack)"
                ));
                Ok(())
            }
        }
    }

    /// Sockets of a cgroup and of those below it, in whatever namespace they are.
    fn of_cgroup(
        &mut self,
        subject: u64,
        path: &std::path::Path,
        found: &mut Found,
        left_out: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let ids = self.host.kernel.cgroup_ids(path).or_doing("look at a cgroup")?;
        let is_wanted = |socket: &TcpSocket| socket.cgroup.is_some_and(|id| ids.contains(&id));
        left_out.insert(ONLY_TCP.to_owned());
        for netns in self.host.kernel.visible_netns() {
            // It may be gone since it was seen.
            if let Ok(sockets) = self.sockets(&netns)
                && from_sockets(found, subject, sockets, is_wanted)
            {
                left_out.insert(DISPUTED.to_owned());
            }
        }
        Ok(())
    }

    fn sockets(&mut self, netns: &Netns) -> Result<&[TcpSocket], Error> {
        if !self.sockets.contains_key(netns) {
            let sockets = self.host.kernel.tcp_sockets(netns).or_doing("list sockets")?;
            self.sockets.insert(netns.clone(), sockets);
        }
        Ok(self.sockets.get(netns).map(Vec::as_slice).unwrap_or_default())
    }

    fn tracked(&mut self, netns: &Netns) -> Result<Option<&[Tracked]>, Error> {
        if !self.tracked.contains_key(netns) {
            let tracked = self.host.kernel.tracked(netns).or_doing("list what is tracked")?;
            self.tracked.insert(netns.clone(), tracked);
        }
        Ok(self.tracked.get(netns).and_then(|tracked| tracked.as_deref()))
    }
}

/// What is missed where nothing tracks connections.
const ONLY_TCP: &str = "connections of UDP and SCTP where nothing tracks them: the next packet \
                        of who opened one opens it again";
/// What contradicts itself.
const DISPUTED: &str = "TCP connections that are tracked as opened by a subject, from ports at \
                        which it listens";

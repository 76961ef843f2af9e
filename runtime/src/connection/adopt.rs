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

use super::entry::{self, Entry};
use super::existing::{Existing, Found, TCP, Tracker, from_sockets, from_tracked};
use super::{Ends, FULL, HALF};
use crate::apply::unit_cgroup;
use crate::bindings::{Attach, Bindings, Side};
use crate::error::{Error, OrDoing};
use crate::generation::Generation;
use crate::host::{Host, KEY_0};

const SECOND: u64 = 1_000_000_000;
/// How long a connection lives without a packet of its opener, as in
/// `stdlib-bpf/bir/connection.bir`: TCP, others, what is not answered twice, what ends.
const STREAM: u64 = 8000 * SECOND;
const OTHER: u64 = 180 * SECOND;
const HALF_OPEN: u64 = 60 * SECOND;
const CLOSING: u64 = 10 * SECOND;

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

/// What became of one.
enum Added {
    Yes,
    Known,
    NoRoom,
}

/// The tables, and where the next place is looked for.
struct Tables<'t, K: Kernel> {
    kernel: &'t K,
    half: &'t K::Map,
    full: &'t K::Map,
    ring: &'t K::Map,
    places: Places,
    /// Added to a place: how far this has come.
    next: u32,
    /// The adoption's.
    number: u32,
}

impl<'t, K: Kernel> Tables<'t, K> {
    /// `None` if the generation keeps no connections.
    fn open(
        host: &Host<'t, K>,
        generation: &'t Generation<K>,
        number: u32,
    ) -> Result<Option<Self>, Error> {
        let map = |name| generation.map(name);
        let (Some(half), Some(full), Some(ring), Some(clock)) =
            (map(HALF), map(FULL), map("ct_ring"), map("ct_clock"))
        else {
            return Ok(None);
        };
        let kernel = host.kernel;
        let places = kernel.map_info(ring).or_doing("look at the places")?.max_entries;
        let places = Places::of(places.max(1));
        let turn = kernel.map_lookup(clock, &KEY_0).or_doing("look at the places")?;
        let turn = turn.and_then(|turn| Some(u32::from_ne_bytes(*turn.first_chunk()?)));
        // Programs that run meanwhile take the places whose turn it is.
        let next = turn.unwrap_or_default().wrapping_add(places.common / 2);
        Ok(Some(Self { kernel, half, full, ring, places, next, number }))
    }

    /// Writes an entry, unless programs know the connection.
    fn add(&mut self, ends: &Ends, existing: &Existing) -> Result<Added, Error> {
        let (kernel, now, key) = (self.kernel, self.kernel.now(), ends.key());
        for table in [self.half, self.full] {
            let Some(value) = kernel.map_lookup(table, &key).or_doing("look for a connection")?
            else {
                continue;
            };
            if Entry::read(&value).is_some_and(|entry| entry.expires > now) {
                return Ok(Added::Known);
            }
            kernel.map_delete(table, &key).or_doing("forget a connection")?;
        }
        let Existing { opened, finished, is_established } = *existing;
        let lives = match (finished, is_established, ends.protocol) {
            ([true, true], ..) => CLOSING,
            (_, false, _) => HALF_OPEN,
            (_, true, TCP) => STREAM,
            (_, true, _) => OTHER,
        };
        let (expires, made, replied, cut) = (now.saturating_add(lives), now, true, false);
        let adoption = self.number;
        let entry = Entry { expires, made, opened, replied, finished, cut, adoption };
        let (table, place) = match is_established {
            false => (self.half, Some(0)),
            true => (self.full, self.place(ends.subject, &key, now)?),
        };
        let Some(place) = place else { return Ok(Added::NoRoom) };
        let added = kernel.map_insert(table, &key, &entry.value(place));
        let added = added.or_doing("adopt a connection")?;
        Ok(if added { Added::Yes } else { Added::Known })
    }

    /// Takes a place in the ring whose entry is gone: one of those that all share, else
    /// one of the subject's; `None` if all are in use.
    fn place(&mut self, subject: u64, key: &[u8], now: u64) -> Result<Option<u32>, Error> {
        for (first, count) in self.places.of_subject(subject) {
            for _ in 0..count {
                let place = first + self.next % count;
                self.next = self.next.wrapping_add(1);
                if self.take(place, key, now)? {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    fn take(&self, place: u32, key: &[u8], now: u64) -> Result<bool, Error> {
        let (kernel, index) = (self.kernel, place.to_ne_bytes());
        let name = kernel.map_lookup(self.ring, &index).or_doing("look for a place")?;
        let Some(name) = name else { return Ok(false) };
        let owner = kernel.map_lookup(self.full, &name).or_doing("look for a place")?;
        if let Some(owner) = owner.filter(|value| entry::place(value) == Some(place)) {
            if Entry::read(&owner).is_some_and(|entry| entry.expires > now) {
                return Ok(false);
            }
            kernel.map_delete(self.full, &name).or_doing("forget a connection")?;
        }
        kernel.map_update(self.ring, &index, key).or_doing("take a place")?;
        Ok(true)
    }
}

/// How places are shared, as in `stdlib-bpf/bir/connection.bir`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Places {
    /// The first ones, for all.
    common: u32,
    /// Then so many for each part of the subjects.
    share: u32,
}

impl Places {
    /// Parts of the subjects.
    const SHARES: u32 = 64;

    /// Of a ring with so many places: a power of two for all, and a quarter of it in
    /// shares, but one at least. Another number is for all.
    fn of(places: u32) -> Self {
        let share = |common: u32| (common / (4 * Self::SHARES)).max(1);
        let commons = (0..31).map(|bit| 1_u32 << bit);
        let mut shared = commons.map(|common| Self { common, share: share(common) });
        let is_it = |p: &Self| p.common.saturating_add(p.share * Self::SHARES) == places;
        shared.find(is_it).unwrap_or(Self { common: places, share: 0 })
    }

    /// The first place and the number of those for all, and of those of a subject.
    const fn of_subject(self, subject: u64) -> [(u32, u32); 2] {
        let part = (subject % Self::SHARES as u64) as u32;
        [(0, self.common), (self.common + part * self.share, self.share)]
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn places_are_shared_as_programs_share_them() {
        for (ring, common, share) in [
            (4 + 64, 4, 1),
            (1024 + 256, 1024, 4),
            (262_144 + 65_536, 262_144, 1024),
            (1 << 24 | 1 << 22, 1 << 24, 65_536),
            (4, 4, 0),
            (1000, 1000, 0),
        ] {
            assert_eq!(Places::of(ring), Places { common, share }, "{ring}");
        }
        let places = Places::of(1024 + 256);
        assert_eq!(places.of_subject(64 + 3), [(0, 1024), (1024 + 12, 4)]);
        assert_eq!(Places::of(4).of_subject(3), [(0, 4), (4, 0)]);
    }
}

//! Which subjects are local, and where each is attached.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Every binding of a host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// In any order.
    pub bindings: Vec<Binding>,
    /// Places of nobody in particular: whatever is met there gets the verdict that
    /// the artifact has for subjects it does not know.
    #[serde(default, rename = "unknownSubjects", skip_serializing_if = "Vec::is_empty")]
    pub unknown_subjects: Vec<Attach>,
}

impl From<Vec<Binding>> for Bindings {
    fn from(bindings: Vec<Binding>) -> Self {
        Self { bindings, unknown_subjects: Vec::new() }
    }
}

impl Bindings {
    /// Every place, with the subject that is met there; nobody in particular last.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Option<&str>, &Attach)> {
        let known = self.bindings.iter().map(|b| (Some(b.subject.as_str()), &b.attach));
        known.chain(self.unknown_subjects.iter().map(|attach| (None, attach)))
    }

    /// The same, with a host's interfaces one by one, because some may be there and
    /// others not.
    pub(crate) fn one_by_one(&self) -> Vec<(Option<&str>, Attach)> {
        let of = |(subject, attach): (_, &Attach)| match attach {
            Attach::Host { interfaces } if interfaces.len() > 1 => {
                let one = |name: &String| Attach::Host { interfaces: vec![name.clone()] };
                interfaces.iter().map(|name| (subject, one(name))).collect()
            }
            other => vec![(subject, other.clone())],
        };
        self.places().flat_map(of).collect::<Vec<(Option<&str>, Attach)>>()
    }
}

/// One place where a subject's packets are judged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The subject as the artifact names it: `namespace/name`, or a node's name.
    pub subject: String,
    /// Where.
    pub attach: Attach,
}

/// A way to attach, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Attach {
    /// Both directions of an interface, by tcx, or clsact where there is none.
    Tc(Port),
    /// Both directions of an interface, by clsact.
    Clsact(Port),
    /// What an interface receives, before the network stack. XDP sees nothing
    /// of what is sent.
    Xdp(Port),
    /// Both directions of a cgroup v2 directory and what is below it.
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// A directory above, that stays: what is made at `path` is judged there,
        /// also when it was removed and is made again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<PathBuf>,
    },
    /// The cgroup of a systemd unit, also after it was started again.
    Unit {
        /// `billing.service`
        name: String,
    },
    /// Both directions of every interface that a network namespace has, but the
    /// loopback.
    Netns {
        /// `/run/netns/blue`
        path: PathBuf,
    },
    /// What this host itself sends and takes, at its interfaces; not what it
    /// forwards.
    Host {
        /// Their names; all but the loopback and ports of others if empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        interfaces: Vec<String>,
    },
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its name.
    pub interface: String,
    /// Its network namespace by path (`/run/netns/blue`); the host's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// Whose it is.
    #[serde(default)]
    pub side: Side,
}

/// Which end of the wire an interface is, seen from the subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The subject's own: what the interface receives is the subject's ingress.
    #[default]
    Own,
    /// The host's end of the subject's pair: what the interface receives is the
    /// subject's egress.
    Host,
}

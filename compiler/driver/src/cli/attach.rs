//! `policyc attach`

use std::fmt::Write as _;
use std::path::PathBuf;

use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Attach, Binding, Bindings, Host, Port, Side};
use policyc_sys::kernel::RealKernel;

use super::args::{AttachArgs, AttachSide};
use super::{Error, Status, live, output};
use crate::bindings::{self, netns_path};

pub(super) fn run(args: &AttachArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let last = runtime::last_applied(&host).map_err(|error| live::failed(&error))?;
    let Some((artifact, bound)) = last else {
        return Err(live::failed(&runtime::Error::NothingLive));
    };
    let place = Place::of(args);
    let more = match &args.subject {
        Some(subject) => {
            vec![Binding { subject: subject.clone(), attach: place.attach(args.side) }]
        }
        None => known(args, &host, &artifact, &bound, &place)?,
    };
    let attached = runtime::attach(&host, &more, args.adopt);
    let attached = attached.map_err(|error| live::failed(&error))?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    if attached.points.is_empty() {
        let _ = writeln!(text, "generation {} judges there already", attached.generation);
    } else {
        let _ = writeln!(text, "generation {} judges there too", attached.generation);
    }
    for (point, subject) in &attached.points {
        let _ = writeln!(text, "  {point}: {}", live::subject(subject.as_deref(), Some(point)));
    }
    text.push_str(&live::adopted(attached.adopted.as_ref()));
    output::print(&text)?;
    Ok(Status::Clean)
}

/// What was named.
enum Place {
    Unit(String),
    Interface(String),
    Netns(PathBuf),
    Cgroup(PathBuf),
}

impl Place {
    fn of(args: &AttachArgs) -> Self {
        // INVARIANT: the command line has exactly one of them.
        match (&args.unit, &args.iface, &args.netns, &args.cgroup) {
            (Some(unit), ..) => Self::Unit(unit.clone()),
            (_, Some(name), ..) => Self::Interface(name.clone()),
            (_, _, Some(netns), _) => Self::Netns(netns_path(netns)),
            (.., path) => Self::Cgroup(path.clone().unwrap_or_default()),
        }
    }

    /// How somebody new is bound there.
    fn attach(&self, side: AttachSide) -> Attach {
        let side = match side {
            AttachSide::Own => Side::Own,
            AttachSide::Host => Side::Host,
        };
        match self {
            Self::Unit(name) => Attach::Unit { name: name.clone() },
            Self::Interface(name) => {
                Attach::Tc(Port { interface: name.clone(), netns: None, side })
            }
            Self::Netns(path) => Attach::Netns { path: path.clone() },
            Self::Cgroup(path) => Attach::Cgroup { path: path.clone(), at: None },
        }
    }

    /// Whether a binding is about what was named.
    fn is_in(&self, attach: &Attach) -> bool {
        match (self, attach) {
            (Self::Unit(unit), Attach::Unit { name }) => unit == name,
            (
                Self::Interface(name),
                Attach::Tc(port) | Attach::Clsact(port) | Attach::Xdp(port),
            ) => port.interface == *name && port.netns.is_none(),
            (Self::Interface(name), Attach::Host { interfaces }) => {
                interfaces.is_empty() || interfaces.contains(name)
            }
            (Self::Netns(netns), Attach::Netns { path }) => netns == path,
            (Self::Netns(netns), Attach::Tc(port) | Attach::Clsact(port) | Attach::Xdp(port)) => {
                port.netns.as_ref() == Some(netns)
            }
            (Self::Cgroup(cgroup), Attach::Cgroup { path, .. }) => cgroup == path,
            _ => false,
        }
    }
}

/// Who is bound there by what was applied, or else by what the inventory said.
fn known(
    args: &AttachArgs,
    host: &Host<'_, RealKernel>,
    artifact: &Artifact,
    bound: &Bindings,
    place: &Place,
) -> Result<Vec<Binding>, Error> {
    let here = |bindings: &Bindings| -> Vec<Binding> {
        let all = bindings.bindings.iter();
        all.filter(|binding| place.is_in(&binding.attach)).cloned().collect()
    };
    let mut found = here(bound);
    if found.is_empty() {
        let node = args.node.clone().map_or_else(bindings::host_name, Ok);
        let hinted = node.and_then(|node| bindings::from_hints(host, artifact.manifest(), &node));
        found = here(&hinted.map_err(Error::Message)?.bindings);
    }
    if found.is_empty() {
        let message = "nobody is bound there by what was applied, nor by the `attach` fields of \
                       its inventory\n  help: say who is met there with `--subject`";
        return Err(Error::Message(message.into()));
    }
    Ok(found)
}

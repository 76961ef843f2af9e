//! `policyc patch`
//!
//! What groups and workloads come to as members of run-time sets is computed here; the runtime makes
//! it so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;
use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::Prefix;
use policyc_codegen::lower::set_tables::prefixes;
use policyc_policy::inventory::{self, Inventory};
use policyc_policy::network;
use policyc_runtime::{self as runtime, Host, Members, Patched};
use policyc_sys::kernel::RealKernel;

use super::args::{FailOn, PatchArgs};
use super::{Error, Status, common, live, output};
use crate::render::{Format, plural};
use crate::session::Session;
use crate::{input, manifest};

pub(super) fn run(args: &PatchArgs) -> Result<Status, Error> {
    let mut session = Session::new();
    let files = input::read_all(&args.inventory, args.recursive, &mut session.sources)?;
    let given = inventory::load(&session.sources, &files, &mut session.sink);
    if session.sink.has_errors() {
        return common::report(&session, Format::Text, FailOn::Error);
    }
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let last = runtime::last_applied(&host).map_err(|error| live::failed(&error))?;
    let Some((artifact, _)) = last else {
        return Err(live::failed(&runtime::Error::NothingLive));
    };
    let sets = &artifact.manifest().sets;
    let mut changed = Vec::new();
    for set in sets {
        changed.extend(members(set, &given)?.map(|members| (set, members)));
    }
    if changed.is_empty() {
        return Err(Error::Message(nothing_to_change(sets)));
    }
    let wanted: Vec<_> = changed
        .iter()
        .map(|(set, prefixes)| Members { id: set.id, prefixes: prefixes.clone() })
        .collect();
    let patched = runtime::patch(&host, &wanted).map_err(|error| live::failed(&error))?;
    let names: Vec<_> = changed.iter().map(|(set, _)| *set).collect();
    output::print(&text(&names, &patched))?;
    Ok(Status::Clean)
}

/// The members of a set, if its group or workload is given.
///
/// # Errors
/// A workload is not what it was when policy was built.
fn members(set: &RuntimeSet, given: &Inventory) -> Result<Option<Vec<Prefix>>, Error> {
    let SetKind::Workload { labels } = set.kind else {
        let except = set.except.iter().filter_map(|prefix| prefix.to_string().parse().ok());
        let (name, except) = (set.name.clone(), except.collect());
        let members = network::RuntimeSet::Group { name, except }.members(given);
        return Ok(members.map(|members| prefixes(&members)));
    };
    let Some(number) = manifest::labels_number(given, &set.name) else { return Ok(None) };
    if number != labels {
        let help = "build with the inventory as it is now, and apply";
        let message =
            format!("`{}` has other labels or ports than when policy was built", set.name);
        return Err(Error::Message(format!("{message}\n  help: {help}")));
    }
    // Whoever has its labels and ports is one of it.
    let alike = given.workloads.values().filter(|workload| {
        let is_itself = workload.name == set.name;
        let is_another = workload.dynamic && !is_itself;
        !is_another && manifest::labels_number(given, &workload.name) == Some(labels)
    });
    let addresses = alike.flat_map(|workload| &workload.addresses);
    let addresses: BTreeSet<IpNet> = addresses.map(|address| IpNet::from(*address)).collect();
    Ok(Some(prefixes(&addresses.into_iter().collect::<Vec<_>>())))
}

fn nothing_to_change(sets: &[RuntimeSet]) -> String {
    let known: BTreeSet<_> = sets.iter().map(|set| format!("`{}`", set.name)).collect();
    if known.is_empty() {
        return "what is live follows no group and no workload\n  help: give it the annotation \
                `policyc.io/dynamic: \"true\"`, and build and apply again"
            .to_owned();
    }
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("what is live follows nothing of what is given\n  help: it follows {known}")
}

fn text(sets: &[&RuntimeSet], patched: &Patched) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "generation {}", patched.generation);
    for (set, (before, after)) in sets.iter().zip(&patched.members) {
        let except: Vec<_> = set.except.iter().map(ToString::to_string).collect();
        let but =
            if except.is_empty() { String::new() } else { format!(" but {}", except.join(" ")) };
        let after = plural(*after, "member");
        let _ = writeln!(text, "  {}{but}: {after}, {before} before", set.name);
    }
    text
}

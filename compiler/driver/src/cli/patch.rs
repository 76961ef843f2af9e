//! `policyc patch`
//!
//! What groups come to as members of run-time sets is computed here; the runtime makes
//! it so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;
use policyc_bpf::manifest::RuntimeSet;
use policyc_codegen::lower::set_tables::prefixes;
use policyc_policy::inventory::{self, Groups};
use policyc_policy::network;
use policyc_runtime::{self as runtime, Host, Members, Patched};
use policyc_sys::kernel::RealKernel;

use super::args::{FailOn, PatchArgs};
use super::{Error, Status, common, live, output};
use crate::input;
use crate::render::{Format, plural};
use crate::session::Session;

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
    let changed: Vec<_> =
        sets.iter().filter_map(|set| Some((set, members(set, &given.groups)?))).collect();
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

/// The members of a set, if its group is given.
fn members(set: &RuntimeSet, given: &Groups) -> Option<Vec<policyc_bpf::sets::Prefix>> {
    let group = given.get(&set.group)?;
    let except = set.except.iter().filter_map(|prefix| prefix.to_string().parse::<IpNet>().ok());
    let stands_for = network::RuntimeSet { group: set.group.clone(), except: except.collect() };
    Some(prefixes(&stands_for.members(&group.nets)))
}

fn nothing_to_change(sets: &[RuntimeSet]) -> String {
    let known: BTreeSet<_> = sets.iter().map(|set| format!("`{}`", set.group)).collect();
    if known.is_empty() {
        return "what is live follows no group\n  help: give the group the annotation \
                `policyc.io/dynamic: \"true\"`, and build and apply again"
            .to_owned();
    }
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("what is live follows none of the groups given\n  help: it follows {known}")
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
        let _ = writeln!(text, "  {}{but}: {after}, {before} before", set.group);
    }
    text
}

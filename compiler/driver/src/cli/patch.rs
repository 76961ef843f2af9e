//! `policyc patch`
//!
//! What the members of groups and workloads are is computed here; the runtime makes it so.

use std::fmt::Write as _;

use policyc_bpf::manifest::SetKind;
use policyc_policy::inventory;
use policyc_runtime::{Host, Patch, Patched};
use policyc_sys::kernel::RealKernel;

use super::args::{FailOn, PatchArgs};
use super::{Error, Status, common, live, output};
use crate::render::{Format, plural};
use crate::session::Session;
use crate::{input, members};

pub(super) fn run(args: &PatchArgs) -> Result<Status, Error> {
    let mut session = Session::new();
    let files = input::read_all(&args.inventory, args.recursive, &mut session.sources)?;
    let given = inventory::load(&session.sources, &files, &mut session.sink);
    if session.sink.has_errors() {
        return common::report(&session, Format::Text, FailOn::Error);
    }
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let patch = Patch::open(&host).map_err(|error| live::failed(&error))?;
    let wanted = members::of(patch.groups(), &given).map_err(|error| {
        let help = "build with the inventory as it is now, and apply";
        Error::Message(format!("{error}\n  help: {help}"))
    })?;
    if wanted.is_empty() {
        let known: Vec<_> = patch.groups().map(|(_, group)| group.name.as_str()).collect();
        return Err(Error::Message(nothing_to_change(known)));
    }
    let change = patch.plan(&wanted).map_err(|error| live::failed(&error))?;
    let generation = patch.generation;
    if !args.dry_run {
        patch.make(&change).map_err(|error| live::failed(&error))?;
    }
    let patched = &change.patched;
    output::print(&match args.output {
        Format::Text => text(generation, args.dry_run, patched),
        Format::Json => json(generation, args.dry_run, patched),
    })?;
    Ok(Status::Clean)
}

fn nothing_to_change(mut known: Vec<&str>) -> String {
    known.sort_unstable();
    if known.is_empty() {
        return "what is live follows no group and no workload\n  help: give it the annotation \
                `policyc.io/dynamic: \"true\"`, and build and apply again"
            .to_owned();
    }
    let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("what is live follows nothing of what is given\n  help: it follows {known}")
}

/// Prefixes of a group that are shown, before it is said how many more there are.
const SHOWN: usize = 20;

fn text(generation: u64, is_dry: bool, patched: &[Patched]) -> String {
    let would = if is_dry { ", where nothing was changed" } else { "" };
    let mut text = format!("generation {generation}{would}\n");
    for one in patched {
        let (name, before) = (&one.before.name, one.before.members.len());
        let after = plural(one.members.len(), "member");
        let unnamed = if one.is_named { "" } else { "; no rule names it now" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {after}, {before} before{unnamed}");
        let (comes, goes) = one.difference();
        let lines = comes.iter().map(|prefix| ('+', prefix));
        let lines: Vec<_> = lines.chain(goes.iter().map(|prefix| ('-', prefix))).collect();
        for (sign, prefix) in lines.iter().take(SHOWN).filter(|_| is_dry) {
            let _ = writeln!(text, "    {sign} {prefix}");
        }
        if is_dry && lines.len() > SHOWN {
            let _ = writeln!(text, "    and {} more", lines.len() - SHOWN);
        }
    }
    text
}

fn json(generation: u64, is_dry: bool, patched: &[Patched]) -> String {
    let groups = patched.iter().map(|one| {
        let (comes, goes) = one.difference();
        serde_json::json!({
            "kind": kind_name(one.before.kind),
            "name": one.before.name,
            "named": one.is_named,
            "before": one.before.members.len(),
            "after": one.members.len(),
            "added": comes,
            "removed": goes,
        })
    });
    let document = serde_json::json!({
        "version": 1,
        "generation": generation,
        "dry_run": is_dry,
        "groups": groups.collect::<Vec<_>>(),
    });
    // INVARIANT: plain strings and numbers always serialise.
    format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
}

/// What a group is called in documents.
pub(super) const fn kind_name(kind: SetKind) -> &'static str {
    match kind {
        SetKind::Group => "group",
        SetKind::Workload { .. } => "workload",
    }
}

//! The passes, in order.
//!
//! Read this page as the table of contents of the compiler: [`read`] turns YAML
//! into policies, [`decide`] policies into tables and graphs, [`lower()`],
//! [`optimise`] and [`assemble`] those into bytecode. Nothing else knows the order.

use std::collections::BTreeSet;
use std::io;

use policyc_base::{Diagnostic, FileId, PrimaryMap};
use policyc_bpf::{Object, Program};
use policyc_codegen::backend::{
    self, BackendError, CompileStats, Features, LimitError, ProgramOptions,
};
use policyc_codegen::lower::maps::Room;
use policyc_codegen::lower::{self, Decisions, Lowered};
use policyc_codegen::{CodegenError, opt};
use policyc_decision::network::NetworkDecision;
use policyc_decision::tracing::EventDecision;
use policyc_decision::{network as network_decision, tracing as tracing_decision};
use policyc_policy::inventory::{self, Inventory};
use policyc_policy::network::{self, Dialect, Reading};
use policyc_policy::tracing::{self, TracingDoc, TracingPolicy};
use policyc_target::Profile;

use crate::session::Session;
use crate::{codes, host};

/// What is read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Policy files.
    pub policies: Vec<FileId>,
    /// Inventory files.
    pub inventory: Vec<FileId>,
    /// Whose reading of the policies is meant.
    pub dialect: Dialect,
    /// The host that tracing policies are for; this one when there is none.
    pub profile: Option<Profile>,
    /// Whether packets of a subject that the artifact does not know pass.
    pub unknown_subject_allowed: bool,
    /// How many connections are remembered.
    pub room: Room,
}

/// Policies that can be decided, if the session has no errors.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules of all network policies.
    pub network: Vec<network::Rule>,
    /// All tracing policies.
    pub tracing: Vec<TracingPolicy>,
    /// Everybody.
    pub inventory: Inventory,
    /// Whose reading is meant.
    pub dialect: Dialect,
    /// The host that tracing policies were checked against.
    pub profile: Profile,
    /// Whether packets of a subject that the artifact does not know pass.
    pub unknown_subject_allowed: bool,
    /// How many connections are remembered.
    pub room: Room,
}

/// YAML → policies: read, check, lint. Findings go to the session's sink.
pub fn read(session: &mut Session, input: &Input) -> Policy {
    let Session { sources, origins, sink } = session;
    let (files, dialect) = (&input.policies, input.dialect);
    let mixed: Vec<FileId> =
        files.iter().filter(|file| input.inventory.contains(file)).copied().collect();
    let mut inventory = inventory::load_beside(sources, &input.inventory, &mixed, sink);
    let reading = Reading { mixed: &mixed, dialect, cluster: &inventory.cluster };
    let policies = policyc_policy::load_as(sources, files, reading, origins, sink);
    policies.groups.iter().cloned().for_each(|group| inventory.groups.add(group, sink));
    if !input.inventory.is_empty() {
        network::lint::unmatched(&policies.network, &inventory, origins, sink);
        if !sink.has_errors() {
            network::lint::management(&policies.network, &inventory, dialect, origins, sink);
        }
        network::unknown::unknown(&policies.network, &inventory, dialect, origins, sink);
    }
    if !sink.has_errors() {
        network::runtime_set::check(&policies.network, &inventory, dialect, origins, sink);
    }
    let profile = input.profile.clone().map_or_else(|| host_profile(&policies.tracing), Ok);
    let documents = if profile.is_ok() { &policies.tracing[..] } else { &[] };
    let profile = profile.unwrap_or_else(|error| {
        sink.push(codes::host_unreadable(&error));
        Profile::default()
    });
    let documents = documents.iter();
    let tracing = documents.filter_map(|doc| tracing::check(doc, &profile, origins, sink));
    let tracing = tracing.collect();
    let unknown_subject_allowed = input.unknown_subject_allowed;
    let room = input.room;
    let network = policies.network;
    Policy { network, tracing, inventory, dialect, profile, unknown_subject_allowed, room }
}

/// Everything that is found about policies, without making programs of them.
pub fn check(session: &mut Session, input: &Input) {
    let policy = read(session, input);
    // Who is not there yet may be whom a rule is for.
    if policy.inventory.complete && !session.sink.has_errors() {
        let decided = decide(&policy);
        warn_about_idle(session, &policy, &decided);
    }
}

fn warn_about_idle(session: &mut Session, policy: &Policy, decided: &Decided) {
    let Some(network) = decided.network.as_ref().filter(|_| policy.inventory.complete) else {
        return;
    };
    let Session { origins, sink, .. } = session;
    let Policy { network: rules, inventory, dialect, .. } = policy;
    network::lint::idle(rules, &network.deciding(), inventory, *dialect, origins, sink);
}

/// This host, as far as the documents ask for it.
fn host_profile(documents: &[TracingDoc]) -> io::Result<Profile> {
    if documents.is_empty() {
        return Ok(Profile::default());
    }
    let hooks = documents.iter().flat_map(|doc| &doc.tracepoints);
    let names = hooks.map(|hook| format!("{}/{}", hook.subsystem.value, hook.event.value));
    let wanted: BTreeSet<String> = names.collect();
    host::facts(&wanted)
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Network policy, if there is any.
    pub network: Option<NetworkDecision>,
    /// Tracing policy, if there is any.
    pub events: Option<EventDecision>,
}

/// Policies → tables and graphs.
pub fn decide(policy: &Policy) -> Decided {
    let network = (!policy.network.is_empty()).then(|| {
        network_decision::decide(
            &policy.network,
            &policy.inventory,
            policy.dialect,
            policy.unknown_subject_allowed,
        )
    });
    let events = (!policy.tracing.is_empty()).then(|| tracing_decision::build(&policy.tracing));
    Decided { network, events }
}

impl Decided {
    /// As code generation takes it.
    pub fn decisions<'a>(&'a self, profile: &'a Profile, room: Room) -> Decisions<'a> {
        Decisions {
            network: self.network.as_ref(),
            tracing: self.events.as_ref().map(|events| (events, profile)),
            room,
        }
    }
}

/// Tables and graphs → BIR, as it is lowered.
///
/// # Errors
/// A limit of the target, or a bug.
pub fn lower(policy: &Policy, decided: &Decided) -> Result<Lowered, CodegenError> {
    lower::lower(decided.decisions(&policy.profile, policy.room))
}

/// BIR → better BIR: every call inlined, every pass to its end.
///
/// # Errors
/// A bug: what the passes made does not check.
pub fn optimise(lowered: &mut Lowered) -> Result<(), CodegenError> {
    let internal = |error: opt::OptError| CodegenError::internal(error.to_string());
    let names: Vec<&str> = lowered.plans.iter().map(|plan| plan.name.as_str()).collect();
    opt::optimise_programs(&mut lowered.module, opt::PassSet::all(), &names).map_err(internal)?;
    for plan in &mut lowered.plans {
        let function = lowered.module.functions.iter().find(|(_, f)| f.name == plan.name);
        let missing = || CodegenError::internal(format!("program {} is gone", plan.name));
        plan.function = function.ok_or_else(missing)?.0;
    }
    Ok(())
}

/// Bytecode with what it costs.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Programs, maps and lines.
    pub object: Object,
    /// Costs, in the order of the programs.
    pub stats: Vec<CompileStats>,
}

/// BIR → bytecode.
///
/// # Errors
/// A limit of the target with its figures, or a bug.
pub fn assemble(session: &Session, lowered: &Lowered) -> Result<Compiled, CodegenError> {
    let module = &lowered.module;
    let maps: PrimaryMap<_, _> = lowered.maps.ids().collect();
    let mut compiled: Vec<(Program, CompileStats)> = Vec::new();
    for plan in &lowered.plans {
        let options = ProgramOptions {
            name: &plan.name,
            kind: plan.kind.clone(),
            judges: plan.judges,
            maps: &maps,
            features: Features::default(),
        };
        let program = backend::compile(module, plan.function, &options);
        compiled.push(program.map_err(|error| too_large_or_a_bug(&plan.name, &error))?);
    }
    compiled.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let (programs, stats) = compiled.into_iter().unzip();
    let object = Object { programs, maps: lowered.maps.clone(), lines: session.lines() };
    Ok(Compiled { object, stats })
}

/// A program that does not fit is the target's limit; everything else that code
/// generation complains of is our bug.
fn too_large_or_a_bug(program: &str, error: &BackendError) -> CodegenError {
    let BackendError::Limit { limit, .. } = error else {
        return CodegenError::internal(error.to_string());
    };
    let (what, needed, limit) = match *limit {
        LimitError::Stack { needed, available } => ("stack bytes", needed, available),
        LimitError::JumpDistance { distance, limit } => ("instructions in a jump", distance, limit),
        LimitError::ProgramSize { insns, limit } => ("instructions", insns, limit),
    };
    let what = format!("program `{program}`, in {what},");
    CodegenError::Limit { what, needed: needed.into(), limit: limit.into() }
}

/// Everything that building makes, stage by stage.
#[derive(Clone, Debug)]
pub struct Built {
    /// The policies.
    pub policy: Policy,
    /// The tables and graphs.
    pub decided: Decided,
    /// BIR after the passes.
    pub lowered: Lowered,
    /// Bytecode.
    pub compiled: Compiled,
}

/// The whole road from YAML to bytecode. `None` when the session has errors.
pub fn build(session: &mut Session, input: &Input) -> Option<Built> {
    let policy = read(session, input);
    if session.sink.has_errors() {
        return None;
    }
    if policy.network.is_empty() && policy.tracing.is_empty() {
        session.sink.push(codes::nothing_to_build());
        return None;
    }
    let decided = decide(&policy);
    warn_about_idle(session, &policy, &decided);
    warn_about_nobody(session, &policy);
    match back_end(session, &policy, &decided) {
        Ok((lowered, compiled)) => Some(Built { policy, decided, lowered, compiled }),
        Err(error) => {
            session.sink.push(finding(&error));
            None
        }
    }
}

/// Selectors are resolved here and not on the host, so without an inventory an
/// artifact is about nobody.
fn warn_about_nobody(session: &mut Session, policy: &Policy) {
    let Some(first) = policy.network.first() else { return };
    if policy.inventory.workloads.is_empty() && policy.inventory.nodes.is_empty() {
        let span = session.origins.get(first.origin).and_then(|info| info.span);
        session.sink.push(codes::no_subjects(span));
    }
}

fn back_end(
    session: &Session,
    policy: &Policy,
    decided: &Decided,
) -> Result<(Lowered, Compiled), CodegenError> {
    let mut lowered = lower(policy, decided)?;
    optimise(&mut lowered)?;
    let compiled = assemble(session, &lowered)?;
    Ok((lowered, compiled))
}

fn finding(error: &CodegenError) -> Diagnostic {
    match error {
        CodegenError::Internal(message) => codes::internal(message),
        CodegenError::Limit { .. } => codes::limit(&error.to_string()),
    }
}

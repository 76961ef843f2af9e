//! Verifying what was built, and recording who found what.
//!
//! A program of ours that is rejected is a bug of ours: the finding names the
//! rule's line and shows only the instructions that matter.

mod check;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use check::{Check, CheckDocument};

use policyc_base::{Diagnostic, Origin};
use policyc_bpf::{Artifact, Evidence, Finding, Level};
use policyc_verify::{ENGINE, Failure, Outcome, ProgramReport, Rejection, View};

use crate::codes;
use crate::session::Session;

/// Whoever checks in this house has the house's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long the second opinion may take for a whole artifact.
const OPINION_BUDGET: Duration = Duration::from_secs(60);

/// Verifies every program at the levels `structural` and `kernel` (where this
/// process may load programs), asks for the second opinion, and records all in the
/// artifact. Rejections become findings. What is not well-formed is shown to
/// nobody else. `step` hears what is being done.
pub fn verify_here(
    session: &mut Session,
    artifact: &mut Artifact,
    step: &dyn Fn(&str),
) -> Vec<Check> {
    step("checking the bytecode");
    let mut checks = vec![structural(session, artifact)];
    if !checks[0].is_clean() {
        return checks;
    }
    step("asking for a second opinion");
    checks.push(second_opinion(artifact));
    step("asking this kernel");
    let reports = policyc_verify::verify_kernel(artifact.object());
    checks.push(record_kernel(session, artifact, &reports));
    checks
}

/// The level `structural`, without privilege and in this process.
fn structural(session: &mut Session, artifact: &mut Artifact) -> Check {
    let failures = policyc_verify::verify_structural(artifact.object());
    for failure in &failures {
        let finding = structural_finding(session, failure);
        session.sink.push(finding);
    }
    let engine = Engine { level: Level::Structural, name: "policyc", version: VERSION };
    let mut check = engine.check(artifact);
    for program in names(artifact) {
        let failure = failures.iter().find(|f| f.program.as_ref().is_none_or(|p| *p == program));
        let finding = failure.map_or(Finding::Accepted, |f| Finding::Rejected {
            insn: f.insn,
            reason: f.explanation.clone(),
        });
        let evidence = engine.evidence(artifact, &program, finding);
        record(artifact, &mut check, evidence);
    }
    check
}

/// Records what a kernel said and turns rejections into findings.
pub fn record_kernel(
    session: &mut Session,
    artifact: &mut Artifact,
    reports: &[ProgramReport],
) -> Check {
    let engine = Engine { level: Level::Kernel, name: "linux", version: VERSION };
    let mut check = engine.check(artifact);
    check.kernel = reports.first().map(|report| report.kernel.clone());
    for report in reports {
        let (finding, processed) = match &report.outcome {
            Outcome::Verified(cost) => (Finding::Accepted, Some(u64::from(cost.insns_processed))),
            Outcome::Rejected(rejection) => {
                let finding = rejection_finding(session, report, rejection);
                session.sink.push(finding);
                let reason = rejection.message.clone();
                (Finding::Rejected { insn: rejection.insn, reason }, None)
            }
            Outcome::NotRun(why) => {
                check.not_run.get_or_insert_with(|| why.clone());
                continue;
            }
        };
        let evidence = engine.evidence(artifact, &report.program, finding);
        let kernel = Some(report.kernel.clone());
        record(artifact, &mut check, Evidence { kernel, processed, ..evidence });
    }
    check
}

/// Asks for the second opinion and records it; disagreement is shown, not fatal.
fn second_opinion(artifact: &mut Artifact) -> Check {
    let opinions = policyc_verify::second_opinion(artifact.object(), OPINION_BUDGET);
    let (name, version) = ENGINE.split_once(' ').unwrap_or((ENGINE, ""));
    let engine = Engine { level: Level::Model, name, version };
    let mut check = Check { advisory: true, ..engine.check(artifact) };
    for opinion in opinions {
        let finding = match opinion.view {
            View::Agree => Finding::Accepted,
            View::Disagree(reason) => Finding::Rejected { insn: None, reason },
            View::NoOpinion(why) => {
                check.not_run.get_or_insert(why);
                continue;
            }
        };
        let evidence = engine.evidence(artifact, &opinion.program, finding);
        record(artifact, &mut check, Evidence { advisory: true, ..evidence });
    }
    check
}

/// Who checks.
struct Engine<'a> {
    level: Level,
    name: &'a str,
    version: &'a str,
}

impl Engine<'_> {
    /// A check that has found nothing yet.
    fn check(&self, artifact: &Artifact) -> Check {
        Check {
            level: self.level,
            engine: self.name.to_owned(),
            kernel: None,
            advisory: false,
            found: Vec::new(),
            programs: artifact.object().programs.len(),
            not_run: None,
        }
    }

    /// A record about one program that no kernel was asked about.
    fn evidence(&self, artifact: &Artifact, program: &str, finding: Finding) -> Evidence {
        Evidence {
            content: artifact.hash(),
            program: program.to_owned(),
            level: self.level,
            engine: self.name.to_owned(),
            engine_version: self.version.to_owned(),
            kernel: None,
            processed: None,
            advisory: false,
            finding,
        }
    }
}

fn names(artifact: &Artifact) -> Vec<String> {
    artifact.object().programs.iter().map(|program| program.name.clone()).collect()
}

fn record(artifact: &mut Artifact, check: &mut Check, evidence: Evidence) {
    // INVARIANT: the evidence names the artifact's own content, which is all that
    // recording can object to.
    let _ = artifact.record(evidence.clone());
    check.found.push(evidence);
}

fn structural_finding(session: &Session, failure: &Failure) -> Diagnostic {
    let program = failure.program.as_deref().unwrap_or("the object");
    let message = format!("{program} is not well-formed: {}", failure.explanation);
    at_rule(session, codes::rejected(&message), failure.origin)
}

fn rejection_finding(
    session: &Session,
    report: &ProgramReport,
    rejection: &Rejection,
) -> Diagnostic {
    let kernel = &report.kernel;
    let message = rejection.message.lines().next().unwrap_or_default();
    let message = format!("kernel {kernel} rejects program `{}`: {message}", report.program);
    let finding = at_rule(session, codes::rejected(&message), rejection.origin);
    if rejection.slice.is_empty() {
        return finding;
    }
    let slice = rejection.slice.join("\n");
    finding.with_help(format!("{}\n\nthe path to it ends with\n{slice}", codes::REPORT_IT))
}

/// The finding at the line of the rule that the instruction was made for.
fn at_rule(session: &Session, finding: Diagnostic, origin: Option<Origin>) -> Diagnostic {
    let info = origin.and_then(|origin| session.origins.get(origin));
    finding.at(info.and_then(|info| info.span))
}

//! Verifying what was built, and recording who found what.
//!
//! A program of ours that is rejected is a bug of ours: the finding names the
//! rule's line and shows only the instructions that matter.

use std::time::Duration;

use policyc_base::{Diagnostic, Origin};
use policyc_bpf::{Artifact, Evidence, Finding, Level};
use policyc_verify::{ENGINE, Failure, Outcome, ProgramReport, Rejection, View};

use crate::codes;
use crate::session::Session;

/// How long the second opinion may take for a whole artifact.
const OPINION_BUDGET: Duration = Duration::from_secs(20);

/// What verification came to, for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// One line for each level.
    pub lines: Vec<String>,
}

/// Verifies every program at the levels `structural` and `kernel` (where this
/// process may load programs), asks for the second opinion, and records all in the
/// artifact. Rejections become findings.
pub fn verify_here(session: &mut Session, artifact: &mut Artifact) -> Summary {
    let mut summary = Summary::default();
    let failures = policyc_verify::verify_structural(artifact.object());
    record_structural(artifact, &failures);
    for failure in &failures {
        let finding = structural_finding(session, failure);
        session.sink.push(finding);
    }
    if !failures.is_empty() {
        return summary;
    }
    summary.lines.push("verified: structural".to_owned());
    summary.lines.extend(second_opinion(artifact));
    let reports = policyc_verify::verify_kernel(artifact.object());
    summary.lines.push(kernel_line(&reports));
    record_kernel(session, artifact, &reports);
    summary
}

/// Records what a kernel said and turns rejections into findings.
pub fn record_kernel(session: &mut Session, artifact: &mut Artifact, reports: &[ProgramReport]) {
    for report in reports {
        let (finding, processed) = match &report.outcome {
            Outcome::Verified(cost) => (Finding::Accepted, Some(u64::from(cost.insns_processed))),
            Outcome::Rejected(rejection) => {
                let finding = rejection_finding(session, report, rejection);
                session.sink.push(finding);
                let reason = rejection.message.clone();
                (Finding::Rejected { insn: rejection.insn, reason }, None)
            }
            Outcome::NotRun(_) => continue,
        };
        record(
            artifact,
            Evidence {
                content: artifact.hash(),
                program: report.program.clone(),
                level: Level::Kernel,
                engine: "linux".into(),
                engine_version: env!("CARGO_PKG_VERSION").into(),
                kernel: Some(report.kernel.clone()),
                processed,
                advisory: false,
                finding,
            },
        );
    }
}

/// One line about what a kernel said of all programs.
pub fn kernel_line(reports: &[ProgramReport]) -> String {
    let kernel = reports.first().map_or("", |r| r.kernel.as_str());
    let not_run = reports.iter().find_map(|report| match &report.outcome {
        Outcome::NotRun(why) => Some(why.as_str()),
        Outcome::Verified(_) | Outcome::Rejected(_) => None,
    });
    if let Some(why) = not_run {
        return format!("not verified: kernel {kernel} ({why})");
    }
    let processed = reports.iter().filter_map(|report| match report.outcome {
        Outcome::Verified(cost) => Some(cost.insns_processed),
        Outcome::Rejected(_) | Outcome::NotRun(_) => None,
    });
    let most = processed.max().unwrap_or(0);
    let verb = if reports.iter().all(ProgramReport::is_verified) { "verified" } else { "rejected" };
    format!("{verb}: kernel {kernel} (at most {most} instructions processed)")
}

fn record(artifact: &mut Artifact, evidence: Evidence) {
    // INVARIANT: the evidence names the artifact's own content, which is all that
    // recording can object to.
    let _ = artifact.record(evidence);
}

fn record_structural(artifact: &mut Artifact, failures: &[Failure]) {
    let programs: Vec<_> = artifact.object().programs.iter().map(|p| p.name.clone()).collect();
    for program in programs {
        let failure = failures.iter().find(|f| f.program.as_ref().is_none_or(|p| *p == program));
        let finding = failure.map_or(Finding::Accepted, |f| Finding::Rejected {
            insn: f.insn,
            reason: f.explanation.clone(),
        });
        record(
            artifact,
            Evidence {
                content: artifact.hash(),
                program,
                level: Level::Structural,
                engine: "policyc".into(),
                engine_version: env!("CARGO_PKG_VERSION").into(),
                kernel: None,
                processed: None,
                advisory: false,
                finding,
            },
        );
    }
}

/// Asks for the second opinion and records it; disagreement is shown, not fatal.
fn second_opinion(artifact: &mut Artifact) -> Vec<String> {
    let opinions = policyc_verify::second_opinion(artifact.object(), OPINION_BUDGET);
    let (engine, version) = ENGINE.split_once(' ').unwrap_or((ENGINE, ""));
    let mut lines = Vec::new();
    let mut agreed = 0;
    for opinion in &opinions {
        let finding = match &opinion.view {
            View::Agree => {
                agreed += 1;
                Finding::Accepted
            }
            View::Disagree(why) => {
                let first = why.lines().next().unwrap_or_default();
                lines.push(format!("second opinion: {engine} doubts {}: {first}", opinion.program));
                Finding::Rejected { insn: None, reason: why.clone() }
            }
            View::NoOpinion(_) => continue,
        };
        record(
            artifact,
            Evidence {
                content: artifact.hash(),
                program: opinion.program.clone(),
                level: Level::Model,
                engine: engine.into(),
                engine_version: version.into(),
                kernel: None,
                processed: None,
                advisory: true,
                finding,
            },
        );
    }
    lines.push(format!("second opinion: {engine} agrees on {agreed} of {}", opinions.len()));
    lines
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
    finding.with_help(rejection.slice.join("\n"))
}

/// The finding at the line of the rule that the instruction was made for.
fn at_rule(session: &Session, finding: Diagnostic, origin: Option<Origin>) -> Diagnostic {
    let info = origin.and_then(|origin| session.origins.get(origin));
    finding.at(info.and_then(|info| info.span))
}

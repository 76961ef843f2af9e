//! What one engine found of all programs, as people and programs read it.

use policyc_bpf::{Artifact, Evidence, Finding, Level};
use serde::Serialize;

/// One engine's word on an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// How much it says.
    pub level: Level,
    /// Who was asked: `policyc`, `prevail`, `linux`.
    pub engine: String,
    /// Release of the kernel that was asked; `None` without one.
    pub kernel: Option<String>,
    /// Asked only for a second opinion: a rejection is shown and decides nothing.
    pub advisory: bool,
    /// What was found, by program. Programs about which nothing was found out are
    /// not among them.
    pub found: Vec<Evidence>,
    /// How many programs there are.
    pub programs: usize,
    /// Why nothing was found out about the others, if there are any.
    pub not_run: Option<String>,
}

/// A check, for programs.
#[derive(Serialize)]
pub struct CheckDocument<'a> {
    level: Level,
    engine: &'a str,
    kernel: Option<&'a str>,
    advisory: bool,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    programs: Vec<ProgramDocument<'a>>,
}

#[derive(Serialize)]
struct ProgramDocument<'a> {
    program: &'a str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

impl Check {
    /// Whether no program was rejected; those that nobody looked at were not.
    pub fn is_clean(&self) -> bool {
        self.rejected().next().is_none()
    }

    fn rejected(&self) -> impl Iterator<Item = (&Evidence, &str)> {
        self.found.iter().filter_map(|record| match &record.finding {
            Finding::Accepted => None,
            Finding::Rejected { reason, .. } => Some((record, reason.as_str())),
        })
    }

    /// `verified`, `rejected` or `not verified`.
    fn verdict(&self) -> &'static str {
        match (self.is_clean(), &self.not_run) {
            (false, _) => "rejected",
            (true, Some(_)) => "not verified",
            (true, None) => "verified",
        }
    }

    /// Lines for people.
    pub fn lines(&self) -> Vec<String> {
        if self.advisory {
            return self.opinion_lines();
        }
        let verdict = self.verdict();
        let reason = self.not_run.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let line = match (&self.kernel, self.level) {
            (Some(kernel), _) => {
                let most = self.found.iter().filter_map(|record| record.processed).max();
                let most = most.map(|n| format!(" (at most {n} instructions processed)"));
                format!("{verdict}: kernel {kernel}{}{reason}", most.unwrap_or_default())
            }
            (None, Level::Structural) => format!("{verdict}: structural{reason}"),
            (None, Level::Model) => format!("{verdict}: model{reason}"),
            (None, Level::Kernel) => format!("{verdict}: kernel{reason}"),
        };
        vec![line]
    }

    fn opinion_lines(&self) -> Vec<String> {
        let engine = &self.engine;
        let doubts = self.rejected().map(|(record, reason)| {
            let reason = reason.lines().next().unwrap_or_default();
            format!("second opinion: {engine} doubts {}: {reason}", record.program)
        });
        let mut lines: Vec<_> = doubts.collect();
        let agreed = self.found.len() - lines.len();
        let reason = self.not_run.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        lines.push(format!(
            "second opinion: {engine} agrees on {agreed} of {}{reason}",
            self.programs
        ));
        lines
    }

    /// The check for programs; `artifact` says at which lines instructions are.
    pub fn document<'a>(&'a self, artifact: &Artifact) -> CheckDocument<'a> {
        let programs = self.found.iter().map(|record| program(record, artifact));
        CheckDocument {
            level: self.level,
            engine: &self.engine,
            kernel: self.kernel.as_deref(),
            advisory: self.advisory,
            verdict: self.verdict(),
            reason: self.not_run.as_deref(),
            programs: programs.collect(),
        }
    }
}

fn program<'a>(record: &'a Evidence, artifact: &Artifact) -> ProgramDocument<'a> {
    let (verdict, insn, reason) = match &record.finding {
        Finding::Accepted => ("verified", None, None),
        Finding::Rejected { insn, reason } => ("rejected", *insn, Some(reason.as_str())),
    };
    let at = insn.and_then(|insn| place(artifact, &record.program, insn));
    let (program, processed) = (record.program.as_str(), record.processed);
    ProgramDocument { program, verdict, processed, insn, reason, at }
}

/// `file:line:column` of the rule that an instruction was made for.
fn place(artifact: &Artifact, program: &str, insn: u32) -> Option<String> {
    use policyc_base::EntityId as _;
    let object = artifact.object();
    let program = object.programs.iter().find(|p| p.name == program)?;
    let origin = program.origins.get(insn as usize).copied().flatten()?;
    let line = object.lines.get(origin.index()).filter(|line| line.line > 0)?;
    Some(format!("{}:{}:{}", line.file, line.line, line.column))
}

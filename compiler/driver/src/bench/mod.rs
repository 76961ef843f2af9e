//! What a packet costs: generated policies beside programs that do nothing.
//!
//! Guarantees: every program gives the verdicts of the oracle before it is
//! measured, and in every round. Programs are measured in turn, round by round, so
//! that what disturbs the machine disturbs all of them.
//! Does not know: what a network card, a queue or an application would add.
//!
//! A figure is CPU time of this thread over `BPF_PROG_TEST_RUN`, so it has the
//! kernel's loop around a run in it; the empty program is that loop. Only ratios of
//! one run say something.

mod conversation;
pub mod patch;
mod policy;
mod rig;
mod statistics;

use policyc_sys::SysError;
use serde::Serialize;

use policy::{Generated, Naming};
use rig::{Measured, Rig};
pub use statistics::{GROUPS, median_of_medians};

/// How many rules the generated policies have.
pub const RULES: [usize; 2] = [10, 1000];
/// Different packets of the column `random`.
pub const PACKETS: usize = 64;
/// Runs of one program in one round.
pub const REPEAT: u32 = 50_000;

/// What one program costs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// `tc ingress` or `xdp`.
    pub hook: &'static str,
    /// `empty`, `parse only`; `10 rules`, `1000 rules`, `10 rules of sets`, which see first
    /// packets; with 10 rules a segment of `no connection`, of an `established` one, and a
    /// `reply`.
    pub program: String,
    /// The same packet again and again.
    pub hot: Figure,
    /// Different packets in turn.
    pub random: Figure,
}

/// One figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// Nanoseconds of one packet.
    pub ns: f64,
    /// Divided by what the empty program of this hook and column costs.
    pub ratio: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The kernel said no.
    #[error(transparent)]
    Kernel(#[from] SysError),
    /// A program does not say what it should: what it costs does not matter then.
    #[error("`{program}` returned {returned}, and {expected} was expected")]
    Verdict {
        /// Its name.
        program: String,
        /// What it returned.
        returned: u32,
        /// What it should have.
        expected: u32,
    },
    /// The runtime said no.
    #[error(transparent)]
    Runtime(#[from] policyc_runtime::Error),
    /// A bug of policyc.
    #[error("this is a bug in policyc: {0}")]
    Internal(String),
}

/// Measures everything in this many rounds. `step` hears what is being done.
///
/// # Errors
/// When the kernel refuses something, or a verdict is not the oracle's.
pub fn run(rounds: usize, step: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    step("compiling the policies");
    let policies = generated()?;
    step("loading the programs");
    let rig = Rig::new(&policies)?;
    rig.check()?;
    let mut samples: Vec<[Vec<f64>; 2]> = vec![Default::default(); rig.measured().len()];
    for round in 0..rounds {
        step(&format!("round {} of {rounds}", round + 1));
        for position in 0..samples.len() {
            // Whoever comes first in a round would always be first.
            let index = (position + round) % samples.len();
            let [hot, random] = &mut samples[index];
            hot.push(rig.hot(index)?);
            random.push(rig.random(index)?);
        }
    }
    Ok(rows(rig.measured(), &samples))
}

/// Every number of rules with prefixes, and the least with run-time sets.
fn generated() -> Result<Vec<Generated>, BenchError> {
    let [prefixes, sets @ ..] = Naming::ALL;
    let mut policies = Vec::new();
    for rules in RULES {
        policies.push(Generated::new(rules, prefixes)?);
    }
    for naming in sets {
        policies.push(Generated::new(RULES[0], naming)?);
    }
    Ok(policies)
}

fn rows(measured: &[Measured], samples: &[[Vec<f64>; 2]]) -> Vec<Row> {
    let medians = samples.iter().map(|columns| columns.each_ref().map(|c| median_of_medians(c)));
    let medians: Vec<[f64; 2]> = medians.collect();
    let empty = |hook| measured.iter().position(|m| m.is_empty && m.hook == hook);
    let row = |(measured, medians_of_row): (&Measured, &[f64; 2])| {
        // INVARIANT: the rig measures an empty program at every hook.
        let empty = empty(measured.hook).map_or([1.0; 2], |index| medians[index]);
        let figure = |column: usize| Figure {
            ns: medians_of_row[column],
            ratio: medians_of_row[column] / empty[column],
        };
        let (hook, program) = (rig::hook_name(measured.hook), measured.title.clone());
        Row { hook, program, hot: figure(0), random: figure(1) }
    };
    measured.iter().zip(&medians).map(row).collect()
}

//! All engines side by side, held against the oracle.

use std::collections::BTreeMap;

use policyc::engine::{
    Bir, Bytecode, DecisionGraph, Engine, EngineError, FlowVerdict, Kernel, Oracle, PROGRAM_KINDS,
    PacketEngine, ProgramSet,
};
use policyc::pipeline::{Built, Policy};
use policyc_codegen::lower::Lowered;
use policyc_decision::network::NetworkDecision;
use policyc_policy::network::Flow;

/// Which engines take part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The decision graph and bytecode for tc: what is fast enough for everything.
    Short,
    /// Every engine that needs no kernel, with every kind of program.
    Interpreters,
    /// The kernel too.
    All,
}

/// One engine.
struct Contestant<'a> {
    name: String,
    /// Whether it judges what subjects send.
    egress: bool,
    engine: Box<dyn Engine + 'a>,
}

/// The oracle and those that must agree with it.
pub(crate) struct Lineup<'a> {
    oracle: Oracle<'a>,
    contestants: Vec<Contestant<'a>>,
}

/// The oracle of a policy.
pub(crate) fn oracle(policy: &Policy) -> Oracle<'_> {
    Oracle { rules: &policy.network, inventory: &policy.inventory, dialect: policy.dialect }
}

/// The interpreter of BIR with its tables.
pub(crate) fn bir<'a>(
    lowered: &'a Lowered,
    decision: &'a NetworkDecision,
    programs: ProgramSet,
) -> Result<Bir<'a>, EngineError> {
    let flat = lowered.maps.values().filter(|map| !map.contents.is_empty());
    let tables = flat.map(|map| (map.name.as_str(), map.contents.as_slice()));
    Bir::new(&lowered.module, tables, decision, programs)
}

impl<'a> Lineup<'a> {
    /// The engines for a build, which has network policy.
    pub(crate) fn new(built: &'a Built, field: Field) -> Result<Self, EngineError> {
        let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
        let mut lineup = Self { oracle: oracle(&built.policy), contestants: Vec::new() };
        lineup.add("decision", true, DecisionGraph { decision });
        if field == Field::Short {
            lineup.add_programs(Bytecode::new(object, decision, ProgramSet::Tc)?);
            return Ok(lineup);
        }
        for programs in PROGRAM_KINDS {
            lineup.add_programs(bir(&built.lowered, decision, programs)?);
            lineup.add_programs(Bytecode::new(object, decision, programs)?);
            if field == Field::All {
                lineup.add_programs(Kernel::new(object, decision, programs)?);
            }
        }
        Ok(lineup)
    }

    fn add(&mut self, name: &str, egress: bool, engine: impl Engine + 'a) {
        let contestant = Contestant { name: name.to_owned(), egress, engine: Box::new(engine) };
        self.contestants.push(contestant);
    }

    fn add_programs(&mut self, engine: impl PacketEngine + 'a) {
        let programs = engine.programs();
        let set = format!("{programs:?}").to_lowercase();
        let name = format!("{}/{set}", PacketEngine::name(&engine));
        self.add(&name, programs != ProgramSet::Xdp, engine);
    }

    /// What the oracle says, after every engine was asked and agreed.
    ///
    /// # Errors
    /// Who did not, in words.
    pub(crate) fn judge(&mut self, flow: &Flow, tally: &mut Tally) -> Result<FlowVerdict, String> {
        let judge = |engine: &mut dyn Engine| {
            engine.judge(flow).map_err(|error| format!("{flow:?}: {error}"))
        };
        let expected = judge(&mut self.oracle)?;
        for Contestant { name, egress, engine } in &mut self.contestants {
            let verdict = judge(engine.as_mut())?;
            let expected =
                if *egress { expected } else { FlowVerdict { egress: None, ..expected } };
            if !verdict.agrees(&expected) {
                return Err(format!("{flow:?}: oracle {expected:?}, {name} {verdict:?}"));
            }
            tally.count(name, &verdict);
        }
        Ok(expected)
    }
}

/// How much was compared, by engine: verdicts of ends, and reasons among them.
#[derive(Default)]
pub(crate) struct Tally {
    engines: BTreeMap<String, (usize, usize)>,
}

impl Tally {
    fn count(&mut self, engine: &str, verdict: &FlowVerdict) {
        let ends = [verdict.egress, verdict.ingress].into_iter().flatten();
        let (verdicts, reasons) = self.engines.entry(engine.to_owned()).or_default();
        for end in ends {
            *verdicts += 1;
            *reasons += usize::from(end.reason.is_some());
        }
    }

    /// `decision 12 (12 with reason), …`
    pub(crate) fn line(&self) -> String {
        let engines = self.engines.iter().map(|(name, (verdicts, reasons))| {
            if verdicts == reasons {
                format!("{name} {verdicts}")
            } else {
                format!("{name} {verdicts} ({reasons} with reason)")
            }
        });
        engines.collect::<Vec<_>>().join(", ")
    }
}

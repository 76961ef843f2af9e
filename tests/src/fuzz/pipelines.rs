//! Everything behind the readers: what was accepted compiles, verifies and means
//! the same at every stage.

use policyc::engine::{
    Bir, Bytecode, DecisionGraph, Engine, FlowVerdict, Oracle, PROGRAM_KINDS, ProgramSet,
};
use policyc::pipeline::{self, Compiled, Decided, Policy};
use policyc::session::Session;
use policyc_base::PrimaryMap;
use policyc_bpf::interp::Skb;
use policyc_bpf::{Judges, MapRole, MapSpec, Object, ProgramKind, Style};
use policyc_codegen::backend::{self, BackendError, Features, ProgramOptions};
use policyc_codegen::lower::Lowered;
use policyc_codegen::opt::{self, PassSet};
use policyc_ir as ir;
use policyc_policy::network::{Dialect, Flow};
use policyc_verify::{Obligation, verify_structural};

use super::choices::Choices;
use super::documents::DIALECTS;
use super::programs::read_bir;
use super::{flows, functions, policies as generator, text};

/// Flows for the decision graph, which is quick, and for programs.
const FLOWS: usize = 200;
const FLOWS_FOR_PROGRAMS: usize = 24;

/// Any text with policies.
pub fn policy_text(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for dialect in DIALECTS {
        through(text, dialect);
    }
}

/// Policies made from bytes.
pub fn policies(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let dialect = choices.pick(&DIALECTS);
    through(&generator::text(&mut choices), dialect);
}

/// Any text with tracing policies: what is accepted compiles and verifies.
pub fn tracing_text(bytes: &[u8]) {
    if let Some(text) = text(bytes)
        && text.contains("TracingPolicy")
    {
        through(text, Dialect::default());
    }
}

/// The whole road, with the oracle asked at its end.
fn through(text: &str, dialect: Dialect) {
    let (mut session, input) = flows::session(text, dialect);
    let policy = pipeline::read(&mut session, &input);
    if session.sink.has_errors() || policy.network.is_empty() && policy.tracing.is_empty() {
        return;
    }
    let decided = pipeline::decide(&policy);
    let (lowered, compiled) = compile(&session, &policy, &decided, text);
    let failures = verify_structural(&compiled.object);
    assert!(failures.is_empty(), "{failures:?}\n{text}");
    agree(&policy, &decided, &lowered, &compiled, text);
}

fn compile(
    session: &Session,
    policy: &Policy,
    decided: &Decided,
    text: &str,
) -> (Lowered, Compiled) {
    let made = pipeline::lower(policy, decided).and_then(|mut lowered| {
        pipeline::optimise(&mut lowered)?;
        let compiled = pipeline::assemble(session, &lowered)?;
        Ok((lowered, compiled))
    });
    made.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Asks every engine that needs no kernel.
fn agree(policy: &Policy, decided: &Decided, lowered: &Lowered, compiled: &Compiled, text: &str) {
    let Some(decision) = &decided.network else { return };
    let mut oracle =
        Oracle { rules: &policy.network, inventory: &policy.inventory, dialect: policy.dialect };
    let mut compare = |engine: &mut dyn Engine, flows: &[Flow], judges_egress: bool| {
        for flow in flows {
            let expected = judge(&mut oracle, flow, text);
            let egress = expected.egress.filter(|_| judges_egress);
            let expected = FlowVerdict { egress, ..expected };
            let found = judge(engine, flow, text);
            let name = engine.name();
            assert!(
                found.agrees(&expected),
                "{flow:?}: oracle {expected:?}, {name} {found:?}\n{text}"
            );
        }
    };
    let edges = flows::at_the_edges(policy, FLOWS);
    compare(&mut DecisionGraph { decision }, &edges, true);
    let few: Vec<Flow> =
        edges.iter().step_by(edges.len().div_ceil(FLOWS_FOR_PROGRAMS).max(1)).copied().collect();
    for programs in PROGRAM_KINDS {
        let judges_egress = programs != ProgramSet::Xdp;
        let bytecode = Bytecode::new(&compiled.object, decision, programs);
        let mut bytecode = bytecode.unwrap_or_else(|error| panic!("{error}\n{text}"));
        compare(&mut bytecode, &few, judges_egress);
        let flat = lowered.maps.values().filter(|map| !map.contents.is_empty());
        let tables = flat.map(|map| (map.name.as_str(), map.contents.as_slice()));
        let bir = Bir::new(&lowered.module, tables, decision, programs);
        let mut bir = bir.unwrap_or_else(|error| panic!("{error}\n{text}"));
        compare(&mut bir, &few, judges_egress);
    }
}

fn judge(engine: &mut dyn Engine, flow: &Flow, text: &str) -> FlowVerdict {
    engine.judge(flow).unwrap_or_else(|error| panic!("{flow:?}: {error}\n{text}"))
}

/// BIR made from bytes: it checks, and means the same optimised and compiled.
pub fn bir(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let module = functions::module(&mut choices);
    let findings = ir::check(&module);
    assert!(findings.is_empty(), "{}", ir::check::render(&module, &findings));
    let object = compile_bir(&module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut failures = verify_structural(&object);
    // What a hook takes for an answer is not the check's business.
    failures.retain(|failure| failure.obligation != Obligation::ExitValue);
    assert!(failures.is_empty(), "{failures:?}\n{}", listing(&module, &object));
    let mut optimised = module.clone();
    let done = opt::optimise(&mut optimised, PassSet::all());
    assert!(done.is_ok(), "{done:?}\n{module}");
    let better = compile_bir(&optimised).unwrap_or_else(|error| panic!("{error}\n{optimised}"));
    for packet in packets(&mut choices) {
        let expected = run_bir(&module, &packet);
        assert!(expected.is_ok(), "{expected:?}\n{module}");
        let compiled = run_bytecode(&object, &packet);
        assert_eq!(compiled, expected, "{packet:?}\n{}", listing(&module, &object));
        let optimised_run = run_bir(&optimised, &packet);
        assert_eq!(optimised_run, expected, "{packet:?}\n{module}\nbecame\n{optimised}");
        let compiled = run_bytecode(&better, &packet);
        assert_eq!(compiled, expected, "{packet:?}\n{}", listing(&optimised, &better));
    }
}

/// BIR from text: what checks and compiles computes the same as bytecode, as far
/// as it runs at all.
pub fn bir_text(bytes: &[u8]) {
    let Some(module) = text(bytes).and_then(read_bir) else { return };
    let is_large = |map: &ir::MapDecl| map.value_size > 4096 || map.max_entries > 4096;
    if !ir::check(&module).is_empty() || module.maps.values().any(is_large) {
        return;
    }
    let object = match compile_bir(&module) {
        Ok(object) => object,
        Err(error) => {
            assert!(!matches!(error, BackendError::Internal { .. }), "{error}\n{module}");
            return;
        }
    };
    for packet in [vec![], vec![0x45; 64], (0..=255).collect()] {
        // The check does not know which context fields and helpers there are.
        let (Ok(expected), Ok(found)) = (run_bir(&module, &packet), run_bytecode(&object, &packet))
        else {
            continue;
        };
        assert_eq!(found, expected, "{packet:?}\n{}", listing(&module, &object));
    }
}

/// What can be seen of a run: the result, the records sent, the contents of maps.
type Seen = (u64, Vec<Vec<u8>>, Vec<Vec<(Vec<u8>, Vec<u8>)>>);

fn packets(choices: &mut Choices<'_>) -> Vec<Vec<u8>> {
    let own = choices.0.iter().copied().cycle();
    let own = if choices.0.is_empty() { vec![0; 300] } else { own.take(300).collect() };
    vec![own, vec![], vec![0xff; 128], (0..=255).collect()]
}

/// Compiles the last function of a module.
fn compile_bir(module: &ir::Module) -> Result<Object, BackendError> {
    let mut object = Object::default();
    let maps: PrimaryMap<_, _> =
        module.maps.values().map(|decl| object.maps.push(spec(decl))).collect();
    let Some((id, func)) = module.functions.iter().last() else { return Ok(object) };
    let options = ProgramOptions {
        name: &func.name,
        kind: ProgramKind::Tc,
        judges: Judges::Ingress,
        maps: &maps,
        features: Features::default(),
    };
    let (program, _) = backend::compile(module, id, &options)?;
    object.programs.push(program);
    Ok(object)
}

fn spec(decl: &ir::MapDecl) -> MapSpec {
    use policyc_bpf::MapKind;
    MapSpec {
        name: decl.name.clone(),
        kind: match decl.kind {
            ir::MapKind::Array => MapKind::Array,
            ir::MapKind::PercpuArray => MapKind::PercpuArray,
            ir::MapKind::Hash => MapKind::Hash,
            ir::MapKind::LruHash => MapKind::LruHash,
            ir::MapKind::LpmTrie => MapKind::LpmTrie,
            ir::MapKind::ProgArray => MapKind::ProgArray,
            ir::MapKind::Ringbuf => MapKind::Ringbuf,
        },
        key_size: decl.key_size,
        value_size: decl.value_size,
        max_entries: decl.max_entries,
        // KERNEL: a trie without BPF_F_NO_PREALLOC is refused.
        flags: u32::from(decl.kind == ir::MapKind::LpmTrie),
        role: MapRole::Scratch,
        contents: Vec::new(),
    }
}

fn run_bir(module: &ir::Module, packet: &[u8]) -> Result<Seen, String> {
    let name = module.functions.values().last().map_or("", |func| func.name.as_str());
    let mut machine = ir::Machine::new(module);
    let outcome = machine.run(name, ir::interp::Context::skb(packet));
    let outcome = outcome.map_err(|fault| fault.to_string())?;
    let events = outcome.events.iter().map(|(_, event)| event.clone()).collect();
    let maps = module.maps.values().filter(|decl| is_seen(decl.kind)).map(|decl| {
        let map = machine.map(&decl.name);
        let keys: Vec<Vec<u8>> =
            map.map(|map| map.keys().map(<[u8]>::to_vec).collect()).unwrap_or_default();
        let entries = keys.into_iter().filter_map(|key| {
            let value = map?.get(&key)?;
            Some((key, value))
        });
        seen(entries)
    });
    let value = outcome.value().ok_or("no value")?;
    Ok((value & u64::from(u32::MAX), events, maps.collect()))
}

fn run_bytecode(object: &Object, packet: &[u8]) -> Result<Seen, String> {
    let name = object.programs.first().map_or("", |program| program.name.as_str());
    let mut machine = policyc_bpf::interp::Machine::new(object).map_err(|e| e.to_string())?;
    let outcome = machine.run(name, Skb::new(packet, 0)).map_err(|fault| fault.to_string())?;
    let events = outcome.events.iter().map(|event| event.data.clone()).collect();
    let shown = object.maps.ids().filter(|id| {
        let hidden = [policyc_bpf::MapKind::ProgArray, policyc_bpf::MapKind::Ringbuf];
        !hidden.contains(&object.maps[*id].kind)
    });
    let maps = shown.map(|id| seen(machine.map(id).map(|map| map.entries()).unwrap_or_default()));
    Ok((outcome.ret & u64::from(u32::MAX), events, maps.collect()))
}

fn is_seen(kind: ir::MapKind) -> bool {
    !matches!(kind, ir::MapKind::ProgArray | ir::MapKind::Ringbuf)
}

/// Entries by key. An entry of an array exists whether it was touched or not.
fn seen(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let touched = entries.into_iter().filter(|(_, value)| value.iter().any(|byte| *byte != 0));
    let mut entries: Vec<_> = touched.collect();
    entries.sort();
    entries
}

fn listing(module: &ir::Module, object: &Object) -> String {
    let program = object.programs.first();
    let code = program.map(|program| policyc_bpf::print_program(object, program, Style::DUMP));
    format!("{module}\n{}", code.unwrap_or_default())
}

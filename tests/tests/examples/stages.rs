//! What a fixture's policies become at each stage, as text.

use policyc::{manifest, size};
use policyc_bpf::{Object, Style, print_object};
use policyc_decision::{network, tracing};

use crate::example::Build;

/// The names of the stages.
pub(crate) const NAMES: [&str; 4] = ["decision", "bir", "bpf", "cost"];

/// The stages with their texts. Programs of one artifact are alike, so one stands for
/// them: what judges ingress on tc, or the first of a tracing policy.
pub(crate) fn of(build: &Build) -> impl Iterator<Item = (&'static str, String)> {
    let Build { session, result } = build;
    let object = &result.compiled.object;
    let program = object.programs.iter().find(|program| program.name == "tc_ingress");
    let program = program.or(object.programs.first()).expect("there is a program").clone();
    let name = program.name.clone();
    let one = Object { programs: vec![program], ..object.clone() };
    let texts = [
        decision(build),
        function(&result.lowered.module.to_string(), &name),
        print_object(&one, Style::DUMP),
        size::cost(&manifest::manifest(session, result)),
    ];
    NAMES.into_iter().zip(texts)
}

fn decision(build: &Build) -> String {
    let (decided, origins) = (&build.result.decided, &build.session.origins);
    let network = decided.network.iter().map(|decision| network::print(decision, origins));
    let events = decided.events.iter().map(|decision| tracing::print(decision, origins));
    network.chain(events).collect()
}

/// The text of one function of a module.
fn function(module: &str, name: &str) -> String {
    let head = format!("func @{name}(");
    let start = module.find(&head).expect("the program is a function of the module");
    let text = &module[start..];
    let end = text.find("\n}\n").map_or(text.len(), |at| at + 3);
    text[..end].to_owned()
}

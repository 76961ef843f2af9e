//! What is built of `changing/first` says what `changing/later` says, as soon as groups and
//! workloads have the members of then: by `patch`, without another program.

use policyc::engine::{Bytecode, Engine as _, PROGRAM_KINDS, PacketEngine as _};
use policyc::fixture::Case;
use policyc::who;
use policyc::{manifest, members};
use policyc_bpf::sets::{Member, View};
use policyc_codegen::lower::set_tables::initial;
use policyc_runtime::Group;

use crate::example::{self, Build};

fn build(name: &str) -> (Build, Vec<Case>) {
    let mut all = example::all().into_iter();
    let example = all.find(|example| example.name == name).expect("an example");
    (example.build().expect("builds"), example.fixture.cases)
}

/// The members of the first artifact's sets, later.
fn view(first: &Build, later: &Build) -> View {
    let sets = manifest::manifest(&first.session, &first.result).sets;
    let groups: Vec<_> = sets.iter().map(|set| (set.id, Group::said(set))).collect();
    let given = groups.iter().map(|(id, group)| (*id, group));
    let given = members::of(given, &later.result.policy.inventory).expect("the same labels");
    let of = |id| &given.iter().find(|members| members.id == id).expect("is given").prefixes;
    let members = sets.iter().map(|set| {
        let parts = of(set.id).iter().flat_map(|prefix| set.part_of(*prefix));
        parts.map(Member::forever).collect()
    });
    View::new(&members.collect::<Vec<Vec<Member>>>()).expect("a view")
}

#[test]
fn what_was_built_first_says_what_is_true_later() {
    let ((first, _), (later, cases)) = (build("changing/first"), build("changing/later"));
    let decision = first.result.decided.network.as_ref().expect("network policy");
    let before = View::new(&initial(decision.sets.as_ref().expect("sets"))).expect("a view");
    for programs in PROGRAM_KINDS {
        let object = &first.result.compiled.object;
        let mut engine = Bytecode::new(object, decision, programs).expect("an engine");
        engine.change_members(&before, &view(&first, &later)).expect("stores");
        for case in &cases {
            let Case::Flow(case) = case else { continue };
            let port = who::port(&case.port).expect("a port");
            let inventory = &later.result.policy.inventory;
            for flow in who::flows(&case.from, &case.to, port, inventory).expect("flows") {
                let fate = engine.judge(&flow).expect("a verdict").fate();
                assert_eq!(fate, case.fate, "{programs:?} {case:?}");
            }
        }
    }
}

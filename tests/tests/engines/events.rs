//! Random tracing policies and events: bytecode reports what the oracle reports, with
//! the fields that the policy names.
//!
//! The kernel runs no tracepoint program on request, so it is compared on events
//! that happen, in the tests of what is live.

use std::collections::BTreeMap;

use policyc::manifest;
use policyc::observe::{self, FieldValue, Record};
use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc_bpf::interp::{Context, Machine};
use policyc_bpf::{Manifest, ProgramKind};
use policyc_policy::tracing::{self, Action, Event, Match, Value};
use policyc_target::{Hook, Profile};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value as Json, json};

use crate::random::check;
use crate::say::say;

const HOST: &str = include_str!("../../hosts/small.yaml");

/// Where user memory holds the text that a system call was given.
const TEXT_ADDRESS: u64 = 0x7000_0000;

/// An integer argument: position in the record, name, and the types it is read as.
type IntField = (u32, &'static str, &'static [&'static str]);

/// A hook with the fields that policies ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// Text by a pointer into user memory.
    Openat,
    /// Text within the record.
    Exec,
}

impl Which {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Openat => ("syscalls", "sys_enter_openat"),
            Self::Exec => ("sched", "sched_process_exec"),
        }
    }

    fn hook(self) -> Hook {
        let (category, event) = self.names();
        Hook::Tracepoint { category: category.to_owned(), event: event.to_owned() }
    }

    /// Position of the text among the fields.
    fn text(self) -> u32 {
        match self {
            Self::Openat => 6,
            Self::Exec => 4,
        }
    }

    fn ints(self) -> [IntField; 2] {
        match self {
            Self::Openat => [(5, "dfd", &["int32", "uint32"]), (7, "flags", &["uint32", "int32"])],
            Self::Exec => [(5, "pid", &["int32", "uint32"]), (6, "old_pid", &["int32"])],
        }
    }
}

/// One event as the kernel would hand it over.
#[derive(Clone, Debug)]
struct Fired {
    which: Which,
    ints: [i64; 2],
    /// `None`: the page is not in memory.
    text: Option<String>,
}

fn texts() -> impl Strategy<Value = String> {
    let known = ["", "/", "/tmp/", "/tmp/x", "/etc/passwd", "passwd", "x", "/tmp", "/tmp/x/passwd"];
    prop_oneof![
        4 => select(known.map(str::to_owned).to_vec()),
        1 => (250_usize..=254, select(vec!['x', 'd'])).prop_map(|(n, end)| long(n, end)),
    ]
}

/// A text of so many bytes.
fn long(length: usize, end: char) -> String {
    format!("/tmp/{}{end}", "y".repeat(length - 6))
}

fn ints() -> impl Strategy<Value = i64> {
    let known = [0, 1, 2, 3, 64, 65, 100, 577, -1, -100, 1 << 31, (1 << 31) - 1, i64::MIN, 1 << 32];
    prop_oneof![4 => select(known.to_vec()), 1 => any::<i64>()]
}

fn events() -> impl Strategy<Value = Fired> {
    let which = select(vec![Which::Openat, Which::Exec]);
    let text = prop_oneof![
        6 => texts().prop_map(Some),
        1 => (253_usize..=300).prop_map(|n| Some(long(n, 'x'))),
        1 => Just(None),
    ];
    (which, [ints(), ints()], text).prop_map(|(which, ints, text)| {
        // The record itself can always be read.
        let text = if which == Which::Exec { Some(text.unwrap_or_default()) } else { text };
        Fired { which, ints, text }
    })
}

fn text_filter() -> impl Strategy<Value = Json> {
    let operators = ["Equal", "NotEqual", "Prefix", "NotPrefix", "Postfix", "NotPostfix"];
    let values = prop::collection::vec(texts().prop_filter("not empty", |t| !t.is_empty()), 1..4);
    (select(operators.to_vec()), values)
        .prop_map(|(operator, values)| json!({"args": [0], "operator": operator, "values": values}))
}

fn int_filter() -> impl Strategy<Value = Json> {
    let operators = ["Equal", "NotEqual", "GreaterThan", "LessThan", "Mask"];
    let small = select(vec![1_i64, 2, 3, 64, 65, 100, 577, 2_147_483_646]);
    let values = prop::collection::vec(small, 1..4);
    (1_usize..=2, select(operators.to_vec()), values).prop_map(|(arg, operator, mut values)| {
        if matches!(operator, "GreaterThan" | "LessThan") {
            values.truncate(1);
        }
        let values: Vec<String> = values.iter().map(i64::to_string).collect();
        json!({"args": [arg], "operator": operator, "values": values})
    })
}

fn selectors() -> impl Strategy<Value = Json> {
    let filters = prop::collection::vec(prop_oneof![text_filter(), int_filter()], 0..4);
    (filters, select(vec![None, Some("Post"), Some("NoPost")])).prop_map(|(filters, action)| {
        let mut selector = json!({});
        if !filters.is_empty() {
            selector["matchArgs"] = json!(filters);
        }
        if let Some(action) = action {
            selector["matchActions"] = json!([{"action": action}]);
        }
        selector
    })
}

fn hooks() -> impl Strategy<Value = Json> {
    let which = select(vec![Which::Openat, Which::Exec]);
    let selectors = prop::collection::vec(selectors(), 0..5);
    (which, any::<[prop::sample::Index; 2]>(), selectors).prop_map(|(which, types, selectors)| {
        let (subsystem, event) = which.names();
        let mut args = vec![json!({"index": which.text(), "type": "string", "label": "path"})];
        for ((index, _, known), pick) in which.ints().into_iter().zip(types) {
            args.push(json!({"index": index, "type": pick.get(known)}));
        }
        let mut hook = json!({"subsystem": subsystem, "event": event, "args": args});
        if !selectors.is_empty() {
            hook["selectors"] = json!(selectors);
        }
        hook
    })
}

fn policies() -> impl Strategy<Value = String> {
    let two = prop::collection::vec(hooks(), 2);
    let one = two.prop_flat_map(|two| subsequence(two, 1..=2));
    prop::collection::vec(one, 1..4).prop_map(|policies| {
        let documents = policies.into_iter().enumerate().map(|(number, hooks)| {
            let document = json!({
                "apiVersion": "cilium.io/v1alpha1",
                "kind": "TracingPolicy",
                "metadata": {"name": format!("p{number}")},
                "spec": {"tracepoints": hooks},
            });
            format!("---\n{}", serde_yaml::to_string(&document).unwrap())
        });
        documents.collect()
    })
}

/// `None` if the policies are refused: filters that always or never hold are.
fn build(text: &str) -> Option<(Session, Built)> {
    let mut session = Session::new();
    let policies = vec![session.sources.add("policy.yaml", text)];
    let profile = Some(Profile::parse(HOST).unwrap());
    let input = Input { policies, profile, ..Input::default() };
    let built = pipeline::build(&mut session, &input)?;
    Some((session, built))
}

impl Fired {
    /// For the oracle.
    fn event(&self) -> Event {
        let text = self.text.clone().map_or(Value::Unreadable, |t| Value::Bytes(t.into_bytes()));
        let ints = self.which.ints().into_iter().zip(self.ints);
        let ints = ints.map(|((_, name, _), value)| (name.to_owned(), Value::Int(value.into())));
        let mut fields: BTreeMap<String, Value> = ints.collect();
        fields.insert("filename".to_owned(), text);
        Event { hook: self.which.hook(), fields }
    }

    /// For the program, laid out as `tests/hosts/small.yaml` says.
    fn record(&self) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        let text = self.text.clone().unwrap_or_default();
        match self.which {
            Which::Openat => {
                bytes[16..24].copy_from_slice(&self.ints[0].to_le_bytes());
                bytes[24..32].copy_from_slice(&TEXT_ADDRESS.to_le_bytes());
                bytes[32..40].copy_from_slice(&self.ints[1].to_le_bytes());
            }
            Which::Exec => {
                let location = 48 | ((text.len() as u32 + 1) << 16);
                bytes[8..12].copy_from_slice(&location.to_le_bytes());
                bytes[12..16].copy_from_slice(&(self.ints[0] as i32).to_le_bytes());
                bytes[16..20].copy_from_slice(&(self.ints[1] as i32).to_le_bytes());
                bytes.extend(text.bytes().chain([0]));
            }
        }
        bytes
    }
}

/// What the bytecode reports: where the selectors are written, and the fields.
fn reported(built: &Built, fired: &Fired) -> Vec<observe::Event> {
    let mut machine = Machine::new(&built.compiled.object).unwrap();
    if let (Which::Openat, Some(text)) = (fired.which, &fired.text) {
        let bytes: Vec<u8> = text.bytes().chain([0]).collect();
        machine.environment.user.insert(TEXT_ADDRESS, bytes);
    }
    let (category, event) = fired.which.names();
    let kind = ProgramKind::Tracepoint { category: category.into(), event: event.into() };
    let mut events = Vec::new();
    for program in built.compiled.object.programs.iter().filter(|p| p.kind == kind) {
        let outcome = machine.run(&program.name, Context::Tracepoint(fired.record()));
        let outcome = outcome.unwrap_or_else(|fault| panic!("{}: {fault}", program.name));
        assert_eq!(outcome.ret, 1, "others keep the event");
        for sent in outcome.events {
            match observe::decode(&sent.data) {
                Record::Event(event) => events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }
    events
}

/// A field as the oracle's event has it and the policy's type reads it.
fn expected_field(policy: &Built, found: &Match<'_>, at: usize, event: &Event) -> FieldValue {
    let tracing = policy.policy.tracing.iter().find(|p| p.name == found.policy).unwrap();
    let arg = &tracing.hooks[found.hook].args[at];
    match (&arg.kind, &event.fields[&arg.field.name]) {
        (tracing::ArgKind::Int(ty), Value::Int(value)) => {
            let value = ty.wrap(*value);
            match ty.signed {
                true => FieldValue::Signed(i64::try_from(value).unwrap()),
                false => FieldValue::Unsigned(u64::try_from(value).unwrap()),
            }
        }
        (_, Value::Bytes(bytes)) => {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let is_cut = text.len() > tracing::LONGEST_TEXT;
            let end = text.len().min(tracing::LONGEST_TEXT + 1);
            FieldValue::Text(text[..end].to_owned(), is_cut)
        }
        _ => FieldValue::Unreadable,
    }
}

fn compare(built: &Built, manifest: &Manifest, fired: &Fired) -> Result<usize, TestCaseError> {
    let event = fired.event();
    let mut expected = tracing::eval(&built.policy.tracing, &event);
    expected.retain(|found| !found.actions.contains(&Action::NoPost));
    let mut came = reported(built, fired);
    let outcomes = &built.decided.events.as_ref().unwrap().outcomes;
    let origin = |event: &observe::Event| outcomes[event.decision as usize].origin;
    expected.sort_by_key(|found| found.origin);
    came.sort_by_key(origin);
    let wanted: Vec<_> = expected.iter().map(|found| found.origin).collect();
    prop_assert_eq!(&wanted, &came.iter().map(origin).collect::<Vec<_>>(), "{:?}", fired);
    for (found, came) in expected.iter().zip(&came) {
        for (at, field) in came.fields(manifest).into_iter().enumerate() {
            prop_assert_eq!(field.value, expected_field(built, found, at, &event), "{:?}", fired);
        }
    }
    Ok(wanted.len())
}

#[test]
fn events_of_generated_policies() {
    let (mut refused, mut judged, mut posted) = (0, 0, 0);
    let strategy = (policies(), prop::collection::vec(events(), 40));
    check("random tracing policies", 400, &strategy, |(text, events)| {
        let Some((session, built)) = build(&text) else {
            refused += 1;
            return Ok(());
        };
        let manifest = manifest::manifest(&session, &built);
        for fired in &events {
            posted += compare(&built, &manifest, fired)?;
            judged += 1;
        }
        Ok(())
    });
    say(&format!(
        "events: {judged} on oracle and bytecode, {posted} reports alike, {refused} policies refused"
    ));
    assert!(judged > 0 && posted > 0, "nothing was compared");
}

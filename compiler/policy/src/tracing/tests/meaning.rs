//! What accepted policies mean.

use policyc_target::{Access, Hook, IntType};
use proptest::prelude::*;

use super::super::{
    Action, ArgKind, Event, IntRange, LONGEST_TEXT, Test, TextOp, Truth, Value, eval, eval_selector,
};
use super::{accepted, with_filter, with_hook};

const OPENAT: &str = "syscalls/sys_enter_openat";
const TEXT: &str = "{index: 6, type: string}";

fn event(fields: &[(&str, Value)]) -> Event {
    Event {
        hook: Hook::Tracepoint { category: "syscalls".into(), event: "sys_enter_openat".into() },
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}

fn text(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bytes(bytes.as_ref().to_vec())
}

/// What a filter says about one value.
fn says(arg: &str, filter: &str, field: &str, value: Value) -> Truth {
    let policy = accepted(&with_filter(OPENAT, arg, filter));
    let hook = &policy.hooks[0];
    eval_selector(&hook.selectors[0], &hook.args, &event(&[(field, value)]))
}

#[test]
fn a_policy_becomes_its_normal_form() {
    let policy = accepted(&with_hook(
        OPENAT,
        "message: opened, tags: [files],
         args: [{index: 5, label: dir}, {index: 6, type: string}],
         selectors: [{matchArgs: [{index: 5, operator: NotEqual, values: [3, 1, 2, -100]},
                                  {index: 6, operator: Prefix, values: [/tmp, /etc, /tmp]}],
                      matchActions: [{action: NoPost}]}]",
    ));
    let hook = &policy.hooks[0];
    assert_eq!(hook.hook.to_string(), "tracepoint syscalls/sys_enter_openat");
    assert_eq!(
        (hook.message.as_deref(), &hook.tags[..]),
        (Some("opened"), &["files".to_owned()][..])
    );
    let args: Vec<_> =
        hook.args.iter().map(|arg| (arg.field.name.as_str(), arg.kind, arg.field.access)).collect();
    let expected = [
        ("dfd", ArgKind::Int(IntType::signed(4)), Access::Record { offset: 16 }),
        ("filename", ArgKind::Text, Access::UserText { offset: 24 }),
    ];
    assert_eq!(args, expected);
    let [first, second] = &hook.selectors[0].filters[..] else { panic!() };
    let range = |first, last| IntRange { first, last };
    assert_eq!(first.test, Test::InRanges(vec![range(-100, -100), range(1, 3)]));
    assert!(first.negated);
    let values = vec![b"/etc".to_vec(), b"/tmp".to_vec()];
    assert_eq!(second.test, Test::Text { op: TextOp::Prefix, values });
    assert_eq!((second.arg, second.negated), (1, false));
    assert_eq!(hook.selectors[0].actions, [Action::NoPost]);
}

#[test]
fn no_selector_is_one_that_always_posts() {
    for selectors in ["", "selectors: []", "selectors: [{}]", "selectors: [{matchActions: []}]"] {
        let policy = accepted(&with_hook(OPENAT, selectors));
        let [only] = &policy.hooks[0].selectors[..] else { panic!("{selectors}") };
        assert!(only.filters.is_empty() && only.posts(), "{selectors}");
        assert_eq!(eval([&policy], &event(&[])).len(), 1);
    }
}

#[test]
fn integers_are_compared_with_their_sign_and_width() {
    use Truth::{No, Yes};
    let signed = "{index: 5}";
    let unsigned = "{index: 5, type: uint32}";
    let narrow = "{index: 5, type: int8}";
    let cases = [
        // A register holds -100 with any upper half.
        (signed, "Equal", "-100", 0xffff_ff9c, Yes),
        (signed, "Equal", "-100", -100, Yes),
        (signed, "Equal", "-100", 0xdead_0000_ffff_ff9c, Yes),
        (signed, "GreaterThan", "0", 0xffff_ff9c, No),
        (unsigned, "GreaterThan", "0", 0xffff_ff9c, Yes),
        (unsigned, "Equal", "4294967196", -100, Yes),
        (narrow, "Equal", "-1", 0xff, Yes),
        (narrow, "LessThan", "0", 0x80, Yes),
        (signed, "GreaterThan", "5", 5, No),
        (signed, "LessThan", "5", 5, No),
        (signed, "InRange", "-2:5", -2, Yes),
        (signed, "InRange", "-2:5", 6, No),
        (signed, "NotInRange", "-2:5", 6, Yes),
        (signed, "NotEqual", "6", 6, No),
        (signed, "Mask", "0x40", 0x41, Yes),
        (signed, "Mask", "0x40", 0x3f, No),
        (signed, "Mask", "0x80000000", -1, Yes),
        (narrow, "Mask", "-128", 0x80, Yes),
    ];
    for (arg, operator, value, given, expected) in cases {
        let filter = format!("operator: {operator}, values: [\"{value}\"]");
        let answer = says(arg, &filter, "dfd", Value::Int(given));
        assert_eq!(answer, expected, "{arg} {filter} {given:#x}");
    }
}

#[test]
fn texts_are_judged_as_far_as_they_are_known() {
    use Truth::{Maybe, No, Yes};
    let longest = "/".repeat(LONGEST_TEXT);
    let long = format!("/tmp/{}/nc", "x".repeat(LONGEST_TEXT));
    let cases = [
        ("Equal", "/bin/nc", text("/bin/nc"), Yes),
        ("Equal", "/bin/nc", text("/bin/nc\0rest"), Yes),
        ("Equal", "/bin/nc", text("/bin/nc2"), No),
        ("Equal", "", text(""), Yes),
        ("Prefix", "/etc/", text("/etc"), No),
        ("Prefix", "/etc/", text("/etc/"), Yes),
        ("Postfix", "/nc", text("/bin/nc"), Yes),
        ("Postfix", "/nc", text("nc"), No),
        ("NotPostfix", "/nc", text("/bin/nc"), No),
        ("Equal", longest.as_str(), text(&longest), Yes),
        ("Postfix", "/nc", text(&longest), No),
        ("Equal", longest.as_str(), text(format!("{longest}/")), No),
        ("Equal", "/nc", text(&long), No),
        ("NotEqual", "/nc", text(&long), Yes),
        ("Prefix", "/tmp/", text(&long), Yes),
        ("Prefix", "/etc/", text(&long), No),
        ("NotPrefix", "/etc/", text(&long), Yes),
        ("Postfix", "/nc", text(&long), Maybe),
        ("NotPostfix", "/nc", text(&long), Maybe),
        ("Equal", "/nc", Value::Unreadable, Maybe),
        ("NotPrefix", "/nc", Value::Unreadable, Maybe),
        ("Prefix", "ü", text(b"\xc3\xbc\xff"), Yes),
    ];
    for (operator, value, given, expected) in cases {
        let filter = format!("operator: {operator}, values: [\"{value}\"]");
        assert_eq!(says(TEXT, &filter, "filename", given.clone()), expected, "{filter} {given:?}");
    }
}

#[test]
fn the_first_selector_that_matches_acts_and_doubt_never_silences() {
    let allow = "{matchArgs: [{args: [0], operator: Postfix, values: [.log]}], matchActions: [{action: NoPost}]}";
    let watch = "{matchArgs: [{args: [0], operator: Prefix, values: [/etc]}, {args: [1], operator: Equal, values: [1]}]}";
    let fields = format!("args: [{TEXT}, {{index: 5}}], selectors: [{allow}, {watch}]");
    let policy = accepted(&with_hook(OPENAT, &fields));
    let long = format!("/etc/{}", "x".repeat(LONGEST_TEXT));
    let one = Value::Int(1);
    let cases = [
        (text("/etc/a.log"), one.clone(), Some((0, false, true))),
        (text("/etc/passwd"), one.clone(), Some((1, true, true))),
        (text("/etc/passwd"), Value::Int(2), None),
        (text("/tmp"), one.clone(), None),
        // It may end in `.log`, but that must not hide it.
        (text(&long), one.clone(), Some((1, true, true))),
        (Value::Unreadable, one, Some((1, true, false))),
        // One sure "no" is enough.
        (Value::Unreadable, Value::Int(2), None),
    ];
    for (name, dfd, expected) in cases {
        let event = event(&[("filename", name), ("dfd", dfd)]);
        let found = eval([&policy], &event);
        let posts = |at: usize| policy.hooks[0].selectors[at].posts();
        let found = found.first().map(|m| (m.selector, posts(m.selector), m.is_sure));
        assert_eq!(found, expected, "{event:?}");
    }
}

#[test]
fn every_policy_on_a_hook_acts_on_its_own() {
    let first = accepted(&with_hook(OPENAT, "").replace("name: test", "name: first"));
    let other = accepted(&with_hook("sched/sched_process_exec", ""));
    let second = accepted(&with_hook(OPENAT, "").replace("name: test", "name: second"));
    let found = eval([&first, &other, &second], &event(&[]));
    assert_eq!(found.iter().map(|m| m.policy).collect::<Vec<_>>(), ["first", "second"]);
}

proptest! {
    /// Positive operators ask for any of their values, negated ones for none.
    #[test]
    fn negation_turns_every_sure_answer(
        value in "[ab/]{1,3}", other in "[ab/]{1,3}", given in "[ab/]{0,5}",
    ) {
        for operator in ["Equal", "Prefix", "Postfix"] {
            let values = format!("values: [\"{value}\", \"{other}\"]");
            let one = says(TEXT, &format!("operator: {operator}, {values}"), "filename", text(&given));
            let not = says(TEXT, &format!("operator: Not{operator}, {values}"), "filename", text(&given));
            prop_assert_ne!(one, not);
            prop_assert_ne!(one, Truth::Maybe);
        }
    }

    #[test]
    fn ranges_hold_what_their_values_say(values in proptest::collection::vec(-5i8..=5, 1..6), given in any::<i8>()) {
        let written = values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ");
        let filter = format!("operator: Equal, values: [{written}]");
        let answer = says("{index: 5, type: int8}", &filter, "dfd", Value::Int(given.into()));
        prop_assert_eq!(answer, Truth::from(values.contains(&given)));
    }
}

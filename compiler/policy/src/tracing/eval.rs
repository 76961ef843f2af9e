//! The oracle: what a tracing policy says about one event.
//!
//! The plainest possible reading, and the only authority. Answers have three
//! values, because a program cannot know everything: of a text longer than
//! [`LONGEST_TEXT`] bytes only the beginning is known, and user memory may not be
//! readable at all.
//!
//! | text | `Equal` | `Prefix` | `Postfix` |
//! | --- | --- | --- | --- |
//! | at most 254 bytes | exact | exact | exact |
//! | longer | no | exact: values have at most 254 bytes | maybe |
//! | not readable | maybe | maybe | maybe |
//!
//! A negated operator turns yes and no round and leaves maybe. A selector is as sure
//! as its least sure filter; "maybe" matches a selector that reports and does not
//! match one that silences ([`Selector::posts`]). So a long or unreadable argument
//! can add an event that was not asked for, and can never hide one that was.

use std::collections::BTreeMap;

use policyc_base::Origin;
use policyc_target::Hook;

use super::types::{
    Action, Arg, ArgKind, Filter, LONGEST_TEXT, Selector, Test, TextOp, TracingHook, TracingPolicy,
};

/// The value of one field.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// An integer field, a pointer, or the first element of an array, as the kernel
    /// holds it.
    Int(i128),
    /// A text; it ends at its first NUL if it has one.
    Bytes(Vec<u8>),
    /// Memory that could not be read.
    Unreadable,
}

/// One event: a hook that fired.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// Which.
    pub hook: Hook,
    /// The fields by their names in the hook's schema. A field that is missing
    /// counts as unreadable.
    pub fields: BTreeMap<String, Value>,
}

/// An answer; ordered by sureness of a match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Truth {
    /// It does not hold.
    No,
    /// It cannot be known.
    Maybe,
    /// It holds.
    Yes,
}

impl Truth {
    const fn negated_if(self, negated: bool) -> Self {
        match (self, negated) {
            (Self::No, true) => Self::Yes,
            (Self::Yes, true) => Self::No,
            _ => self,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// A selector that an event matched.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Match<'p> {
    /// The policy's name.
    pub policy: &'p str,
    /// Position of the hook in the policy.
    pub hook: usize,
    /// Position of the selector in the hook.
    pub selector: usize,
    /// What is done.
    pub actions: &'p [Action],
    /// Where the selector is written.
    pub origin: Origin,
    /// Whether it is sure, or was taken because it could not be excluded.
    pub is_sure: bool,
}

/// Every match of an event: of each hook of each policy the first selector that
/// matches, in order.
pub fn eval<'p>(
    policies: impl IntoIterator<Item = &'p TracingPolicy>,
    event: &Event,
) -> Vec<Match<'p>> {
    let mut matches = Vec::new();
    for policy in policies {
        for (at, hook) in policy.hooks.iter().enumerate() {
            matches.extend(eval_hook(&policy.name, at, hook, event));
        }
    }
    matches
}

fn eval_hook<'p>(
    policy: &'p str,
    at: usize,
    hook: &'p TracingHook,
    event: &Event,
) -> Option<Match<'p>> {
    if hook.hook != event.hook {
        return None;
    }
    let answers = hook.selectors.iter().map(|selector| eval_selector(selector, &hook.args, event));
    let (selector, (found, answer)) = hook.selectors.iter().zip(answers).enumerate().find(
        |(_, (selector, answer))| match answer {
            Truth::Yes => true,
            Truth::Maybe => selector.posts(),
            Truth::No => false,
        },
    )?;
    Some(Match {
        policy,
        hook: at,
        selector,
        actions: &found.actions,
        origin: found.origin,
        is_sure: answer == Truth::Yes,
    })
}

/// Whether all filters of a selector hold.
pub fn eval_selector(selector: &Selector, args: &[Arg], event: &Event) -> Truth {
    let answers = selector.filters.iter().map(|filter| eval_filter(filter, args, event));
    answers.min().unwrap_or(Truth::Yes)
}

fn eval_filter(filter: &Filter, args: &[Arg], event: &Event) -> Truth {
    let Some(arg) = args.get(filter.arg) else { return Truth::Maybe };
    let answer = match (&filter.test, arg.kind, event.fields.get(&arg.field.name)) {
        (Test::InRanges(ranges), ArgKind::Int(ty), Some(Value::Int(value))) => {
            let value = ty.wrap(*value);
            ranges.iter().any(|range| range.contains(value)).into()
        }
        (Test::HasBits(masks), ArgKind::Int(ty), Some(Value::Int(value))) => {
            let bits = ty.wrap(*value);
            masks.iter().any(|mask| bits & i128::from(*mask) != 0).into()
        }
        (Test::Text { op, values }, ArgKind::Text, Some(Value::Bytes(bytes))) => {
            eval_text(*op, values, bytes)
        }
        _ => Truth::Maybe,
    };
    answer.negated_if(filter.negated)
}

fn eval_text(op: TextOp, values: &[Vec<u8>], bytes: &[u8]) -> Truth {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_whole = text.len() <= LONGEST_TEXT;
    let any = |relates: &dyn Fn(&[u8]) -> bool| values.iter().any(|value| relates(value)).into();
    match op {
        TextOp::Equal => any(&|value| text == value),
        TextOp::Prefix => any(&|value| text.starts_with(value)),
        TextOp::Postfix if is_whole => any(&|value| text.ends_with(value)),
        TextOp::Postfix => Truth::Maybe,
    }
}

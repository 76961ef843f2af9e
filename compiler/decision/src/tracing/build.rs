//! Tracing policies to one decision for each hook.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use policyc_policy::tracing::{Filter, Selector, TracingHook, TracingPolicy};
use policyc_target::Hook;

use super::{EventDecision, EventGraph, EventLeaf, EventOutcome, EventTest, HookDecision, Read};
use crate::graph::{DecisionGraph, FieldId, Node, NodeId};

/// The graphs of all hooks of all policies.
pub fn build(policies: &[TracingPolicy]) -> EventDecision {
    let mut hooks: BTreeMap<&Hook, Vec<(&TracingPolicy, &TracingHook)>> = BTreeMap::new();
    for policy in policies {
        for hook in &policy.hooks {
            hooks.entry(&hook.hook).or_default().push((policy, hook));
        }
    }
    let mut outcomes = Vec::new();
    let hooks = hooks.into_iter().map(|(hook, users)| {
        let mut reads = IndexSet::new();
        let graphs = users
            .into_iter()
            .map(|(policy, hook)| event_graph(policy, hook, &mut reads, &mut outcomes));
        let graphs = graphs.collect();
        HookDecision { hook: hook.clone(), reads: reads.into_iter().collect(), graphs }
    });
    let hooks = hooks.collect();
    EventDecision { hooks, outcomes }
}

fn event_graph(
    policy: &TracingPolicy,
    hook: &TracingHook,
    reads: &mut IndexSet<Read>,
    outcomes: &mut Vec<EventOutcome>,
) -> EventGraph {
    let args: Vec<FieldId> = hook
        .args
        .iter()
        .map(|arg| {
            let (access, name) = (arg.field.access, arg.field.name.clone());
            FieldId(reads.insert_full(Read { access, kind: arg.kind, name }).0 as u32)
        })
        .collect();
    let reports = args.iter().zip(&hook.args).map(|(id, arg)| (*id, arg.label.clone())).collect();
    EventGraph {
        policy: policy.name.clone(),
        message: hook.message.clone(),
        tags: hook.tags.clone(),
        reports,
        graph: selectors(&hook.selectors, &args, outcomes),
        origin: hook.origin,
    }
}

/// Selectors are asked in order and the first that matches acts, so the graph is
/// made from the last to the first.
fn selectors(
    selectors: &[Selector],
    args: &[FieldId],
    outcomes: &mut Vec<EventOutcome>,
) -> DecisionGraph<EventTest, EventLeaf> {
    let mut graph = DecisionGraph::new();
    let mut next = graph.add(Node::Leaf(EventLeaf::Nothing));
    let first = outcomes.len();
    let selected = selectors.iter().map(|s| EventOutcome { posts: s.posts(), origin: s.origin });
    outcomes.extend(selected);
    for (i, selector) in selectors.iter().enumerate().rev() {
        let leaf = graph.add(Node::Leaf(EventLeaf::Selected(first + i)));
        let filters = selector.filters.iter().rev();
        next = filters.fold(leaf, |on_match, filter| {
            test(&mut graph, selector, filter, args, on_match, next)
        });
    }
    graph.root = next;
    graph
}

/// The node of one filter. A negated filter has its ways exchanged; in doubt it
/// goes the way that the selector wants ([`Selector::posts`]).
fn test(
    graph: &mut DecisionGraph<EventTest, EventLeaf>,
    selector: &Selector,
    filter: &Filter,
    args: &[FieldId],
    holds: NodeId,
    fails: NodeId,
) -> NodeId {
    let (on_match, on_miss) = if filter.negated { (fails, holds) } else { (holds, fails) };
    let test = EventTest { test: filter.test.clone(), doubt: selector.posts() != filter.negated };
    // INVARIANT: checked policies only name arguments of their hook.
    graph.add(Node::Test { field: args[filter.arg], test, on_match, on_miss })
}

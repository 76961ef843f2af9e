//! [`TracingDoc`] + profile → [`TracingPolicy`].

use policyc_base::{Diagnostic, Origin, OriginInfo, OriginTable, Sink, Span};
use policyc_target::{Hook, Profile, UnknownHook};

use super::argument::argument;
use super::codes;
use super::doc::{SelectorDoc, TracepointDoc, TracingDoc};
use super::filter::{Args, filter};
use super::types::{Action, Arg, Selector, TracingHook, TracingPolicy};

/// Holds a policy against the host of a profile. Everything that is wrong goes to
/// `sink`; the result is `None` if it was an error.
pub fn check(
    doc: &TracingDoc,
    profile: &Profile,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Option<TracingPolicy> {
    let mut found = Sink::new();
    let mut checker = Checker { policy: &doc.meta.full_name(), profile, origins, sink: &mut found };
    let policy = checker.policy(doc);
    let policy = policy.filter(|_| !found.has_errors());
    sink.append(found);
    policy
}

struct Checker<'a> {
    policy: &'a str,
    profile: &'a Profile,
    origins: &'a mut OriginTable,
    sink: &'a mut Sink,
}

impl Checker<'_> {
    fn policy(&mut self, doc: &TracingDoc) -> Option<TracingPolicy> {
        let origin = self.origin("spec".to_owned(), doc.span);
        let hooks: Vec<_> = doc.tracepoints.iter().enumerate().collect();
        let hooks: Vec<_> = hooks.into_iter().map(|(at, hook)| self.hook(at, hook)).collect();
        let hooks = hooks.into_iter().collect::<Option<_>>()?;
        Some(TracingPolicy { name: doc.meta.full_name(), hooks, origin })
    }

    fn origin(&mut self, rule: String, span: Span) -> Origin {
        self.origins.push(OriginInfo { policy: self.policy.to_owned(), rule, span: Some(span) })
    }

    fn hook(&mut self, at: usize, doc: &TracepointDoc) -> Option<TracingHook> {
        let rule = format!("spec.tracepoints[{at}]");
        let origin = self.origin(rule.clone(), doc.span);
        let hook = hook_of(doc);
        self.check_subsystem(doc);
        let schema = match self.profile.schema(&hook) {
            Ok(schema) => schema,
            Err(unknown) => {
                self.sink.push(unknown_hook(doc, &unknown));
                return None;
            }
        };
        let args: Vec<Option<Arg>> =
            doc.args.iter().map(|arg| argument(arg, &hook, &schema, self.sink)).collect();
        let selectors = self.selectors(&rule, doc, &args, origin);
        Some(TracingHook {
            hook,
            args: args.into_iter().collect::<Option<_>>()?,
            selectors: selectors?,
            message: doc.message.clone(),
            tags: doc.tags.clone(),
            origin,
        })
    }

    /// A raw tracepoint is found by its event alone; a subsystem that is known to be
    /// another's is still a mistake.
    fn check_subsystem(&mut self, doc: &TracepointDoc) {
        let (subsystem, event) = (&doc.subsystem.value, &doc.event.value);
        let known = self.profile.tracepoints.keys().filter_map(|name| name.rsplit_once('/'));
        let mut of_event = known.filter(|(_, known)| known == event).map(|(category, _)| category);
        if !doc.raw || of_event.clone().any(|category| category == subsystem) {
            return;
        }
        if let Some(category) = of_event.next() {
            let message = format!("`{event}` is of the subsystem `{category}`, not `{subsystem}`");
            let finding = Diagnostic::error(codes::HOOK_UNKNOWN, doc.subsystem.span, message);
            self.sink.push(finding.with_help(format!("write `subsystem: {category}`")));
        }
    }

    fn selectors(
        &mut self,
        rule: &str,
        doc: &TracepointDoc,
        args: &[Option<Arg>],
        of_hook: Origin,
    ) -> Option<Vec<Selector>> {
        if doc.selectors.is_empty() {
            let actions = vec![Action::Post];
            return Some(vec![Selector { filters: Vec::new(), actions, origin: of_hook }]);
        }
        self.check_reachable(&doc.selectors);
        let args = Args { written: &doc.args, checked: args };
        let selectors: Vec<_> = (0..)
            .zip(&doc.selectors)
            .map(|(at, selector)| self.selector(format!("{rule}.selectors[{at}]"), selector, args))
            .collect();
        selectors.into_iter().collect()
    }

    fn selector(&mut self, rule: String, doc: &SelectorDoc, args: Args<'_>) -> Option<Selector> {
        let origin = self.origin(rule, doc.span);
        let filters: Vec<_> = doc.filters.iter().map(|doc| filter(doc, args, self.sink)).collect();
        let actions = self.actions(doc);
        Some(Selector { filters: filters.into_iter().collect::<Option<_>>()?, actions, origin })
    }

    fn actions(&mut self, doc: &SelectorDoc) -> Vec<Action> {
        let first = |action| doc.actions.iter().find(|written| written.value == action);
        if let (Some(post), Some(no_post)) = (first(Action::Post), first(Action::NoPost)) {
            let message = "`Post` and `NoPost` contradict each other";
            let finding = Diagnostic::error(codes::ACTIONS_CONTRADICT, no_post.span, message);
            self.sink.push(finding.with_label(post.span, "posted here"));
        }
        match &doc.actions[..] {
            [] => vec![Action::Post],
            actions => actions.iter().map(|action| action.value).collect(),
        }
    }

    fn check_reachable(&mut self, selectors: &[SelectorDoc]) {
        let Some(last) = selectors.iter().position(|selector| selector.filters.is_empty()) else {
            return;
        };
        for selector in selectors.iter().skip(last + 1) {
            let message = "the selector is never reached: one before it always matches";
            let finding = Diagnostic::warning(codes::SELECTOR_UNREACHABLE, selector.span, message);
            self.sink.push(finding.with_label(selectors[last].span, "always matches"));
        }
    }
}

fn hook_of(doc: &TracepointDoc) -> Hook {
    match doc.raw {
        true => Hook::RawTracepoint { name: doc.event.value.clone() },
        false => Hook::Tracepoint {
            category: doc.subsystem.value.clone(),
            event: doc.event.value.clone(),
        },
    }
}

fn unknown_hook(doc: &TracepointDoc, unknown: &UnknownHook) -> Diagnostic {
    let span = doc.subsystem.span.to(doc.event.span);
    let span = if doc.raw { doc.event.span } else { span };
    let finding = Diagnostic::error(codes::HOOK_UNKNOWN, span, unknown.to_string());
    match &unknown.did_you_mean {
        Some(near) => finding.with_help(format!("did you mean `{near}`?")),
        None => finding.with_help("`policyc profile` lists what a host has"),
    }
}

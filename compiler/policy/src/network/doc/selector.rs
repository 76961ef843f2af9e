//! Label selectors.

use policyc_base::{Sink, Spanned};

use super::{RequirementDoc, SelectorDoc};
use crate::yaml::{Fields, Node, decode};

pub(super) fn field(
    fields: &mut Fields<'_>,
    name: &'static str,
    sink: &mut Sink,
) -> Option<SelectorDoc> {
    let field = fields.take(name)?;
    read(&field.value, name, sink)
}

pub(super) fn read(node: &Node, name: &'static str, sink: &mut Sink) -> Option<SelectorDoc> {
    decode::map(node, format_args!("`{name}`"), sink)?;
    let mut fields = Fields::of(node, "a label selector", sink)?;
    let mut requirements = Vec::new();
    for (key, field) in fields.map("matchLabels", sink).into_iter().flatten() {
        let Some(value) = decode::string(&field.value, format_args!("`{key}`"), sink) else {
            continue;
        };
        requirements.push(RequirementDoc {
            key: Spanned::new(key.clone(), field.key),
            operator: Spanned::new("In".to_owned(), field.key),
            values: vec![value.map(str::to_owned)],
            is_label: true,
        });
    }
    for item in fields.list("matchExpressions", sink).unwrap_or(&[]) {
        requirements.extend(expression(item, sink));
    }
    let span = fields.span;
    fields.finish(sink);
    Some(SelectorDoc { span, requirements })
}

fn expression(node: &Node, sink: &mut Sink) -> Option<RequirementDoc> {
    let mut fields = Fields::of(node, "a match expression", sink)?;
    fields.require("key", sink);
    let key = fields.string("key", sink);
    fields.require("operator", sink);
    let operator = fields.string("operator", sink);
    let values = fields.list("values", sink).unwrap_or(&[]);
    let values = values
        .iter()
        .filter_map(|v| decode::string(v, "each of `values`", sink))
        .map(|v| v.map(str::to_owned))
        .collect();
    fields.finish(sink);
    let owned = |s: Spanned<&str>| s.map(str::to_owned);
    Some(RequirementDoc { key: owned(key?), operator: owned(operator?), values, is_label: false })
}

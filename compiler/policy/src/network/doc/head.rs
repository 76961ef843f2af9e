//! What every policy begins with, whatever its kind: `apiVersion`, `kind`, `metadata`,
//! and the `status` that an API server adds.

use policyc_base::Sink;

use super::Meta;
use crate::meta;
use crate::yaml::{Fields, Node};

/// The head of a policy, and its other fields, which are still to be taken; `None` if
/// it is no map.
pub(super) fn read<'n>(
    node: &'n Node,
    what: &'static str,
    sink: &mut Sink,
) -> Option<(Meta, Fields<'n>)> {
    let mut fields = Fields::of(node, what, sink)?;
    for name in ["apiVersion", "kind", "status"] {
        fields.take(name);
    }
    let meta = meta::read(&mut fields, sink);
    // Without it the rest is checked all the same.
    let meta = meta.map_or_else(|| Meta::unnamed(fields.start()), |(meta, _)| meta);
    Some((meta, fields))
}

/// The head of a policy that has nothing but `spec` beside it, and the fields of that;
/// `None` without a `spec`.
pub(super) fn with_spec<'n>(
    node: &'n Node,
    what: &'static str,
    sink: &mut Sink,
) -> Option<(Meta, Fields<'n>)> {
    let (meta, mut fields) = read(node, what, sink)?;
    fields.require("spec", sink);
    let spec = fields.fields("spec", "`spec`", sink);
    fields.finish(sink);
    Some((meta, spec?))
}

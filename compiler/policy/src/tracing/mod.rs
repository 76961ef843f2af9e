//! Tracing policy: `TracingPolicy` of `cilium.io/v1alpha1`, as Tetragon defines it.
//!
//! [`read()`] turns YAML into a [`TracingDoc`], which may name hooks that do not
//! exist; [`check()`] turns that into a [`TracingPolicy`], which cannot be wrong on the
//! host of a profile; [`eval()`] says what it means. [`load_document`] does the first
//! two.
//!
//! Guarantees: no field is ignored: what is known but not built yet is refused as
//! such, what is not known is refused with the nearest known name. Operators are
//! held against types and values against ranges, where Tetragon accepts what then
//! always or never matches. There is no limit on selectors, filters or values.
//! Does not know: BPF, workloads, the driver's files.
//! Source: Tetragon `pkg/k8s/apis/cilium.io/v1alpha1`, `pkg/selectors/kernel.go`,
//! `pkg/sensors/tracing/generictracepoint.go`.

pub mod codes;

mod argument;
mod check;
mod doc;
mod eval;
mod filter;
mod load;
mod names;
mod read;
mod types;
mod value;

pub use check::check;
pub use doc::{ArgDoc, ArgType, FilterDoc, Operator, SelectorDoc, TracepointDoc, TracingDoc};
pub use eval::{Event, Match, Truth, Value, eval, eval_selector};
pub use load::load_document;
pub use read::read;
pub use types::{
    Action, Arg, ArgKind, Filter, IntRange, LONGEST_TEXT, Selector, Test, TextOp, TracingHook,
    TracingPolicy,
};

#[cfg(test)]
mod tests;

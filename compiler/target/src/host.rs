//! A profile from what was read and probed on a host.

use std::collections::{BTreeMap, BTreeSet};

use crate::btf::{Btf, BtfError, BtfKind, Parameter};
use crate::layout::layouts;
use crate::tracepoint::{Format, FormatError, FormatField};
use crate::{Feature, Profile};

/// What the driver read and probed.
#[derive(Clone, Debug, Default)]
pub struct HostFacts<'a> {
    /// The kernel's release (`uname -r`).
    pub kernel: &'a str,
    /// The architecture (`uname -m`).
    pub architecture: &'a str,
    /// The features whose probe succeeded.
    pub features: BTreeSet<Feature>,
    /// The bytes of `/sys/kernel/btf/vmlinux`, if the host has it.
    pub btf: Option<&'a [u8]>,
    /// The tracepoints wanted: category and text of its `format` file.
    pub tracepoints: Vec<(&'a str, &'a str)>,
}

/// What a profile lacks because a fact could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostProblem {
    /// No BTF: no layouts and no raw tracepoints.
    #[error("the host has no BTF: raw tracepoints and parent processes cannot be observed")]
    NoBtf,
    /// The BTF cannot be read.
    #[error("the host's BTF cannot be read: {0}")]
    Btf(#[from] BtfError),
    /// A tracepoint's format cannot be read.
    #[error("the format of tracepoint {index} of `{category}` cannot be read: {error}")]
    Format {
        /// The category.
        category: String,
        /// Its place in the facts.
        index: usize,
        /// Why.
        error: FormatError,
    },
}

impl Profile {
    /// A profile of what is known, and what it therefore lacks.
    pub fn from_host(facts: &HostFacts<'_>) -> (Self, Vec<HostProblem>) {
        let mut problems = Vec::new();
        let mut profile = Self {
            kernel: facts.kernel.to_owned(),
            architecture: facts.architecture.to_owned(),
            features: facts.features.clone(),
            ..Self::default()
        };
        match facts.btf.map(Btf::parse) {
            None => problems.push(HostProblem::NoBtf),
            Some(Err(error)) => problems.push(error.into()),
            Some(Ok(btf)) => {
                profile.layouts = layouts(&btf);
                profile.raw_tracepoints = raw_tracepoints(&btf);
            }
        }
        for (index, (category, text)) in facts.tracepoints.iter().enumerate() {
            match text.parse::<Format>() {
                Ok(format) => {
                    let name = format!("{category}/{}", format.event);
                    profile.tracepoints.insert(name, format.fields);
                }
                Err(error) => {
                    let category = (*category).to_owned();
                    problems.push(HostProblem::Format { category, index, error });
                }
            }
        }
        (profile, problems)
    }
}

/// Every raw tracepoint with its arguments: the typedefs `btf_trace_NAME`, pointers
/// to a prototype whose first parameter is the kernel's own.
fn raw_tracepoints(btf: &Btf) -> BTreeMap<String, Vec<FormatField>> {
    let found = btf.typedefs_with_prefix("btf_trace_").filter_map(|(name, id)| {
        let (_, arguments) = btf.parameters(id)?.split_first()?;
        // Pointers to functions name no parameter; the function that feeds perf does.
        let fed = btf.find_function(&format!("__bpf_trace_{name}"));
        let named = fed.and_then(|id| btf.parameters(id)?.split_first());
        let named = named.map(|(_, rest)| rest).filter(|rest| rest.len() == arguments.len());
        let fields = arguments.iter().zip(named.unwrap_or(arguments)).enumerate();
        let fields =
            fields.map(|(index, (argument, named))| raw_argument(btf, index, argument, named));
        Some((name.to_owned(), fields.collect::<Option<_>>()?))
    });
    found.collect()
}

fn raw_argument(
    btf: &Btf,
    index: usize,
    argument: &Parameter,
    named: &Parameter,
) -> Option<FormatField> {
    let (resolved, ty) = btf.resolve(argument.ty)?;
    let signed =
        matches!(ty.kind, BtfKind::Int { signed: true, .. } | BtfKind::Enum { signed: true, .. });
    // A typedef that hides a pointer or a structure is written as what it is.
    let shows = match ty.kind {
        BtfKind::Int { .. } => argument.ty,
        _ => resolved,
    };
    let name = match btf.parameter_name(named) {
        "" => format!("arg{index}"),
        name => name.to_owned(),
    };
    Some(FormatField {
        type_name: btf.c_name(shows),
        name,
        offset: u32::try_from(index).ok()?.checked_mul(8)?,
        size: btf.size_of(resolved)?,
        signed,
    })
}

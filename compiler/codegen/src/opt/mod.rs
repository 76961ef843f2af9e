//! Makes BIR smaller and faster without changing what it does.
//!
//! Every pass is one file, sound on its own, and can be switched off; what makes
//! it sound is said in its header. Input and output of every pass satisfy
//! [`policyc_ir::check()`], which runs after each of them in debug builds.
//!
//! Does not know: registers, policies, or which functions are programs.

mod cse;
mod dce;
mod fold;
mod inline;
mod merge_guards;
mod params;
mod rewrite;
mod thread_jumps;
mod threading;

use policyc_ir::check::{check_one, render};
use policyc_ir::{FuncId, Function, Module, check};

pub use cse::cse;
pub use dce::dce;
pub use fold::fold;
pub use inline::inline;
pub use merge_guards::merge_guards;
pub use params::params;
pub use thread_jumps::thread_jumps;

/// Rounds over all passes; each round makes the function smaller, and programs
/// settle in a handful.
const ROUNDS: usize = 32;

/// One transformation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pass {
    /// Calls become the bodies of their functions.
    Inline,
    /// Constants are computed, algebra is simplified.
    Fold,
    /// Block parameters that are always one value become that value.
    Params,
    /// Equal pure operations are done once.
    Cse,
    /// Empty blocks and decided branches are skipped.
    ThreadJumps,
    /// Guards that others imply disappear.
    MergeGuards,
    /// What nobody uses or reaches disappears.
    Dce,
}

impl Pass {
    /// Every pass, in the order of a round.
    pub const ALL: [Self; 7] = [
        Self::Inline,
        Self::Fold,
        Self::Params,
        Self::Cse,
        Self::ThreadJumps,
        Self::MergeGuards,
        Self::Dce,
    ];

    /// Its name in switches and tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Fold => "fold",
            Self::Params => "params",
            Self::Cse => "cse",
            Self::ThreadJumps => "thread_jumps",
            Self::MergeGuards => "merge_guards",
            Self::Dce => "dce",
        }
    }

    /// The pass of a name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pass| pass.name() == name)
    }

    /// Runs it once over a module; whether anything changed.
    pub fn run(self, module: &mut Module) -> Result<bool, OptError> {
        match self.of_function() {
            None => inline(module),
            Some(pass) => {
                let functions = module.functions.iter_mut();
                Ok(functions.fold(false, |changed, (_, func)| pass(func) | changed))
            }
        }
    }

    /// What it does to one function; `None` for what is about the module.
    fn of_function(self) -> Option<fn(&mut Function) -> bool> {
        match self {
            Self::Inline => None,
            Self::Fold => Some(fold),
            Self::Params => Some(params),
            Self::Cse => Some(cse),
            Self::ThreadJumps => Some(thread_jumps),
            Self::MergeGuards => Some(merge_guards),
            Self::Dce => Some(dce),
        }
    }
}

/// Which passes run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassSet(u8);

impl PassSet {
    /// All of them.
    pub const fn all() -> Self {
        Self((1 << Pass::ALL.len()) - 1)
    }

    /// None of them.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set with a pass.
    #[must_use]
    pub const fn with(self, pass: Pass) -> Self {
        Self(self.0 | 1 << pass as u8)
    }

    /// The set without a pass.
    #[must_use]
    pub const fn without(self, pass: Pass) -> Self {
        Self(self.0 & !(1 << pass as u8))
    }

    /// Whether a pass runs.
    pub const fn contains(self, pass: Pass) -> bool {
        self.0 & 1 << pass as u8 != 0
    }
}

/// Why a module was not optimised.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptError {
    /// A function that calls itself cannot be inlined.
    #[error("function `@{0}` calls itself")]
    Recursion(String),
    /// The module is not well-formed: a bug of whoever made it.
    #[error("the module to optimise is ill-formed:\n{0}")]
    Input(String),
    /// A pass broke the module.
    #[error("pass `{}` left an ill-formed module:\n{report}", pass.name())]
    Broken {
        /// The pass.
        pass: Pass,
        /// The functions, with what is wrong under each line.
        report: String,
    },
}

/// Runs passes until nothing changes, and renumbers the functions in text order.
///
/// Functions stay, also those whose calls were all inlined: see [`keep`].
pub fn optimise(module: &mut Module, passes: PassSet) -> Result<(), OptError> {
    verify(module).map_err(OptError::Input)?;
    if passes.contains(Pass::Inline) {
        run(Pass::Inline, module)?;
    }
    settle(module, passes)?;
    module.compact();
    Ok(())
}

/// The same for programs, of which the others are only parts: these are improved
/// before they are inlined, once instead of at every call, and are gone afterwards.
pub fn optimise_programs(
    module: &mut Module,
    passes: PassSet,
    programs: &[&str],
) -> Result<(), OptError> {
    verify(module).map_err(OptError::Input)?;
    settle(module, passes)?;
    if passes.contains(Pass::Inline) {
        run(Pass::Inline, module)?;
    }
    keep(module, programs);
    settle(module, passes)?;
    module.compact();
    Ok(())
}

/// Runs the passes over each function until nothing changes.
fn settle(module: &mut Module, passes: PassSet) -> Result<(), OptError> {
    for id in module.functions.ids().collect::<Vec<_>>() {
        for _ in 0..ROUNDS {
            let mut changed = false;
            for pass in Pass::ALL.into_iter().filter(|pass| passes.contains(*pass)) {
                changed |= run_on(pass, module, id)?;
            }
            if !changed {
                break;
            }
        }
    }
    Ok(())
}

/// Runs a pass over one function.
fn run_on(pass: Pass, module: &mut Module, id: FuncId) -> Result<bool, OptError> {
    let Some(of_function) = pass.of_function() else { return Ok(false) };
    let changed = of_function(&mut module.functions[id]);
    if changed && cfg!(debug_assertions) {
        let findings = check_one(module, id);
        if !findings.is_empty() {
            return Err(OptError::Broken { pass, report: render(module, &findings) });
        }
    }
    Ok(changed)
}

/// Drops every function but those that `wanted` names and what they call.
pub fn keep(module: &mut Module, wanted: &[&str]) {
    inline::keep(module, |func| wanted.contains(&func.name.as_str()));
}

fn run(pass: Pass, module: &mut Module) -> Result<bool, OptError> {
    let changed = pass.run(module)?;
    if changed {
        verify(module).map_err(|report| OptError::Broken { pass, report })?;
    }
    Ok(changed)
}

/// In debug builds: the functions that are ill-formed, with what is wrong.
fn verify(module: &Module) -> Result<(), String> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let findings = check(module);
    if findings.is_empty() { Ok(()) } else { Err(render(module, &findings)) }
}

//! From one BIR function to one BPF program: instruction selection, register
//! allocation, its checker, and emission.
//!
//! Guarantees: the same function and options give the same bytes; the allocation
//! is checked on every compile in tests and debug builds; what does not fit the
//! target is an error with figures.
//! Does not know: policies, tables, how functions were optimised or inlined.

mod checker;
mod emit;
mod error;
mod mir;
mod order;
mod regalloc;
mod select;
mod sweep;
mod target;

#[cfg(test)]
mod tests;

use policyc_base::PrimaryMap;
use policyc_bpf::{Judges, License, MapId, Program, ProgramKind};
use policyc_ir::{FuncId, Function, MapRef, Module, Op};

pub use error::{BackendError, LimitError};

/// What the code may use beyond what every supported kernel has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Features {
    /// `gotol`, a jump with a 32-bit distance.
    /// KERNEL: >= 6.6.
    pub long_jump: bool,
}

/// What a program is, apart from its code.
#[derive(Clone, Debug)]
pub struct ProgramOptions<'a> {
    /// Unique in its object; at most 15 bytes of `[A-Za-z0-9_]`.
    pub name: &'a str,
    /// Kernel type and hook.
    pub kind: ProgramKind,
    /// Whose packets or events it judges.
    pub judges: Judges,
    /// The object's map for each map of the module.
    pub maps: &'a PrimaryMap<MapRef, MapId>,
    /// What the target has.
    pub features: Features,
}

/// What a program costs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CompileStats {
    /// Instruction slots.
    pub insns: u32,
    /// Stores to spill slots in the code.
    pub spills: u32,
    /// Bytes of stack: the function's slots and the spill slots.
    pub stack_bytes: u32,
}

/// Compiles function `func` of `module`: acyclic, with every call inlined, from
/// the context to one integer.
///
/// INVARIANT: `module` is one that [`policyc_ir::check()`] accepts, so that every id
/// is of its table and every value is defined before it is used.
///
/// # Errors
///
/// [`BackendError::Unsupported`] for what a program of this kind cannot do,
/// [`BackendError::Limit`] for what exceeds the target, and
/// [`BackendError::Internal`] if the checker finds the allocation wrong.
pub fn compile(
    module: &Module,
    func: FuncId,
    options: &ProgramOptions<'_>,
) -> Result<(Program, CompileStats), BackendError> {
    let Some(func) = module.functions.get(func) else {
        let what = "it is not in the module".to_owned();
        return Err(BackendError::Unsupported { func: func.to_string(), what });
    };
    let mut mir = select::select(module, func, &options.kind, options.maps)?;
    sweep::sweep(&mut mir);
    let allocation = regalloc::allocate(&mir);
    if cfg!(any(test, debug_assertions)) {
        checker::check(&mir, &allocation).map_err(|message| BackendError::Internal {
            func: func.name.clone(),
            pass: "regalloc",
            message,
        })?;
    }
    let limit = |limit| BackendError::Limit { func: func.name.clone(), limit };
    let stack_bytes = emit::stack_bytes(&mir, &allocation).map_err(limit)?;
    let code = emit::emit(&mir, &allocation, options.features).map_err(limit)?;
    let stats = CompileStats {
        insns: code.insns.len() as u32,
        spills: allocation.spills(&mir),
        stack_bytes,
    };
    let program = Program {
        name: options.name.to_owned(),
        kind: options.kind.clone(),
        judges: options.judges,
        license: license(func),
        insns: code.insns,
        relocs: code.relocs,
        origins: code.origins,
    };
    Ok((program, stats))
}

/// The licence that the helpers of a function ask for.
fn license(func: &Function) -> License {
    let blocks = func.layout.iter().filter_map(|block| func.blocks.get(*block));
    let is_gpl_only = |op: &Op| matches!(op, Op::Helper(it, _) if target::is_gpl_only(*it));
    match blocks.flat_map(|block| &block.insts).any(|inst| is_gpl_only(&inst.op)) {
        true => License::DualMitGpl,
        false => License::Permissive,
    }
}

//! Random functions: the allocation must be right, the kernel must load them, and
//! everybody must compute the same.

use policyc_bpf::{ProgramKind, Style, print_program};
use policyc_ir as ir;

use crate::common::compile_all;
use crate::generate::module;
use crate::kernel;

/// Seeds and how many values each keeps alive.
fn cases() -> impl Iterator<Item = (u64, usize)> {
    (0..400).map(|seed| (seed, [3, 8, 14, 24, 40][seed as usize % 5]))
}

#[test]
fn allocations_are_right() {
    let mut spills = 0;
    for (seed, pressure) in cases() {
        let module = module(seed, pressure);
        let findings = ir::check::check(&module);
        assert!(findings.is_empty(), "seed {seed}\n{}", ir::check::render(&module, &findings));
        match compile_all(&module, &ProgramKind::Tc) {
            Ok((_, stats)) => spills += stats[0].spills,
            Err(error) => panic!("seed {seed}: {error}\n{module}"),
        }
    }
    assert!(spills > 1000, "only {spills} spills: the functions are too easy");
}

#[test]
fn the_kernel_loads_them() {
    if !kernel::is_there("random::the_kernel_loads_them") {
        return;
    }
    for (seed, pressure) in cases() {
        let module = module(seed, pressure);
        let (object, _) = compile_all(&module, &ProgramKind::Tc).expect("it compiles");
        let program = &object.programs[0];
        if let Err(error) = kernel::load(&object, program) {
            let code = print_program(&object, program, Style::DUMP);
            panic!("seed {seed}\n{module}\n{code}\n{error}");
        }
    }
}

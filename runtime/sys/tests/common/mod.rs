//! What the tests against the running kernel share.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use policyc_sys::bpf::{ProgLoad, ProgType, prog_load};

/// `return value`.
pub(crate) fn returning(value: i32) -> [[u8; 8]; 2] {
    [insn(0xb7, 0, 0, value), insn(0x95, 0, 0, 0)]
}

/// One instruction slot; `regs` is source and destination as stored.
pub(crate) fn insn(code: u8, regs: u8, off: i16, imm: i32) -> [u8; 8] {
    let (o, i) = (off.to_le_bytes(), imm.to_le_bytes());
    [code, regs, o[0], o[1], i[0], i[1], i[2], i[3]]
}

/// Whether network programs can be loaded here; says so if not, and panics
/// where `POLICYC_REQUIRE_KERNEL` is set.
pub(crate) fn kernel(test: &str) -> bool {
    match prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &returning(0))) {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
            assert!(!required, "{test} needs bpf(2): {error}");
            eprintln!("SKIPPED {test}: {error}");
            false
        }
    }
}

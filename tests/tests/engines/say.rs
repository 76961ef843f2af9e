//! What a test says to whoever runs it, also when it passes.

use std::io::Write as _;
use std::path::PathBuf;

use policyc_sys::bpf::{ProgLoad, ProgType, prog_load};

/// One line on standard error. The macros would be swallowed with the output of
/// tests that pass.
pub(crate) fn say(line: &str) {
    // There is nobody left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A part of the corpus of other people; `None` and a word when it is not here.
pub(crate) fn corpus(part: &str) -> Option<PathBuf> {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus");
    let base = std::env::var("POLICYC_CORPUS").unwrap_or_else(|_| base.to_owned());
    let path = PathBuf::from(base).join(part);
    if path.exists() {
        return Some(path);
    }
    say(&format!("SKIPPED: there is no corpus at {}", path.display()));
    None
}

/// Whether programs can be loaded here. If not, says so, and fails where
/// `POLICYC_REQUIRE_KERNEL` is set.
pub(crate) fn has_kernel(test: &str) -> bool {
    let returning_0 = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let Err(error) = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &returning_0)) else {
        return true;
    };
    let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
    assert!(!required, "{test} needs bpf(2): {error}");
    say(&format!("SKIPPED the kernel in {test}: {error}"));
    false
}

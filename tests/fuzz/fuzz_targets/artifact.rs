//! See `policyc_tests::fuzz::artifact`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::artifact(bytes));

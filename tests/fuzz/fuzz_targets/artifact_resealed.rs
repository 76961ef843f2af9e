//! See `policyc_tests::fuzz::artifact_resealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::artifact_resealed(bytes));

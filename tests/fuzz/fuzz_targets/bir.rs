//! See `policyc_tests::fuzz::bir`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::bir(bytes));

//! See `policyc_tests::fuzz::btf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::btf(bytes));

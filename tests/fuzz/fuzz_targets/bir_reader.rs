//! See `policyc_tests::fuzz::bir_reader`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::bir_reader(bytes));

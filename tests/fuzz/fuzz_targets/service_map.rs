//! See `policyc_tests::fuzz::service_map`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policyc_tests::fuzz::service_map(bytes));

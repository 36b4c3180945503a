#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rejoin_fuzz::run("frame", bytes));

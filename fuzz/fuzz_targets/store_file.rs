#![no_main]

libfuzzer_sys::fuzz_target!(
    // The library makes an error of a panic inside the engine; the fuzzer would end at it.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| rejoin_fuzz::run("store_file", bytes)
);

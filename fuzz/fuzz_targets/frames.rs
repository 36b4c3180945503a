//! The fuzzer plays the peer: `cargo +nightly fuzz run frames`.
#![no_main]

#[path = "../../tests/frames/player.rs"]
#[allow(dead_code)]
mod player;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    player::play(bytes);
});

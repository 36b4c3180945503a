//! The fuzz targets: `cargo +nightly fuzz run NAME`. What each does with its bytes stands with
//! the tests, which run the same bodies for a moment.
#![allow(clippy::indexing_slicing, clippy::expect_used)]

#[path = "../../src/bin/rejoin/lines.rs"]
#[allow(dead_code)]
mod lines;
#[path = "../../tests/frames/player.rs"]
#[allow(dead_code)]
mod player;
#[path = "../../tests/fuzz/targets.rs"]
#[allow(dead_code)]
mod targets;
#[path = "../../src/bin/rejoin/text.rs"]
#[allow(dead_code)]
mod text;

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets::ALL.iter().find(|(other, _)| *other == name);
    target.expect("a target of this name").1(bytes);
}

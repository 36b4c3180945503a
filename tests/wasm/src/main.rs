//! Prints what the histories of some seeds come to: `rejoin-wasm FROM TO`. `roots.mjs` prints
//! the same of the same code in WebAssembly.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut bounds = std::env::args().skip(1).map(|bound| bound.parse::<u64>().expect("a seed"));
    let (from, to) = (bounds.next().unwrap_or(0), bounds.next().unwrap_or(100));
    let mut out = std::io::stdout().lock();
    for seed in from..to {
        let words = rejoin_wasm::play(seed).expect("nothing of it can fail").words();
        let words: Vec<String> = words.iter().map(|word| format!("{word:016x}")).collect();
        writeln!(out, "{seed} {}", words.join(" "))?;
    }
    Ok(())
}

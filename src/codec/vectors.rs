//! Golden bytes: files of names and bytes in hexadecimal, so that other languages can run
//! them too.
//!
//! A line is a name and its bytes; a line that begins with `#` is for people. Where a
//! format is changed on purpose, `REJOIN_BLESS=1 cargo test vectors` writes the files
//! anew; the diff then shows what has changed, and the CHANGELOG says why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A name, what people read about it, and its bytes.
pub(crate) type Vector = (String, String, Vec<u8>);

/// Compares with the file of golden bytes, or writes it where that was asked for.
pub(crate) fn check(file: &str, head: &str, vectors: &[Vector]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    if std::env::var_os("REJOIN_BLESS").is_some() {
        let mut text = String::new();
        head.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
        for (name, about, bytes) in vectors {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            write!(text, "\n# {about}\n{name} {hex}\n").unwrap();
        }
        std::fs::write(&path, text).unwrap();
    }
    let Ok(text) = std::fs::read_to_string(&path) else { return }; // a package of the library alone
    let golden: BTreeMap<&str, Vec<u8>> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(digits).collect())
        })
        .collect();
    for (name, _, bytes) in vectors {
        let kept = golden.get(name.as_str()).unwrap_or_else(|| panic!("{file} lacks {name}"));
        assert!(
            kept == bytes,
            "{file}: {name} has changed: is that meant?\n{kept:02x?}\n{bytes:02x?}"
        );
    }
    assert_eq!(golden.len(), vectors.len(), "{file} has vectors that are not made any more");
}

/// All that a decoder may be handed of some bytes: each prefix, and each with one bit flipped.
pub(crate) fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    let flipped = (0..8 * bytes.len()).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    cut.chain(flipped)
}

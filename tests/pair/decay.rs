//! Files that decay.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Turns a bit over in place, as where a disk decays: it is the same file, and nobody wrote.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    let mut file = File::options().write(true).open(path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.write_all(&bytes).unwrap();
    file.set_modified(written).unwrap();
}

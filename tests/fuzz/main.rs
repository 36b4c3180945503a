//! The fuzz targets, for a moment and without a fuzzer: each over its kept seeds, and over
//! bytes of these changed at random by a generator that always gives the same.
//! `REJOIN_ROUNDS=100000` does it for longer; `REJOIN_BLESS=1` writes the seeds anew after a
//! change of the format. `cargo +nightly fuzz run NAME` does it for hours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../src/bin/rejoin/lines.rs"]
#[allow(dead_code)]
mod lines;
#[path = "../frames/player.rs"]
#[allow(dead_code)]
mod player;
mod seeds;
mod targets;
#[path = "../../src/bin/rejoin/text.rs"]
#[allow(dead_code)]
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Every file that is kept for a target.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus(target))
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_seeds_are_what_is_made() {
    for (target, seeds) in seeds::all() {
        for (name, bytes) in seeds {
            let path = corpus(target).join(&name);
            if std::env::var_os("REJOIN_BLESS").is_some() {
                fs::create_dir_all(corpus(target)).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            if corpus(target).exists() {
                let same = fs::read(&path).unwrap_or_default() == bytes;
                assert!(same, "{target}/{name} is another now: REJOIN_BLESS=1 writes it anew");
            }
        }
    }
}

#[test]
fn every_target_has_seeds() {
    let made: Vec<&str> = seeds::all().into_iter().map(|(target, _)| target).collect();
    for (target, _) in targets::ALL {
        // Those of whole sessions are recorded by the tests of frames.
        assert!(target == "session" || made.contains(&target), "{target}");
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.below(256) as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            4 if !bytes.is_empty() => {
                let to = at + self.below(bytes.len() - at).min(64);
                let part = bytes[at..to].to_vec();
                let into = self.below(bytes.len());
                bytes.splice(into..into, part);
            }
            _ if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            _ => {}
        }
    }
}

/// Seeds as they are, then changed at random.
fn run(name: &str, rounds: usize) {
    let (_, target) = targets::ALL.into_iter().find(|(other, _)| *other == name).unwrap();
    let mut seeds = kept(name);
    if seeds.is_empty() {
        seeds = seeds::of(name); // a package of the library alone
    }
    if seeds.is_empty() {
        return; // and those of sessions are recorded elsewhere
    }
    seeds.iter().for_each(|seed| target(seed));
    target(&[]);
    let wanted = std::env::var("REJOIN_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..wanted.unwrap_or(rounds) {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            dice.change(&mut bytes);
        }
        target(&bytes);
    }
}

#[test]
fn frames() {
    run("frame", 20_000);
}

#[test]
fn rows() {
    run("row", 150);
}

#[test]
fn tokens() {
    run("token", 5_000);
}

#[test]
fn vectors() {
    run("vector", 20_000);
}

#[test]
fn sessions() {
    run("session", 150);
}

#[test]
fn store_files() {
    run("store_file", 60);
}

#[test]
fn import_lines() {
    run("import_line", 20_000);
}

/// Frames with as many entries as there is room for, each as short as it can be: what takes
/// the most memory for its bytes.
#[test]
fn frames_full_of_short_entries() {
    let mut over = Vec::new();
    for (what, frame) in seeds::full_frames() {
        let (read, taken_bytes) = targets::read_frame(&frame);
        read.unwrap_or_else(|error| panic!("{what}: {error}"));
        let most = targets::most_bytes(frame.len());
        if taken_bytes > most {
            over.push(format!("{what}: {taken_bytes} bytes of memory for {}", frame.len()));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

/// Each row of a store is read by a decoder that takes no more than it may and writes it as it
/// was; and there are rows of every kind that peers make.
#[test]
fn rows_of_every_kind_are_read_and_written_again() {
    let mut kinds = BTreeSet::new();
    for row in targets::rows() {
        let kind = seeds::kind(&row);
        let (read, taken_bytes) = targets::read_row(&row);
        assert_eq!(read.as_ref(), Ok(&row.2), "{kind}");
        assert!(taken_bytes <= targets::most_bytes(row.2.len()), "{kind}: {taken_bytes} bytes");
        kinds.insert(kind);
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, KINDS);
}

/// Every kind of row there is, but the words of what was found damaged: the region behind the name
/// of its table, or how its key begins.
const KINDS: [&str; 29] = [
    "bases_0",
    "bases_1",
    "commits",
    "digest_0",
    "digest_1",
    "digest_2",
    "digest_3",
    "digest_4",
    "dots",
    "items",
    "meta_clock",
    "meta_dropped",
    "meta_leaves",
    "meta_met",
    "meta_names",
    "meta_salvaged",
    "meta_spaces",
    "meta_staged",
    "removalages",
    "removals",
    "spaces",
    "states",
    "touched",
    "trash_0",
    "trash_1",
    "trash_2",
    "vectors_0",
    "vectors_1",
    "vectors_2",
];

/// One spelling each: with one byte otherwise, or a byte more or less, a row is refused, or it is
/// another one that is written as it is read.
#[test]
fn a_row_with_an_error_has_no_second_spelling() {
    let mut of_kind = BTreeMap::<String, usize>::new();
    let mut read = 0_u32;
    for row in targets::rows() {
        let seen = of_kind.entry(seeds::kind(&row)).or_default();
        *seen += 1;
        let (table, key, value) = row;
        if *seen > 4 || value.len() > 300 {
            continue;
        }
        let mut try_it = |changed: Vec<u8>| {
            if let (Ok(again), _) = targets::read_row(&(table, key.clone(), changed.clone())) {
                assert_eq!(again, changed, "{table:?} {}", key.escape_ascii());
                read += 1;
            }
        };
        for at in 0..value.len() {
            try_it(value[..at].to_vec());
            for other in 0..=u8::MAX {
                let mut changed = value.clone();
                changed[at] = other;
                try_it(changed);
            }
            // A length that is one more, and a byte more to go with it.
            let mut changed = [value.as_slice(), &[0]].concat();
            changed[at] = changed[at].wrapping_add(1);
            try_it(changed);
        }
        try_it([value.as_slice(), &[0]].concat());
    }
    assert!(read > 10_000, "only {read} were read");
}

/// Rows as long as they may be, written to take as much memory as can be.
#[test]
fn rows_written_to_take_memory() {
    let rows = targets::rows();
    let mut over = Vec::new();
    for (kind, value) in seeds::costly_rows() {
        let (table, key, _) = rows.iter().find(|row| seeds::kind(row) == kind).unwrap();
        let row = (*table, key.clone(), value);
        let (_, taken_bytes) = targets::read_row(&row);
        if taken_bytes > targets::most_bytes(row.2.len()) {
            over.push(format!("{kind}: {taken_bytes} bytes of memory for {}", row.2.len()));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

/// An error must not repeat what stood in a line, nor a list take what a path may not have.
#[test]
fn lines_written_to_take_memory() {
    let mut over = Vec::new();
    for (what, line) in &seeds::costly_lines(1 << 20) {
        let (ops, taken) = targets::read_lines(line.as_bytes());
        let most = targets::most_bytes(line.len()) + targets::OP_BYTES * ops;
        if taken > most {
            let start: String = line.chars().take(60).collect();
            let bytes = line.len();
            over.push(format!("{what}: {taken} bytes of memory for {bytes}, {ops} lines: {start}"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

//! What decoders take of the processor for bytes that were chosen to cost the most: no more than
//! a millisecond for each 64 KiB is what they may.
//!
//! `cargo run --release --all-features --example decoders [FOLDER OF INPUTS FOR frame]`
//!
//! Each input is decoded again and again for a while, and the quickest of some such whiles
//! counts, by the time that this thread was on a processor. What else a machine does takes caches
//! and cycles all the same, and can only make a decoder look dearer than it is: so one that is over
//! is asked again, some times. Where one stays over, this exits with 1. Inputs are as long as they
//! are; one shorter than 64 KiB may take a millisecond too.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "what is decoded is ours")]
#![allow(clippy::unwrap_used, dead_code, reason = "the seeds are those of the tests")]

#[path = "../src/bin/rejoin/lines.rs"]
mod lines;
#[path = "../tests/frames/player.rs"]
mod player;
#[path = "../tests/fuzz/seeds.rs"]
mod seeds;
#[path = "../tests/fuzz/targets.rs"]
mod targets;
#[path = "../src/bin/rejoin/text.rs"]
mod text;

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rejoin::causal::{Dot, ReplicaId, Seq, VersionVector};
use rejoin::codec::{Cursor, Place, Put, limits};
use rejoin::sim::decoders;
use rejoin::space::ReadContext;
use rejoin::storage::Table;

const UNIT_BYTES: u64 = 64 * limits::KIB as u64;
const MOST_NS: u64 = 1_000_000;
const WHILES: u32 = 4;
/// So often, and after such a pause, one that is over is asked again: beside four busy processes on
/// two processors seven of eight runs found one or two over, and none was over in all of them.
const AGAIN: u32 = 12;
const PAUSE: Duration = Duration::from_millis(200);
/// Long beside the ticks in which the time of a thread is told.
const WHILE_NS: u64 = 40_000_000;

/// The time that this thread was on a processor; the time that it is, where that is not told.
fn now_ns(begun: Instant) -> u64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let told = told.and_then(|told| told.split(' ').next()?.parse().ok());
    told.unwrap_or_else(|| begun.elapsed().as_nanos() as u64)
}

fn takes_ns(decode: &dyn Fn()) -> u64 {
    let begun = Instant::now();
    let mut best = u64::MAX;
    for _ in 0..WHILES {
        let (from, mut times) = (now_ns(begun), 0);
        let spent = loop {
            decode();
            times += 1;
            let spent = now_ns(begun) - from;
            if spent > WHILE_NS {
                break spent;
            }
        };
        best = best.min(spent / times);
    }
    best
}

/// A decoder, what it is handed, and how long that is.
struct Case {
    name: String,
    bytes: usize,
    decode: Box<dyn Fn()>,
}

fn case(name: &str, bytes: Vec<u8>, decode: impl Fn(&[u8]) + 'static) -> Case {
    let length = bytes.len();
    let decode = Box::new(move || decode(black_box(&bytes)));
    Case { name: name.to_owned(), bytes: length, decode }
}

fn frame(name: &str, bytes: Vec<u8>) -> Case {
    let read = |bytes: &[u8]| drop(black_box(decoders::frame(bytes)));
    case(&format!("frame: {name}"), bytes, read)
}

fn id(n: u32) -> [u8; 16] {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id
}

fn vector_of(entries: u32) -> Vec<u8> {
    let dot = |n| Dot::new(ReplicaId::from_bytes(id(n)), Seq::new(u64::MAX >> 2));
    let vector: VersionVector = (0..entries).map(dot).collect();
    let mut bytes = Vec::new();
    bytes.put_vector(&vector);
    bytes
}

/// Items that share as much of a long place as one chunk may say of places.
fn shared_places(step: &[u8], steps: usize) -> Vec<u8> {
    let place = [b"k\0\0".as_slice(), &step.repeat(steps), b"\x05\0\0\0"].concat();
    let items = limits::CHUNK_PLACE_BYTES / place.len() - 1;
    let mut out = vec![8, 0, 1];
    out.extend(id(1));
    out.extend([1, 0]);
    out.put_varint(items as u64);
    out.put_varint(items as u64);
    for n in 0..items {
        out.push(0);
        out.put_varint(if n == 0 { 0 } else { place.len() as u64 });
        out.put_bytes(if n == 0 { &place } else { &[] });
        out.extend([0, 0]);
    }
    out.push(0);
    decoders::frame(&out).expect("a frame as it may be");
    out
}

fn cases() -> Vec<Case> {
    let mut all: Vec<Case> =
        seeds::full_frames().into_iter().map(|(name, bytes)| frame(name, bytes)).collect();
    let step = [b"\x09".as_slice(), &[b'm'; 100], b"\0\0"].concat();
    let zeros = [b"\x09".as_slice(), &[0, 0xff].repeat(50), b"\0\0"].concat();
    all.push(frame("items that share a deep place", shared_places(&step, 30)));
    all.push(frame("items that share a place of zeros", shared_places(&zeros, 30)));
    all.push(frame("items that share a place of empty steps", shared_places(b"\x09\0\0", 31)));
    let run = seeds::full_frames().into_iter().find(|(name, _)| *name == "a run of removals");
    let run = run.map(|(_, bytes)| bytes).unwrap_or_default();
    all.push(frame("runs of removals", run.repeat(UNIT_BYTES as usize / run.len().max(1))));
    all.push(frame("messages without a body", vec![2; UNIT_BYTES as usize]));
    all.push(frame("messages of two bytes", [11, 0].repeat(UNIT_BYTES as usize / 2)));

    let row = |name: &str, table: Table, bytes: Vec<u8>| {
        case(&format!("row: {name}"), bytes, move |bytes| {
            drop(black_box(decoders::row(table, &[], bytes)));
        })
    };
    let past = vector_of(limits::REMOVAL_ORIGINS as u32);
    all.push(row("an item with a past", Table::Items, past.clone()));
    let prefix = [b"\x01\x03k\0\0".as_slice(), &past].concat();
    all.push(row("a removal beneath a prefix", Table::Removals, prefix));
    let mut dots = vec![0];
    dots.put_varint(2_700);
    (0..2_700).for_each(|n| dots.extend([id(n).as_slice(), &1_u64.to_be_bytes()].concat()));
    all.push(row("a removal of dots", Table::Removals, dots));
    let mut runs = Vec::new();
    runs.put_varint(3_600);
    (0..3_600).for_each(|n| runs.extend([id(n).as_slice(), &[1, 0]].concat()));
    all.push(row("runs of a commit", Table::Commits, runs));

    let read = |bytes: &[u8]| {
        let vector = Cursor::new("vector", bytes).vector(limits::VECTOR_REPLICAS);
        drop(black_box(vector));
    };
    all.push(case("vector: short", vector_of(2_500), read));
    all.push(case("vector: the longest", vector_of(limits::VECTOR_REPLICAS as u32), read));

    let token = |bytes: Vec<u8>| {
        let sum = blake3::derive_key("rejoin 2026 read context", &bytes);
        [bytes.as_slice(), &sum[..8]].concat()
    };
    for bytes in seeds::of("token") {
        let read = |bytes: &[u8]| drop(black_box(ReadContext::from_bytes(bytes)));
        all.push(case("token", token(bytes), read));
    }
    all.push(case("token: noise", token(vec![7; UNIT_BYTES as usize]), |bytes| {
        drop(black_box(ReadContext::from_bytes(bytes)));
    }));

    let deep = [b"k\0\0".as_slice(), &b"\x09\0\0".repeat(31), b"\x05\0\0\0"].concat();
    all.push(case("place: deep", deep, |bytes| drop(black_box(Place::from_bytes(bytes)))));

    for (name, line) in seeds::costly_lines(UNIT_BYTES as usize) {
        all.push(case(&format!("line: {name}"), line.into_bytes(), |bytes| {
            black_box(targets::read_lines(bytes));
        }));
    }
    all
}

fn main() -> ExitCode {
    let mut all = cases();
    for folder in std::env::args().skip(1) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let bytes = fs::read(entry.path()).expect("a file");
            all.push(frame(&entry.file_name().to_string_lossy(), bytes));
        }
    }
    let mut told: Vec<(u64, String)> = Vec::new();
    let mut over = 0;
    for Case { name, bytes, decode } in &all {
        let most = MOST_NS * (*bytes as u64).max(UNIT_BYTES) / UNIT_BYTES;
        let (mut ns, mut again) = (takes_ns(decode), 0);
        while ns > most && again < AGAIN {
            std::thread::sleep(PAUSE);
            ns = ns.min(takes_ns(decode));
            again += 1;
        }
        let share = 100 * ns / most;
        let mark = match (ns > most, again) {
            (true, _) => " OVER".to_owned(),
            (false, 0) => String::new(),
            (false, _) => format!(" (asked again {again} times)"),
        };
        over += usize::from(ns > most);
        let us = ns / 1_000;
        let line =
            format!("{share:4} % of what it may: {us:7} µs for {bytes:9} bytes: {name}{mark}");
        told.push((share, line));
    }
    told.sort_by_key(|(share, _)| std::cmp::Reverse(*share));
    for (_, line) in told.iter().take(40) {
        println!("{line}");
    }
    println!("{} inputs, {over} over", told.len());
    if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

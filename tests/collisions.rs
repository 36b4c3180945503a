//! HashDoS: who chooses keys, and names of replicas, can choose them all of one hash, for any hash
//! without a secret seed. A map keyed by hashes then compares each with all others: 200,000 of
//! them 20,000,000,000 times. Through whole sessions such names take what others take.
//!
//! What is compared is the time that this thread spent on a processor, with room for a machine
//! that is busy with other things: what is to be noticed takes a hundred times as long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::fs;
use std::io::Write as _;

use pair::{main_of, meet, store};
use rejoin::causal::ReplicaId;
use rejoin::sim::hostile::tell_of_origins;

const NAMES: u64 = 200_000;

/// Of replicas fewer: a vector names them all, and is gone through with each chunk.
const REPLICAS: u64 = 50_000;

/// How often the time of names like others may be taken, and beside that, for names that collide.
const TIMES: u64 = 3;
const BESIDE_NS: u64 = 500_000_000;

/// A step of a hash that is widely used and not seeded: rotate, xor, multiply.
const fn step(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn hash(name: &[u8; 16]) -> u64 {
    let word = |at| u64::from_le_bytes(name[at..at + 8].try_into().unwrap());
    step(step(0, word(0)), word(8))
}

/// Names of one hash.
fn colliding(count: u64) -> Vec<[u8; 16]> {
    let name = |n: u64| {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&n.to_le_bytes());
        name[8..].copy_from_slice(&(step(0, n).rotate_left(5) ^ 0x5eed).to_le_bytes());
        name
    };
    let mut names: Vec<_> = (1..=count).map(name).collect();
    assert!(names.iter().all(|name| hash(name) == hash(&names[0])));
    names.sort_unstable();
    names
}

/// As many that are like others.
fn scattered(count: u64) -> Vec<[u8; 16]> {
    let name = |n: u64| {
        let hash = blake3::hash(&n.to_le_bytes());
        hash.as_bytes()[..16].try_into().unwrap()
    };
    let mut names: Vec<[u8; 16]> = (1..=count).map(name).collect();
    names.sort_unstable();
    names
}

/// For how long this thread was on a processor so far, where that is told.
fn on_cpu_ns() -> Option<u64> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok()
}

/// Holds the time for names that collide against that for others.
#[track_caller]
fn compare(what: &str, count: u64, work: impl Fn(&[[u8; 16]])) {
    let timed = |names: &[[u8; 16]]| {
        let from = on_cpu_ns();
        work(names);
        Some(on_cpu_ns()? - from?)
    };
    let (scattered, colliding) = (timed(&scattered(count)), timed(&colliding(count)));
    let Some((scattered, colliding)) = scattered.zip(colliding) else {
        // Past the harness, which shows nothing of what a test prints that passes.
        let why = "the system does not tell how long a thread was on a processor";
        let _ = writeln!(std::io::stderr(), "SKIPPED: the times of {what} of one hash: {why}");
        return;
    };
    println!("{what}: {} ms, others {} ms", colliding / 1_000_000, scattered / 1_000_000);
    assert!(colliding <= TIMES * scattered + BESIDE_NS, "{what}: {colliding} ns, {scattered} ns");
}

#[test]
fn keys_of_one_hash_take_what_others_take() {
    compare("keys", NAMES, |names| {
        let (here, there) = (store(1), store(2));
        let write = |tx: &rejoin::Tx<'_>| names.iter().try_for_each(|name| tx.set(name).add(&1_u8));
        main_of(&here).write(write).unwrap();
        meet(&here, &there);
        assert_eq!(main_of(&there).status().unwrap().items, NAMES);
        // And once more, where there is little news.
        main_of(&there).counter("n").add(1).unwrap();
        meet(&there, &here);
    });
}

#[test]
fn replicas_of_one_hash_take_what_others_take() {
    compare("replicas", REPLICAS, |names| {
        let (here, there) = (store(1), store(2));
        let origins: Vec<ReplicaId> = names.iter().copied().map(ReplicaId::from_bytes).collect();
        let told = tell_of_origins(&here, "main", &origins).unwrap();
        assert_eq!(told.error, None);
        assert_eq!(main_of(&here).status().unwrap().items, REPLICAS);
        meet(&here, &there);
        assert_eq!(main_of(&there).vector().unwrap().len(), names.len());
    });
}

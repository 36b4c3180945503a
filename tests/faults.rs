//! Each rule of the design whose breaking loses something is broken here on purpose, one
//! at a time, in the shipped code: the worlds must notice.
//!
//! `RUSTFLAGS="--cfg rejoin_faults" cargo test --features sim --test faults`; in any other
//! build there is nothing here, and nothing to choose. `REJOIN_FAULT=NoRepair` breaks one.
#![cfg(rejoin_faults)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin::faults::{self, Fault};
use rejoin::sim;

/// Worlds in which a broken rule must show.
const MOST: u64 = 20_000;

/// The first world that notices a fault.
fn noticed(fault: Fault) -> Option<u64> {
    faults::choose(Some(fault));
    let failure = (0..MOST).find_map(|seed| sim::run(seed).err());
    faults::choose(None);
    let failure = failure?;
    println!("{fault:?}: after {} worlds: {}", failure.seed + 1, failure.what);
    Some(failure.seed)
}

#[test]
fn each_broken_rule_shows() {
    let only = std::env::var("REJOIN_FAULT").ok();
    let chosen = |fault: &&Fault| only.as_ref().is_none_or(|only| *only == format!("{fault:?}"));
    let all: Vec<Fault> = Fault::ALL.iter().filter(chosen).copied().collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new((0, Vec::new())));
    let work = || {
        while let Some(fault) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let seed = noticed(*fault);
            let mut found = found.lock().unwrap();
            match seed {
                Some(seed) => found.0 = found.0.max(seed),
                None => found.1.push(*fault),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let (most, unseen) = found.into_inner().unwrap();
    assert!(unseen.is_empty(), "{MOST} worlds did not notice {unseen:?}");
    for seed in 0..=most {
        if let Err(failure) = sim::run(seed) {
            panic!("with no rule broken: {failure}");
        }
    }
    println!("{} faults noticed; {} worlds hold with no rule broken", all.len(), most + 1);
}

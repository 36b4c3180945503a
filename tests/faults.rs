//! Each rule of the design whose breaking loses something is broken here on purpose, one
//! at a time, in the shipped code: the worlds must notice.
//!
//! `RUSTFLAGS="--cfg rejoin_faults" cargo test --features sim --test faults`; in any other
//! build there is nothing here, and nothing to choose.
#![cfg(rejoin_faults)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use rejoin::faults::{self, Fault};
use rejoin::sim;

/// Worlds in which a broken rule must show.
const MOST: u64 = 20_000;

#[test]
fn each_broken_rule_shows() {
    let mut unseen = Vec::new();
    let mut most = 0;
    for fault in Fault::ALL {
        faults::choose(Some(fault));
        match (0..MOST).find_map(|seed| sim::run(seed).err()) {
            Some(failure) => {
                println!("{fault:?}: world {}: {}", failure.seed, failure.what);
                most = most.max(failure.seed);
            }
            None => unseen.push(fault),
        }
        faults::choose(None);
    }
    assert!(unseen.is_empty(), "{MOST} worlds did not notice {unseen:?}");
    for seed in 0..=most {
        if let Err(failure) = sim::run(seed) {
            panic!("with no rule broken: {failure}");
        }
    }
    println!("{} worlds hold with no rule broken", most + 1);
}

//! One flipped bit anywhere in a store's file is right data or an error that names the block.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the example compares with a plain redb database as well")]
#[path = "../examples/flips.rs"]
mod example;

use example::{Dice, Outcome, Store, flip};

fn flips(crashed: bool) {
    let folder = tempfile::tempdir_in(if cfg!(unix) { "/dev/shm" } else { "." });
    let folder = folder.or_else(|_| tempfile::tempdir()).unwrap();
    let seed = std::env::var("REJOIN_TEST_SEED").map_or(20, |seed| seed.parse().unwrap());
    let outcomes = flip(&Store, folder.path(), (300, 1_000), crashed, &mut Dice(seed)).unwrap();
    let of = |outcome: Outcome| outcomes.get(outcome as usize).copied().unwrap();
    assert_eq!(of(Outcome::Refused) + of(Outcome::Wrong) + of(Outcome::Panic), 0, "{outcomes:?}");
    assert!(of(Outcome::Right) > 10 && of(Outcome::Corrupt) > 10, "{outcomes:?}");
    // Few blocks lead to many rows.
    assert!(of(Outcome::Closed) < of(Outcome::Corrupt), "{outcomes:?}");
}

#[test]
fn of_a_file_that_was_closed() {
    flips(false);
}

#[test]
fn of_a_file_whose_process_died_in_a_transaction() {
    flips(true);
}

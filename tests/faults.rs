//! Each rule of the design whose breaking loses something is broken here on purpose, one
//! at a time, in the shipped code: the worlds must notice.
//!
//! `RUSTFLAGS="--cfg rejoin_faults" cargo test --features sim --test faults`; in any other
//! build there is nothing here, and nothing to choose. `REJOIN_FAULT=NoRepair` breaks one.
#![cfg(rejoin_faults)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod pair;
#[path = "pair/passed_on.rs"]
mod passed_on;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pair::{Meeting, main_of, store};
use rejoin::faults::{self, Fault};
use rejoin::{Store, sim};

/// Worlds in which a broken rule must show.
const MOST: u64 = 20_000;

/// Whether a value is where it was passed on to, after a power cut where it came from.
fn a_value_that_was_passed_on_is_there() -> bool {
    passed_on::newest_values().iter().all(|values| values.len() == 1)
}

/// Whether a file that was copied without its identity is opened under a fresh name.
fn a_copied_file_takes_a_fresh_name() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let name = |path: &str| Store::open(file(path)).unwrap().replica();
    let first = name("store");
    std::fs::copy(file("store"), file("copy")).unwrap();
    name("store") == first && name("copy") != first
}

/// Whether both contents of an event are there, once those have met who hold one each.
fn both_contents_live_on() -> bool {
    let (left, right) = (store(2), store(3));
    for (at, value) in [(&left, "tea"), (&right, "rice")] {
        let one = store(1);
        main_of(&one).put("note", value, None).unwrap();
        Meeting::of(&one, at).run_on(usize::MAX);
    }
    Meeting::of(&left, &right).run_on(usize::MAX);
    [&left, &right].iter().all(|at| main_of(at).get("note").unwrap().values().count() == 2)
}

/// The first world that notices a fault.
fn noticed(fault: Fault) -> Option<u64> {
    faults::choose(Some(fault));
    // What worlds show rarely, or not at all, has a story of its own.
    let story: Option<fn() -> bool> = match fault {
        Fault::SyncSkippedBeforeEventsArePassedOn => Some(a_value_that_was_passed_on_is_there),
        Fault::CopiedFileKeepsItsName => Some(a_copied_file_takes_a_fresh_name),
        Fault::SecondContentForgotten => Some(both_contents_live_on),
        _ => None,
    };
    if let Some(holds) = story {
        let breaks = !holds();
        faults::choose(None);
        println!("{fault:?}: its story {}", if breaks { "breaks" } else { "holds" });
        return (breaks && holds()).then_some(0);
    }
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
    assert!(!all.is_empty(), "there is no fault of the name {only:?}");
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

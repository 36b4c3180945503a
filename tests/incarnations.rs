//! Each time a store takes a fresh name, the one before it keeps its entry in the vectors for
//! ever: leaving it out would bring back what was deleted. What must not grow with these entries
//! is what a pair that has met says in its hello, and what a write costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{Meeting, assert_sound, main_of, meet, store};
use rejoin::Store;
use rejoin::causal::ReplicaId;
use rejoin::sim::hostile::tell_of_origins;

/// Two that have met, after so many names have written one item each.
fn met(names: u64) -> [Store; 2] {
    let stores = [store(1), store(2)];
    let name = |n: u64| {
        let hash = blake3::hash(&n.to_le_bytes());
        ReplicaId::from_bytes(*hash.as_bytes().first_chunk().unwrap())
    };
    let mut names: Vec<ReplicaId> = (0..names).map(name).collect();
    names.sort_unstable();
    assert_eq!(tell_of_origins(&stores[0], "main", &names).unwrap().error, None);
    meet(&stores[0], &stores[1]);
    for store in &stores {
        main_of(store).counter("n").add(1).unwrap();
    }
    meet(&stores[0], &stores[1]);
    stores
}

/// Bytes of a session after one change on each side, and of one with nothing new.
fn bytes(stores: &[Store; 2]) -> [usize; 2] {
    for store in stores {
        main_of(store).counter("n").add(1).unwrap();
    }
    [(); 2].map(|()| {
        let mut meeting = Meeting::of(&stores[0], &stores[1]);
        assert!(meeting.run_on(usize::MAX));
        assert!(meeting.left.report().converged());
        meeting.bytes()
    })
}

/// Allocations and their bytes in a write that is not the first.
fn cost_of_a_write(stores: &[Store; 2]) -> [u64; 2] {
    let counter = main_of(&stores[0]).counter("n");
    counter.add(1).unwrap();
    let taken = allocation_counter::measure(|| {
        counter.add(1).unwrap();
    });
    [taken.count_total, taken.bytes_total]
}

#[test]
fn ten_thousand_incarnations_make_neither_hello_nor_write_dearer() {
    let (few, many) = (met(20), met(10_000));
    assert!(main_of(&many[0]).vector().unwrap().len() > 10_000);
    for ((few, many), what) in bytes(&few).into_iter().zip(bytes(&many)).zip(["news", "none"]) {
        assert!(many <= few + 64, "{what}: {many} bytes, of few names {few}");
    }
    for (few, many) in cost_of_a_write(&few).into_iter().zip(cost_of_a_write(&many)) {
        assert!(many <= 2 * few + 256, "{many}, of few names {few}");
    }
    many.iter().for_each(assert_sound);
}

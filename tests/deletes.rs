//! Deletes leave nothing but a bounded log, and nobody can bring back what was deleted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::ops::ControlFlow;

use pair::{Meeting, assert_sound, items, main_of, meet, options, store};
use rejoin::causal::ReplicaId;
use rejoin::storage::{KeyRange, MemoryStorage, Order, Storage, Table};
use rejoin::{Options, Store};

/// 200,000 where the code is optimised; in debug builds a tenth, unless
/// `REJOIN_ELEMENTS` says otherwise.
fn elements() -> u32 {
    let asked = std::env::var("REJOIN_ELEMENTS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(if cfg!(debug_assertions) { 20_000 } else { 200_000 })
}

/// A store whose tables can be looked into.
fn open(name: u8, options: Options) -> (Store, MemoryStorage) {
    let storage = MemoryStorage::new(ReplicaId::from_bytes([name; 16]));
    (Store::on(Box::new(storage.clone()), options).unwrap(), storage)
}

/// One that drops what is claimed to be removed, however much.
fn unbraked(name: u8) -> Store {
    let mut options = options(name);
    options.brake_items = u64::MAX;
    Store::in_memory_with(options)
}

fn rows(storage: &MemoryStorage, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let all = KeyRange { from: &[], to: None };
    let read = storage.read().unwrap();
    read.scan(table, all, Order::Ascending, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn add_all(store: &Store, count: u32) {
    each_thousand(store, count, |set, n| set.add(n));
}

fn remove_all(store: &Store, count: u32) {
    each_thousand(store, count, |set, n| set.remove(n).map(|there| assert!(there)));
}

fn each_thousand(
    store: &Store,
    count: u32,
    change: impl Fn(&rejoin::space::Set<u32, &rejoin::Tx<'_>>, &u32) -> Result<(), rejoin::Error>,
) {
    for first in (0..count).step_by(1_000) {
        main_of(store)
            .write(|tx| {
                let set = tx.set("cart");
                (first..count.min(first + 1_000)).try_for_each(|n| change(&set, &n))
            })
            .unwrap();
    }
}

#[test]
fn what_is_added_and_removed_leaves_nothing() {
    let count = elements();
    let (a, tables) = open(1, options(1));
    let (held, held_tables) = open(2, options(2));
    let away = store(3);
    add_all(&a, count);
    meet(&a, &held);
    meet(&away, &held);
    assert_eq!(main_of(&away).status().unwrap().items, u64::from(count));
    remove_all(&a, count);

    for table in [Table::Items, Table::Dots] {
        assert!(rows(&tables, table).is_empty(), "{table:?}");
    }
    // The tree of hashes has nothing to hash, and the state is a row and an entry of the vector.
    main_of(&a).root().unwrap();
    let state: Vec<_> = [Table::States, Table::Vectors, Table::Digest]
        .into_iter()
        .flat_map(|table| rows(&tables, table))
        .collect();
    let bytes: usize = state.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes < 150, "{bytes} bytes: {state:?}");
    let status = main_of(&a).status().unwrap();
    assert_eq!((status.items, status.keys, status.staged), (0, 0, 0));

    // A new replica learns it all.
    let new = store(4);
    let mut meeting = Meeting::of(&new, &a);
    assert!(meeting.run_on(usize::MAX) && meeting.left.report().converged());
    assert!(meeting.bytes() < 1024, "{} bytes", meeting.bytes());
    assert_eq!(main_of(&new).vector().unwrap(), main_of(&a).vector().unwrap());

    // One that held them drops them all, by the records alone; so does one that hears of it
    // from a third, and that wrote meanwhile.
    let report = meet(&held, &a);
    assert_eq!((report.repaired, report.items_received), (0, 0));
    assert!(
        rows(&held_tables, Table::Items).is_empty() && rows(&held_tables, Table::Dots).is_empty()
    );
    main_of(&away).set("cart").add(&count).unwrap();
    meet(&away, &held);
    meet(&away, &a);
    for store in [&a, &held, &away] {
        assert_eq!(main_of(store).set::<u32>("cart").elements().unwrap(), [count]);
        assert_sound(store);
    }
}

#[test]
fn one_that_was_away_resurrects_nothing_though_nobody_remembers() {
    let count = elements() / 10;
    let forgetful = |name| {
        let mut options = options(name);
        options.removal_log_bytes = 0;
        options.brake_items = u64::MAX;
        open(name, options).0
    };
    let (a, b) = (forgetful(1), forgetful(2));
    let away = unbraked(3);
    add_all(&a, count);
    main_of(&a).set("cart").add(&u32::MAX).unwrap();
    meet(&a, &away);
    remove_all(&a, count);
    assert_eq!(main_of(&a).status().unwrap().removal_log_bytes, 0);
    meet(&a, &b);
    main_of(&away).counter("meanwhile").add(1).unwrap();

    // By way of one that never held them.
    let report = meet(&away, &b);
    assert_eq!(report.repaired, u64::from(count));
    meet(&a, &b);
    for store in [&a, &b, &away] {
        assert_eq!(main_of(store).set::<u32>("cart").elements().unwrap(), [u32::MAX]);
        assert_eq!(main_of(store).counter("meanwhile").get().unwrap(), 1);
        assert_sound(store);
    }
    assert_eq!(meet(&a, &away).repaired, 0);
}

#[test]
fn the_log_forgets_the_oldest_first() {
    let count = elements() / 10;
    let limit = 20_000;
    let mut bounded = options(1);
    bounded.removal_log_bytes = limit;
    let (a, tables) = open(1, bounded);
    let held = unbraked(2);
    add_all(&a, count);
    meet(&a, &held);
    for n in 0..count {
        main_of(&a).set("cart").remove(&n).unwrap();
        assert!(n % 97 != 0 || main_of(&a).status().unwrap().removal_log_bytes <= limit);
    }
    let kept = rows(&tables, Table::Removals);
    let bytes: usize = kept.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!(main_of(&a).status().unwrap().removal_log_bytes, bytes as u64);
    assert!((limit / 2..=limit).contains(&(bytes as u64)), "{bytes} bytes");
    // The ages take room too, and are of what is kept.
    assert!(rows(&tables, Table::RemovalAges).len() <= kept.len());
    let seq = |key: &[u8]| u64::from_be_bytes(*key.last_chunk().unwrap());
    let newest = u64::from(2 * count);
    let expected: Vec<u64> = (newest + 1 - kept.len() as u64..=newest).collect();
    assert_eq!(kept.iter().map(|(key, _)| seq(key)).collect::<Vec<_>>(), expected);

    // What is remembered goes by the records, the rest by the walk.
    let report = meet(&held, &a);
    assert_eq!(
        (report.removals_received, report.repaired),
        (kept.len() as u64, u64::from(count) - kept.len() as u64)
    );
    assert!(items(&main_of(&held)).is_empty());
    assert_sound(&a);
    assert_sound(&held);
}

#[test]
fn a_removal_of_many_at_once_is_one_record() {
    let count = elements() / 10;
    let (a, tables) = open(1, options(1));
    let held = store(2);
    add_all(&a, count);
    meet(&a, &held);
    main_of(&held).set("cart").add(&count).unwrap(); // not observed by the removal
    assert!(main_of(&a).delete("cart").unwrap());
    assert_eq!(rows(&tables, Table::Removals).len(), 1);
    let report = meet(&a, &held);
    assert_eq!((report.removals_sent, report.items_received, report.repaired), (1, 1, 0));
    assert!(report.bytes_sent + report.bytes_received < 1024, "{report:?}");
    for store in [&a, &held] {
        assert_eq!(main_of(store).set::<u32>("cart").elements().unwrap(), [count]);
        assert_sound(store);
    }
}

//! A store with holes does not tell others that what it lacks was removed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "pair/decay.rs"]
mod decay;
mod pair;

use std::ops::ControlFlow;

use decay::flip;
use pair::{items, main_of, meet, options, store};
use rejoin::causal::ReplicaId;
use rejoin::session::{Scope, Session};
use rejoin::storage::{
    Durability, KeyRange, MemoryStorage, Order, Storage, StorageError, Table, Verdict,
};
use rejoin::{Error, Options, Store};

fn open(name: u8, options: Options) -> (Store, MemoryStorage) {
    let storage = MemoryStorage::new(ReplicaId::from_bytes([name; 16]));
    (Store::on(Box::new(storage.clone()), options).unwrap(), storage)
}

fn rows(storage: &MemoryStorage, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let all = KeyRange { from: &[], to: None };
    storage
        .read()
        .unwrap()
        .scan(table, all, Order::Ascending, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

/// Changes rows beneath a store.
fn beneath(storage: &MemoryStorage, table: Table, key: &[u8], value: Option<&[u8]>) {
    storage
        .write(Durability::Immediate, &mut |rows| {
            match value {
                Some(value) => rows.put(table, key, value)?,
                None => drop(rows.delete(table, key)?),
            }
            Ok(Verdict::Commit)
        })
        .unwrap();
}

/// Runs a session; how each side failed, if it did.
fn meets_error(a: &Store, b: &Store) -> [Option<Error>; 2] {
    let left = match Session::connect(a, Scope::All, pair::nonce()) {
        Ok(left) => left,
        Err(error) => return [Some(error), None],
    };
    let mut sides = [left, Session::accept(b, pair::nonce())];
    let mut failed = [None, None];
    let mut moved = true;
    while moved {
        moved = false;
        for from in 0..2 {
            let frame = sides[from].poll_frame(0).unwrap_or_else(|error| {
                failed[from].get_or_insert(error);
                sides[from].poll_frame(0).unwrap()
            });
            let Some(frame) = frame else { continue };
            moved = true;
            if let Err(error) = sides[1 - from].handle_frame(0, &frame) {
                failed[1 - from].get_or_insert(error);
            }
        }
    }
    failed
}

fn is_corrupt(error: &Option<Error>) -> bool {
    matches!(error, Some(Error::Storage(StorageError::Corrupt { .. })))
}

fn is_damaged(error: &Option<Error>) -> bool {
    matches!(error, Some(Error::Storage(StorageError::Damaged { .. })))
}

/// Two that are equal, and a third that will take part in nothing before the end. The
/// second forgets what it removes.
fn pair_of(elements: u32) -> (Store, MemoryStorage, Store) {
    let mut forgets = options(2);
    forgets.removal_log_bytes = 0;
    let (here, tables) = open(1, options(1));
    let there = Store::in_memory_with(forgets);
    main_of(&here).write(|tx| (0..elements).try_for_each(|n| tx.set("cart").add(&n))).unwrap();
    meet(&here, &there);
    (here, tables, there)
}

#[test]
fn a_hole_is_not_claimed_to_be_a_removal() {
    for connects in [true, false] {
        let (here, tables, there) = pair_of(100);
        main_of(&here).root().unwrap();
        // An item and its dot vanish; then the two walk, because of something else.
        let dots = rows(&tables, Table::Dots);
        beneath(&tables, Table::Items, &rows(&tables, Table::Items)[50].0, None);
        beneath(&tables, Table::Dots, &dots[50].0, None);
        main_of(&there).set::<u32>("cart").remove(&7).unwrap();
        let before = items(&main_of(&there));
        let failed = match connects {
            true => meets_error(&here, &there),
            false => {
                meets_error(&there, &here).into_iter().rev().collect::<Vec<_>>().try_into().unwrap()
            }
        };
        assert!(is_corrupt(&failed[0]), "{failed:?}");
        assert_eq!(items(&main_of(&there)), before);
        // It says so, refuses from now on in both roles, and after it was opened anew.
        assert!(here.damage().unwrap().unwrap().contains("hash"));
        drop(here);
        let here = Store::on(Box::new(tables.clone()), options(1)).unwrap();
        let left = meets_error(&here, &there);
        assert!(is_damaged(&left[0]), "{left:?}");
        let right = meets_error(&there, &here);
        assert!(is_damaged(&right[1]), "{right:?}");
        // What and where it is, is none of the peer's business.
        let told = right[0].as_ref().unwrap().to_string();
        assert!(told.contains("is damaged") && !told.contains("hash"), "{told}");
        assert_eq!(items(&main_of(&there)), before);
        assert!(!here.check().unwrap().is_sound());
        // Others go on with each other.
        let third = store(3);
        meet(&third, &there);
        assert_eq!(items(&main_of(&third)), before);
    }
}

#[test]
fn an_item_that_changed_is_not_passed_on() {
    let (here, tables, _) = pair_of(20);
    let (key, value) = rows(&tables, Table::Items)[10].clone();
    // As a payload that the type allows, so that only the hash tells.
    main_of(&here).put("note", "something", None).unwrap();
    let note =
        rows(&tables, Table::Items).into_iter().find(|(k, _)| k.windows(4).any(|w| w == b"note"));
    let (note_key, note_value) = note.unwrap();
    let mut flipped = note_value.clone();
    *flipped.last_mut().unwrap() ^= 1;
    beneath(&tables, Table::Items, &note_key, Some(&flipped));
    let third = store(3);
    let failed = meets_error(&third, &here);
    assert!(is_corrupt(&failed[1]), "{failed:?}");
    assert!(items(&main_of(&third)).is_empty());
    assert!(here.damage().unwrap().is_some());
    // What was damaged only for a moment is taken back by a check that finds nothing.
    assert!(!here.check().unwrap().is_sound());
    beneath(&tables, Table::Items, &note_key, Some(&note_value));
    assert!(is_damaged(&meets_error(&here, &third)[0]));
    assert!(here.check().unwrap().is_sound());
    assert_eq!(here.damage().unwrap(), None);
    meet(&here, &third);
    // A row that is gone though its dot is there.
    beneath(&tables, Table::Items, &key, None);
    assert!(is_corrupt(&meets_error(&store(4), &here)[1]));
    beneath(&tables, Table::Items, &key, Some(&value));
    assert!(is_damaged(&meets_error(&store(4), &here)[1]));
}

#[test]
fn a_check_that_finds_something_ends_syncing() {
    let (here, tables, there) = pair_of(20);
    let dots = rows(&tables, Table::Dots);
    beneath(&tables, Table::Dots, &dots[3].0, None);
    // Nobody has noticed: vector and kept root are still equal, and nothing is deleted.
    meet(&here, &there);
    assert!(!here.check().unwrap().is_sound());
    assert!(is_damaged(&meets_error(&here, &there)[0]));
    assert_eq!(items(&main_of(&there)).len(), 20);
    // It reads and writes as ever.
    main_of(&here).counter("n").add(1).unwrap();
    assert_eq!(main_of(&here).counter("n").get().unwrap(), 1);
}

/// The keys of the item of the event of this number, and of its dot.
fn keys_of(tables: &MemoryStorage, seq: u64) -> (Vec<u8>, Vec<u8>) {
    let mut items = rows(tables, Table::Items).into_iter();
    let (item, _) = items.find(|(key, _)| key.ends_with(&seq.to_be_bytes())).unwrap();
    let dot = [&item[..4], &item[item.len() - 24..]].concat();
    assert!(rows(tables, Table::Dots).iter().any(|(key, _)| *key == dot));
    (item, dot)
}

/// The hole is there before the block is hashed: the hash is right, for what is left.
#[test]
fn a_dot_lost_before_its_block_was_hashed_deletes_nothing() {
    for connects in [true, false] {
        for item_too in [true, false] {
            let (here, tables, there) = pair_of(100);
            // An event of its own marks the block, and then the row is lost.
            main_of(&here).put("new", "something", None).unwrap();
            let (item, dot) = keys_of(&tables, 31);
            beneath(&tables, Table::Dots, &dot, None);
            if item_too {
                beneath(&tables, Table::Items, &item, None);
            }
            let before = items(&main_of(&there));
            let failed = match connects {
                true => meets_error(&here, &there)[0].take(),
                false => meets_error(&there, &here)[1].take(),
            };
            assert!(is_corrupt(&failed), "{failed:?}");
            assert!(items(&main_of(&there)) == before);
            assert!(here.damage().unwrap().unwrap().contains("block 0"));
            assert!(is_damaged(&meets_error(&here, &there)[0]));
            assert!(!here.check().unwrap().is_sound());
        }
    }
}

/// No claim is needed: what a delta leaves out is dead for whoever takes it, and for all whom
/// that one meets.
#[test]
fn a_hole_does_not_travel_as_news_that_leaves_something_out() {
    for hashed in [true, false] {
        let (here, tables, there) = pair_of(600);
        if hashed {
            main_of(&here).root().unwrap();
        } else {
            main_of(&here).put("new", "something", None).unwrap();
        }
        let (item, dot) = keys_of(&tables, 431);
        beneath(&tables, Table::Dots, &dot, None);
        beneath(&tables, Table::Items, &item, None);
        let before = items(&main_of(&there));
        let third = store(3);
        let failed = meets_error(&third, &here);
        assert!(is_corrupt(&failed[1]), "{failed:?}");
        meet(&third, &there);
        assert!(items(&main_of(&there)) == before);
        assert!(items(&main_of(&third)) == before);
    }
}

/// A delta that leads past the hole passes over the same block.
#[test]
fn a_hole_beside_what_is_news_is_noticed() {
    let (here, tables, there) = pair_of(100);
    let third = store(3);
    meet(&third, &here);
    main_of(&here).put("new", "something", None).unwrap();
    main_of(&here).root().unwrap();
    let (item, dot) = keys_of(&tables, 99);
    beneath(&tables, Table::Dots, &dot, None);
    beneath(&tables, Table::Items, &item, None);
    let failed = meets_error(&third, &here);
    assert!(is_corrupt(&failed[1]), "{failed:?}");
    meet(&third, &there);
    assert_eq!(items(&main_of(&third)).len(), 100);
}

#[test]
fn what_a_deep_check_found_only_a_deep_check_takes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let there = store(2);
    let made = Store::open(file("store")).unwrap();
    for n in 0..40_u8 {
        main_of(&made).set("all").add(&n).unwrap();
    }
    meet(&made, &there);
    drop(made);
    let (mut found, length) = (0, std::fs::metadata(file("store")).unwrap().len() as usize);
    for at in (64..length).step_by(2048) {
        let path = file(&at.to_string());
        std::fs::copy(file("store"), &path).unwrap();
        flip(&path, at);
        let deep = Store::open(&path).ok().map(|store| store.check_deep());
        if !matches!(&deep, Some(Ok(report)) if !report.is_sound()) {
            continue; // it does not even open, or nothing is there
        }
        found += 1;
        let open = || Store::open(&path).unwrap();
        assert!(open().damage().unwrap().is_some(), "{at}");
        assert!(!open().check().unwrap().is_sound(), "{at}");
        assert!(is_damaged(&meets_error(&open(), &there)[0]), "{at}");
        flip(&path, at);
        assert!(is_damaged(&meets_error(&open(), &there)[0]), "{at}");
        assert!(open().check().unwrap().is_sound(), "{at}");
        meet(&open(), &there);
    }
    assert!(found > 5, "{found}");
}

/// It goes with the store, and not with what takes its place.
#[test]
fn what_was_found_is_moved_and_copied_with_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let damage = |name: &str| Store::open(file(name)).unwrap().damage().unwrap();
    let made = Store::open(file("a")).unwrap();
    main_of(&made).put("greeting", "hello, hello, hello", None).unwrap();
    made.backup(file("copy")).unwrap();
    drop(made);
    let bytes = std::fs::read(file("a")).unwrap();
    let greets = |at: &usize| bytes[*at..].starts_with(b"hello, hello, hello");
    // Where it stands in a table, and not in the journal before that.
    let place = (0..bytes.len() - 19).rfind(greets).unwrap();
    flip(&file("a"), place);
    assert!(!Store::open(file("a")).unwrap().check().unwrap().is_sound());
    flip(&file("a"), place);
    for ending in ["", ".id"] {
        std::fs::rename(file(&format!("a{ending}")), file(&format!("b{ending}"))).unwrap();
    }
    let found = damage("b");
    assert!(found.is_some());
    Store::open(file("b")).unwrap().backup(file("c")).unwrap();
    assert_eq!(damage("c"), found);
    assert_eq!(damage("copy"), None);
    // A copy that was made before takes its place; a new one does.
    std::fs::copy(file("copy"), file("b")).unwrap();
    assert_eq!(damage("b"), None);
    std::fs::remove_file(file("c")).unwrap();
    assert_eq!(damage("c"), None);
}

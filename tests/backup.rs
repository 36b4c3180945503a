//! Backups: made while threads write, restored, and synced with the original afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pair::{Meeting, assert_sound, items, main_of, meet, options};
use rejoin::storage::{Identity, StorageError};
use rejoin::{Error, Space, Store, UsageError};
use tempfile::TempDir;

const THREADS: usize = 4;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// One transaction over three keys, and a counter that all threads share.
fn write_round(space: &Space, thread: usize, round: u64) {
    let written = space.write(|tx| {
        for part in 0..3 {
            tx.register(format!("{thread}/{part}")).set(&round)?;
        }
        tx.set::<u64>(format!("{thread}/set")).add(&round)?;
        tx.set::<u64>(format!("{thread}/set")).remove(&round.saturating_sub(3))?;
        tx.counter("all").add(1)
    });
    written.unwrap();
}

/// How many rounds of each thread a copy shows; each of them whole.
fn rounds(space: &Space) -> u64 {
    let now = space.snapshot().unwrap();
    let each = (0..THREADS).map(|thread| {
        let parts = [0, 1, 2].map(|part| now.register::<u64>(format!("{thread}/{part}")).get());
        let parts = parts.map(|round| round.unwrap().unwrap_or(0));
        assert!(parts.iter().all(|round| *round == parts[0]), "half a transaction: {parts:?}");
        let last = now.set::<u64>(format!("{thread}/set")).elements().unwrap();
        // In order of their encodings, which is not that of numbers.
        let last = last.iter().map(|round| *round.value().unwrap()).max();
        assert_eq!(last.unwrap_or(0), parts[0]);
        parts[0]
    });
    let sum = each.sum();
    assert_eq!(now.counter("all").get().unwrap(), i128::from(sum));
    sum
}

fn backups_while_threads_write(store: &Store) {
    const BACKUPS: usize = 3;
    let folder = folder();
    let path = |n: usize| folder.path().join(format!("backup {n}"));
    let (done, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (done, turns, space) = (&done, &turns, main_of(store));
            threads.spawn(move || {
                for round in 1.. {
                    write_round(&space, thread, round);
                    turns.fetch_add(1, Ordering::SeqCst);
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        for n in 0..BACKUPS {
            let before = turns.load(Ordering::SeqCst);
            while turns.load(Ordering::SeqCst) < before + 2 * THREADS {
                std::thread::yield_now();
            }
            let report = store.backup(path(n)).unwrap();
            assert!(report.rows > 0 && report.row_bytes > report.rows);
            assert_eq!(report.file_bytes, std::fs::metadata(path(n)).unwrap().len());
        }
        done.store(true, Ordering::SeqCst);
    });
    let whole = rounds(&main_of(store));
    let mut seen = 0;
    for n in 0..BACKUPS {
        let copy = Store::open(path(n)).unwrap();
        assert_eq!(copy.identity(), Identity::Kept);
        assert_ne!(copy.replica(), store.replica());
        assert_sound(&copy);
        let rounds_then = rounds(&main_of(&copy));
        assert!((seen + 1..=whole).contains(&rounds_then), "{seen}, {rounds_then}, {whole}");
        seen = rounds_then;
        // It is a replica that was away since then.
        main_of(&copy).counter("all").add(1000).unwrap();
        let report = meet(&copy, store);
        assert_eq!(report.repaired, 0);
        main_of(store).counter("all").add(-1000).unwrap();
        meet(store, &copy);
        assert_eq!(rounds(&main_of(&copy)), whole);
        assert_eq!(items(&main_of(&copy)), items(&main_of(store)));
        assert_sound(&copy);
    }
    assert_sound(store);
}

#[test]
fn a_backup_of_a_file_while_threads_write_is_one_moment() {
    let folder = folder();
    backups_while_threads_write(&Store::open(folder.path().join("store")).unwrap());
}

#[test]
fn a_backup_of_memory_while_threads_write_is_one_moment() {
    backups_while_threads_write(&Store::in_memory());
}

/// What a space holds, as its users see it.
fn elements(store: &Store) -> Vec<String> {
    let elements = main_of(store).set::<String>("cart").elements().unwrap().into_iter();
    let mut elements: Vec<String> = elements.map(|element| element.decoded().unwrap()).collect();
    elements.sort();
    elements
}

#[test]
fn a_restored_backup_loses_nothing_and_resurrects_nothing() {
    let folder = folder();
    let [path, backup] = ["store", "backup"].map(|name| folder.path().join(name));
    let friend = pair::store(b'F');
    let store = Store::open_with(&path, options(b'A')).unwrap();
    let name = store.replica();
    let cart = |store: &Store| main_of(store).set::<String>("cart");
    for element in ["apple", "bread", "milk"] {
        cart(&store).add(&element.to_owned()).unwrap();
    }
    meet(&store, &friend);
    store.backup(&backup).unwrap();
    // What happens after the backup, half of which only a friend has heard of.
    cart(&store).remove(&"milk".to_owned()).unwrap();
    cart(&store).add(&"tea".to_owned()).unwrap();
    meet(&store, &friend);
    cart(&store).add(&"lost with the device".to_owned()).unwrap();
    drop(store);

    // The device dies; the backup takes the store's place, identity file and all.
    for ending in ["", ".id"] {
        let beside = |path: &Path| format!("{}{ending}", path.display());
        std::fs::rename(beside(&backup), beside(&path)).unwrap();
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.identity(), Identity::Kept);
    assert_ne!(store.replica(), name);
    assert_eq!(elements(&store), ["apple", "bread", "milk"]);
    // Written before it has met anybody: under the old name this would be lost.
    cart(&store).add(&"coffee".to_owned()).unwrap();
    cart(&store).remove(&"bread".to_owned()).unwrap();
    let report = meet(&store, &friend);
    assert_eq!((report.items_sent, report.items_received, report.repaired), (1, 1, 0));
    for replica in [&store, &friend] {
        assert_eq!(elements(replica), ["apple", "coffee", "tea"]);
        assert_sound(replica);
    }
}

#[test]
fn a_backup_moved_without_its_identity_file_takes_a_name_of_its_own() {
    let folder = folder();
    let [backup, moved] = ["backup", "moved"].map(|name| folder.path().join(name));
    let store = pair::store(b'A');
    main_of(&store).put("k", "v", None).unwrap();
    let made_as = store.backup(&backup).unwrap().replica;
    std::fs::copy(&backup, &moved).unwrap();
    for (path, identity) in
        [(&backup, Identity::Kept), (&moved, Identity::Fresh { previous: made_as })]
    {
        let copy = Store::open(path).unwrap();
        assert_eq!(copy.identity(), identity);
        main_of(&copy).put("k", "w", None).unwrap();
        meet(&copy, &store);
    }
}

/// A row that was not shown may be replaced in place; a backup shows it.
#[test]
fn a_counter_row_in_a_backup_counts_as_shown() {
    let folder = folder();
    let store = pair::store(b'A');
    let clicks = |store: &Store| main_of(store).counter("clicks");
    clicks(&store).add(3).unwrap();
    store.backup(folder.path().join("backup")).unwrap();
    clicks(&store).add(2).unwrap();
    let copy = Store::open(folder.path().join("backup")).unwrap();
    assert_eq!(clicks(&copy).get().unwrap(), 3);
    let report = meet(&copy, &store);
    assert_eq!(report.repaired, 0, "the copy showed 8 until a proof failed");
    assert_eq!(clicks(&copy).get().unwrap(), 5);
}

#[test]
fn what_is_staged_in_a_backup_is_gone_on_with() {
    const LETTERS: u8 = 12;
    let folder = folder();
    let (peer, store) = (pair::store(b'P'), pair::store(b'A'));
    for n in 0..LETTERS {
        let letter = vec![n; 100 << 10];
        main_of(&peer).put([n], &letter, None).unwrap();
    }
    assert!(Meeting::of(&store, &peer).run(5).is_none(), "to be cut");
    let staged = main_of(&store).status().unwrap().staged;
    assert!(staged > 0);
    store.backup(folder.path().join("backup")).unwrap();
    let copy = Store::open(folder.path().join("backup")).unwrap();
    let status = main_of(&copy).status().unwrap();
    assert_eq!((status.staged, status.items), (staged, 0));
    assert_sound(&copy);
    let report = meet(&copy, &peer);
    assert_eq!(report.items_received, u64::from(LETTERS) - staged);
    assert_eq!(items(&main_of(&copy)), items(&main_of(&peer)));
    assert_sound(&copy);
}

#[test]
fn a_backup_replaces_nothing() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let store = Store::open(path("store")).unwrap();
    main_of(&store).put("k", "v", None).unwrap();
    std::fs::write(path("file"), "a letter").unwrap();
    std::fs::write(path("half.id"), "an identity").unwrap();
    let before = names(folder.path());
    for name in ["store", "file", "half"] {
        let refused = store.backup(path(name));
        assert!(
            matches!(
                &refused,
                Err(Error::Storage(StorageError::Io { source, .. }))
                    if source.kind() == std::io::ErrorKind::AlreadyExists
            ),
            "{name}: {refused:?}"
        );
    }
    assert!(store.backup(path("no/folder")).is_err());
    assert_eq!(names(folder.path()), before);
    assert_eq!(std::fs::read(path("file")).unwrap(), b"a letter");
    // Within a write it would wait for itself.
    let nested = main_of(&store).write(|_| store.backup(path("nested")).map(drop));
    assert!(matches!(nested, Err(Error::Usage(UsageError::NestedWrite))));
    assert_eq!(names(folder.path()), before);
}

#[test]
fn what_a_crash_left_of_a_backup_is_in_nobodys_way() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("backup.new"), "half a store").unwrap();
    std::fs::write(path("backup.id"), "").unwrap();
    pair::store(b'A').backup(path("backup")).unwrap();
    assert_eq!(names(folder.path()), ["backup", "backup.id"]);
    assert_sound(&Store::open(path("backup")).unwrap());
}

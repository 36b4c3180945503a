//! One suite for every storage: whole histories against a plain sorted map.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::*;

type Oracle = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

impl PartialOrd for Table {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Table {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    Get(Table, Vec<u8>),
    Scan(Scan),
}

#[derive(Clone, Debug)]
struct Scan {
    table: Table,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    order: bool,
    most_rows: usize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Commit(bool),
    Abort,
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Snapshot,
    DropSnapshot(usize),
    DropAll,
    Compact,
    Reopen,
}

#[derive(Clone, Debug)]
struct Turn {
    ops: Vec<Op>,
    end: End,
    then: Then,
    look: Scan,
}

fn key(g: &mut Gen) -> Vec<u8> {
    let bytes = usize::arbitrary(g) % 4;
    (0..bytes).map(|_| *g.choose(&[0, 1, 2, 0x7f, 0xff]).unwrap()).collect()
}

fn table(g: &mut Gen) -> Table {
    *g.choose(&[Table::Meta, Table::Items, Table::Items, Table::Bases]).unwrap()
}

impl Arbitrary for Scan {
    fn arbitrary(g: &mut Gen) -> Self {
        let to = bool::arbitrary(g).then(|| key(g));
        let most_rows = *g.choose(&[1, 2, 7, usize::MAX, usize::MAX]).unwrap();
        Self { table: table(g), from: key(g), to, order: bool::arbitrary(g), most_rows }
    }
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0..=3 => Self::Put(table(g), key(g), Arbitrary::arbitrary(g)),
            4 | 5 => Self::Delete(table(g), key(g)),
            6 => Self::Get(table(g), key(g)),
            _ => Self::Scan(Arbitrary::arbitrary(g)),
        }
    }
}

impl Arbitrary for Turn {
    fn arbitrary(g: &mut Gen) -> Self {
        let end = match u8::arbitrary(g) % 8 {
            0..=2 => End::Commit(true),
            3 | 4 => End::Commit(false),
            5 => End::Abort,
            6 => End::Fail,
            _ => End::Panic,
        };
        let then = match u8::arbitrary(g) % 10 {
            0 | 1 => Then::Snapshot,
            2 => Then::DropSnapshot(usize::arbitrary(g)),
            3 => Then::DropAll,
            4 => Then::Compact,
            5 | 6 => Then::Reopen,
            _ => Then::Nothing,
        };
        Self { ops: Arbitrary::arbitrary(g), end, then, look: Arbitrary::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let this = self.clone();
        Box::new(self.ops.shrink().map(move |ops| Self { ops, ..this.clone() }))
    }
}

fn check_scan(read: &(impl Read + ?Sized), oracle: &Oracle, scan: &Scan) {
    let order = if scan.order { Order::Ascending } else { Order::Descending };
    let inside = |k: &Vec<u8>| *k >= scan.from && scan.to.as_ref().is_none_or(|to| k < to);
    let mut wanted: Vec<_> = oracle
        .iter()
        .filter(|((t, k), _)| *t == scan.table && inside(k))
        .map(|((_, k), v)| (k.clone(), v.clone()))
        .collect();
    if !scan.order {
        wanted.reverse();
    }
    wanted.truncate(scan.most_rows);
    let mut found = Vec::new();
    let range = KeyRange { from: &scan.from, to: scan.to.as_deref() };
    read.scan(scan.table, range, order, &mut |k, v| {
        // Reading on while scanning is allowed.
        assert_eq!(read.get(scan.table, k).unwrap().as_deref(), Some(v));
        found.push((k.to_vec(), v.to_vec()));
        if found.len() < scan.most_rows {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })
    .unwrap();
    assert_eq!(found, wanted);
}

fn check_all(read: &(impl Read + ?Sized), oracle: &Oracle) {
    for table in Table::ALL {
        let all = Scan { table, from: Vec::new(), to: None, order: true, most_rows: usize::MAX };
        check_scan(read, oracle, &all);
        check_scan(read, oracle, &Scan { order: false, ..all });
    }
}

fn run(write: &mut dyn Write, oracle: &mut Oracle, ops: &[Op]) {
    for op in ops {
        match op.clone() {
            Op::Put(table, key, value) => {
                write.put(table, &key, &value).unwrap();
                oracle.insert((table, key), value);
            }
            Op::Delete(table, key) => {
                let was = write.delete(table, &key).unwrap();
                assert_eq!(was, oracle.remove(&(table, key)).is_some());
            }
            Op::Get(table, key) => {
                let found = write.get(table, &key).unwrap();
                assert_eq!(found.as_ref(), oracle.get(&(table, key)));
            }
            Op::Scan(scan) => check_scan(write, oracle, &scan),
        }
    }
}

/// Checks histories of up to `size` turns of up to `size` calls.
fn check<T: quickcheck::Testable>(histories: u64, size: usize, holds: T) {
    QuickCheck::new().rng(Gen::new(size)).tests(histories).quickcheck(holds);
}

struct Panic;

/// Runs a history; `reopen` closes the storage and opens it anew.
fn history<S: Storage>(mut storage: S, turns: &[Turn], reopen: impl Fn(S) -> S, always: bool) {
    let mut oracle = Oracle::new();
    let mut snapshots: Vec<(Box<dyn ReadSnapshot>, Oracle)> = Vec::new();
    let replica = storage.replica();
    for turn in turns {
        let mut after = oracle.clone();
        let durability = match turn.end {
            End::Commit(true) => Durability::Immediate,
            _ => Durability::Eventual,
        };
        let done = catch_unwind(AssertUnwindSafe(|| {
            storage.write(durability, &mut |write| {
                run(write, &mut after, &turn.ops);
                match turn.end {
                    End::Commit(_) => Ok(Verdict::Commit),
                    End::Abort => Ok(Verdict::Abort),
                    End::Fail => Err(StorageError::Busy("the test fails here")),
                    End::Panic => panic_any(Panic),
                }
            })
        }));
        match (turn.end, done) {
            (End::Commit(_), Ok(Ok(()))) => oracle = after,
            (End::Abort, Ok(Ok(()))) | (End::Fail, Ok(Err(StorageError::Busy(_)))) => {}
            (End::Panic, Err(payload)) if payload.is::<Panic>() => {}
            (_, Err(payload)) => std::panic::resume_unwind(payload),
            (end, done) => panic!("{end:?} ended as {done:?}"),
        }
        match turn.then {
            Then::Nothing => {}
            Then::Snapshot => snapshots.push((storage.read().unwrap(), oracle.clone())),
            Then::DropSnapshot(at) if !snapshots.is_empty() => {
                snapshots.swap_remove(at % snapshots.len());
            }
            Then::DropSnapshot(_) => {}
            Then::DropAll => snapshots.clear(),
            Then::Compact if snapshots.is_empty() => storage.compact().unwrap(),
            Then::Compact => assert!(matches!(storage.compact(), Err(StorageError::Busy(_)))),
            Then::Reopen => {
                snapshots.clear();
                storage = reopen(storage);
            }
        }
        if always {
            snapshots.clear();
            storage = reopen(storage);
        }
        check_scan(&*storage.read().unwrap(), &oracle, &turn.look);
        for (snapshot, seen) in &snapshots {
            check_scan(&**snapshot, seen, &turn.look);
        }
    }
    check_all(&*storage.read().unwrap(), &oracle);
    for (snapshot, seen) in &snapshots {
        check_all(&**snapshot, seen);
    }
    snapshots.clear();
    assert!(storage.check().unwrap());
    assert_eq!(storage.replica(), replica);
}

/// Panics that the histories cause on purpose are not worth a report.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Panic>() {
                report(info);
            }
        }));
    });
}

#[test]
fn memory_does_what_a_sorted_map_does() {
    fn holds(turns: Vec<Turn>) {
        let storage = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
        let handle = storage.clone();
        history(storage, &turns, |old| old.clone(), false);
        // No snapshot is left, so neither is anything that only a snapshot could see.
        let mut rows = 0;
        for table in Table::ALL {
            let all = KeyRange { from: &[], to: None };
            let mut count = |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            handle.read().unwrap().scan(table, all, Order::Ascending, &mut count).unwrap();
        }
        assert_eq!(handle.versions(), rows);
    }
    quiet_panics();
    check(500, 30, holds as fn(Vec<Turn>));
}

#[cfg(not(target_arch = "wasm32"))]
mod file {
    use super::*;
    use crate::storage::file::tests::{folder, options, random};

    fn holds(turns: &[Turn], always: bool) {
        let folder = folder();
        let path = folder.path().join("store");
        let open = || RedbStorage::open(&path, &options(), &mut random()).unwrap();
        let reopen = |old: RedbStorage| {
            drop(old);
            let new = open();
            assert_eq!(new.identity(), Identity::Kept);
            new
        };
        history(open(), turns, reopen, always);
    }

    #[test]
    fn a_file_does_what_a_sorted_map_does() {
        quiet_panics();
        fn now_and_then(turns: Vec<Turn>) {
            holds(&turns, false);
        }
        check(60, 20, now_and_then as fn(Vec<Turn>));
    }

    #[test]
    fn a_file_reopened_after_every_commit_does_so_too() {
        quiet_panics();
        fn always(turns: Vec<Turn>) {
            holds(&turns, true);
        }
        check(20, 12, always as fn(Vec<Turn>));
    }
}

//! The journal against a plain map: small and large commits, moves, snapshots, openings.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::tests::{folder, open};
use crate::storage::{
    Durability, KeyRange, Order, Read, ReadSnapshot, Storage, StorageError, Table, Verdict,
};

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const TABLES: [Table; 3] = [Table::Items, Table::Dots, Table::Meta];

#[derive(Clone, Debug)]
enum Op {
    /// Rows to put (with a value of so many bytes) or to delete, and whether to commit.
    Write {
        rows: Vec<(u8, u8, Option<u16>)>,
        commits: bool,
        at_once: bool,
    },
    Hold,
    Release(u8),
    Reopen,
    Compact,
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 16 {
            0 | 1 => Self::Hold,
            2 => Self::Release(Arbitrary::arbitrary(g)),
            3 => Self::Reopen,
            4 => Self::Compact,
            _ => {
                let count = *g.choose(&[0, 1, 2, 5, 30]).unwrap_or(&1);
                let row = |g: &mut Gen| {
                    let value = u16::arbitrary(g) % 90;
                    (u8::arbitrary(g) % 3, u8::arbitrary(g) % 40, (value > 30).then_some(value))
                };
                let rows = (0..count).map(|_| row(g)).collect();
                let commits = u8::arbitrary(g) % 5 > 0;
                Self::Write { rows, commits, at_once: bool::arbitrary(g) }
            }
        }
    }
}

fn all(rows: &dyn Read, order: Order) -> Model {
    let mut found = Model::new();
    for (number, table) in (0..).zip(TABLES) {
        let mut last: Option<Vec<u8>> = None;
        let range = KeyRange { from: b"key", to: None };
        rows.scan(table, range, order, &mut |key, value| {
            let forth = last.as_deref().is_none_or(|last| match order {
                Order::Ascending => last < key,
                Order::Descending => last > key,
            });
            assert!(forth, "rows come in order, each once");
            last = Some(key.to_vec());
            found.insert((number, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    found
}

fn agrees(rows: &dyn Read, model: &Model) {
    assert_eq!(&all(rows, Order::Ascending), model);
    assert_eq!(&all(rows, Order::Descending), model);
    for (number, table) in (0..).zip(TABLES) {
        for n in 0..40 {
            let key = key(n);
            let wanted = model.get(&(number, key.clone())).cloned();
            assert_eq!(rows.get(table, &key).unwrap(), wanted);
        }
    }
}

fn key(n: u8) -> Vec<u8> {
    [b"key ".as_slice(), &[n]].concat()
}

fn holds(ops: Vec<Op>) {
    let folder = folder();
    let path = folder.path().join("store");
    let mut storage = open(&path).unwrap();
    let mut model = Model::new();
    let mut held: Vec<(Box<dyn ReadSnapshot>, Model)> = Vec::new();
    for (step, op) in ops.into_iter().enumerate() {
        match op {
            Op::Write { rows, commits, at_once } => {
                let mut next = model.clone();
                let durability = if at_once { Durability::Immediate } else { Durability::Eventual };
                let wrote = storage.write(durability, &mut |to| {
                    for &(number, n, value) in &rows {
                        let (table, key) = (TABLES[usize::from(number)], key(n));
                        match value {
                            Some(len) => {
                                let value = vec![step as u8; usize::from(len)];
                                to.put(table, &key, &value)?;
                                next.insert((number, key), value);
                            }
                            None => {
                                let there = next.remove(&(number, key.clone())).is_some();
                                assert_eq!(to.delete(table, &key)?, there);
                            }
                        }
                    }
                    agrees(to, &next);
                    Ok(if commits { Verdict::Commit } else { Verdict::Abort })
                });
                wrote.unwrap();
                if commits {
                    model = next;
                }
            }
            Op::Hold => held.push((storage.read().unwrap(), model.clone())),
            Op::Release(n) if !held.is_empty() => {
                let n = usize::from(n) % held.len();
                drop(held.swap_remove(n));
            }
            Op::Release(_) => {}
            Op::Reopen => {
                held.clear();
                drop(storage);
                storage = open(&path).unwrap();
            }
            Op::Compact => {
                held.clear();
                storage.compact().unwrap();
            }
        }
        agrees(&*storage.read().unwrap(), &model);
        for (snapshot, then) in &held {
            agrees(&**snapshot, then);
        }
    }
}

#[test]
fn small_and_large_commits_show_what_a_map_would() {
    QuickCheck::new().tests(20).quickcheck(holds as fn(Vec<Op>));
}

/// Two rows that each commit sets to the same number, one of them by way of the journal's
/// memory or the tables as it comes.
#[test]
fn a_snapshot_taken_while_the_journal_moves_is_of_one_moment() {
    let folder = folder();
    let storage = open(&folder.path().join("store")).unwrap();
    let ended = AtomicBool::new(false);
    let number = |rows: &dyn Read, table| -> Result<u64, StorageError> {
        let row = rows.get(table, b"n")?.and_then(|row| row.try_into().ok());
        Ok(row.map_or(0, u64::from_be_bytes))
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !ended.load(Ordering::SeqCst) {
                    let rows = storage.read().unwrap();
                    let seen = [Table::Items, Table::Dots].map(|table| number(&*rows, table));
                    let [a, b] = seen.map(Result::unwrap);
                    assert_eq!(a, b);
                    assert!(a >= last, "a later snapshot shows no less");
                    last = a;
                }
            });
        }
        for n in 1..=400_u64 {
            let wrote = storage.write(Durability::Eventual, &mut |rows| {
                rows.put(Table::Items, b"n", &n.to_be_bytes())?;
                if n % 7 == 0 {
                    rows.put(Table::Meta, b"large", &[7; 2000])?;
                }
                rows.put(Table::Meta, b"more", &[n as u8; 300])?;
                rows.put(Table::Dots, b"n", &n.to_be_bytes())?;
                Ok(Verdict::Commit)
            });
            wrote.unwrap();
        }
        ended.store(true, Ordering::SeqCst);
    });
}

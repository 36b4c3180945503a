//! The storage trait beside the engine alone, on the same rows with the same settings.
//!
//! `cargo bench --bench storage`. The file lies in the system's temporary folder: where that
//! is memory, the durable commits say nothing about a disk.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use redb::{Database, ReadableDatabase, TableDefinition};
use rejoin::causal::ReplicaId;
use rejoin::storage::{
    Durability, FileOptions, KeyRange, MemoryStorage, Order, RedbStorage, Storage, Table, Verdict,
};

const ROWS: u64 = 10_000;
const VALUE: [u8; 48] = [7; 48];
const ALONE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

/// A key of 24 bytes: the next one, or one anywhere.
fn key(n: u64, random: bool) -> [u8; 24] {
    let mut key = [0; 24];
    let place = if random { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { n };
    key[..8].copy_from_slice(&place.to_be_bytes());
    key[16..].copy_from_slice(&n.to_be_bytes());
    key
}

fn open(path: &Path) -> RedbStorage {
    let mut drawn = std::process::id();
    let mut entropy = |bytes: &mut [u8]| {
        for byte in bytes {
            drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (drawn >> 24) as u8;
        }
    };
    RedbStorage::open(path, &FileOptions::default(), &mut entropy).unwrap()
}

fn open_alone(path: &Path) -> Database {
    Database::builder().set_cache_size(FileOptions::default().cache_bytes).create(path).unwrap()
}

fn put(storage: &dyn Storage, from: u64, rows: u64, random: bool, durability: Durability) {
    let work = &mut |write: &mut dyn rejoin::storage::Write| {
        for n in from..from + rows {
            write.put(Table::Items, &key(n, random), &VALUE)?;
        }
        Ok(Verdict::Commit)
    };
    storage.write(durability, work).unwrap();
}

fn put_alone(database: &Database, from: u64, rows: u64, random: bool, quick_repair: bool) {
    let mut write = database.begin_write().unwrap();
    write.set_quick_repair(quick_repair);
    let mut table = write.open_table(ALONE).unwrap();
    for n in from..from + rows {
        table.insert(&key(n, random)[..], &VALUE[..]).unwrap();
    }
    drop(table);
    write.commit().unwrap();
}

fn commits(c: &mut Criterion) {
    for (name, rows) in [("commit of 10000 rows", ROWS), ("durable commit of 1 row", 1)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(rows)).sample_size(10);
        for (order, random) in [("sequential", false), ("random", true)] {
            group.bench_function(BenchmarkId::new("storage", order), |b| {
                b.iter_custom(|times| {
                    let folder = tempfile::tempdir().unwrap();
                    let storage = open(&folder.path().join("store"));
                    put(&storage, 0, 10 * ROWS, random, Durability::Immediate);
                    time(times, |n| {
                        put(&storage, place(n, rows), rows, random, Durability::Immediate);
                    })
                });
            });
            for (name, quick) in [("redb alone", true), ("redb without quick repair", false)] {
                group.bench_function(BenchmarkId::new(name, order), |b| {
                    b.iter_custom(|times| {
                        let folder = tempfile::tempdir().unwrap();
                        let database = open_alone(&folder.path().join("store"));
                        put_alone(&database, 0, 10 * ROWS, random, quick);
                        time(times, |n| put_alone(&database, place(n, rows), rows, random, quick))
                    });
                });
            }
            group.bench_function(BenchmarkId::new("memory", order), |b| {
                b.iter_custom(|times| {
                    let storage = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
                    put(&storage, 0, 10 * ROWS, random, Durability::Immediate);
                    time(times, |n| {
                        put(&storage, place(n, rows), rows, random, Durability::Immediate);
                    })
                });
            });
        }
        group.finish();
    }
}

/// Where the rows of a commit go: round and round, so that the store keeps one size however
/// long it is measured.
fn place(n: u64, rows: u64) -> u64 {
    (n * rows) % (10 * ROWS)
}

fn time(times: u64, mut work: impl FnMut(u64)) -> Duration {
    let start = Instant::now();
    for n in 0..times {
        work(n);
    }
    start.elapsed()
}

fn reads(c: &mut Criterion) {
    const HELD: u64 = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let file = open(&folder.path().join("store"));
    let memory = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
    put(&file, 0, HELD, true, Durability::Immediate);
    put(&memory, 0, HELD, true, Durability::Immediate);
    let alone = open_alone(&folder.path().join("alone"));
    put_alone(&alone, 0, HELD, true, true);
    let table = alone.begin_read().unwrap().open_table(ALONE).unwrap();

    // As in a simulated replica: few rows, many of them.
    let small = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
    put(&small, 0, 100, true, Durability::Immediate);

    let mut group = c.benchmark_group("get");
    let snapshot = small.read().unwrap();
    let mut n = 0;
    group.bench_function("memory, 100 rows", |b| {
        b.iter(|| {
            n = (n + 7) % 100;
            snapshot.get(Table::Items, black_box(&key(n, true))).unwrap().unwrap()
        });
    });
    drop(snapshot);
    group.bench_function("memory, 100 rows, commit of one", |b| {
        b.iter(|| {
            n = (n + 7) % 100;
            put(&small, n, 1, true, Durability::Immediate);
        });
    });
    group.bench_function("memory, 100 rows, commit of them all", |b| {
        b.iter(|| put(&small, 0, 100, true, Durability::Immediate));
    });
    for (name, storage) in [("storage", &file as &dyn Storage), ("memory", &memory)] {
        let snapshot = storage.read().unwrap();
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                n = (n + 7919) % HELD;
                snapshot.get(Table::Items, black_box(&key(n, true))).unwrap().unwrap()
            });
        });
    }
    let mut n = 0;
    group.bench_function("redb alone", |b| {
        b.iter(|| {
            n = (n + 7919) % HELD;
            table.get(black_box(&key(n, true)[..])).unwrap().unwrap().value().to_vec()
        });
    });
    group.finish();

    let mut group = c.benchmark_group("scan of 200000 rows");
    group.throughput(Throughput::Elements(HELD)).sample_size(20);
    for (name, storage) in [("storage", &file as &dyn Storage), ("memory", &memory)] {
        let snapshot = storage.read().unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut bytes = 0;
                let all = KeyRange { from: &[], to: None };
                let mut visit = |key: &[u8], value: &[u8]| {
                    bytes += key.len() + value.len();
                    ControlFlow::Continue(())
                };
                snapshot.scan(Table::Items, all, Order::Ascending, &mut visit).unwrap();
                bytes
            });
        });
    }
    group.bench_function("redb alone", |b| {
        b.iter(|| {
            let mut bytes = 0;
            for row in table.range::<&[u8]>(..).unwrap() {
                let (key, value) = row.unwrap();
                bytes += key.value().len() + value.value().len();
            }
            bytes
        });
    });
    group.finish();
}

const OPENED_ROWS: u64 = 1_000_000;
const CHILD: &str = "REJOIN_BENCH_IMPORT";

fn opening(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut group = c.benchmark_group("open 1000000 rows and get one");
    group.sample_size(10);
    // The visits only read, so each finds the file as the one before.
    let mut visits = |name| {
        group.bench_function(name, |b| {
            b.iter(|| {
                let row = open(&path).read().unwrap().get(Table::Items, &key(5, true)).unwrap();
                assert!(row.is_some());
            });
        });
    };
    put(&open(&path), 0, OPENED_ROWS, true, Durability::Immediate);
    visits("storage");
    let program = std::env::current_exe().unwrap();
    let killed = Command::new(program).env(CHILD, &path).stderr(Stdio::null()).status().unwrap();
    assert!(!killed.success());
    visits("storage, killed in an import");
    group.finish();
}

/// Another 100,000 rows in commits of 10,000, and dies in the middle of one.
fn die_in_an_import(path: &Path) {
    let storage = open(path);
    for n in 0..10 {
        put(&storage, OPENED_ROWS + n * ROWS, ROWS, true, Durability::Immediate);
    }
    let work = &mut |write: &mut dyn rejoin::storage::Write| {
        for n in 0..10 * ROWS {
            write.put(Table::Items, &key(2 * OPENED_ROWS + n, true), &VALUE)?;
        }
        std::process::abort()
    };
    storage.write(Durability::Immediate, work).unwrap();
}

criterion_group!(benches, commits, reads, opening);

fn main() {
    if let Some(path) = std::env::var_os(CHILD) {
        return die_in_an_import(Path::new(&path));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

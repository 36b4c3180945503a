//! What the digest costs over 100,000 items of four origins, on rows in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rejoin::causal::{Dot, ReplicaId, Seq, VersionVector};
use rejoin::digest::{ItemHash, Marks, recompute, refresh, root, root_at};
use rejoin::storage::{Durability, MemoryStorage, Storage, Table, Verdict, Write};

const SPACE: u32 = 1;
const ITEMS: u64 = 100_000;
const ORIGINS: u64 = 4;

fn storage() -> MemoryStorage {
    MemoryStorage::new(ReplicaId::from_bytes([1; 16]))
}

/// Runs work in a transaction of its own.
fn write<R>(storage: &MemoryStorage, mut work: impl FnMut(&mut dyn Write) -> R) -> R {
    let mut done = None;
    let committed = storage.write(Durability::Eventual, &mut |rows| {
        done = Some(work(rows));
        Ok(Verdict::Commit)
    });
    committed.unwrap();
    done.unwrap()
}

/// The `n`-th item's dot; the origins take turns.
fn dot(n: u64) -> Dot {
    let origin = ReplicaId::from_bytes([(n % ORIGINS) as u8 * 50; 16]);
    Dot::new(origin, Seq::new(n / ORIGINS + 1))
}

fn put(rows: &mut dyn Write, dot: Dot, content: u64) {
    let seq = dot.seq.get().to_be_bytes();
    let key = [SPACE.to_be_bytes().as_slice(), dot.replica.as_bytes(), &seq].concat();
    let hash = ItemHash::of(dot, b"place", &content.to_be_bytes());
    rows.put(Table::Dots, &key, hash.as_bytes()).unwrap();
}

fn whole() -> (MemoryStorage, VersionVector) {
    let (storage, vector) = (storage(), (0..ITEMS).map(dot).fold(VersionVector::new(), seen));
    write(&storage, |rows| {
        let mut marks = Marks::new();
        (0..ITEMS).map(dot).for_each(|dot| {
            put(rows, dot, 0);
            marks.came(dot);
        });
        marks.save(rows, SPACE).unwrap();
        refresh(rows, SPACE, &vector).unwrap();
    });
    (storage, vector)
}

fn seen(mut vector: VersionVector, dot: Dot) -> VersionVector {
    vector.advance(dot);
    vector
}

fn refreshing(c: &mut Criterion) {
    let (storage, vector) = whole();
    let mut group = c.benchmark_group("refresh after strewn changes");
    for changes in [0, 1, 100, 10_000] {
        let mut content = 0;
        group.bench_function(BenchmarkId::from_parameter(changes), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    content += 1;
                    write(&storage, |rows| {
                        let mut marks = Marks::new();
                        for n in 0..changes {
                            let place = n * (ITEMS / changes) + content % ORIGINS;
                            put(rows, dot(place % ITEMS), content);
                            marks.changed(dot(place % ITEMS));
                        }
                        marks.save(rows, SPACE).unwrap();
                    });
                    spent += write(&storage, |rows| {
                        let start = Instant::now();
                        black_box(refresh(rows, SPACE, &vector).unwrap());
                        start.elapsed()
                    });
                }
                spent
            });
        });
    }
    group.finish();
}

fn roots(c: &mut Criterion) {
    let (storage, vector) = whole();
    let rows = storage.read().unwrap();
    c.bench_function("root", |b| b.iter(|| root(black_box(&*rows), SPACE).unwrap()));
    for behind in [0, 1, ORIGINS] {
        let mut cut = vector.clone();
        for (origin, _) in vector.iter().take(behind as usize) {
            let early = Seq::new(ITEMS / ORIGINS / 2 + 77);
            cut = cut.iter().map(|(o, seq)| (o, if o == origin { early } else { seq })).collect();
        }
        c.bench_function(&format!("root at a cut, {behind} origins beyond it"), |b| {
            b.iter(|| root_at(&*rows, SPACE, &vector, black_box(&cut)).unwrap());
        });
    }
    c.bench_function("recompute", |b| {
        b.iter(|| recompute(black_box(&*rows), SPACE, &vector).unwrap());
    });
}

fn marking(c: &mut Criterion) {
    c.bench_function("note and save 10,000 events in a row", |b| {
        b.iter(|| {
            let (storage, mut marks) = (storage(), Marks::new());
            (1..=10_000).for_each(|seq| {
                marks.came(Dot::new(ReplicaId::from_bytes([1; 16]), Seq::new(seq)));
            });
            write(&storage, |rows| marks.save(rows, SPACE).unwrap());
            storage
        });
    });
}

criterion_group!(benches, refreshing, roots, marking);
criterion_main!(benches);

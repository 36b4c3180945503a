//! What the digest costs over 100,000 items of four origins, on rows in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rejoin::causal::{Dot, ReplicaId, Seq, VersionVector};
use rejoin::digest::{ItemHash, Marks, recompute, refresh, root, root_at};
use rejoin::storage::{KeyRange, Order, Read, StorageError, Table, Visit, Write};

const SPACE: u32 = 1;
const ITEMS: u64 = 100_000;
const ORIGINS: u64 = 4;

/// Tables in memory, without transactions.
#[derive(Default)]
struct Rows(BTreeMap<(u8, Vec<u8>), Vec<u8>>);

impl Read for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(&(table as u8, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        _: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let from = Bound::Included((table as u8, range.from.to_vec()));
        let to = Bound::Excluded((table as u8, range.to.unwrap_or(&[0xff; 64]).to_vec()));
        for ((_, key), value) in self.0.range((from, to)) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Write for Rows {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.0.insert((table as u8, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.0.remove(&(table as u8, key.to_vec())).is_some())
    }
}

/// The `n`-th item's dot; the origins take turns.
fn dot(n: u64) -> Dot {
    let origin = ReplicaId::from_bytes([(n % ORIGINS) as u8 * 50; 16]);
    Dot::new(origin, Seq::new(n / ORIGINS + 1))
}

fn change(rows: &mut Rows, marks: &mut Marks, dot: Dot, content: u64) {
    let seq = dot.seq.get().to_be_bytes();
    let key = [SPACE.to_be_bytes().as_slice(), dot.replica.as_bytes(), &seq].concat();
    let hash = ItemHash::of(dot, b"place", &content.to_be_bytes());
    rows.put(Table::Dots, &key, hash.as_bytes()).unwrap();
    marks.note(dot);
}

fn whole() -> (Rows, VersionVector) {
    let (mut rows, mut marks, mut vector) = Default::default();
    for n in 0..ITEMS {
        change(&mut rows, &mut marks, dot(n), 0);
        VersionVector::advance(&mut vector, dot(n));
    }
    marks.save(&mut rows, SPACE).unwrap();
    refresh(&mut rows, SPACE, &vector).unwrap();
    (rows, vector)
}

fn refreshing(c: &mut Criterion) {
    let (mut rows, vector) = whole();
    let mut group = c.benchmark_group("refresh after strewn changes");
    for changes in [0, 1, 100, 10_000] {
        let mut content = 0;
        group.bench_function(BenchmarkId::from_parameter(changes), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    content += 1;
                    let mut marks = Marks::new();
                    for n in 0..changes {
                        let place = n * (ITEMS / changes) + content % ORIGINS;
                        change(&mut rows, &mut marks, dot(place % ITEMS), content);
                    }
                    marks.save(&mut rows, SPACE).unwrap();
                    let start = Instant::now();
                    black_box(refresh(&mut rows, SPACE, &vector).unwrap());
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn roots(c: &mut Criterion) {
    let (rows, vector) = whole();
    c.bench_function("root", |b| b.iter(|| root(black_box(&rows), SPACE).unwrap()));
    for behind in [0, 1, ORIGINS] {
        let mut cut = vector.clone();
        for (origin, _) in vector.iter().take(behind as usize) {
            let early = Seq::new(ITEMS / ORIGINS / 2 + 77);
            cut = cut.iter().map(|(o, seq)| (o, if o == origin { early } else { seq })).collect();
        }
        c.bench_function(&format!("root at a cut, {behind} origins beyond it"), |b| {
            b.iter(|| root_at(&rows, SPACE, &vector, black_box(&cut)).unwrap());
        });
    }
    c.bench_function("recompute", |b| {
        b.iter(|| recompute(black_box(&rows), SPACE, &vector).unwrap());
    });
}

fn marking(c: &mut Criterion) {
    c.bench_function("note and save 10,000 events in a row", |b| {
        b.iter(|| {
            let (mut rows, mut marks) = (Rows::default(), Marks::new());
            (1..=10_000).for_each(|seq| {
                marks.note(Dot::new(ReplicaId::from_bytes([1; 16]), Seq::new(seq)));
            });
            marks.save(&mut rows, SPACE).unwrap();
            rows
        });
    });
}

criterion_group!(benches, refreshing, roots, marking);
criterion_main!(benches);

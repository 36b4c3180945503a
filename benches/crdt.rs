//! What mutating and merging plain values costs, by their size.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rejoin::causal::{Hlc, ReplicaId, Seq};
use rejoin::crdt::{LwwRegister, OrMap, OrSet, PnCounter};

fn replica(n: u8) -> ReplicaId {
    ReplicaId::from_bytes([n; 16])
}

/// A set of `len` elements, added by four replicas in turn.
fn set(len: u32) -> OrSet<u32> {
    let mut set = OrSet::new();
    for element in 0..len {
        let _ = set.add(replica((element % 4) as u8), element);
    }
    set
}

fn sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("or_set");
    for len in [100, 10_000] {
        let base = set(len);
        let mut other = base.clone();
        let added = other.add(replica(9), len / 2);
        let removed = other.remove(&(len / 3));
        for (name, from) in [
            ("merge a state", &other),
            ("merge a delta that adds", &added),
            ("merge a delta that removes", &removed),
        ] {
            group.bench_with_input(BenchmarkId::new(name, len), from, |b, from| {
                b.iter_batched_ref(
                    || base.clone(),
                    |set| set.merge(black_box(from)),
                    BatchSize::LargeInput,
                );
            });
        }
        group.bench_with_input(BenchmarkId::new("add", len), &len, |b, _| {
            let mut set = base.clone();
            b.iter(|| set.add(replica(1), black_box(len / 2)));
        });
        group.bench_with_input(BenchmarkId::new("remove", len), &len, |b, _| {
            b.iter_batched_ref(
                || base.clone(),
                |set| set.remove(&black_box(len / 2)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn counters(c: &mut Criterion) {
    let mut group = c.benchmark_group("counter");
    group.bench_function("add, shown each time", |b| {
        let mut counter = PnCounter::new();
        b.iter(|| counter.add(replica(1), black_box(1)).unwrap());
    });
    group.bench_function("add, shown to nobody", |b| {
        let mut counter = PnCounter::new();
        b.iter(|| counter.add_shown(replica(1), black_box(1), Seq::ZERO).unwrap());
    });
    group.finish();
}

type Table = OrMap<u32, OrMap<u8, LwwRegister<u64>>>;

fn write(table: &mut Table, row: u32, column: u8, value: u64) -> Table {
    table.update(replica(1), row, |fields, dot| {
        fields.updating(column, |field| field.writing(dot, Hlc::new(value, 0), value))
    })
}

fn maps(c: &mut Criterion) {
    let mut group = c.benchmark_group("or_map");
    for rows in [100, 10_000] {
        let mut table = Table::new();
        for row in 0..rows {
            let _ = write(&mut table, row, 0, 1);
        }
        let mut other = table.clone();
        let delta = write(&mut other, rows / 2, 0, 2);
        group.bench_with_input(BenchmarkId::new("write a field", rows), &rows, |b, _| {
            let mut table = table.clone();
            b.iter(|| write(&mut table, black_box(rows / 2), 0, 3));
        });
        group.bench_with_input(BenchmarkId::new("merge a write", rows), &delta, |b, delta| {
            b.iter_batched_ref(
                || table.clone(),
                |table| table.merge(black_box(delta)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

criterion_group! { name = benches; config = quick(); targets = sets, counters, maps }
criterion_main!(benches);

//! What it costs to read and write the flat forms: numbers, places, vectors.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rejoin::causal::{ReplicaId, Seq, VersionVector};
use rejoin::codec::{Cursor, Kind, Place, Prefix, Put};

fn numbers(c: &mut Criterion) {
    let mut bytes = Vec::new();
    (0..10_000_u64).for_each(|n| bytes.put_varint(n * n * 31));
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("read 10,000 varints", |b| {
        b.iter(|| {
            let mut cursor = Cursor::new("bench", black_box(&bytes));
            let mut sum = 0_u64;
            while cursor.remaining() > 0 {
                sum = sum.wrapping_add(cursor.varint().unwrap());
            }
            sum
        });
    });
    group.finish();
}

fn places(c: &mut Criterion) {
    let make = |key: &[u8]| {
        let map = Prefix::key(key).unwrap().step(Kind::MAP, b"address").unwrap();
        map.step(Kind::SET, b"an element of some length").unwrap().place()
    };
    c.bench_function("codec/make a place", |b| b.iter(|| make(black_box(b"customer 00000042"))));
    let place = make(b"customer 00000042");
    c.bench_function("codec/check a place", |b| {
        b.iter(|| Place::check(black_box(place.as_bytes())).unwrap());
    });
}

fn vectors(c: &mut Criterion) {
    let vector: VersionVector = (0..10_000_u128)
        .map(|n| (ReplicaId::from_bytes((n * 0x9e37_79b9).to_be_bytes()), Seq::new(n as u64 + 1)))
        .collect();
    let mut bytes = Vec::new();
    bytes.put_vector(&vector);
    c.bench_function("codec/read a vector of 10,000", |b| {
        b.iter(|| Cursor::new("bench", black_box(&bytes)).vector(10_000).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = numbers, places, vectors
}
criterion_main!(benches);

//! What comparing and joining histories costs, by the number of replicas named.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rejoin::causal::{CausalContext, Dot, ReplicaId, Seq, VersionVector};

/// Replica `n` of all, in no order that matters.
fn replica(n: u64) -> ReplicaId {
    let bits = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    ReplicaId::from_bytes((bits << 64 | u128::from(n)).to_be_bytes())
}

/// A vector of `names` replicas, every `news`-th of them one seq further.
fn vector(names: u64, news: u64) -> VersionVector {
    (0..names).map(|n| (replica(n), Seq::new(1000 + u64::from(n % news == 0)))).collect()
}

fn vectors(c: &mut Criterion) {
    let mut group = c.benchmark_group("vector");
    for names in [1, 16, 1_000, 100_000] {
        let (left, right) = (vector(names, 3), vector(names, 5));
        group.bench_with_input(BenchmarkId::new("join", names), &names, |b, _| {
            b.iter_batched_ref(
                || left.clone(),
                |left| left.join(black_box(&right)),
                criterion::BatchSize::LargeInput,
            );
        });
        group.bench_with_input(BenchmarkId::new("compare", names), &names, |b, _| {
            b.iter(|| black_box(&left).compare(black_box(&right)));
        });
        let dot = Dot::new(replica(names / 2), Seq::new(1000));
        group.bench_with_input(BenchmarkId::new("contains", names), &names, |b, _| {
            b.iter(|| black_box(&left).contains(black_box(dot)));
        });
    }
    group.finish();
}

fn contexts(c: &mut Criterion) {
    let mut group = c.benchmark_group("context");
    let whole = CausalContext::from(vector(1_000, 3));
    let delta: CausalContext = [Dot::new(replica(7), Seq::new(2_000))].into_iter().collect();
    group.bench_function("join a delta into 1000 replicas", |b| {
        b.iter_batched_ref(
            || whole.clone(),
            |seen| seen.join(black_box(&delta)),
            criterion::BatchSize::LargeInput,
        );
    });
    group.bench_function("insert 1000 dots in the worst order", |b| {
        b.iter(|| {
            let mut seen = CausalContext::new();
            for seq in (1..=1_000).rev() {
                seen.insert(Dot::new(replica(1), Seq::new(seq)));
            }
            seen
        });
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

criterion_group! { name = benches; config = quick(); targets = vectors, contexts }
criterion_main!(benches);

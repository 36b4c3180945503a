//! What it costs two replicas to become equal, without a wire between them.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rejoin::session::{Report, Scope, Session};
use rejoin::{Options, Store};

const ITEMS: u64 = 20_000;

/// A store in memory whose name is always the same one.
fn store(name: u8) -> Store {
    let drawn = AtomicU64::new(0);
    let entropy = move |bytes: &mut [u8]| {
        let n = drawn.fetch_add(1, Ordering::Relaxed) as u8;
        bytes.fill(name.wrapping_add(n.wrapping_mul(16)));
    };
    Store::in_memory_with(Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy)))
}

fn filled(name: u8) -> Store {
    let store = store(name);
    let space = store.space("main").unwrap();
    space
        .write(|tx| {
            (0..ITEMS / 2).try_for_each(|n| {
                tx.register(format!("key {n:08}")).set(&[n as u8; 32])?;
                tx.set::<String>(format!("cart {:04}", n / 25)).add(&format!("element {n:08}"))
            })
        })
        .unwrap();
    space.root().unwrap();
    store
}

/// What one side sent the other in a session, frame by frame.
fn meet(a: &Store, b: &Store) -> (Report, Vec<Vec<u8>>) {
    let mut left = Session::connect(a, Scope::All, [1; 16]).unwrap();
    let mut right = Session::accept(b, [2; 16]);
    let mut sent = Vec::new();
    while !(left.is_over() && right.is_over()) {
        while let Some(frame) = left.poll_frame(0).unwrap() {
            right.handle_frame(0, &frame).unwrap();
            sent.push(frame);
        }
        while let Some(frame) = right.poll_frame(0).unwrap() {
            left.handle_frame(0, &frame).unwrap();
        }
    }
    assert!(left.report().converged());
    (left.report().clone(), sent)
}

fn sessions(c: &mut Criterion) {
    let (a, b) = (filled(1), store(2));
    meet(&a, &b);
    c.bench_function("session/equal, 20,000 items", |bencher| {
        bencher.iter(|| {
            let (report, _) = meet(&a, &b);
            assert_eq!(report.round_trips, 1);
        });
    });
    let (here, there) = (a.space("main").unwrap(), b.space("main").unwrap());
    c.bench_function("session/one change on each side, 20,000 items", |bencher| {
        let mut n = 0_u64;
        bencher.iter(|| {
            n += 1;
            here.register("here").set(&n).unwrap();
            there.register("there").set(&n).unwrap();
            let (report, _) = meet(&a, &b);
            assert_eq!((report.items_sent, report.items_received), (1, 1));
        });
    });
}

fn bootstrap(c: &mut Criterion) {
    let a = filled(1);
    let mut group = c.benchmark_group("session/bootstrap of 20,000 items");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("both sides", |bencher| {
        bencher.iter_batched_ref(|| store(2), |b| meet(&a, b), BatchSize::PerIteration);
    });
    // The same frames again, to a store that has the same name and says the same: the
    // receiving side alone, decoding included.
    let (_, frames) = meet(&a, &store(2));
    group.bench_function("receiving side", |bencher| {
        let fresh = || Session::accept(&store(2), [2; 16]);
        bencher.iter_batched_ref(
            fresh,
            |session| {
                for frame in &frames {
                    session.handle_frame(0, frame).unwrap();
                    while session.poll_frame(0).unwrap().is_some() {}
                }
                assert!(session.report().converged());
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = config(); targets = sessions, bootstrap }
criterion_main!(benches);

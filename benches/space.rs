//! What writing and reading a space costs, on rows in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rejoin::space::Keys;
use rejoin::{Space, Store};

const ROWS: u64 = 10_000;

fn element(n: u64) -> String {
    // Spread, as names are, by a multiplication that no number of the range survives in order.
    format!("element {:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn add_all(space: &Space, rows: u64) {
    space
        .write(|tx| {
            let set = tx.set::<String>("cart");
            (0..rows).try_for_each(|n| set.add(&element(n)))
        })
        .unwrap();
}

fn set_all(space: &Space, rows: u64) {
    space
        .write(|tx| {
            (0..rows).try_for_each(|n| tx.register(format!("key {n:08}")).set(&[n as u8; 32]))
        })
        .unwrap();
}

fn empty() -> Space {
    Store::in_memory().space("main").unwrap()
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("space/write 10,000 in one transaction");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("set add", |b| {
        b.iter_batched_ref(empty, |space| add_all(space, ROWS), BatchSize::PerIteration);
    });
    group.bench_function("register set", |b| {
        b.iter_batched_ref(empty, |space| set_all(space, ROWS), BatchSize::PerIteration);
    });
    group.bench_function("register set again", |b| {
        let full = || {
            let space = empty();
            set_all(&space, ROWS);
            space
        };
        b.iter_batched_ref(full, |space| set_all(space, ROWS), BatchSize::PerIteration);
    });
    group.finish();
    c.bench_function("space/write one register, one transaction", |b| {
        let space = empty();
        set_all(&space, ROWS);
        let register = space.register::<u64>("key");
        let mut n = 0;
        b.iter(|| {
            n += 1;
            register.set(&n).unwrap();
        });
    });
}

fn reading(c: &mut Criterion) {
    let space = empty();
    add_all(&space, ROWS);
    set_all(&space, ROWS);
    let mut group = c.benchmark_group("space/read");
    group.bench_function("set contains", |b| {
        let set = space.set::<String>("cart");
        let (one, none) = (element(77), element(ROWS + 1));
        b.iter(|| (set.contains(black_box(&one)).unwrap(), set.contains(&none).unwrap()));
    });
    group.bench_function("register get", |b| {
        let register = space.register::<[u8; 32]>("key 00000077");
        b.iter(|| register.get().unwrap());
    });
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("scan of 10,000 elements", |b| {
        let set = space.set::<String>("cart");
        b.iter(|| {
            let mut bytes = 0;
            set.for_each(|element| {
                bytes += element.value().map_or(0, String::len);
                ControlFlow::Continue(())
            })
            .unwrap();
            bytes
        });
    });
    group.bench_function("scan of 10,000 keys", |b| {
        b.iter(|| {
            let mut keys = 0;
            space
                .for_each_key(Keys::prefix("key "), |_| {
                    keys += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(keys, ROWS);
        });
    });
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = config(); targets = writing, reading }
criterion_main!(benches);

//! What a real socket adds: sessions over WebSocket on loopback.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rejoin::Store;
use rejoin::net::{NetOptions, Server, ServerOptions, sync_url};
use rejoin::session::Scope;
use tokio::runtime::Runtime;

const ITEMS: u64 = 10_000;

fn sockets(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    space
        .write(|tx| (0..ITEMS).try_for_each(|n| tx.put(format!("key {n:08}"), [7; 32], None)))
        .unwrap();
    let server =
        runtime.block_on(Server::bind(&store, "127.0.0.1:0", ServerOptions::default())).unwrap();
    let url = format!("ws://{}", server.local_addr());
    runtime.spawn(server.run(std::future::pending()));
    let sync = |other: &Store| {
        let options = NetOptions::default();
        let synced = runtime.block_on(sync_url(other, Scope::All, &url, &options));
        assert!(synced.unwrap().converged());
    };
    let mut group = c.benchmark_group("net");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("bootstrap 10,000 items over loopback", |b| {
        b.iter_batched(Store::in_memory, |empty| sync(&empty), BatchSize::PerIteration);
    });
    group.finish();
    let equal = Store::in_memory();
    sync(&equal);
    c.bench_function("net/equal replicas over loopback", |b| b.iter(|| sync(&equal)));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = sockets
}
criterion_main!(benches);

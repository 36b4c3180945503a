//! Sixteen threads write to one store, each write on disk before the thread goes on. They
//! share commits: while one is on its way to the disk, those that come meanwhile gather for
//! the next.
//!
//! ```sh
//! cargo run --release --example threads [FILE]
//! ```
//!
//! Without FILE the store is made in a temporary folder, which should lie on a real disk for
//! the figures to say anything.

use std::error::Error;
use std::thread;
use std::time::Instant;

use rejoin::{Space, Store};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const THREADS: usize = 16;
/// Writes of each thread.
const WRITES: usize = 100;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = std::env::args_os().nth(1).map_or(folder.path().join("store"), Into::into);
    println!("{}\n", path.display());
    let store = Store::open(path)?;
    let space = store.space("log")?;
    let before = space.counter("writes").get()?;

    let alone = write(&space, 1)?;
    let together = write(&space, THREADS)?;
    println!("\n  {:.1} times as many", together / alone);

    // Nothing was lost, and nothing stands there by half.
    let written = space.counter("writes").get()? - before;
    assert_eq!(written, (WRITES * (THREADS + 1)) as i128);
    assert!(store.check()?.is_sound());
    println!("  all {written} are there, and the store is sound");
    Ok(())
}

/// So many threads write; how many writes a second they come to.
fn write(space: &Space, threads: usize) -> Result<f64> {
    let start = Instant::now();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    (0..WRITES).try_for_each(|n| {
                        space.write(|tx| {
                            tx.register(format!("{thread}/{n}")).set(&"a line of a log")?;
                            tx.counter("writes").add(1)
                        })
                    })
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    let writes = threads * WRITES;
    let per_second = writes as f64 / start.elapsed().as_secs_f64();
    let who = if threads == 1 { "1 thread ".to_owned() } else { format!("{threads} threads") };
    println!("  {who}  {writes:>5} durable writes, {per_second:>6.0} a second");
    Ok(per_second)
}

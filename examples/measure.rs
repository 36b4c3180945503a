//! What the store promises in figures, measured on this machine.
//!
//! ```sh
//! cargo run --release --example measure -- writers
//! cargo run --release --example measure -- spaces
//! cargo run --release --example measure -- repair
//! ```
//!
//! The stores are made in a temporary folder (`TMPDIR` chooses where), which should lie on a
//! real disk. Ratios of one run say more than times: the machine may be doing something else.

mod meeting;

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use meeting::meet;
use peak_alloc::PeakAlloc;
use redb::{Database, TableDefinition};
use rejoin::causal::ReplicaId;
use rejoin::session::{Report, Scope, Session};
use rejoin::storage::{
    Durability, Identity, KeyRange, MemoryStorage, Order, Read, ReadSnapshot, Storage,
    StorageError, Table, Verdict, Visit, Write,
};
use rejoin::{Options, Space, Store};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    match std::env::args().nth(1).as_deref() {
        Some("writers") => writers(folder.path()),
        Some("spaces") => spaces(folder.path()),
        Some("repair") => repair(folder.path()),
        _ => Err("say what to measure: writers, spaces or repair".into()),
    }
}

// ---- many threads, and one beside the engine alone

/// Durable writes of each thread.
const WRITES: usize = 500;

fn writers(folder: &Path) -> Result<()> {
    let (before, commits) = rows_of_writes()?;
    for round in 1..=3 {
        // All begin with the same items: in a store that grows, who comes later pays more.
        let engine = Database::create(folder.join(format!("engine {round}")))?;
        replay(&engine, &before)?;
        let store = Store::open(folder.join(format!("store {round}")))?;
        let space = store.space("main")?;
        fill(&space)?;
        let alone = write(&space, 1, "alone")?;
        let raw = replay(&engine, &commits)?;
        let together = write(&space, 16, "together")?;
        println!(
            "round {round}: 1 thread {alone:.0}/s, the engine alone with the same rows {raw:.0}/s \
             ({:.2} times); 16 threads {together:.0}/s ({:.1} times)",
            raw / alone,
            together / alone
        );
    }
    Ok(())
}

const VALUE: &str = "a value of thirty-two bytes, or so";

/// Items that are there before anything is measured.
fn fill(space: &Space) -> Result<()> {
    for hundred in 0..1000 {
        space.write(|tx| {
            (0..100)
                .try_for_each(|n| tx.register(format!("item/{}", hundred * 100 + n)).set(&VALUE))
        })?;
    }
    Ok(())
}

fn write(space: &Space, threads: usize, prefix: &str) -> Result<f64> {
    let start = Instant::now();
    thread::scope(|scope| {
        let write = |thread: usize| {
            (0..WRITES)
                .try_for_each(|n| space.register(format!("{prefix}/{thread}/{n}")).set(&VALUE))
        };
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || write(thread))).collect();
        all.into_iter().try_for_each(|one| Ok(one.join().map_err(|_| "a writer panicked")??))
    })
    .map_err(|e: Box<dyn Error>| e)?;
    Ok((threads * WRITES) as f64 / start.elapsed().as_secs_f64())
}

/// A change of one row: its table, its key, and its value unless it goes.
type Row = (Table, Vec<u8>, Option<Vec<u8>>);

/// What each of some commits changes.
type Commits = Vec<Vec<Row>>;

/// Tables in memory that write down which rows each commit changes.
struct Recorder {
    tables: MemoryStorage,
    commits: Arc<Mutex<Commits>>,
}

struct Recording<'a> {
    rows: &'a mut dyn Write,
    changed: Vec<Row>,
}

impl Read for Recording<'_> {
    fn get(&self, table: Table, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, StorageError> {
        self.rows.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> std::result::Result<(), StorageError> {
        self.rows.scan(table, range, order, visit)
    }
}

impl Write for Recording<'_> {
    fn put(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> std::result::Result<(), StorageError> {
        self.changed.push((table, key.to_vec(), Some(value.to_vec())));
        self.rows.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> std::result::Result<bool, StorageError> {
        self.changed.push((table, key.to_vec(), None));
        self.rows.delete(table, key)
    }
}

impl Storage for Recorder {
    fn read(&self) -> std::result::Result<Box<dyn ReadSnapshot>, StorageError> {
        self.tables.read()
    }

    fn write(
        &self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> std::result::Result<Verdict, StorageError>,
    ) -> std::result::Result<(), StorageError> {
        self.tables.write(durability, &mut |rows| {
            let mut recording = Recording { rows, changed: Vec::new() };
            let verdict = work(&mut recording)?;
            if let Ok(mut commits) = self.commits.lock() {
                commits.push(recording.changed);
            }
            Ok(verdict)
        })
    }

    fn file_bytes(&self) -> std::result::Result<u64, StorageError> {
        self.tables.file_bytes()
    }

    fn compact(&self) -> std::result::Result<(), StorageError> {
        self.tables.compact()
    }

    fn check(&self) -> std::result::Result<bool, StorageError> {
        self.tables.check()
    }

    fn replica(&self) -> ReplicaId {
        self.tables.replica()
    }

    fn identity(&self) -> Identity {
        self.tables.identity()
    }
}

/// What the store writes for the items that are there before, and for each write alone.
fn rows_of_writes() -> Result<(Commits, Commits)> {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let tables = MemoryStorage::new(ReplicaId::from_bytes([7; 16]));
    let recorder = Recorder { tables, commits: commits.clone() };
    let store = Store::on(Box::new(recorder), Options::default())?;
    let space = store.space("main")?;
    let taken = || -> Result<Commits> {
        Ok(std::mem::take(&mut *commits.lock().map_err(|_| "a writer panicked")?))
    };
    fill(&space)?;
    let before = taken()?;
    write(&space, 1, "alone")?;
    Ok((before, taken()?))
}

/// The engine alone: the same rows in as many commits, with the same promises.
fn replay(engine: &Database, commits: &[Vec<Row>]) -> Result<f64> {
    let names = Table::ALL.map(|table| format!("{table:?}"));
    let start = Instant::now();
    for rows in commits {
        let mut transaction = engine.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        for (table, name) in Table::ALL.into_iter().zip(&names) {
            let mut mine = rows.iter().filter(|row| row.0 == table).peekable();
            if mine.peek().is_none() {
                continue;
            }
            let definition = TableDefinition::<&[u8], &[u8]>::new(name);
            let mut open = transaction.open_table(definition)?;
            for (_, key, value) in mine {
                match value {
                    Some(value) => drop(open.insert(key.as_slice(), value.as_slice())?),
                    None => drop(open.remove(key.as_slice())?),
                }
            }
        }
        transaction.commit()?;
    }
    Ok(commits.len() as f64 / start.elapsed().as_secs_f64())
}

// ---- many spaces

fn name(n: usize) -> String {
    format!("user/{n:06}")
}

fn relaxed() -> Options {
    let mut options = Options::default();
    options.relaxed = true;
    options
}

fn tell(what: &str, took: Duration, report: &Report) {
    println!(
        "  {what}: {} spaces named, {} round trips, {} + {} bytes, {took:.1?}",
        report.spaces.len(),
        report.round_trips,
        report.bytes_sent,
        report.bytes_received
    );
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let done = work()?;
    Ok((start.elapsed(), done))
}

fn spaces(folder: &Path) -> Result<()> {
    for many in [10_000, 100_000] {
        let [a, b] = ["a", "b"].map(|name| folder.join(format!("{name} {many}")));
        println!("{many} spaces");
        let (left, right) = (Store::open_with(&a, relaxed())?, Store::open(b)?);
        for n in 0..many {
            left.space(&name(n))?.set("tags").add(&n)?;
        }
        let (took, report) = timed(|| meet(&left, &right))?;
        tell("the first time", took, &report);
        for n in 0..5 {
            left.space(&name(n * 777))?.set("tags").add(&(1_000_000 + n))?;
            right.space(&name(5_000 + n * 777))?.set("tags").add(&(2_000_000 + n))?;
        }
        let (took, report) = timed(|| meet(&left, &right))?;
        tell("10 changed since", took, &report);
        let (took, report) = timed(|| meet(&left, &right))?;
        tell("none changed since", took, &report);
        drop(left);
        let (took, store) = timed(|| Ok(Store::open(a)?))?;
        println!("  opened in {took:.1?}");
        let hello = || Ok(Session::connect(&store, Scope::All, [1; 16])?.poll_frame(0)?);
        let (took, hello) = timed(hello)?;
        println!("  hello of {} bytes in {took:.1?}", hello.map_or(0, |frame| frame.len()));
    }
    Ok(())
}

// ---- repair

fn repair(folder: &Path) -> Result<()> {
    const ITEMS: u32 = 1_000_000;
    let forgetful = || {
        let mut options = Options::default();
        options.removal_log_bytes = 0;
        options.brake_items = u64::MAX;
        options
    };
    let a = Store::open_with(folder.join("a"), forgetful())?;
    let b = Store::open_with(folder.join("b"), forgetful())?;
    let [here, there] = [a.space("main")?, b.space("main")?];
    for first in (0..ITEMS).step_by(10_000) {
        here.write(|tx| {
            (first..first + 10_000).try_for_each(|n| tx.set(format!("cart/{}", n / 50)).add(&n))
        })?;
    }
    MEMORY.reset_peak_usage();
    let (took, report) = timed(|| meet(&b, &a))?;
    println!("{} items, sent to an empty store in {took:.1?}", report.items_received);
    // Fifty go on each side, anywhere, and neither remembers which.
    for n in 0..50_u32 {
        let [one, other] = [n * 19_997 + 3, n * 19_997 + 9_001];
        here.set(format!("cart/{}", one / 50)).remove(&one)?;
        there.set(format!("cart/{}", other / 50)).remove(&other)?;
    }
    let (took, report) = timed(|| meet(&a, &b))?;
    println!(
        "100 removals that both forgot: {} round trips, {} bytes, repaired {} here, {took:.1?}",
        report.round_trips,
        report.bytes_sent + report.bytes_received,
        report.repaired
    );
    println!("peak of both stores' memory {:.0} MB", MEMORY.peak_usage_as_mb());
    let counts = [here.status()?.items, there.status()?.items];
    assert_eq!(counts, [u64::from(ITEMS) - 100; 2]);
    Ok(())
}

//! Many threads that write to one store: shared commits, failures that harm nobody else,
//! and relaxed writes that no peer hears of before the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rejoin::causal::ReplicaId;
use rejoin::session::{Scope, Session};
use rejoin::storage::{
    Durability, Identity, MemoryStorage, ReadSnapshot, Storage, StorageError, Verdict, Write,
};
use rejoin::{Error, Options, Store, UsageError};

mod pair;
use pair::assert_sound;

const THREADS: usize = 16;

/// A disk in memory that takes its time, counts, and fails when told to.
#[derive(Clone)]
struct Disk {
    tables: MemoryStorage,
    syncs: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn new() -> Self {
        let tables = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
        Self { tables, syncs: Arc::default(), broken: Arc::default() }
    }

    fn store(&self) -> Store {
        Store::on(Box::new(self.clone()), Options::default()).unwrap()
    }
}

impl Storage for Disk {
    fn read(&self) -> Result<Box<dyn ReadSnapshot>, StorageError> {
        self.tables.read()
    }

    fn write(
        &self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        self.tables.write(durability, &mut |rows| {
            let verdict = work(rows)?;
            if verdict == Verdict::Commit && durability == Durability::Immediate {
                self.syncs.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                if self.broken.load(Ordering::SeqCst) {
                    return Err(StorageError::MustReopen { reason: "the disk is gone".into() });
                }
            }
            Ok(verdict)
        })
    }

    fn file_bytes(&self) -> Result<u64, StorageError> {
        self.tables.file_bytes()
    }

    fn compact(&self) -> Result<(), StorageError> {
        self.tables.compact()
    }

    fn check(&self) -> Result<bool, StorageError> {
        self.tables.check()
    }

    fn replica(&self) -> ReplicaId {
        self.tables.replica()
    }

    fn identity(&self) -> Identity {
        self.tables.identity()
    }
}

fn on_threads(work: impl Fn(usize) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
}

/// What a closure of a history does in the end.
enum End {
    Well,
    Fails,
    Panics,
    WritesNothing,
}

#[test]
fn closures_share_commits_and_only_those_that_are_well_leave_a_trace() {
    const ROUNDS: usize = 40;
    let disk = Disk::new();
    let store = disk.store();
    let well = AtomicUsize::new(0);
    on_threads(|thread| {
        // Two spaces, so that a group is about several.
        let space = store.space(["even", "odd"][thread % 2]).unwrap();
        for round in 0..ROUNDS {
            let end = match (thread + round) % 7 {
                0 => End::Fails,
                1 => End::Panics,
                2 => End::WritesNothing,
                _ => End::Well,
            };
            let wrote = catch_unwind(AssertUnwindSafe(|| {
                space.write(|tx| {
                    let before = tx.counter("n").get()?;
                    if matches!(end, End::WritesNothing) {
                        return Ok(());
                    }
                    tx.counter("n").add(1)?;
                    tx.set(format!("of {thread}")).add(&round)?;
                    tx.register("last").set(&(thread, round))?;
                    assert_eq!(tx.counter("n").get()?, before + 1, "not the only writer");
                    let nested = space.counter("n").add(1);
                    assert!(matches!(nested, Err(Error::Usage(UsageError::NestedWrite))));
                    match end {
                        End::Fails => Err(Error::Usage(UsageError::NestedWrite)),
                        End::Panics => resume_unwind(Box::new("as it should")),
                        End::Well | End::WritesNothing => Ok(()),
                    }
                })
            }));
            let wrote = matches!(wrote, Ok(Ok(())));
            assert_eq!(wrote, matches!(end, End::Well | End::WritesNothing));
            let mine = space.set::<usize>(format!("of {thread}")).contains(&round).unwrap();
            assert_eq!(mine, matches!(end, End::Well), "thread {thread}, round {round}");
            well.fetch_add(usize::from(matches!(end, End::Well)), Ordering::SeqCst);
        }
    });
    let well = well.into_inner();
    let counted = ["even", "odd"].map(|name| store.space(name).unwrap().counter("n").get());
    assert_eq!(counted.map(Result::unwrap).iter().sum::<i128>(), well as i128);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(syncs * 2 < well, "{well} writes took {syncs} commits");
    assert_sound(&store);
}

#[test]
fn when_the_commit_fails_every_member_hears_of_it_and_nothing_is_there() {
    let disk = Disk::new();
    let store = disk.store();
    let space = store.space("main").unwrap();
    on_threads(|thread| space.set("before").add(&thread).unwrap());
    disk.broken.store(true, Ordering::SeqCst);
    on_threads(|thread| {
        for _ in 0..5 {
            let error = space.set("after").add(&thread).unwrap_err();
            assert!(error.to_string().contains("the disk is gone"), "{error}");
        }
    });
    assert_eq!(space.set::<usize>("before").len().unwrap(), THREADS);
    assert!(space.set::<usize>("after").is_empty().unwrap());
    // The store goes on once the disk does, under dots that nobody has seen.
    disk.broken.store(false, Ordering::SeqCst);
    on_threads(|thread| space.set("again").add(&thread).unwrap());
    assert_eq!(space.set::<usize>("again").len().unwrap(), THREADS);
    assert_eq!(space.vector().unwrap().get(store.replica()).get(), 2 * THREADS as u64);
    assert_sound(&store);
}

#[test]
fn sessions_and_readers_go_on_beside_writers() {
    let (store, other) = (Disk::new().store(), Store::in_memory());
    let space = store.space("main").unwrap();
    on_threads(|thread| {
        for round in 0..20 {
            match thread {
                0 => drop(pair::meet(&store, &other)),
                1 => drop(space.root().unwrap()),
                _ => space.set("all").add(&(thread, round)).unwrap(),
            }
        }
    });
    assert!(pair::meet(&store, &other).converged());
    let there = other.space("main").unwrap();
    assert_eq!(there.set::<(usize, usize)>("all").len().unwrap(), 20 * (THREADS - 2));
    assert_sound(&store);
    assert_sound(&other);
}

#[test]
fn a_session_waits_for_the_disk_a_few_times_and_before_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    let (disk, kept) = (Disk::new(), Store::open(&path).unwrap());
    let from = Store::in_memory();
    for n in 0..100 {
        from.space(&format!("space {n}")).unwrap().set("n").add(&n).unwrap();
    }
    pair::meet(&from, &disk.store());
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 10, "100 spaces took {syncs} waits");
    pair::meet(&from, &kept);
    let copy = folder.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    let after_a_power_cut = Store::open(copy).unwrap();
    assert_eq!(after_a_power_cut.spaces("").unwrap().len(), 100);
    assert_sound(&after_a_power_cut);
}

/// What a power cut now would leave of a store that is open.
fn after_a_power_cut(path: &Path, name: &str) -> Vec<u64> {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).unwrap();
    let store = Store::open(copy).unwrap();
    assert_sound(&store);
    let elements = store.space("main").unwrap().set("n").elements().unwrap().into_iter();
    elements.map(|element| element.decoded().unwrap()).collect()
}

#[test]
fn relaxed_writes_reach_the_disk_with_a_flush_and_before_any_peer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relaxed");
    let mut options = Options::default();
    options.relaxed = true;
    let store = Store::open_with(&path, options).unwrap();
    let space = store.space("main").unwrap();
    space.set("n").add(&1_u64).unwrap();
    assert_eq!(space.set::<u64>("n").elements().unwrap(), [1], "a reader here sees it at once");
    assert!(after_a_power_cut(&path, "unflushed").is_empty());
    store.flush().unwrap();
    assert_eq!(after_a_power_cut(&path, "flushed"), [1]);

    // A session tells of nothing that a power cut could take.
    space.set("n").add(&2_u64).unwrap();
    let mut session = Session::connect(&store, Scope::All, [7; 16]).unwrap();
    session.poll_frame(0).unwrap().unwrap();
    assert_eq!(after_a_power_cut(&path, "greeted"), [1, 2]);

    // Nor does it while it goes on.
    let other = Store::in_memory();
    for n in 3..10_u64 {
        space.set("n").add(&n).unwrap();
        let mut sides = [
            Session::connect(&other, Scope::All, [1; 16]).unwrap(),
            Session::accept(&store, [2; 16]),
        ];
        while let Some(frame) = sides[0].poll_frame(0).unwrap() {
            sides[1].handle_frame(0, &frame).unwrap();
            space.set("beside").add(&n).unwrap();
            while let Some(frame) = sides[1].poll_frame(0).unwrap() {
                sides[0].handle_frame(0, &frame).unwrap();
            }
        }
        let there = other.space("main").unwrap().vector().unwrap().get(store.replica());
        let copy = folder.path().join(format!("copy {n}"));
        std::fs::copy(&path, &copy).unwrap();
        let durable = Store::open(copy).unwrap().space("main").unwrap().vector().unwrap();
        assert!(durable.get(store.replica()) >= there, "{there} of us is known, {durable:?} kept");
    }

    // Closing flushes.
    space.set("n").add(&99_u64).unwrap();
    drop((space, session, store));
    let store = Store::open(&path).unwrap();
    assert_eq!(store.space("main").unwrap().set::<u64>("n").len().unwrap(), 10);
}

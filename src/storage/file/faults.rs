//! What happens when the disk is full, fails to read or to sync, or decays, and when the
//! engine panics. All of it happens beneath the sealed blocks.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::open::Step;
use super::tests::{folder, has, io_kind, open, open_planned, options, put, random};
use super::*;
use crate::storage::Table;
use crate::storage::identity::beside;

/// A disk that fails as it is told.
#[derive(Debug, Default)]
struct Faults {
    /// Bytes left to write, where not negative.
    left_bytes: AtomicI64,
    what: AtomicU8,
}

const NOTHING: u8 = 0;
/// The disk is full once the bytes that are left are written.
const FULL: u8 = 1;
const PANIC: u8 = 2;
const NO_SYNC: u8 = 3;
const NO_READ: u8 = 4;

impl Faults {
    fn set(&self, what: u8) {
        self.what.store(what, Ordering::SeqCst);
    }

    fn is(&self, what: u8) -> bool {
        self.what.load(Ordering::SeqCst) == what
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        assert!(!self.is(PANIC), "the engine failed");
        if self.is(FULL) && self.left_bytes.fetch_sub(bytes as i64, Ordering::SeqCst) < bytes as i64
        {
            self.left_bytes.store(0, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.faults.is(NO_READ) {
            return Err(io::Error::other("the cable is loose"));
        }
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.faults.take(1)?;
        if self.faults.is(NO_SYNC) {
            return Err(io::Error::other("the disk forgot it"));
        }
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.take(data.len())?;
        self.file.write(offset, data)
    }
}

fn on_disk(faults: &Arc<Faults>) -> Plan {
    let faults = faults.clone();
    let backend =
        move |file| Arc::new(Disk { file, faults: faults.clone() }) as Arc<dyn StorageBackend>;
    Plan { backend: Some(Box::new(backend)), ..Plan::default() }
}

/// More rows than the cache of a test's store holds.
fn fill(storage: &RedbStorage) {
    let filled = storage.write(Durability::Immediate, &mut |write| {
        for n in 0..2000_u32 {
            write.put(Table::Items, &n.to_be_bytes(), &[n as u8; 1500])?;
        }
        Ok(Verdict::Commit)
    });
    filled.unwrap();
}

fn all_there(storage: &RedbStorage) -> bool {
    let rows = storage.read().unwrap();
    (0..2000_u32)
        .all(|n| rows.get(Table::Items, &n.to_be_bytes()).unwrap() == Some(vec![n as u8; 1500]))
}

fn must_reopen<T>(result: Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::MustReopen { .. }))
}

#[test]
fn a_full_disk_is_an_error_after_which_reads_go_on() {
    for left in [0, 1, 5_000, 10_000, 50_000, 200_000] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Arc::new(Faults::default());
        let storage = open_planned(&path, on_disk(&faults)).unwrap();
        put(&storage, b"a", Durability::Immediate).unwrap();
        faults.left_bytes.store(left, Ordering::SeqCst);
        faults.set(FULL);
        let full = (0..1000u32).find_map(|n| {
            put(&storage, &n.to_be_bytes(), Durability::Immediate).err().map(|error| (n, error))
        });
        let (written, error) = full.unwrap();
        assert_eq!(io_kind(Err::<(), _>(error)), Some(io::ErrorKind::StorageFull), "{left}");
        assert!(has(&storage, b"a"));
        faults.set(NOTHING);
        assert!(must_reopen(put(&storage, b"b", Durability::Immediate)));
        assert!(has(&storage, b"a"));
        drop(storage);
        let storage = open(&path).unwrap();
        assert_eq!(storage.identity(), Identity::Kept);
        assert!(has(&storage, b"a") && !has(&storage, b"b"));
        assert!((0..written).all(|n| has(&storage, &n.to_be_bytes())));
        assert!(storage.check().unwrap());
        put(&storage, b"b", Durability::Immediate).unwrap();
    }
}

#[test]
fn after_a_failed_write_or_sync_all_that_was_there_can_be_read_and_nothing_written() {
    for fault in [FULL, NO_SYNC] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Arc::new(Faults::default());
        let storage = open_planned(&path, on_disk(&faults)).unwrap();
        fill(&storage);
        let before = storage.read().unwrap();
        faults.set(fault);
        let failed = put(&storage, b"b", Durability::Immediate);
        assert!(matches!(failed, Err(StorageError::Io { .. })), "{failed:?}");
        // Not from the cache, which is too small for it.
        assert!(all_there(&storage));
        faults.set(NOTHING);
        assert!(all_there(&storage));
        assert!(must_reopen(put(&storage, b"c", Durability::Immediate)));
        assert!(must_reopen(storage.compact()) && must_reopen(storage.check().map(drop)));
        drop((before, storage));
        let storage = open(&path).unwrap();
        assert_eq!(storage.identity(), Identity::Kept);
        assert!(all_there(&storage) && !has(&storage, b"c"));
        assert!(storage.check().unwrap());
        put(&storage, b"c", Durability::Immediate).unwrap();
    }
}

#[test]
fn after_a_failed_read_what_can_be_read_is_read() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Arc::new(Faults::default());
    let storage = open_planned(&path, on_disk(&faults)).unwrap();
    fill(&storage);
    faults.set(NO_READ);
    let rows = storage.read().unwrap();
    let failed = (0..2000_u32).find_map(|n| rows.get(Table::Items, &n.to_be_bytes()).err());
    assert!(matches!(failed, Some(StorageError::Io { .. })), "{failed:?}");
    // Nor can another engine be started now.
    assert!(storage.read().is_err());
    assert!(must_reopen(put(&storage, b"b", Durability::Immediate)));
    faults.set(NOTHING);
    assert!(all_there(&storage));
    assert!(must_reopen(put(&storage, b"b", Durability::Immediate)));
    drop((rows, storage));
    put(&open(&path).unwrap(), b"b", Durability::Immediate).unwrap();
}

#[test]
fn a_decayed_block_is_named_and_the_others_stay_readable() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    fill(&storage);
    drop(storage);
    // A value of the row 1000: only its block is lost.
    let mut bytes = std::fs::read(&path).unwrap();
    let value = [1000_u32 as u8; 1500];
    let at = bytes.windows(1500).position(|bytes| *bytes == value).unwrap();
    bytes[at + 700] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let storage = open(&path).unwrap();
    let (mut lost, mut sound) = (0, 0);
    for n in 0..2000_u32 {
        // A row a snapshot: one that failed fails on.
        match storage.read().unwrap().get(Table::Items, &n.to_be_bytes()) {
            Ok(found) => {
                assert_eq!(found, Some(vec![n as u8; 1500]));
                sound += 1;
            }
            Err(StorageError::Corrupt { place, reason }) => {
                let named = format!("block {} at byte {}", at / 4096 - 4, at / 4096 * 4096);
                assert!(place.ends_with(&named), "{place}: {reason}; {named}");
                lost += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..10).contains(&lost) && lost + sound == 2000, "{lost} lost");
    assert!(must_reopen(put(&storage, b"b", Durability::Immediate)));
    drop(storage);
    let checked = open(&path).unwrap().check();
    assert!(matches!(checked, Err(StorageError::Corrupt { .. })), "{checked:?}");
}

#[test]
fn a_panic_of_the_engine_is_an_error_and_the_end_of_the_handle() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Arc::new(Faults::default());
    let storage = open_planned(&path, on_disk(&faults)).unwrap();
    put(&storage, b"a", Durability::Immediate).unwrap();
    let snapshot = storage.read().unwrap();
    faults.set(PANIC);
    let failed = put(&storage, b"b", Durability::Immediate);
    assert!(matches!(failed, Err(StorageError::EnginePanic { .. })), "{failed:?}");
    faults.set(NOTHING);
    assert!(must_reopen(put(&storage, b"b", Durability::Immediate)));
    assert!(must_reopen(storage.read().map(drop)));
    assert!(must_reopen(snapshot.get(Table::Items, b"a")));
    assert!(must_reopen(storage.compact()));
    drop((snapshot, storage));
    let storage = open(&path).unwrap();
    assert!(has(&storage, b"a") && !has(&storage, b"b"));
    assert_eq!(storage.identity(), Identity::Kept);
}

#[test]
fn a_store_that_cannot_be_made_whole_leaves_nothing() {
    let faults = Arc::new(Faults::default());
    const ROWS: u32 = 2000;
    let make = |path: &std::path::Path, mut plan: Plan, fails_at: Option<u32>| {
        plan.backend = on_disk(&faults).backend;
        RedbStorage::make_with(path, &options(), &mut random(), plan, &mut |to| {
            for n in 0..ROWS {
                if fails_at == Some(n) {
                    return Err(StorageError::Busy("the source fails"));
                }
                to.put(Table::Items, &n.to_be_bytes(), &[7; 100])?;
            }
            Ok(())
        })
    };
    let folder = folder();
    let path = folder.path().join("store");
    let nothing = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
    for left in [0, 1, 5_000, 50_000, 100_000] {
        faults.left_bytes.store(left, Ordering::SeqCst);
        faults.set(FULL);
        assert!(make(&path, Plan::default(), None).is_err(), "{left}");
        assert!(nothing(), "{left}");
    }
    faults.set(NOTHING);
    for step in [Step::TempMade, Step::TempFilled, Step::TempAnnounced, Step::TempRenamed] {
        let plan = Plan { stop_after: Some(step), ..Plan::default() };
        assert!(make(&path, plan, None).is_err(), "{step:?}");
        assert!(nothing(), "{step:?}");
    }
    let failed = make(&path, Plan::default(), Some(ROWS - 1));
    assert!(matches!(failed, Err(StorageError::Busy(_))), "{failed:?}");
    assert!(nothing());
    drop(make(&path, Plan::default(), None).unwrap());
    let storage = open(&path).unwrap();
    assert_eq!(storage.identity(), Identity::Kept);
    assert!((0..ROWS).all(|n| has(&storage, &n.to_be_bytes())));
    // What a crash left of another one, before that had its name, is in nobody's way.
    let other = folder.path().join("other");
    let plan = Plan { stop_after: Some(Step::TempAnnounced), ..Plan::default() };
    assert!(open_planned(&other, plan).is_err());
    assert!(!other.exists() && beside(&other, ".id").exists());
    drop(make(&other, Plan::default(), None).unwrap());
    assert!(has(&open(&other).unwrap(), &0_u32.to_be_bytes()));
    // An identity file that speaks of another file is not what a crash left.
    std::fs::rename(&other, beside(&other, ".new")).unwrap();
    std::fs::copy(beside(&other, ".new"), folder.path().join("copy")).unwrap();
    std::fs::rename(folder.path().join("copy"), beside(&other, ".new")).unwrap();
    assert!(make(&other, Plan::default(), None).is_err());
    assert!(beside(&other, ".id").exists() && beside(&other, ".new").exists());
    // Over one that is there, and open: it is left as it is.
    assert!(make(&path, Plan::default(), None).is_err());
    assert!(has(&storage, &0_u32.to_be_bytes()) && storage.check().unwrap());
}

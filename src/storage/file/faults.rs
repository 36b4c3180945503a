//! Tests of what happens when the disk is full or the engine panics.

use std::sync::atomic::{AtomicI64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::tests::{folder, has, io_kind, open, open_planned, put};
use super::*;
use crate::storage::Table;

/// A disk with only so many bytes left to write; below zero it panics instead.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    left_bytes: &'static AtomicI64,
}

const FULL: i64 = 0;
const PANIC: i64 = -1;

impl Disk {
    fn take(&self, bytes: usize) -> std::io::Result<()> {
        match self.left_bytes.load(Ordering::SeqCst) {
            PANIC => panic!("the engine failed"),
            left if left < bytes as i64 => {
                self.left_bytes.store(FULL, Ordering::SeqCst);
                Err(std::io::ErrorKind::StorageFull.into())
            }
            left => {
                self.left_bytes.store(left - bytes as i64, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.take(1)?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.take(data.len())?;
        self.file.write(offset, data)
    }
}

fn on_disk(left_bytes: &'static AtomicI64) -> Plan {
    let backend = move |file| Arc::new(Disk { file, left_bytes }) as Arc<dyn StorageBackend>;
    Plan { backend: Some(Box::new(backend)), ..Plan::default() }
}

#[test]
fn a_full_disk_is_an_error_after_which_reads_go_on() {
    static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
    for left in [0, 1, 5_000, 10_000, 50_000, 200_000] {
        let folder = folder();
        let path = folder.path().join("store");
        LEFT.store(i64::MAX, Ordering::SeqCst);
        let storage = open_planned(&path, on_disk(&LEFT)).unwrap();
        put(&storage, b"a", Durability::Immediate).unwrap();
        LEFT.store(left, Ordering::SeqCst);
        let full = (0..1000u32).find_map(|n| {
            put(&storage, &n.to_be_bytes(), Durability::Immediate).err().map(|error| (n, error))
        });
        let (written, error) = full.unwrap();
        assert_eq!(io_kind(Err::<(), _>(error)), Some(std::io::ErrorKind::StorageFull), "{left}");
        assert!(has(&storage, b"a"));
        LEFT.store(i64::MAX, Ordering::SeqCst);
        let again = put(&storage, b"b", Durability::Immediate);
        assert!(matches!(again, Err(StorageError::MustReopen { .. })), "{again:?}");
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
fn a_panic_of_the_engine_is_an_error_and_the_end_of_the_handle() {
    static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open_planned(&path, on_disk(&LEFT)).unwrap();
    put(&storage, b"a", Durability::Immediate).unwrap();
    let snapshot = storage.read().unwrap();
    LEFT.store(PANIC, Ordering::SeqCst);
    let failed = put(&storage, b"b", Durability::Immediate);
    assert!(matches!(failed, Err(StorageError::EnginePanic { .. })), "{failed:?}");
    LEFT.store(i64::MAX, Ordering::SeqCst);
    let must_reopen = |error| matches!(error, StorageError::MustReopen { .. });
    assert!(put(&storage, b"b", Durability::Immediate).is_err_and(must_reopen));
    assert!(storage.read().is_err_and(must_reopen));
    assert!(snapshot.get(Table::Items, b"a").is_err_and(must_reopen));
    assert!(storage.compact().is_err_and(must_reopen));
    drop((snapshot, storage));
    let storage = open(&path).unwrap();
    assert!(has(&storage, b"a") && !has(&storage, b"b"));
    assert_eq!(storage.identity(), Identity::Kept);
}

//! What only a file can do: crash between two steps, be copied, be in use, fail.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use tempfile::TempDir;

use super::open::Step;
use super::*;
use crate::storage::Table;
use crate::storage::identity::beside;

/// In memory where the platform has it: these tests are about order, not about the disk.
pub(in crate::storage) fn folder() -> TempDir {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        return tempfile::tempdir_in(shared_memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

pub(in crate::storage) fn options() -> FileOptions {
    FileOptions { cache_bytes: 1 << 20, ..FileOptions::default() }
}

/// Bytes that never come twice in a test run.
pub(in crate::storage) fn random() -> impl FnMut(&mut [u8]) {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    |bytes| {
        let n = DRAWN.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::hash(&n.to_be_bytes());
        bytes.copy_from_slice(&hash.as_bytes()[..bytes.len()]);
    }
}

pub(super) fn open(path: &Path) -> Result<RedbStorage, StorageError> {
    RedbStorage::open(path, &options(), &mut random())
}

pub(super) fn open_planned(path: &Path, plan: Plan) -> Result<RedbStorage, StorageError> {
    RedbStorage::open_with(path, &options(), &mut random(), plan)
}

fn stop_after(step: Step) -> Plan {
    Plan { stop_after: Some(step), ..Plan::default() }
}

pub(super) fn put(
    storage: &RedbStorage,
    key: &[u8],
    durability: Durability,
) -> Result<(), StorageError> {
    storage.write(durability, &mut |write| {
        write.put(Table::Items, key, b"value")?;
        Ok(Verdict::Commit)
    })
}

pub(super) fn has(storage: &RedbStorage, key: &[u8]) -> bool {
    storage.read().unwrap().get(Table::Items, key).unwrap().is_some()
}

const STEPS: [Step; 10] = [
    Step::TempMade,
    Step::TempFilled,
    Step::TempAnnounced,
    Step::TempRenamed,
    Step::FreshAnnounced,
    Step::FreshCommitted,
    Step::ArmAnnounced,
    Step::ArmOpened,
    Step::ArmCommitted,
    Step::ArmFinished,
];

#[test]
fn a_crash_while_a_store_is_made_leaves_none_or_a_whole_one() {
    for step in &STEPS[..4] {
        let folder = folder();
        let path = folder.path().join("store");
        assert!(open_planned(&path, stop_after(*step)).is_err(), "{step:?}");
        let there = path.exists();
        assert_eq!(there, *step == Step::TempRenamed);
        let storage = open(&path).unwrap();
        let wanted = if there { Identity::Kept } else { Identity::Created };
        assert_eq!(storage.identity(), wanted, "{step:?}");
        assert!(!beside(&path, ".new").exists());
        put(&storage, b"a", Durability::Immediate).unwrap();
        let replica = storage.replica();
        drop(storage);
        let storage = open(&path).unwrap();
        assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica));
        assert!(has(&storage, b"a"));
    }
}

#[test]
fn a_crash_while_arming_is_not_taken_for_a_restore() {
    for first in &STEPS[6..] {
        for second in &STEPS[6..] {
            let folder = folder();
            let path = folder.path().join("store");
            let storage = open(&path).unwrap();
            put(&storage, b"a", Durability::Immediate).unwrap();
            let replica = storage.replica();
            drop(storage);
            for step in [first, second] {
                let storage = open_planned(&path, stop_after(*step)).unwrap();
                assert_eq!(storage.identity(), Identity::Kept, "{first:?}, then {second:?}");
                assert!(put(&storage, b"b", Durability::Eventual).is_err());
                let after = put(&storage, b"c", Durability::Eventual);
                let Err(error @ StorageError::MustReopen { .. }) = after else {
                    panic!("{after:?}");
                };
                // A peer may be told it: where the file lies is none of its business.
                let said = error.to_string();
                assert!(!said.contains(path.to_str().unwrap()), "{said}");
                assert!(has(&storage, b"a"));
            }
            let storage = open(&path).unwrap();
            assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica));
            assert!(!has(&storage, b"b"));
            put(&storage, b"b", Durability::Eventual).unwrap();
            drop(storage);
            let storage = open(&path).unwrap();
            assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica));
            assert!(has(&storage, b"b"));
        }
    }
}

#[test]
fn a_crash_while_taking_a_fresh_id_never_leaves_the_old_one() {
    for step in [Step::FreshAnnounced, Step::FreshCommitted] {
        let folder = folder();
        let path = folder.path().join("store");
        let old = open(&path).unwrap().replica();
        std::fs::remove_file(beside(&path, ".id")).unwrap();
        assert!(open_planned(&path, stop_after(step)).is_err());
        let storage = open(&path).unwrap();
        assert_ne!(storage.replica(), old, "{step:?}");
        let fresh = storage.identity() == Identity::Fresh { previous: old };
        assert_eq!(fresh, step == Step::FreshAnnounced);
        let replica = storage.replica();
        drop(storage);
        let storage = open(&path).unwrap();
        assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica));
    }
}

#[test]
fn copies_and_restores_take_a_fresh_id_once() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage); 6] = [
        ("the data file restored in place", |path, backup| {
            std::fs::copy(backup.join("store"), path).unwrap();
        }),
        ("both files restored in place", |path, backup| {
            // What the system's clock of files may take to go on.
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::fs::copy(backup.join("store"), path).unwrap();
            std::fs::copy(backup.join("store.id"), beside(path, ".id")).unwrap();
        }),
        ("the data file restored as a new file", |path, backup| {
            std::fs::remove_file(path).unwrap();
            std::fs::copy(backup.join("store"), path).unwrap();
        }),
        ("the identity file deleted", |path, _| {
            std::fs::remove_file(beside(path, ".id")).unwrap();
        }),
        ("the identity file of another store", |path, _| {
            let other = path.with_file_name("other");
            drop(open(&other).unwrap());
            std::fs::copy(beside(&other, ".id"), beside(path, ".id")).unwrap();
        }),
        ("both files copied", |path, _| {
            let copy = path.with_file_name("copy");
            std::fs::copy(path, &copy).unwrap();
            std::fs::rename(&copy, path).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = folder();
        let path = folder.path().join("store");
        let storage = open(&path).unwrap();
        put(&storage, b"a", Durability::Immediate).unwrap();
        let old = storage.replica();
        drop(storage);
        let backup = folder.path().join("backup");
        std::fs::create_dir(&backup).unwrap();
        std::fs::copy(&path, backup.join("store")).unwrap();
        std::fs::copy(beside(&path, ".id"), backup.join("store.id")).unwrap();
        let storage = open(&path).unwrap();
        assert_eq!(storage.identity(), Identity::Kept);
        put(&storage, b"b", Durability::Immediate).unwrap();
        drop(storage);
        damage(&path, &backup);
        let storage = open(&path).unwrap();
        assert_eq!(storage.identity(), Identity::Fresh { previous: old }, "{what}");
        assert_ne!(storage.replica(), old);
        assert!(has(&storage, b"a"));
        put(&storage, b"c", Durability::Immediate).unwrap();
        let replica = storage.replica();
        drop(storage);
        let storage = open(&path).unwrap();
        assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica), "{what}");
    }
}

/// Flips a bit and seals the block anew, as no disk does: a damage that reaches the engine.
/// Whether the block was ever written.
fn flip_and_seal(path: &Path, byte: u64) -> bool {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let file = Arc::new(redb::backends::FileBackend::new(file).unwrap());
    let Ok(file) = seal::Sealed::open(file) else { panic!("the first block is gone") };
    let mut there = [0];
    let written = file.read(byte, &mut there).is_ok();
    if written {
        file.write(byte, &[there[0] ^ 0x40]).unwrap();
        file.sync_data().unwrap();
    }
    written
}

#[test]
fn a_scan_of_damaged_pages_is_an_error_and_no_panic() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    for n in 0..40_u8 {
        put(&storage, &[n; 30], Durability::Immediate).unwrap();
    }
    drop(storage);
    let sound = std::fs::read(&path).unwrap();
    let mut failures = 0;
    // Bits of the ends of values that stand ahead of the rows, wherever their page is.
    for block in 1..sound.len() as u64 / 4096 {
        for byte in (168..240).step_by(12) {
            std::fs::write(&path, &sound).unwrap();
            if !flip_and_seal(&path, block * 4096 + byte + 1) {
                continue;
            }
            let Ok(storage) = open(&path) else { continue };
            let scanned = storage.read().and_then(|rows| {
                rows.scan(
                    Table::Items,
                    crate::storage::KeyRange { from: &[], to: None },
                    crate::storage::Order::Ascending,
                    &mut |_, _| std::ops::ControlFlow::Continue(()),
                )
            });
            failures += usize::from(scanned.is_err());
        }
    }
    assert!(failures > 0);
}

#[test]
fn a_fresh_id_can_be_asked_for() {
    let folder = folder();
    let path = folder.path().join("store");
    let first = open(&path).unwrap().replica();
    let options = FileOptions { fresh_id: true, ..options() };
    let storage = RedbStorage::open(&path, &options, &mut random()).unwrap();
    assert_eq!(storage.identity(), Identity::Fresh { previous: first });
    let second = storage.replica();
    drop(storage);
    assert_eq!(open(&path).unwrap().replica(), second);
}

#[test]
fn a_visit_that_only_reads_writes_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    put(&open(&path).unwrap(), b"a", Durability::Immediate).unwrap();
    let files = || (std::fs::read(&path).unwrap(), std::fs::read(beside(&path, ".id")).unwrap());
    let before = files();
    let storage = open(&path).unwrap();
    assert!(has(&storage, b"a"));
    assert!(storage.check().unwrap());
    assert!(files() == before);
    drop(storage);
    assert!(files() == before);
}

#[test]
fn what_is_not_a_store_is_left_as_it_is() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("empty"), b"").unwrap();
    std::fs::write(path("text"), vec![b'x'; 100_000]).unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("theirs");
    let theirs = redb::Database::create(path("theirs")).unwrap();
    let write = theirs.begin_write().unwrap();
    write.open_table(table).unwrap().insert(1, 2).unwrap();
    write.commit().unwrap();
    drop(theirs);
    for name in ["folder", "empty", "text", "theirs"] {
        let before = std::fs::read(path(name)).ok();
        let refused = open(&path(name));
        assert!(matches!(refused, Err(StorageError::NotAStore { .. })), "{name}: {refused:?}");
        assert_eq!(std::fs::read(path(name)).ok(), before);
        assert!(!beside(&path(name), ".id").exists(), "{name}");
    }
    put(&open(&path("cut")).unwrap(), b"a", Durability::Immediate).unwrap();
    std::fs::File::options().write(true).open(path("cut")).unwrap().set_len(5000).unwrap();
    let refused = open(&path("cut"));
    assert!(matches!(refused, Err(StorageError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    storage.inner.engine.commit_own(&[(b"format", &[200, 1])]).unwrap();
    drop(storage);
    let refused = open(&path);
    assert!(matches!(refused, Err(StorageError::NewerFormat { known: 1, found: 200, .. })));
}

pub(super) fn io_kind(result: Result<impl Sized, StorageError>) -> Option<std::io::ErrorKind> {
    match result {
        Err(StorageError::Io { source, .. }) => Some(source.kind()),
        _ => None,
    }
}

#[test]
fn what_the_system_refuses_is_said_as_it_is() {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let folder = folder();
    let path = folder.path().join("store");
    assert_eq!(io_kind(open(&folder.path().join("no/store"))), Some(NotFound));
    let options = FileOptions { create: false, ..options() };
    let missing = RedbStorage::open(&path, &options, &mut random());
    assert_eq!(io_kind(missing), Some(NotFound));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    drop(open(&path).unwrap());
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    assert_eq!(io_kind(open(&path)), Some(PermissionDenied));
}

#[cfg(unix)]
#[test]
fn a_file_that_vanishes_takes_no_write_that_would_be_lost() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    put(&storage, b"a", Durability::Immediate).unwrap();
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    let lost = io_kind(put(&storage, b"b", Durability::Immediate));
    assert_eq!(lost, Some(std::io::ErrorKind::NotFound));
    assert!(has(&storage, b"a"));
    std::fs::rename(folder.path().join("elsewhere"), &path).unwrap();
    put(&storage, b"b", Durability::Immediate).unwrap();
}

#[cfg(unix)]
#[test]
fn one_store_under_two_names_is_one_store() {
    let folder = folder();
    let path = folder.path().join("store");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(io_kind(open(&link)), Some(std::io::ErrorKind::NotFound));
    let storage = open(&path).unwrap();
    assert!(matches!(open(&link), Err(StorageError::AlreadyOpen { .. })));
    // Not even with the lock file gone.
    std::fs::remove_file(beside(&path, ".id")).unwrap();
    assert!(matches!(open(&path), Err(StorageError::AlreadyOpen { .. })));
    drop(storage);
}

/// What a child process does: see [`child`].
#[test]
fn child_process() {
    let Ok(path) = std::env::var("REJOIN_TEST_STORE") else { return };
    let storage = open(Path::new(&path)).unwrap();
    put(&storage, b"eventual, then immediate", Durability::Eventual).unwrap();
    put(&storage, b"immediate", Durability::Immediate).unwrap();
    put(&storage, b"eventual", Durability::Eventual).unwrap();
    println!("\nready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    std::process::abort();
}

/// Another process with the store open; it dies without a farewell when killed.
fn child(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::file::tests::child_process", "--nocapture"])
        .env("REJOIN_TEST_STORE", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    assert!(out.lines().any(|line| line.unwrap() == "ready"));
    child
}

#[test]
fn a_store_open_in_another_process_is_refused_and_survives_its_death() {
    let folder = folder();
    let path = folder.path().join("store");
    let replica = open(&path).unwrap().replica();
    let mut other = child(&path);
    assert!(matches!(open(&path), Err(StorageError::AlreadyOpen { .. })));
    other.kill().unwrap();
    other.wait().unwrap();
    let storage = open(&path).unwrap();
    assert_eq!((storage.identity(), storage.replica()), (Identity::Kept, replica));
    assert!(has(&storage, b"eventual, then immediate") && has(&storage, b"immediate"));
    assert!(!has(&storage, b"eventual"));
    assert!(storage.check().unwrap());
}

#[test]
fn eventual_commits_do_not_let_the_file_grow() {
    let folder = folder();
    let storage = open(&folder.path().join("store")).unwrap();
    let rewrite = |durability| {
        for n in 0..300u32 {
            storage
                .write(durability, &mut |write| {
                    for key in 0..20u8 {
                        write.put(Table::Items, &[key], &[n as u8; 1000])?;
                    }
                    Ok(Verdict::Commit)
                })
                .unwrap();
        }
        storage.file_bytes().unwrap()
    };
    let once = rewrite(Durability::Eventual);
    for _ in 0..5 {
        let bytes = rewrite(Durability::Eventual);
        assert!(bytes <= once.max(4 << 20), "{bytes} bytes after {once}");
    }
    put(&storage, b"a", Durability::Immediate).unwrap();
    storage.compact().unwrap();
    assert!(storage.file_bytes().unwrap() <= once);
}

#[test]
fn compacting_gives_the_space_of_deleted_rows_back() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    let rows = |change: &dyn Fn(&mut dyn Write, u32) -> Result<(), StorageError>| {
        storage
            .write(Durability::Immediate, &mut |write| {
                (0..3000).try_for_each(|n| change(write, n)).map(|()| Verdict::Commit)
            })
            .unwrap();
        storage.file_bytes().unwrap()
    };
    let full = rows(&|write, n| write.put(Table::Items, &n.to_be_bytes(), &[7; 2000]));
    assert!(full > 3000 * 2000);
    rows(&|write, n| match n % 100 {
        0 => Ok(()),
        _ => write.delete(Table::Items, &n.to_be_bytes()).map(drop),
    });
    storage.compact().unwrap();
    let left = storage.file_bytes().unwrap();
    assert!(left < full / 4, "{left} of {full} bytes");
    drop(storage);
    assert!(std::fs::metadata(&path).unwrap().len() <= left);
    let storage = open(&path).unwrap();
    assert!((0..30_u32).all(|n| has(&storage, &(n * 100).to_be_bytes())));
    assert!(storage.check().unwrap());
}

#[test]
fn a_snapshot_keeps_the_store_open() {
    let folder = folder();
    let path = folder.path().join("store");
    let storage = open(&path).unwrap();
    put(&storage, b"a", Durability::Immediate).unwrap();
    let snapshot = storage.read().unwrap();
    drop(storage);
    assert!(snapshot.get(Table::Items, b"a").unwrap().is_some());
    assert!(matches!(open(&path), Err(StorageError::AlreadyOpen { .. })));
    drop(snapshot);
    open(&path).unwrap();
}

//! What each fuzz target does with its bytes: the tests run these bodies over the kept seeds
//! and over bytes changed at random, `cargo fuzz` runs them for hours.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use allocation_counter::measure;
use rejoin::causal::{Dot, Seq, VersionVector};
use rejoin::codec::{Cursor, DecodeError, Put, limits};
use rejoin::sim::decoders;
use rejoin::sim::hostile::{Lie, tell};
use rejoin::space::{Keys, ReadContext, Replacing};
use rejoin::storage::{Durability, KeyRange, MemoryStorage, Order, Storage, Table, Verdict};
use rejoin::{Error, Options, Store, UsageError};

use crate::lines::{Lines, Op};
use crate::player::{self, main_of};

/// A target: its name, and what it does.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const ALL: [Target; 7] = [
    ("frame", frame),
    ("row", row),
    ("token", token),
    ("vector", vector),
    ("session", session),
    ("store_file", store_file),
    ("import_line", import_line),
];

/// What a decoder may take for each byte, and beside that.
const TIMES: u64 = 4;
const BESIDE_BYTES: u64 = 64 * limits::KIB as u64;

/// The most memory that so many bytes may take.
pub(crate) const fn most_bytes(bytes: usize) -> u64 {
    TIMES * bytes as u64 + BESIDE_BYTES
}

/// Runs a decoder; what it gives, and the memory that it took.
fn measured<T>(decode: impl FnOnce() -> T) -> (T, u64) {
    let mut decoded = None;
    let taken = measure(|| decoded = Some(decode()));
    (decoded.expect("it ran"), taken.bytes_max)
}

/// Runs a decoder of so many bytes, and holds it to the memory that it may take.
#[track_caller]
fn within<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let (decoded, taken) = measured(decode);
    assert!(taken <= most_bytes(bytes), "{taken} bytes of memory for {bytes}");
    decoded
}

/// Reads a frame; and the memory that it took.
pub(crate) fn read_frame(bytes: &[u8]) -> (Result<(), DecodeError>, u64) {
    measured(|| decoders::frame(bytes))
}

/// A frame: read message by message, and of one spelling.
pub(crate) fn frame(bytes: &[u8]) {
    let (read, taken) = read_frame(bytes);
    assert!(taken <= most_bytes(bytes.len()), "{taken} bytes for {}", bytes.len());
    if read.is_ok() {
        let other = decoders::respelled(bytes).expect("it was read before");
        assert_eq!(other, None, "a second spelling");
    }
}

/// Table, key and value.
pub(crate) type Row = (Table, Vec<u8>, Vec<u8>);

/// A store with rows of every kind that peers make: of each type, in the trash, held back,
/// staged, of meetings and of names used up.
fn write_all_kinds(storage: &MemoryStorage) -> Result<(), Error> {
    let mut options = player::options(1);
    (options.brake_items, options.brake_percent) = (4, 1);
    let store = Store::on(Box::new(storage.clone()), options)?;
    let space = main_of(&store);
    player::fill(&space)?;
    space.put("note", "one", None)?;
    player::meet(&player::honest(9), &store)?;
    let gone = store.space("gone")?;
    gone.put("key", "value", None)?;
    store.drop_space("gone")?;

    // A peer that keeps no record of what it removes: what it claims goes to the trash, one with
    // a past among it; and then more is claimed than is believed.
    let mut options = player::options(10);
    options.removal_log_bytes = 0;
    let peer = Store::in_memory_with(options);
    player::meet(&peer, &store)?;
    let there = main_of(&peer);
    there.put("note", "two", Replacing::Nothing)?;
    let both = there.get("note")?;
    there.put("note", "three", both.context())?;
    player::meet(&peer, &store)?;
    there.delete("note")?;
    there.set::<u32>("cart").remove(&1)?;
    player::meet(&peer, &store)?;
    for n in (3..20).step_by(2) {
        there.set::<u32>("cart").remove(&n)?;
    }
    player::meet(&peer, &store)?;

    // Half of a delta; and then what nobody else has seen, in a block that waits to be hashed.
    tell(&store, "main", Lie::SlowBytes, 1)?;
    space.root()?;
    space.set::<u32>("cart").remove(&21)?;
    space.delete("prices").map(drop)
}

/// Rows that such a store has none of, spelled by hand: something salvaged (0, or 1 and the dot
/// that stands in for it; the place with its length, the item), a meeting (commit, count, prefix),
/// up to where leaves are right, and a space that is being dropped.
fn made_by_hand(rows: &[Row]) -> Vec<Row> {
    let Some((_, key, item)) = rows.iter().find(|(table, ..)| *table == Table::Items) else {
        return Vec::new();
    };
    let (space, rest) = key.split_at(4);
    let (place, _) = rest.split_at(rest.len() - 24);
    let salvaged =
        |seq: u8| [b"salvaged/".as_slice(), space, &[99; 16], &[0, 0, 0, 0, 0, 0, 0, seq]].concat();
    let standing_in = [0, 0, 0, 0, 0, 0, 0, 9];
    let met = [b"met/".as_slice(), &[9; 16], &[3; 16]].concat();
    let made = [
        (salvaged(1), [&[0, place.len() as u8], place, item].concat()),
        (
            salvaged(2),
            [&[1], [8; 16].as_slice(), &standing_in, &[place.len() as u8], place, item].concat(),
        ),
        (met, b"\x05\x01ma".to_vec()),
        (b"leaves".to_vec(), 1_u64.to_be_bytes().to_vec()),
        (b"dropped/\0\0\0\x09".to_vec(), Vec::new()),
    ];
    made.into_iter().map(|(key, value)| (Table::Meta, key, value)).collect()
}

/// The rows of that store, which [`row`] chooses from; copied for each input.
pub(crate) fn rows() -> Vec<Row> {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    let make = || {
        let storage = MemoryStorage::new(player::victim().replica());
        write_all_kinds(&storage).expect("memory does not fail, and no peer is refused");
        let mut rows = Vec::new();
        for table in Table::ALL {
            let all = KeyRange { from: &[], to: None };
            let mut keep = |key: &[u8], value: &[u8]| {
                rows.push((table, key.to_vec(), value.to_vec()));
                core::ops::ControlFlow::Continue(())
            };
            let read = storage.read().expect("memory does not fail");
            read.scan(table, all, Order::Ascending, &mut keep).expect("memory does not fail");
        }
        rows.extend(made_by_hand(&rows));
        rows
    };
    ROWS.get_or_init(make).clone()
}

/// Reads the value of a row; and the memory that it took.
pub(crate) fn read_row((table, key, value): &Row) -> (Result<Vec<u8>, DecodeError>, u64) {
    measured(|| decoders::row(*table, key, value))
}

/// A row: two bytes choose which, the rest is its value now. By itself it is refused or has
/// one spelling; in a store, whatever is done with that ends, with an error or without.
pub(crate) fn row(bytes: &[u8]) {
    let [low, high, value @ ..] = bytes else { return };
    let mut rows = rows();
    let number = usize::from(u16::from_le_bytes([*low, *high])) % rows.len();
    let (table, key, kept) = &mut rows[number];
    let again = within(value.len(), || decoders::row(*table, key, value));
    if let Ok(again) = again {
        assert_eq!(again, value, "a second spelling of a row of {table:?}");
    }
    *kept = value.to_vec();
    let storage = MemoryStorage::new(player::victim().replica());
    let put_all = |write: &mut dyn rejoin::storage::Write| {
        for (table, key, value) in &rows {
            write.put(*table, key, value)?;
        }
        Ok(Verdict::Commit)
    };
    storage.write(Durability::Immediate, &mut { put_all }).expect("memory does not fail");
    let Ok(store) = Store::on(Box::new(storage), player::options(1)) else { return };
    use_store(&store);
    let _ = player::meet(&player::honest(8), &store);
    let _ = store.check();
}

/// Reads all, and writes something: ends, with errors or without.
fn use_store(store: &Store) {
    let _ = store.check();
    let Ok(space) = store.space("main") else { return };
    let _ = space.keys(Keys::all());
    let _ = space.snapshot().and_then(|snapshot| {
        snapshot.for_each_item(Keys::all(), |_| core::ops::ControlFlow::Continue(()))
    });
    let _ = (space.status(), space.root(), space.get("raw"), space.held(), space.waiting());
    let _ = space.trash().for_each(0, |_| core::ops::ControlFlow::Continue(()));
    let _ = space.trash().restore(|_| true);
    let _ = space.counter("guests").add(1);
    let _ = space.set::<u32>("cart").remove(&1);
}

/// A token of a read: as it came, and under a checksum that is right.
pub(crate) fn token(bytes: &[u8]) {
    static STORE: OnceLock<Store> = OnceLock::new();
    let sum = blake3::derive_key("rejoin 2026 read context", bytes);
    for bytes in [bytes.to_vec(), [bytes, &sum[..8]].concat()] {
        let read = within(bytes.len(), || ReadContext::from_bytes(&bytes));
        let Ok(context) = read else { continue };
        assert_eq!(context.to_bytes(), bytes, "a second spelling");
        assert_eq!(context.to_string().parse::<ReadContext>().ok().as_ref(), Some(&context));
        let store = STORE.get_or_init(player::victim);
        let before = main_of(store).vector().expect("memory does not fail");
        match main_of(store).put(context.key(), "made up", &context) {
            Ok(()) => {}
            Err(Error::Usage(
                UsageError::ContextForeign { .. }
                | UsageError::ContextAhead { .. }
                | UsageError::Place(_),
            )) => {
                assert_eq!(main_of(store).vector().ok(), Some(before), "an error, and a write");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Version vectors, one after the other: of one spelling, and lawful.
pub(crate) fn vector(bytes: &[u8]) {
    let mut cursor = Cursor::new("vector", bytes);
    let mut last = VersionVector::new();
    while cursor.remaining() > 0 {
        let from = bytes.len() - cursor.remaining();
        let size = cursor.remaining();
        let read = within(size, || cursor.vector(limits::VECTOR_REPLICAS));
        let Ok(vector) = read else { return };
        let mut again = Vec::new();
        again.put_vector(&vector);
        assert_eq!(again, bytes[from..bytes.len() - cursor.remaining()], "a second spelling");
        let mut both = vector.clone();
        both.join(&last);
        let mut other = last.clone();
        other.join(&vector);
        assert_eq!(both, other);
        assert!(both.covers(&vector) && both.covers(&last));
        assert!(vector.covers(&vector.meet(&last)));
        for (replica, seq) in vector.iter().take(64) {
            assert!(vector.contains(Dot::new(replica, seq)));
            let next = seq.get().checked_add(1);
            assert!(next.is_none_or(|next| !vector.contains(Dot::new(replica, Seq::new(next)))));
        }
        last = both;
    }
}

/// A whole session in which these bytes are the peer.
pub(crate) fn session(bytes: &[u8]) {
    player::play(bytes);
}

/// The sound file that [`store_file`] damages.
fn sound_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = folder();
        let path = folder.path().join("store");
        let store = Store::open_with(&path, file_options()).expect("a new store");
        player::fill(&main_of(&store)).expect("the disk does not fail");
        drop(store);
        fs::read(path).expect("it was written")
    })
}

fn file_options() -> Options {
    let mut options = player::options(1);
    options.cache_bytes = 1 << 20;
    options
}

fn folder() -> tempfile::TempDir {
    // In memory where that can be: thousands of files are written.
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).expect("a folder in memory"),
        false => tempfile::tempdir().expect("a folder"),
    }
}

/// The file of a store, damaged: the bytes are patches, each the place in the file (4 bytes,
/// lowest first), a length (1) and so many bytes; one of no bytes cuts the file there. All
/// of it ends, with errors or without.
pub(crate) fn store_file(mut bytes: &[u8]) {
    let mut file = sound_file().to_vec();
    while let [a, b, c, d, length, rest @ ..] = bytes {
        let at = u32::from_le_bytes([*a, *b, *c, *d]) as usize % (file.len() + 1);
        let (patch, after) = rest.split_at(usize::from(*length).min(rest.len()));
        match patch {
            [] => file.truncate(at),
            patch => {
                let end = (at + patch.len()).min(file.len());
                file[at..end].copy_from_slice(&patch[..end - at]);
            }
        }
        bytes = after;
    }
    let folder = folder();
    let path = folder.path().join("store");
    fs::write(&path, &file).expect("a file in memory");
    let Ok(store) = Store::open_with(&path, file_options()) else { return };
    let _ = store.check_deep();
    use_store(&store);
    let _ = player::meet(&player::honest(8), &store);
}

/// What a line that was understood takes in its batch, beside its bytes: room for it in a list
/// that grows, and once more while the batch is brought into the order of keys.
pub(crate) const OP_BYTES: u64 = 4 * size_of::<Op>() as u64;

/// Reads lines, a batch at a time, and drops each batch; how many lines the longest batch had,
/// and the memory that was taken.
pub(crate) fn read_lines(bytes: &[u8]) -> (u64, u64) {
    measured(|| {
        let batches = Lines::new(bytes).map(|batch| {
            assert!(batch.ops.len() as u64 <= batch.last_number);
            assert!(batch.bytes <= bytes.len() as u64);
            batch.ops.len() as u64
        });
        batches.max().unwrap_or_default()
    })
}

/// Lines of an import: understood or refused.
pub(crate) fn import_line(bytes: &[u8]) {
    let (ops, taken) = read_lines(bytes);
    let most = most_bytes(bytes.len()) + OP_BYTES * ops;
    assert!(taken <= most, "{taken} bytes of memory for {}", bytes.len());
}

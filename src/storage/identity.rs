//! The identity file: how a store notices that it was copied or restored.
//!
//! Two histories under one [`ReplicaId`](crate::causal::ReplicaId) lose data silently: a new
//! write under a dot that a peer has already seen and forgotten is dropped there as dead. So
//! beside the data file `FILE` stands `FILE.id`, and both hold a random nonce. Whoever copies
//! one without the other, puts an older one back, or carries both elsewhere, is found out at
//! the next opening: the nonces differ, or the data file is another file than the one noted,
//! or somebody has written to it since it was closed.
//!
//! # Why two nonces
//! The obvious code changes the nonce in both files before the first write of a session. A
//! crash between the two leaves them different, and the store takes itself for a backup. So
//! the identity file first names the old nonce and the new one, then the data file changes,
//! then the identity file names the new one alone. At each moment the data file's nonce is
//! one of those named.
//!
//! # Form
//! Two slots of 512 bytes, written in turn and each synced, so that a torn write leaves the
//! other one:
//!
//! ```text
//! "rejoin id" ‖ version (1) ‖ counter ‖ previous nonce (16) ‖ next nonce (16)
//!             ‖ inode (0, or 1 and the number) ‖ birth (0, or 1, seconds and nanoseconds)
//!             ‖ closed (0, or 1, seconds and nanoseconds)
//!             ‖ zeros up to byte 480 ‖ BLAKE3 of these 480 bytes (32)
//! ```
//!
//! Numbers are varints. The slot is the counter's lowest bit; the greater counter counts. The
//! file is also the lock between processes and handles, so it is never replaced.
//!
//! A third slot is there where the data file was found damaged: after a damaged block was read
//! nothing more is written into that, and so not that it is damaged either.
//!
//! ```text
//! "rejoin note" ‖ what was found: its length and UTF-8 ‖ zeros up to byte 480 ‖ BLAKE3 as above
//! ```
//!
//! It goes with the identity: whoever finds the data file to be another one forgets it.
//!
//! *Closed* is when the data file was last modified, noted once a session that wrote has
//! closed it, and gone before the next one writes. Without it, a backup of both files that
//! `cp` writes over them in place has the right nonce in the right file, and a new write
//! takes the dot of one that a peer knows.
//!
//! # What it cannot notice
//! Both files restored together with inode, birth time and time of modification (images,
//! snapshots of machines, containers, `cp -p` in place): there the caller asks for a fresh
//! name at each opening. And a copy made *while* the store was open, or after a crash, put
//! back in place.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::StorageError;
use crate::codec::{Cursor, DecodeError, Problem, Put};

/// 16 random bytes that both files hold.
pub(super) type Nonce = [u8; 16];

const MAGIC: &[u8; 9] = b"rejoin id";
const VERSION: u64 = 1;
const SLOT_BYTES: usize = 512;
const CHECKED_BYTES: usize = SLOT_BYTES - blake3::OUT_LEN;
/// Behind the two slots of records.
const NOTE_AT: u64 = 2 * SLOT_BYTES as u64;
const NOTE_MAGIC: &[u8; 11] = b"rejoin note";
/// More of what was found is not noted.
const NOTE_BYTES: usize = 400;

/// Which file a path leads to, as far as the platform can tell: a copy is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileMark {
    inode: Option<u64>,
    born: Option<Moment>,
}

/// Seconds and nanoseconds since 1970.
pub(super) type Moment = (u64, u32);

fn moment(time: std::io::Result<std::time::SystemTime>) -> Option<Moment> {
    let age = time.ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((age.as_secs(), age.subsec_nanos()))
}

/// When a file was last modified.
pub(super) fn modified(metadata: &Metadata) -> Option<Moment> {
    moment(metadata.modified())
}

impl FileMark {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = Some(std::os::unix::fs::MetadataExt::ino(metadata));
        #[cfg(not(unix))]
        let inode = None;
        Self { inode, born: moment(metadata.created()) }
    }

    /// Whether nothing that both sides know speaks against the same file.
    pub(super) fn agrees(self, other: Self) -> bool {
        fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.zip(b).is_none_or(|(a, b)| a == b)
        }
        same(self.inode, other.inode) && same(self.born, other.born)
    }
}

/// What the identity file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The nonce that the data file had.
    pub(super) previous: Nonce,
    /// The nonce that it has or is about to get.
    pub(super) next: Nonce,
    /// The data file.
    pub(super) mark: FileMark,
    /// When it was last modified, where whoever wrote has closed it.
    pub(super) closed: Option<Moment>,
}

impl Record {
    /// Whether the data file with this nonce is the one that the record speaks of.
    pub(super) fn names(&self, nonce: Nonce, mark: FileMark, modified: Option<Moment>) -> bool {
        let untouched = self.closed.zip(modified).is_none_or(|(closed, now)| closed == now);
        (nonce == self.previous || nonce == self.next) && self.mark.agrees(mark) && untouched
    }

    fn encode(&self, counter: u64) -> Vec<u8> {
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(MAGIC);
        slot.put_varint(VERSION);
        slot.put_varint(counter);
        slot.extend_from_slice(&self.previous);
        slot.extend_from_slice(&self.next);
        slot.push(self.mark.inode.is_some().into());
        if let Some(inode) = self.mark.inode {
            slot.put_varint(inode);
        }
        for moment in [self.mark.born, self.closed] {
            slot.push(moment.is_some().into());
            if let Some((seconds, nanoseconds)) = moment {
                slot.put_varint(seconds);
                slot.put_varint(nanoseconds.into());
            }
        }
        finish(&mut slot);
        slot
    }

    fn decode(slot: &[u8]) -> Result<(u64, Self), DecodeError> {
        let mut cursor = begin(slot)?;
        if cursor.array()? != *MAGIC {
            return Err(cursor.wrong(Problem::Other("not an identity file")));
        }
        let version = cursor.varint()?;
        if version != VERSION {
            let problem = Problem::UnknownVersion { known: VERSION, found: version };
            return Err(cursor.wrong(problem));
        }
        let counter = cursor.varint()?;
        let (previous, next) = (cursor.array()?, cursor.array()?);
        let mut mark = FileMark::default();
        if known(&mut cursor)? {
            mark.inode = Some(cursor.varint()?);
        }
        mark.born = take_moment(&mut cursor)?;
        let closed = take_moment(&mut cursor)?;
        Ok((counter, Self { previous, next, mark, closed }))
    }
}

/// Fills a slot up and puts its checksum.
fn finish(slot: &mut Vec<u8>) {
    slot.resize(CHECKED_BYTES, 0);
    let checksum = blake3::hash(slot);
    slot.extend_from_slice(checksum.as_bytes());
}

/// The start of a slot whose checksum is right.
fn begin(slot: &[u8]) -> Result<Cursor<'_>, DecodeError> {
    let cursor = Cursor::new("identity file", slot);
    let checked = cursor.clone().take(CHECKED_BYTES)?;
    let mut tail = cursor.clone();
    tail.take(CHECKED_BYTES)?;
    match tail.array()? == *blake3::hash(checked).as_bytes() {
        true => Ok(cursor),
        false => Err(tail.wrong(Problem::Checksum)),
    }
}

fn decode_note(slot: &[u8]) -> Result<String, DecodeError> {
    let mut cursor = begin(slot)?;
    if cursor.array()? != *NOTE_MAGIC {
        return Err(cursor.wrong(Problem::Other("not a note")));
    }
    Ok(String::from_utf8_lossy(cursor.bytes(NOTE_BYTES)?).into_owned())
}

fn take_moment(cursor: &mut Cursor<'_>) -> Result<Option<Moment>, DecodeError> {
    if !known(cursor)? {
        return Ok(None);
    }
    let seconds = cursor.varint()?;
    let nanoseconds = u32::try_from(cursor.varint()?)
        .map_err(|_| cursor.wrong(Problem::Other("nanoseconds above 32 bits")))?;
    Ok(Some((seconds, nanoseconds)))
}

fn known(cursor: &mut Cursor<'_>) -> Result<bool, DecodeError> {
    match cursor.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(cursor.wrong(Problem::UnknownTag { found: found.into() })),
    }
}

/// The identity file, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct IdFile {
    path: PathBuf,
    file: File,
    counter: u64,
    record: Option<Record>,
    note: Option<String>,
}

impl IdFile {
    /// Locks the identity file of the data file `data`, making it where there is none, and
    /// reads it. What cannot be read counts as not there.
    pub(super) fn lock(data: &Path) -> Result<Self, StorageError> {
        let path = beside(data, ".id");
        let file = lock(data, &path)?;
        let mut this = Self { path, file, counter: 0, record: None, note: None };
        this.read()?;
        Ok(this)
    }

    /// What it says, if it is readable.
    pub(super) const fn record(&self) -> Option<Record> {
        self.record
    }

    /// Writes a record in place of the older one, synced.
    pub(super) fn write(&mut self, record: Record) -> Result<(), StorageError> {
        let counter = self.counter + 1;
        let at = (counter % 2) * SLOT_BYTES as u64;
        let written = self
            .file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.write_all(&record.encode(counter)))
            .and_then(|()| self.file.sync_all());
        written.map_err(|source| io(&self.path, "writing the identity file", source))?;
        self.counter = counter;
        self.record = Some(record);
        Ok(())
    }

    /// What was found wrong with the data file, if anything was.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Notes what was found wrong, or that nothing is, synced.
    pub(super) fn write_note(&mut self, found: Option<&str>) -> Result<(), StorageError> {
        let written = match found {
            None if self.note.is_none() => return Ok(()),
            None => self.file.set_len(NOTE_AT),
            Some(found) => {
                let mut slot = NOTE_MAGIC.to_vec();
                slot.put_text(found, NOTE_BYTES);
                finish(&mut slot);
                self.file.seek(SeekFrom::Start(NOTE_AT)).and_then(|_| self.file.write_all(&slot))
            }
        };
        let written = written.and_then(|()| self.file.sync_all());
        written.map_err(|source| io(&self.path, "writing the identity file", source))?;
        self.note = found.map(str::to_owned);
        Ok(())
    }

    /// Makes it say nothing, synced.
    pub(super) fn clear(&mut self) -> Result<(), StorageError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.sync_all());
        cleared.map_err(|source| io(&self.path, "writing the identity file", source))?;
        (self.counter, self.record, self.note) = (0, None, None);
        Ok(())
    }

    /// Takes it away again, where it was made for a store that there is none of.
    pub(super) fn discard_if_empty(self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // Should this fail, an empty file stays behind: it says as much as none.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn read(&mut self) -> Result<(), StorageError> {
        let failed = |source| io(&self.path, "reading the identity file", source);
        let mut bytes = Vec::with_capacity(3 * SLOT_BYTES);
        (&self.file).take(3 * SLOT_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        let (records, note) = bytes.split_at(bytes.len().min(2 * SLOT_BYTES));
        self.note = decode_note(note).ok();
        for (place, slot) in (0..).zip(records.chunks(SLOT_BYTES)) {
            match Record::decode(slot) {
                Ok((counter, record)) if counter % 2 == place && counter > self.counter => {
                    self.counter = counter;
                    self.record = Some(record);
                }
                Err(DecodeError { problem: Problem::UnknownVersion { known, found }, .. }) => {
                    return Err(StorageError::NewerFormat {
                        path: self.path.clone(),
                        known,
                        found,
                    });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Drop for IdFile {
    /// Gives the lock back by word and not just by closing the file: a lock is held until
    /// the last copy of its handle is closed, and a process that starts another one gives it
    /// copies, for as long as that one has not come to its own program. So a store closed
    /// here could look open to the next one to open it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Opens and locks; where the file was deleted or replaced meanwhile, once more.
fn lock(data: &Path, path: &Path) -> Result<File, StorageError> {
    let doing = "opening and locking the identity file";
    for _ in 0..8 {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|source| io(path, doing, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::AlreadyOpen { path: data.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(io(path, doing, source)),
        }
        let ours = file.metadata().map_err(|source| io(path, doing, source))?;
        let there = std::fs::metadata(path);
        if there.is_ok_and(|there| FileMark::of(&there).agrees(FileMark::of(&ours))) {
            return Ok(file);
        }
    }
    Err(StorageError::AlreadyOpen { path: data.to_path_buf() })
}

/// The path of the file beside `data` whose name has this ending.
pub(super) fn beside(data: &Path, ending: &str) -> PathBuf {
    let mut name = data.as_os_str().to_os_string();
    name.push(ending);
    PathBuf::from(name)
}

pub(super) fn io(path: &Path, doing: &'static str, source: std::io::Error) -> StorageError {
    StorageError::Io { path: path.to_path_buf(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8) -> Record {
        let mark = FileMark { inode: Some(u64::MAX), born: Some((u64::MAX, 999_999_999)) };
        Record { previous: [n; 16], next: [n + 1; 16], mark, closed: mark.born }
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("s");
        for torn_bytes in [0, 1, 9, 10, 100, 480, 511] {
            let mut id = IdFile::lock(&data).unwrap();
            id.write(record(1)).unwrap();
            id.write(record(3)).unwrap();
            let (old_counter, path) = (id.counter, id.path.clone());
            drop(id);
            // The next write goes over the slot of the older record and is cut.
            let at = ((old_counter + 1) % 2) as usize * SLOT_BYTES;
            let mut bytes = std::fs::read(&path).unwrap();
            let fresh = record(5).encode(old_counter + 1);
            bytes[at..at + torn_bytes].copy_from_slice(&fresh[..torn_bytes]);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(IdFile::lock(&data).unwrap().record(), Some(record(3)), "{torn_bytes}");
            bytes[at..at + SLOT_BYTES].copy_from_slice(&fresh);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(IdFile::lock(&data).unwrap().record(), Some(record(5)));
        }
    }

    #[test]
    fn a_lock_is_given_back_though_a_copy_of_its_handle_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("store");
        let held = IdFile::lock(&data).unwrap();
        // What a process that was just started holds, until it comes to its own program.
        let copy = held.file.try_clone().unwrap();
        assert!(matches!(IdFile::lock(&data), Err(StorageError::AlreadyOpen { .. })));
        drop(held);
        IdFile::lock(&data).unwrap();
        drop(copy);
    }

    #[test]
    fn it_is_a_lock_and_reads_rubbish_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("s");
        std::fs::write(beside(&data, ".id"), vec![7; 3000]).unwrap();
        let mut id = IdFile::lock(&data).unwrap();
        assert_eq!(id.record(), None);
        id.write(record(1)).unwrap();
        assert!(matches!(IdFile::lock(&data), Err(StorageError::AlreadyOpen { .. })));
        drop(id);
        assert_eq!(IdFile::lock(&data).unwrap().record(), Some(record(1)));
    }

    #[test]
    fn a_note_stands_beside_the_records_until_it_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("s");
        let mut id = IdFile::lock(&data).unwrap();
        id.write_note(Some("before any record")).unwrap();
        id.write(record(1)).unwrap();
        let long = "ä".repeat(NOTE_BYTES);
        for found in ["block 3", "", &long] {
            id.write_note(Some(found)).unwrap();
            id.write(record(3)).unwrap();
            drop(id);
            id = IdFile::lock(&data).unwrap();
            assert!(found.starts_with(id.note().unwrap()) && id.record() == Some(record(3)));
            assert_eq!(id.note().unwrap().is_empty(), found.is_empty());
        }
        let path = id.path.clone();
        drop(id);
        let whole = std::fs::read(&path).unwrap();
        for bytes in 2 * SLOT_BYTES..3 * SLOT_BYTES {
            std::fs::write(&path, &whole[..bytes]).unwrap();
            assert_eq!(IdFile::lock(&data).unwrap().note(), None, "a torn one is none");
        }
        std::fs::write(&path, &whole).unwrap();
        let mut id = IdFile::lock(&data).unwrap();
        id.write_note(None).unwrap();
        drop(id);
        let id = IdFile::lock(&data).unwrap();
        assert_eq!((id.note(), id.record()), (None, Some(record(3))));
    }

    #[test]
    fn a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("s");
        let mut slot = record(1).encode(2);
        slot[MAGIC.len()] = 2;
        slot.truncate(CHECKED_BYTES);
        let checksum = blake3::hash(&slot);
        slot.extend_from_slice(checksum.as_bytes());
        std::fs::write(beside(&data, ".id"), slot).unwrap();
        let refused = IdFile::lock(&data);
        assert!(matches!(refused, Err(StorageError::NewerFormat { known: 1, found: 2, .. })));
    }
}

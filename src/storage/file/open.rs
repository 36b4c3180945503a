//! Opening, making and arming a store, step by step.
//!
//! Each step that a crash can follow is named in [`Step`], and the tests stop after each of
//! them. What must hold then: there is no store or a whole one, the next opening does not
//! take it for a backup, and a store that is one is never taken for the original.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, TableError};

use super::gate::{Gate, Gated};
use super::health::{Health, engine_panic};
use super::journal::Journal;
use super::path::{exists, inspect, resolve, sync_folder};
use super::seal::{Sealed, Unreadable};
use super::tables::{Definition, definition};
use super::{FileOptions, Fill, Inner};
use crate::causal::ReplicaId;
use crate::codec::{Cursor, DecodeError, Put};
use crate::faults::fault;
use crate::storage::identity::{FileMark, IdFile, Moment, Nonce, Record, beside, io, modified};
use crate::storage::{Entropy, Identity, StorageError, Table};

#[cfg(feature = "sim")]
mod blocks;
#[cfg(feature = "sim")]
pub(super) use blocks::open_blocks;

/// The newest format of the data file that this version reads, and the one it writes.
const FORMAT: u64 = 1;

/// The storage's own rows. They stand apart from the tables, so that who uses those neither
/// meets nor overwrites them.
const OWN: Definition = TableDefinition::new("rejoin");
const FORMAT_KEY: &[u8] = b"format";
const NONCE_KEY: &[u8] = b"nonce";
const REPLICA_KEY: &[u8] = b"replica";

/// The places where a crash can find the files in another state than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "each names who was written, in the past tense")]
pub(super) enum Step {
    TempMade,
    TempFilled,
    TempAnnounced,
    TempRenamed,
    FreshAnnounced,
    FreshCommitted,
    ArmAnnounced,
    ArmOpened,
    ArmCommitted,
    ArmFinished,
}

#[cfg(test)]
type Wrap = Box<dyn Fn(FileBackend) -> Arc<dyn StorageBackend> + Send + Sync>;

/// What the tests put between the seals and the file, and where they stop.
#[derive(Default)]
pub(super) struct Plan {
    #[cfg(test)]
    pub(super) stop_after: Option<Step>,
    #[cfg(test)]
    pub(super) backend: Option<Wrap>,
}

impl Plan {
    #[cfg_attr(not(test), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn reached(&self, step: Step) -> Result<(), StorageError> {
        #[cfg(test)]
        if self.stop_after == Some(step) {
            return Err(StorageError::Busy("the test stops here"));
        }
        let _ = step;
        Ok(())
    }

    /// What the sealed blocks lie in.
    #[cfg_attr(not(test), allow(clippy::unused_self))]
    fn backend(&self, file: FileBackend) -> Arc<dyn StorageBackend> {
        #[cfg(test)]
        if let Some(wrap) = &self.backend {
            return wrap(file);
        }
        Arc::new(file)
    }
}

/// The open engine.
pub(super) struct Engine {
    pub(super) health: Health,
    pub(super) database: RwLock<Option<Database>>,
    pub(super) journal: Journal,
    /// The data file, where there is one and not just blocks.
    pub(super) file: Option<File>,
    /// What the sealed blocks lie in.
    pub(super) blocks: Arc<dyn StorageBackend>,
    cache_bytes: usize,
    mark: FileMark,
    /// When the data file had been modified last as this opened it.
    modified: Option<Moment>,
}

impl Engine {
    fn close(&mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.health.clean_up("closing the store", || drop(database));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Closes, and notes when the data file was written last: a backup that somebody puts back
/// over it is younger. Without a note, as after a failure, nothing is told by its age.
pub(super) fn close(engine: &mut Engine, session: &mut Session) {
    engine.close();
    if !session.armed || engine.health.writable().is_err() {
        return;
    }
    // Synced first, so that no power cut leaves a note of a time that the file never had.
    let (Some(file), Some(id)) = (&engine.file, &mut session.id) else { return };
    let Ok(metadata) = file.sync_all().and_then(|()| file.metadata()) else { return };
    let (nonce, mark, closed) = (session.nonce, engine.mark, modified(&metadata));
    let _ = id.write(Record { previous: nonce, next: nonce, mark, closed });
}

/// What is to be done about the identity before the first write, under the writers' lock.
pub(super) struct Session {
    /// None where the store lies in blocks without a file.
    id: Option<IdFile>,
    nonce: Nonce,
    /// The nonce that the first write puts in place of the other.
    fresh: Nonce,
    armed: bool,
}

impl Session {
    /// Whether something was or may have been written since the store was opened.
    pub(super) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// What the identity file says to be wrong with the data file.
    pub(super) fn noted_damage(&self) -> Option<&str> {
        self.id.as_ref()?.note()
    }

    /// Notes in the identity file what is wrong with the data file, or that nothing is.
    pub(super) fn note_damage(&mut self, found: Option<&str>) -> Result<(), StorageError> {
        self.id.as_mut().map_or(Ok(()), |id| id.write_note(found))
    }
}

pub(super) fn open(
    path: &Path,
    options: &FileOptions,
    entropy: Entropy<'_>,
    plan: Plan,
) -> Result<Inner, StorageError> {
    let path = resolve(path)?;
    if exists(&path)? {
        inspect(&path)?;
    } else if !options.create {
        return Err(io(&path, "opening the store", ErrorKind::NotFound.into()));
    }
    let mut id = IdFile::lock(&path)?;
    let opened = if exists(&path)? {
        open_existing(&path, options, entropy, &plan, &mut id)
    } else {
        create(&path, options, entropy, &plan, &mut id, &mut |_| Ok(()))
    };
    match opened {
        Ok(opened) => Ok(opened.into_inner(id, plan)),
        Err(error) => {
            id.discard_if_empty();
            Err(error)
        }
    }
}

pub(super) struct Opened {
    engine: Engine,
    replica: ReplicaId,
    identity: Identity,
    nonce: Nonce,
    fresh: Nonce,
}

impl Opened {
    pub(super) fn into_inner(self, id: IdFile, plan: Plan) -> Inner {
        let Self { engine, replica, identity, nonce, fresh } = self;
        let armed = identity != Identity::Kept;
        let session = Session { id: Some(id), nonce, fresh, armed };
        Inner { engine, writer: Mutex::new(session), replica, identity, plan }
    }
}

fn open_existing(
    path: &Path,
    options: &FileOptions,
    entropy: Entropy<'_>,
    plan: &Plan,
    id: &mut IdFile,
) -> Result<Opened, StorageError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|source| io(path, "opening the store", source))?;
    let engine = start(path, file, options, plan)?;
    let (previous, nonce) = engine.own_rows()?;
    let fresh = draw(entropy);
    let known = id.record().is_some_and(|record| record.names(nonce, engine.mark, engine.modified))
        || fault!(CopiedFileKeepsItsName);
    if !known {
        id.write_note(None)?; // it is of another file
    }
    if known && !options.fresh_id {
        let identity = Identity::Kept;
        return Ok(Opened { engine, replica: previous, identity, nonce, fresh });
    }
    let replica = ReplicaId::from_bytes(draw(entropy));
    let renamed = engine.open_gate().and_then(|()| {
        // The old nonce is not named: should we crash before the data file has the fresh
        // name, it must still count as a copy.
        id.write(Record { previous: fresh, next: fresh, mark: engine.mark, closed: None })?;
        plan.reached(Step::FreshAnnounced)?;
        engine.commit_own(&[(NONCE_KEY, &fresh), (REPLICA_KEY, replica.as_bytes())])?;
        plan.reached(Step::FreshCommitted)
    });
    engine.or_fail(renamed)?;
    Ok(Opened { engine, replica, identity: Identity::Fresh { previous }, nonce: fresh, fresh })
}

pub(super) fn create(
    path: &Path,
    options: &FileOptions,
    entropy: Entropy<'_>,
    plan: &Plan,
    id: &mut IdFile,
    fill: Fill<'_>,
) -> Result<Opened, StorageError> {
    let doing = "making a new store";
    let temp = beside(path, ".new");
    match std::fs::remove_file(&temp) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&temp, doing, error)),
        // A leftover of a crash: its store never came to be.
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temp);
    let engine = start(path, file.map_err(|source| io(&temp, doing, source))?, options, plan)?;
    let nonce = draw(entropy);
    let replica = ReplicaId::from_bytes(draw(entropy));
    let mut format = Vec::new();
    format.put_varint(FORMAT);
    let made = engine.open_gate().and_then(|()| {
        plan.reached(Step::TempMade)?;
        engine.commit_own(&[
            (FORMAT_KEY, &format),
            (NONCE_KEY, &nonce),
            (REPLICA_KEY, replica.as_bytes()),
        ])?;
        engine.fill(fill)?;
        plan.reached(Step::TempFilled)?;
        // Before the store has its name: no moment at which it stands there unannounced.
        id.write_note(None)?; // it would be of a store that was there before
        id.write(Record { previous: nonce, next: nonce, mark: engine.mark, closed: None })?;
        sync_folder(path)?;
        plan.reached(Step::TempAnnounced)?;
        if exists(path)? {
            return Err(io(path, doing, ErrorKind::AlreadyExists.into()));
        }
        std::fs::rename(&temp, path).map_err(|source| io(path, doing, source))?;
        plan.reached(Step::TempRenamed)?;
        sync_folder(path)
    });
    engine.or_fail(made)?;
    Ok(Opened { engine, replica, identity: Identity::Created, nonce, fresh: nonce })
}

/// Before the first write of a session: a nonce that no copy made earlier holds.
pub(super) fn arm(engine: &Engine, session: &mut Session, plan: &Plan) -> Result<(), StorageError> {
    let Some(id) = session.id.as_mut().filter(|_| !session.armed) else { return Ok(()) };
    let (nonce, fresh, mark) = (session.nonce, session.fresh, engine.mark);
    // Before the data file is touched at all: opening the gate changes when it was modified,
    // and who then compares that with when it was closed takes it for a backup put back.
    let announced = Record { previous: nonce, next: fresh, mark, closed: None };
    let armed = id.write(announced).and_then(|()| {
        plan.reached(Step::ArmAnnounced)?;
        engine.open_gate()?;
        plan.reached(Step::ArmOpened)?;
        // A commit of its own, without the caller's rows: until the identity file names the
        // new nonce alone, a copy with the old one passes for the original, and must be.
        engine.commit_own(&[(NONCE_KEY, &fresh)])?;
        plan.reached(Step::ArmCommitted)?;
        id.write(Record { previous: fresh, next: fresh, mark, closed: None })?;
        plan.reached(Step::ArmFinished)
    });
    engine.or_fail(armed)?;
    session.nonce = fresh;
    session.armed = true;
    Ok(())
}

/// Starts the engine on a file.
fn start(
    path: &Path,
    file: File,
    options: &FileOptions,
    plan: &Plan,
) -> Result<Engine, StorageError> {
    let doing = "opening the store";
    let failed = |source| io(path, doing, source);
    let metadata = file.metadata().map_err(failed)?;
    let (mark, modified) = (FileMark::of(&metadata), modified(&metadata));
    let kept = file.try_clone().map_err(failed)?;
    let blocks = FileBackend::new(file)
        .map_err(|error| failed(std::io::Error::other(error.to_string())))
        .map(|file| plan.backend(file))?;
    let cache_bytes = options.cache_bytes;
    let (health, database) = launch(path, blocks.clone(), cache_bytes)?;
    let journal = Journal::default();
    journal.load(&health, &database)?;
    let database = RwLock::new(Some(database));
    let file = Some(kept);
    Ok(Engine { health, database, journal, file, blocks, cache_bytes, mark, modified })
}

/// The engine, above a gate, above sealed blocks.
fn launch(
    path: &Path,
    blocks: Arc<dyn StorageBackend>,
    cache_bytes: usize,
) -> Result<(Health, Database), StorageError> {
    let doing = "opening the store";
    let sealed = Sealed::open(blocks).map_err(|error| unreadable(path, error))?;
    let gate = Gate::new(Box::new(sealed)).map_err(|source| io(path, doing, source))?;
    let health = Health::new(path.to_path_buf(), gate.clone());
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(Gated(gate))))
        .map_err(|payload| engine_panic(doing, &*payload))?;
    let database = opened.map_err(|error| health.translate(doing, error.into()))?;
    Ok((health, database))
}

fn unreadable(path: &Path, error: Unreadable) -> StorageError {
    let path = path.to_path_buf();
    match error {
        Unreadable::Io(source) => io(&path, "reading the first block", source),
        Unreadable::Newer { known, found } => StorageError::NewerFormat { path, known, found },
        Unreadable::Foreign => StorageError::NotAStore { path, reason: error.to_string() },
        Unreadable::Damaged => StorageError::Corrupt {
            place: format!("{}, block 0 at byte 0", path.display()),
            reason: error.to_string(),
        },
    }
}

impl Engine {
    /// Lets what the engine writes reach the file.
    fn open_gate(&self) -> Result<(), StorageError> {
        let opened = self.health.gate().open();
        opened.map_err(|source| io(self.health.path(), "preparing the first write", source))
    }

    fn or_fail<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        result.inspect_err(|error| self.health.fail(error))
    }

    /// Where an error of the disk made the engine deaf, starts another over the same file. It
    /// reads the last commit that reached the disk, and writes nothing: its gate stays closed.
    pub(super) fn hear_again(&self) -> Result<(), StorageError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if !self.health.is_deaf() {
            return Ok(());
        }
        // First the old one goes, which gives its locks on the file back.
        let old = database.take();
        self.health.clean_up("closing the engine after an error", || drop(old));
        let (health, started) = launch(self.health.path(), self.blocks.clone(), self.cache_bytes)?;
        self.journal.load(&health, &started)?;
        *database = Some(started);
        self.health.hears_again();
        Ok(())
    }

    pub(super) fn with_database<T>(
        &self,
        call: impl FnOnce(&Database) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => call(database),
            None => Err(StorageError::MustReopen { reason: "it was closed".to_owned() }),
        }
    }

    /// Whether the path still leads to the file that is open: what is written to a file
    /// without a name is lost.
    pub(super) fn still_there(&self) -> Result<(), StorageError> {
        if self.file.is_none() {
            return Ok(());
        }
        let path = self.health.path();
        let doing = "writing to a store whose file was removed or replaced";
        let there = std::fs::metadata(path).map_err(|source| io(path, doing, source))?;
        if FileMark::of(&there).agrees(self.mark) {
            Ok(())
        } else {
            Err(io(path, doing, ErrorKind::NotFound.into()))
        }
    }

    pub(super) fn begin(&self) -> Result<redb::WriteTransaction, StorageError> {
        self.with_database(|database| {
            self.health.write("beginning a write transaction", || database.begin_write())
        })
    }

    /// Writes rows of the storage's own, durably.
    pub(super) fn commit_own(&self, rows: &[(&[u8], &[u8])]) -> Result<(), StorageError> {
        let mut transaction = self.begin()?;
        transaction.set_quick_repair(true);
        let new = rows.len() > 2;
        self.health.write("writing the store's identity", || -> Result<(), redb::Error> {
            let mut own = transaction.open_table(OWN)?;
            for &(key, value) in rows {
                own.insert(key, value)?;
            }
            drop(own);
            if new {
                for table in Table::ALL {
                    transaction.open_table(definition(table))?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// The replica and the nonce that the data file holds.
    fn own_rows(&self) -> Result<(ReplicaId, Nonce), StorageError> {
        let path = self.health.path();
        let [format, replica, nonce] = self.with_database(|database| {
            let own = self.health.read("reading the store's identity", || {
                let transaction = database.begin_read()?;
                let own = match transaction.open_table(OWN) {
                    Ok(own) => own,
                    Err(TableError::Storage(error)) => return Err(redb::Error::from(error)),
                    Err(_) => return Ok(None),
                };
                let row = |key: &[u8]| -> Result<Option<Vec<u8>>, redb::Error> {
                    Ok(own.get(key)?.map(|value| value.value().to_vec()))
                };
                Ok(Some([row(FORMAT_KEY)?, row(REPLICA_KEY)?, row(NONCE_KEY)?]))
            })?;
            own.ok_or_else(|| StorageError::NotAStore {
                path: path.clone(),
                reason: "a redb database of something else".to_owned(),
            })
        })?;
        let corrupt = |reason: String| StorageError::Corrupt {
            place: format!("{}, the store's own rows", path.display()),
            reason,
        };
        let wrong = |error: DecodeError| corrupt(error.to_string());
        let mut cursor = Cursor::new("format", format.as_deref().unwrap_or_default());
        let found = cursor.varint().map_err(wrong)?;
        if found != FORMAT {
            return Err(StorageError::NewerFormat { path: path.clone(), known: FORMAT, found });
        }
        cursor.finish().map_err(wrong)?;
        let sixteen = |what: &'static str, row: Option<Vec<u8>>| {
            let row = row.ok_or_else(|| corrupt(format!("no {what}")))?;
            <[u8; 16]>::try_from(row).map_err(|_| corrupt(format!("a {what} not of 16 bytes")))
        };
        Ok((ReplicaId::from_bytes(sixteen("replica", replica)?), sixteen("nonce", nonce)?))
    }
}

fn draw(entropy: Entropy<'_>) -> [u8; 16] {
    let mut bytes = [0; 16];
    entropy(&mut bytes);
    bytes
}

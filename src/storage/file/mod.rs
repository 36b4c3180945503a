//! Tables in one file, with redb as the engine.
//!
//! From the top down: [`RedbStorage`] runs transactions, `journal` keeps what small ones
//! changed in one place until there is much of it, `tables` has the rest, `health` stands between us and the engine, then comes the engine itself, beneath it
//! `gate`, `seal` and the file; `first` reads what its first block says. `open` knows in which order the files of a store change,
//! `path` what stands there before.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use redb::ReadableDatabase;

use super::{
    Durability, Entropy, Identity, ReadSnapshot, Storage, StorageError, Verdict, Write, identity,
};
use crate::causal::ReplicaId;

#[cfg(test)]
mod cuts;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(not(feature = "sim"), allow(dead_code, reason = "worlds use more of it than tests"))]
pub(crate) mod device;
#[cfg(test)]
mod faults;
mod first;
mod gate;
mod health;
mod journal;
mod make;
#[cfg(test)]
mod moves;
mod open;
mod path;
mod salvage;
mod seal;
mod tables;
#[cfg(test)]
pub(super) mod tests;

use health::Health;
use journal::{Draft, Drafted};
use open::{Engine, Plan, Session};
pub(crate) use salvage::{Gap, Survey, Wreck};
use tables::{Snapshot, Tables};

/// What writes the first rows of a new store.
pub type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>;

/// How a store's file is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Memory for pages of the file, in bytes: 64 MiB unless told otherwise. Checksums of
    /// blocks take up to 4 MiB beside it.
    pub cache_bytes: usize,
    /// Makes a new store where there is no file: yes unless told otherwise.
    pub create: bool,
    /// Takes a fresh [`ReplicaId`] even where nothing speaks against the one the store has.
    ///
    /// For stores on media that are put back as a whole (images and snapshots of machines,
    /// containers started again from one state): there both of a store's files are restored
    /// together, and nothing in them tells. Each opening under a fresh id costs an entry in
    /// the version vectors for ever, so it is off unless asked for.
    pub fresh_id: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, create: true, fresh_id: false }
    }
}

/// Tables in one file, and beside it `FILE.id`, its identity.
///
/// Several handles, or processes, cannot have one store open at a time. While it is being
/// made there is also `FILE.new`; one left there by a crash is removed.
///
/// # Identity
/// The store notices at opening that its file was copied or put back from a backup, and
/// takes a fresh [`ReplicaId`] before anything is written: see [`Storage::identity`].
/// *Not* noticed is a copy of both files put back in place, over the same files, with its
/// time of modification, or one that was made while the store was open or after a crash.
///
/// # Failures
/// An error of the disk, while writing, syncing or reading, leaves the store readable: a
/// snapshot taken after it reads the last commit that reached the file, while one taken before
/// it may fail with [`StorageError::MustReopen`]. Every write after it fails with that error:
/// what reached the disk is known only to who opens the store anew.
///
/// Each block of 4 KiB is verified when it is read. One that is not as it was written is
/// [`StorageError::Corrupt`], which names it, and rows elsewhere stay readable.
///
/// A panic inside the engine becomes [`StorageError::EnginePanic`], and everything
/// after it [`StorageError::MustReopen`] (where panics unwind; where they abort, they abort).
///
/// # Cost
/// A commit of few rows writes one place, whatever tables they belong to; about every half
/// MiB of them one commit takes longer, some 50 ms, and moves them to their tables, as closing
/// does. Opening takes milliseconds whatever the size, after a crash too. A session that only
/// reads writes nothing at all to the disk; the first write of a session costs a few syncs
/// more, for the identity.
pub struct RedbStorage {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    /// The lock under which one write transaction runs at a time.
    writer: Mutex<Session>,
    replica: ReplicaId,
    identity: Identity,
    plan: Plan,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that a file at rest has all in its tables, where damage hides the least. Who
        // could not write before has nothing to move; who fails finds it in the journal.
        let mut session = self.writer();
        if session.is_armed() && self.health().writable().is_ok() {
            let _ = self.settle(&mut session);
        }
        drop(session);
        let session = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        open::close(&mut self.engine, session);
    }
}

impl Inner {
    const fn health(&self) -> &Health {
        &self.engine.health
    }

    fn writer(&self) -> MutexGuard<'_, Session> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work in a write transaction, as [`Storage::write`] tells.
    fn transact(
        &self,
        session: &mut Session,
        durability: Durability,
        mut work: impl FnMut(&mut Draft<'_>) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        let Self { engine, plan, .. } = self;
        engine.health.writable()?;
        if durability == Durability::Immediate {
            engine.still_there()?;
        }
        open::arm(engine, session, plan)?;
        let mut transaction = engine.begin()?;
        engine.health.write("preparing a write transaction", || {
            transaction.set_quick_repair(true);
            transaction.set_durability(match durability {
                Durability::Immediate => redb::Durability::Immediate,
                Durability::Eventual => redb::Durability::None,
            })
        })?;
        let mut draft = Draft::new(Tables::new(&engine.health, &transaction), &engine.journal);
        // Caught, because the engine does not take a transaction back while a panic goes on.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut draft)));
        let drafted = match &outcome {
            Ok(Ok(Verdict::Commit)) => draft.finish(),
            _ => Ok(Drafted::Nothing),
        };
        engine.health.clean_up("closing tables", || drop(draft));
        let commits = matches!(outcome, Ok(Ok(Verdict::Commit)));
        let failed = match drafted {
            Ok(drafted) if commits && engine.health.writable().is_ok() => {
                return drafted.commit(&engine.journal, || {
                    engine.health.write("committing", || transaction.commit())
                });
            }
            // The work may have made light of a failure of the engine.
            Ok(_) => engine.health.writable(),
            Err(error) => Err(error),
        };
        engine.health.clean_up("taking a transaction back", || {
            // It can fail only where the engine has failed before, which was noted.
            let _ = transaction.abort();
        });
        match outcome {
            Ok(Ok(Verdict::Abort)) => Ok(()),
            Ok(Ok(Verdict::Commit)) => failed,
            Ok(Err(error)) => Err(error),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Moves what the journal holds to its tables.
    fn settle(&self, session: &mut Session) -> Result<(), StorageError> {
        if self.engine.journal.is_empty() {
            return Ok(());
        }
        self.transact(session, Durability::Immediate, |draft| {
            draft.spill()?;
            Ok(Verdict::Commit)
        })
    }
}

impl RedbStorage {
    /// Opens the store in the file at `path`, or makes it there.
    ///
    /// `entropy` is asked here only, for ids and nonces.
    ///
    /// # Errors
    /// [`AlreadyOpen`](StorageError::AlreadyOpen); [`NotAStore`](StorageError::NotAStore) for
    /// a folder, an empty file or a file of something else, which is left as it is;
    /// [`NewerFormat`](StorageError::NewerFormat); [`Corrupt`](StorageError::Corrupt);
    /// [`Io`](StorageError::Io) for a missing folder, a missing file where
    /// [`create`](FileOptions::create) is off, a read-only file, and whatever else the
    /// operating system refuses.
    pub fn open(
        path: impl AsRef<Path>,
        options: &FileOptions,
        entropy: Entropy<'_>,
    ) -> Result<Self, StorageError> {
        Self::open_with(path.as_ref(), options, entropy, Plan::default())
    }

    fn open_with(
        path: &Path,
        options: &FileOptions,
        entropy: Entropy<'_>,
        plan: Plan,
    ) -> Result<Self, StorageError> {
        let inner = open::open(path, options, entropy, plan)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a store at `path`, where there must be none, with the rows that `fill` writes
    /// in one transaction. The file has its name only once they are on disk: a crash leaves
    /// at most `FILE.new` and an empty `FILE.id`, which the next to make one removes.
    ///
    /// # Errors
    /// [`Io`](StorageError::Io) with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists)
    /// where there is a file or an identity file; what `fill` failed with; and else as
    /// [`open`](Self::open). Nothing stays behind.
    pub fn make(
        path: impl AsRef<Path>,
        options: &FileOptions,
        entropy: Entropy<'_>,
        fill: Fill<'_>,
    ) -> Result<Self, StorageError> {
        Self::make_with(path.as_ref(), options, entropy, Plan::default(), fill)
    }

    fn make_with(
        path: &Path,
        options: &FileOptions,
        entropy: Entropy<'_>,
        plan: Plan,
        fill: Fill<'_>,
    ) -> Result<Self, StorageError> {
        let inner = make::make(path, options, entropy, plan, fill)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the store in these blocks, or makes it there: what simulated disks are.
    #[cfg(feature = "sim")]
    pub(crate) fn open_blocks(
        blocks: Arc<dyn redb::StorageBackend>,
        options: &FileOptions,
        entropy: Entropy<'_>,
    ) -> Result<Self, StorageError> {
        Ok(Self { inner: Arc::new(open::open_blocks(blocks, options, entropy)?) })
    }

    /// The store's file, without links on the way to it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.health().path()
    }

    /// Closes it, where nobody else holds it; how many bytes the file has then, since the engine
    /// gives back what it did not use.
    pub(crate) fn close(self) -> Result<u64, StorageError> {
        let path = self.path().to_owned();
        drop(self);
        let metadata = std::fs::metadata(&path);
        metadata.map(|m| m.len()).map_err(|e| identity::io(&path, "asking the size", e))
    }
}

impl core::fmt::Debug for RedbStorage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RedbStorage")
            .field("path", &self.path())
            .field("replica", &self.inner.replica)
            .field("identity", &self.inner.identity)
            .finish_non_exhaustive()
    }
}

impl Storage for RedbStorage {
    /// Waits for nothing but a running [`compact`](Storage::compact) or
    /// [`check`](Storage::check). The snapshot keeps the store open.
    fn read(&self) -> Result<Box<dyn ReadSnapshot>, StorageError> {
        let Inner { engine, writer, .. } = &*self.inner;
        engine.health.readable()?;
        if engine.health.is_deaf() {
            // Not while a transaction goes on, which the engine would outlive.
            let session = writer.try_lock();
            if !matches!(session, Err(TryLockError::WouldBlock)) {
                engine.hear_again()?;
            }
        }
        let (transaction, pending) = engine.with_database(|database| {
            let doing = "beginning a snapshot";
            let begin = || engine.health.read(doing, || database.begin_read());
            engine.journal.begin(begin, &engine.health)
        })?;
        Ok(Box::new(Snapshot::new(self.inner.clone(), transaction, pending)))
    }

    fn write(
        &self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        let mut session = self.inner.writer();
        self.inner.transact(&mut session, durability, |draft| work(draft))
    }

    fn file_bytes(&self) -> Result<u64, StorageError> {
        let Engine { file, blocks, .. } = &self.inner.engine;
        let bytes = match file {
            Some(file) => file.metadata().map(|metadata| metadata.len()),
            None => blocks.len(),
        };
        bytes.map_err(|source| identity::io(self.path(), "asking the size", source))
    }

    /// Snapshots and writes that begin meanwhile wait for it. Takes about as long as writing
    /// the store anew.
    fn compact(&self) -> Result<(), StorageError> {
        let Inner { engine, plan, .. } = &*self.inner;
        let mut session = self.inner.writer();
        engine.health.writable()?;
        open::arm(engine, &mut session, plan)?;
        self.inner.settle(&mut session)?;
        let mut database = engine.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(compacted) = database.as_mut() else { return Ok(()) };
        let doing = "compacting";
        match catch_unwind(AssertUnwindSafe(|| compacted.compact())) {
            Ok(Ok(_)) => {}
            Ok(Err(redb::CompactionError::TransactionInProgress)) => {
                return Err(engine.health.translate(doing, redb::Error::TransactionInProgress));
            }
            Ok(Err(error)) => return Err(engine.health.write_failed(doing, error.into())),
            Err(payload) => return Err(engine.health.panicked(doing, &*payload)),
        }
        drop(database);
        // Its commits say nothing of what is free: a crash now would cost the next opening a
        // pass over the file. So one more that does.
        engine.commit_own(&[])
    }

    /// Snapshots and writes that begin meanwhile wait for it, and no snapshot may be held.
    /// Takes as long as reading the whole file. Where the answer is no, the store must be
    /// opened anew.
    fn check(&self) -> Result<bool, StorageError> {
        let Inner { engine, .. } = &*self.inner;
        let session = self.inner.writer();
        engine.health.writable()?;
        if session.is_armed() {
            // What waits for an immediate commit would else get one by the engine, which says
            // nothing of what is free.
            engine.commit_own(&[])?;
        }
        let mut database = engine.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_mut() else { return Ok(false) };
        let doing = "checking";
        let checked = catch_unwind(AssertUnwindSafe(|| database.check_integrity()));
        let reason = match checked {
            Ok(Ok(true)) => return Ok(true),
            Ok(Ok(false)) => "pages whose checksums do not match".to_owned(),
            Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted(reason)))) => reason,
            Ok(Err(redb::DatabaseError::TransactionInProgress)) => {
                return Err(engine.health.translate(doing, redb::Error::TransactionInProgress));
            }
            Ok(Err(error)) => return Err(engine.health.write_failed(doing, error.into())),
            Err(payload) => return Err(engine.health.panicked(doing, &*payload)),
        };
        let place = self.path().display().to_string();
        engine.health.fail(&StorageError::Corrupt { place, reason });
        Ok(false)
    }

    fn note_damage(&self, found: Option<&str>) -> Result<(), StorageError> {
        self.inner.writer().note_damage(found)
    }

    fn noted_damage(&self) -> Result<Option<String>, StorageError> {
        Ok(self.inner.writer().noted_damage().map(str::to_owned))
    }

    fn replica(&self) -> ReplicaId {
        self.inner.replica
    }

    fn identity(&self) -> Identity {
        self.inner.identity
    }
}

//! A space: opening, reading, writing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::batch::{Batch, Finished};
use super::change::Change;
use super::rows::{Which, read_state, read_vector};
use super::store::{Store, lock, number_of, number_space, save_clock};
use super::tx::Tx;
use super::view::{Snapshot, View};
use super::writer::WriterGuard;
use crate::causal::{ReplicaId, Seq, VersionVector};
use crate::digest::{self, RootHash};
use crate::error::Error;
use crate::storage::{Durability, Overlay, Read, StorageError, Verdict, Write};

/// A set of keys that replicates as one unit, under one version vector.
///
/// A handle, cheap to clone and to send to other threads.
#[derive(Clone)]
pub struct Space {
    pub(super) store: Store,
    pub(super) shared: Arc<SpaceShared>,
}

/// What all handles of a space share while the store is open.
pub(super) struct SpaceShared {
    pub(super) name: Arc<str>,
    number: OnceLock<u32>,
    /// The vector as of a commit: so that a read need not load it.
    vector: Mutex<Option<(u64, Arc<VersionVector>)>>,
    /// Own events up to here may have been seen: a delta was read, or the store opened, since.
    shown: AtomicU64,
    /// Which session feeds the staging now.
    pub(super) feeder: Mutex<Option<super::staging::Feeder>>,
}

impl SpaceShared {
    pub(super) fn load(name: &str, store: &Store) -> Result<Self, Error> {
        let shared = Self {
            name: name.into(),
            number: OnceLock::new(),
            vector: Mutex::new(None),
            shown: AtomicU64::new(0),
            feeder: Mutex::new(None),
        };
        let rows = store.shared.storage.read()?;
        if let Some(number) = shared.number(&*rows)? {
            let own = read_vector(&*rows, number, Which::Seen)?.get(store.replica());
            shared.shown.store(own.get(), Ordering::SeqCst);
        }
        Ok(shared)
    }

    fn number(&self, rows: &dyn Read) -> Result<Option<u32>, StorageError> {
        if let Some(number) = self.number.get() {
            return Ok(Some(*number));
        }
        let found = number_of(rows, &self.name)?;
        Ok(found.map(|number| *self.number.get_or_init(|| number)))
    }

    /// The vector as these rows have it.
    fn vector(
        &self,
        rows: &dyn Read,
        space: u32,
        commit: u64,
    ) -> Result<Arc<VersionVector>, StorageError> {
        if let Some((at, vector)) = &*lock(&self.vector)
            && *at == commit
        {
            return Ok(vector.clone());
        }
        let vector = Arc::new(read_vector(rows, space, Which::Seen)?);
        let mut kept = lock(&self.vector);
        if kept.as_ref().is_none_or(|(at, _)| *at < commit) {
            *kept = Some((commit, vector.clone()));
        }
        Ok(vector)
    }
}

/// What a space's handles are to know once a commit is there.
pub(super) struct Noted {
    space: Arc<SpaceShared>,
    commit: u64,
    /// The vector before it, and what rose above that.
    pub(super) vector: Arc<VersionVector>,
    risen: VersionVector,
}

impl Noted {
    /// Brings the vector up to the commit.
    pub(super) fn rise(&mut self) {
        if !self.risen.is_empty() {
            Arc::make_mut(&mut self.vector).join(&core::mem::take(&mut self.risen));
        }
    }

    /// The commit is there.
    pub(super) fn note(mut self) {
        let space = self.space.clone();
        let mut kept = lock(&space.vector);
        *kept = None; // so that nobody else holds the vector, and it need not be copied
        self.rise();
        *kept = Some((self.commit, self.vector));
    }
}

impl Space {
    pub(super) fn new(store: Store, shared: Arc<SpaceShared>) -> Self {
        Self { store, shared }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The store that holds the space.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// This moment of the space, to read several things that fit together.
    ///
    /// # Errors
    /// The storage failed.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let rows: Arc<dyn crate::storage::ReadSnapshot> = self.store.shared.storage.read()?.into();
        let space = self.shared.number(&*rows)?;
        let (state, vector) = match space {
            None => Default::default(),
            Some(number) => {
                let state = read_state(&*rows, number)?;
                let vector = self.shared.vector(&*rows, number, state.commit)?;
                (state, vector)
            }
        };
        Ok(Snapshot { rows, space, name: self.shared.name.clone(), vector, state })
    }

    /// Runs a transaction: all that the closure changes is committed as one, here and at
    /// every replica it reaches, and is on disk when this returns. Where the closure fails
    /// or panics, nothing of it happened.
    ///
    /// Closures run one at a time in the whole store; the wait for the disk is shared: threads
    /// that write at the same time return from one commit. So many threads write many times as
    /// much as one, and a closure should not wait for anything slow.
    ///
    /// # Errors
    /// What the closure returned; or the storage failed, or this is within a write.
    ///
    /// ```
    /// # let store = rejoin::Store::in_memory();
    /// let space = store.space("main")?;
    /// space.write(|tx| {
    ///     tx.set::<String>("cart").add(&"apple".to_owned())?;
    ///     tx.counter("clicks").add(1)
    /// })?;
    /// assert_eq!(space.counter("clicks").get()?, 1);
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn write<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.change_with(|change| {
            let tx = Tx::new(change);
            let done = work(&tx)?;
            Ok((done, tx.into_change()))
        })
    }

    /// Runs a transaction of local events.
    pub(crate) fn change<R>(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.change_with(|mut change| {
            let done = work(&mut change)?;
            Ok((done, change))
        })
    }

    fn change_with<R, E: From<Error>>(
        &self,
        work: impl for<'t> FnOnce(Change<'t>) -> Result<(R, Change<'t>), E>,
    ) -> Result<R, E> {
        let shared = &self.store.shared;
        let replica = self.store.replica();
        let _inside = shared.writers.enter();
        let mut guard = shared.writer_beside_group().map_err(E::from)?;
        let shown = Seq::new(self.shared.shown.load(Ordering::SeqCst));
        let mut clock = guard.clock;
        let grouped = !shared.options.relaxed && !shared.writers.alone(&guard);
        let durability = match shared.options.relaxed {
            true => guard.relax(),
            false => Durability::Immediate,
        };
        let ran = self.in_turn::<R, E>(&mut guard, grouped, durability, |batch| {
            let (done, change) = work(Change {
                batch,
                replica,
                shown,
                clock,
                now_ms: shared.now_ms(),
                past_origins: shared.options.past_origins,
                space_name: self.shared.name.clone(),
            })?;
            let batch = change.batch;
            if !batch.changed() {
                return Ok((done, None));
            }
            if change.clock != clock {
                save_clock(batch.rows, &change.clock).map_err(Error::from)?;
                clock = change.clock;
            }
            Ok((done, Some(batch)))
        });
        guard.clock = clock;
        let group = guard.gathering();
        drop(guard);
        let done = ran?;
        if let Some(group) = group {
            shared.settle(group).map_err(E::from)?;
        }
        Ok(done)
    }

    /// Runs work with the group of writers that gathers, or in a transaction of its own.
    fn in_turn<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        grouped: bool,
        durability: Durability,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        if grouped {
            return self.in_group(writer, work);
        }
        writer.settle_group();
        self.in_batch(writer, durability, work)
    }

    /// Runs work on a batch in a write transaction and commits the batch it hands back.
    pub(super) fn in_batch<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        durability: Durability,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        let (mut work, mut done, mut noted) = (Some(work), None, None);
        let committed = writer.commit(durability, &mut |rows: &mut dyn Write| {
            let Some(work) = work.take() else { return Ok(Verdict::Abort) };
            let number = self.numbered(rows)?;
            let ran = self.run(rows, number, None, work);
            let (result, finished) = match ran {
                Ok((result, finished)) => (Ok(result), finished),
                Err(error) => (Err(error), None),
            };
            done = Some(result);
            noted = finished;
            Ok(if noted.is_some() { Verdict::Commit } else { Verdict::Abort })
        });
        committed.map_err(|e| E::from(Error::from(e)))?;
        if let Some(noted) = noted {
            noted.note();
        }
        done.unwrap_or_else(|| {
            let reason = "the storage ran no transaction and reported no failure".to_owned();
            Err(E::from(StorageError::MustReopen { reason }.into()))
        })
    }

    /// Runs work on a batch above what a group of writers has changed, and joins the group
    /// with it.
    fn in_group<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        let failed = |e: StorageError| E::from(Error::from(e));
        let group = writer.group().map_err(failed)?;
        let below = group.rows();
        let mut rows = Overlay::on(&below);
        let number = self.numbered(&mut rows).map_err(failed)?;
        let (done, noted) = self.run(&mut rows, number, group.vector(number), work)?;
        let changes = rows.into_changes();
        group.join(noted.map(|noted| (number, noted, changes)));
        Ok(done)
    }

    /// The number of the space, which it is given where it has none.
    fn numbered(&self, rows: &mut dyn Write) -> Result<u32, StorageError> {
        match number_of(rows, &self.shared.name)? {
            Some(number) => Ok(number),
            None => number_space(rows, &self.shared.name),
        }
    }

    /// Runs work on a batch over these rows and finishes the batch it hands back. The vector
    /// is the one that these rows have, where the caller knows it.
    fn run<R, E: From<Error>>(
        &self,
        rows: &mut dyn Write,
        number: u32,
        vector: Option<Arc<VersionVector>>,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<(R, Option<Noted>), E> {
        let failed = |e: StorageError| E::from(Error::from(e));
        let commit = read_state(rows, number).map_err(failed)?.commit;
        let vector = match vector {
            Some(vector) => vector,
            None => self.shared.vector(rows, number, commit).map_err(failed)?,
        };
        let batch = Batch::new(rows, number, vector.clone()).map_err(failed)?;
        let (result, batch) = work(batch)?;
        let Some(batch) = batch else { return Ok((result, None)) };
        let limit = self.store.shared.options.removal_log_bytes;
        let Finished { commit, risen } = batch.finish(limit).map_err(failed)?;
        let space = self.shared.clone();
        Ok((result, Some(Noted { space, commit, vector, risen })))
    }

    /// A snapshot to send from: own events in it count as seen from now on. Taken under
    /// the right to write, so that no writer replaces a row in the belief that nobody saw it;
    /// and all of it is on disk, since a dot that has left the machine must not be minted again
    /// after a power cut.
    pub(crate) fn snapshot_to_show(&self) -> Result<Snapshot, Error> {
        let mut writer = self.store.shared.writer()?;
        writer.flush()?;
        let snapshot = self.snapshot()?;
        let own = snapshot.vector.get(self.store.replica());
        self.shared.shown.fetch_max(own.get(), Ordering::SeqCst);
        Ok(snapshot)
    }

    /// Reads one thing at this moment.
    pub(crate) fn read<R>(
        &self,
        work: impl FnOnce(&View<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        work(&self.snapshot()?.view())
    }

    /// The Merkle root over everything that lives in the space: equal roots, equal spaces.
    ///
    /// Costs a look-up where nothing changed since it was last asked for; else the hashing of
    /// the changed blocks of 256 events each, in a write transaction.
    ///
    /// # Errors
    /// The storage failed.
    pub fn root(&self) -> Result<RootHash, Error> {
        self.with_digest(|rows, space, vector| Ok(kept_root(rows, space, vector)?))
    }

    /// What the space has seen.
    ///
    /// # Errors
    /// The storage failed.
    pub fn vector(&self) -> Result<VersionVector, Error> {
        Ok((*self.snapshot()?.vector).clone())
    }

    /// Vector and root at one moment, to be told to others: all that they name is on disk.
    pub(crate) fn standing(&self) -> Result<(VersionVector, RootHash), Error> {
        let read = |rows: &dyn Read, space, vector: &VersionVector| {
            Ok((vector.clone(), kept_root(rows, space, vector)?))
        };
        if !self.store.shared.options.relaxed {
            return self.with_digest(read);
        }
        let mut writer = self.store.shared.writer()?;
        writer.flush()?;
        self.digest_under(&mut writer, read)
    }

    /// Whose delta is staged, and up to where.
    pub(crate) fn staged(&self) -> Result<Option<(ReplicaId, VersionVector)>, Error> {
        let snapshot = self.snapshot()?;
        let Some((peer, space)) = snapshot.state.staging_peer.zip(snapshot.space) else {
            return Ok(None);
        };
        Ok(Some((peer, read_vector(&*snapshot.rows, space, Which::Staged)?)))
    }

    /// Whether anything was ever written to the space here.
    pub(crate) fn exists(&self) -> Result<bool, Error> {
        Ok(self.snapshot()?.space.is_some())
    }

    /// Reads the digest with all its hashes made: at a snapshot where they are, else within
    /// the write transaction that makes them.
    pub(crate) fn with_digest<R>(
        &self,
        work: impl FnOnce(&dyn Read, u32, &VersionVector) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let snapshot = self.snapshot()?;
        let number = snapshot.space.unwrap_or(u32::MAX);
        if digest::is_clean(&*snapshot.rows, number)? {
            return work(&*snapshot.rows, number, &snapshot.vector);
        }
        self.digest_under(&mut self.store.shared.writer()?, work)
    }

    /// The same by who has the right to write.
    fn digest_under<R>(
        &self,
        writer: &mut WriterGuard<'_>,
        work: impl FnOnce(&dyn Read, u32, &VersionVector) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (mut work, mut done) = (Some(work), None);
        writer.commit(Durability::Eventual, &mut |rows| {
            let number = number_of(rows, &self.shared.name)?.unwrap_or(u32::MAX);
            let commit = read_state(rows, number)?.commit;
            let vector = self.shared.vector(rows, number, commit)?;
            let clean = digest::is_clean(rows, number)?;
            if !clean {
                digest::refresh(rows, number, &vector)?;
            }
            done = work.take().map(|work| work(rows, number, &vector));
            Ok(if clean { Verdict::Abort } else { Verdict::Commit })
        })?;
        done.unwrap_or_else(|| {
            let reason = "the storage ran no transaction and reported no failure".to_owned();
            Err(StorageError::MustReopen { reason }.into())
        })
    }
}

/// The root of a clean digest, which is kept where there ever was anything.
fn kept_root(
    rows: &dyn Read,
    space: u32,
    vector: &VersionVector,
) -> Result<RootHash, StorageError> {
    match digest::root(rows, space)? {
        Some(root) => Ok(root),
        None => digest::root_at(rows, space, vector, vector),
    }
}

impl core::fmt::Debug for Space {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Space").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

//! A space: opening, reading, writing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::batch::{Batch, Finished};
use super::change::Change;
use super::resolve::Resolvers;
use super::rows::{Which, read_state, read_vector};
use super::store::{Store, lock, number_of, number_space, save_clock};
use super::tx::Tx;
use super::view::{Snapshot, View};
use crate::causal::{ReplicaId, Seq, VersionVector};
use crate::digest::{self, RootHash};
use crate::error::Error;
use crate::storage::{Durability, Read, StorageError, Verdict, Write};

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
    pub(super) resolvers: Resolvers,
}

impl SpaceShared {
    pub(super) fn load(name: &str, store: &Store) -> Result<Self, Error> {
        let shared = Self {
            name: name.into(),
            number: OnceLock::new(),
            vector: Mutex::new(None),
            shown: AtomicU64::new(0),
            feeder: Mutex::new(None),
            resolvers: Resolvers::default(),
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

    fn committed(&self, base: Arc<VersionVector>, finished: Finished) {
        let mut kept = lock(&self.vector);
        *kept = None;
        let mut vector = base;
        if !finished.risen.is_empty() {
            Arc::make_mut(&mut vector).join(&finished.risen);
        }
        *kept = Some((finished.commit, vector));
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
    /// or panics, nothing of it happened. Other writers of the store wait meanwhile.
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
        let mut guard = shared.writer().map_err(E::from)?;
        let shown = Seq::new(self.shared.shown.load(Ordering::SeqCst));
        let mut clock = guard.writer.clock;
        let done = self.in_batch::<R, E>(Durability::Immediate, |batch| {
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
        })?;
        guard.writer.clock = clock;
        Ok(done)
    }

    /// Runs work on a batch in a write transaction and commits the batch it hands back.
    /// The caller holds the right to write.
    pub(super) fn in_batch<R, E: From<Error>>(
        &self,
        durability: Durability,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        let shared = &self.store.shared;
        let (mut work, mut done, mut finished) = (Some(work), None, None);
        let committed = shared.storage.write(durability, &mut |rows: &mut dyn Write| {
            let Some(work) = work.take() else { return Ok(Verdict::Abort) };
            let number = match number_of(rows, &self.shared.name)? {
                Some(number) => number,
                None => number_space(rows, &self.shared.name)?,
            };
            let commit = read_state(rows, number)?.commit;
            let base = self.shared.vector(rows, number, commit)?;
            let batch = Batch::new(rows, number, base.clone())?;
            match work(batch) {
                Ok((result, Some(batch))) => {
                    finished = Some((base, batch.finish(shared.options.removal_log_bytes)?));
                    done = Some(Ok(result));
                    Ok(Verdict::Commit)
                }
                Ok((result, None)) => {
                    done = Some(Ok(result));
                    Ok(Verdict::Abort)
                }
                Err(error) => {
                    done = Some(Err(error));
                    Ok(Verdict::Abort)
                }
            }
        });
        committed.map_err(|e| E::from(Error::from(e)))?;
        if let Some((base, finished)) = finished {
            self.shared.committed(base, finished);
        }
        done.unwrap_or_else(|| {
            let reason = "the storage ran no transaction and reported no failure".to_owned();
            Err(E::from(StorageError::MustReopen { reason }.into()))
        })
    }

    /// A snapshot to send from: own events in it count as seen from now on. Taken under
    /// the right to write, so that no writer replaces a row in the belief that nobody saw it.
    pub(crate) fn snapshot_to_show(&self) -> Result<Snapshot, Error> {
        let _writer = self.store.shared.writer()?;
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

    /// Vector and root at one moment.
    pub(crate) fn standing(&self) -> Result<(VersionVector, RootHash), Error> {
        self.with_digest(|rows, space, vector| {
            Ok((vector.clone(), kept_root(rows, space, vector)?))
        })
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
        let _writer = self.store.shared.writer()?;
        let (mut work, mut done) = (Some(work), None);
        self.store.shared.storage.write(Durability::Eventual, &mut |rows| {
            let commit = read_state(rows, number)?.commit;
            let vector = self.shared.vector(rows, number, commit)?;
            digest::refresh(rows, number, &vector)?;
            done = work.take().map(|work| work(rows, number, &vector));
            Ok(Verdict::Commit)
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

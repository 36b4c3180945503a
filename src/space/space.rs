//! A space: this moment of it, and how it stands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dropping::name_in;
use super::rows::{Which, read_state, read_tagged, read_vector};
use super::shared::SpaceShared;
use super::staging::Offer;
use super::store::{Store, lock, number_of};
use super::view::{Snapshot, View};
use super::writer::WriterGuard;
use crate::causal::{ReplicaId, TaggedVector, VersionVector};
use crate::digest::{self, RootHash};
use crate::error::{Error, UsageError};
use crate::storage::{Durability, Overlay, Read, StorageError, Verdict};

/// A set of keys that replicates as one unit, under one version vector.
///
/// A handle, cheap to clone and to send to other threads.
#[derive(Clone)]
pub struct Space {
    pub(super) store: Store,
    pub(super) shared: Arc<SpaceShared>,
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

    /// The name under which this replica writes in this space: the store's, unless the
    /// space was [dropped](Store::drop_space) after it had written there.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        *lock(&self.shared.replica)
    }

    /// Whether this replica writes under this name as these rows have it: they tell that the space
    /// was dropped, or that the name gave way, a moment before its handles do.
    pub(super) fn writes_as(&self, rows: &dyn Read, name: ReplicaId) -> Result<bool, StorageError> {
        Ok(name_in(rows, self.store.replica(), self.name())? == name)
    }

    /// How often the space was dropped while the store was open. A session that began before
    /// knows the space as it is no more.
    pub(crate) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::SeqCst)
    }

    /// Asked with the right to write, under which spaces are dropped.
    pub(super) fn check_generation(&self, generation: u64) -> Result<(), UsageError> {
        match self.generation() == generation {
            true => Ok(()),
            false => Err(self.dropped()),
        }
    }

    /// What a session is told that goes on about the space as it was before it was dropped.
    pub(super) fn dropped(&self) -> UsageError {
        UsageError::SpaceDropped { space: self.name().to_owned() }
    }

    /// This moment of the space, to read several things that fit together.
    ///
    /// # Errors
    /// The storage failed.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let generation = self.generation();
        let rows: Arc<dyn crate::storage::ReadSnapshot> = self.store.shared.storage.read()?.into();
        let space = number_of(&*rows, &self.shared.name)?;
        let (state, vector) = match space {
            None => Default::default(),
            Some(number) => {
                let state = read_state(&*rows, number)?;
                let vector = self.shared.vector(&*rows, number, state.commit)?;
                (state, vector)
            }
        };
        Ok(Snapshot { rows, space, shared: self.shared.clone(), generation, vector, state })
    }

    /// A snapshot to send from: own events in it count as seen from now on. Taken under
    /// the right to write, so that no writer replaces a row in the belief that nobody saw it;
    /// and all of it is on disk, since a dot that has left the machine must not be minted again
    /// after a power cut.
    ///
    /// # Errors
    /// The storage failed, or the space was dropped since it had this generation.
    pub(crate) fn snapshot_to_show(&self, generation: u64) -> Result<Snapshot, Error> {
        let mut writer = self.store.shared.writer()?;
        self.check_generation(generation)?;
        writer.flush_written()?;
        let snapshot = self.snapshot()?;
        self.shared.show(&snapshot.vector);
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
    /// the changed blocks of 256 events each, in a write transaction. Where nothing can be written,
    /// as on a full disk, it is made each time.
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

    /// How the space stands at one moment, to be told to others: all that they name is on disk.
    pub(crate) fn standing(&self) -> Result<Standing, Error> {
        let read = |rows: &dyn Read, space, vector: &VersionVector| {
            let (root, touched) = (kept_root(rows, space, vector)?, touched(rows, space)?);
            Ok(Standing { vector: read_tagged(rows, space)?, root, touched })
        };
        if !self.store.shared.options.relaxed {
            return self.with_digest(read);
        }
        let mut writer = self.store.shared.writer()?;
        writer.flush_written()?;
        self.digest_under(&mut writer, read)
    }

    /// The same, to be told to a peer: not after a commit that failed.
    ///
    /// # Errors
    /// The storage failed, now or before.
    pub(crate) fn standing_to_tell(&self) -> Result<Standing, Error> {
        self.store.shared.check_sure()?;
        self.standing()
    }

    /// What is staged.
    pub(crate) fn staged(&self) -> Result<Option<Offer>, Error> {
        let turn = lock(&self.shared.staging).turn();
        let snapshot = self.snapshot()?;
        let Some((feeder, space)) = snapshot.state.staging_peer.zip(snapshot.space) else {
            return Ok(None);
        };
        let upto = read_vector(&*snapshot.rows, space, Which::Staged)?;
        Ok(Some(Offer { feeder, upto, turn }))
    }

    /// The number of the store's commit that changed the space last, where it has seen just
    /// what `vector` says.
    pub(crate) fn touched_at(&self, vector: &VersionVector) -> Result<Option<u64>, Error> {
        let snapshot = self.snapshot()?;
        Ok((*snapshot.vector == *vector).then_some(snapshot.state.touched))
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

    /// The same by who has the right to write. Where the hashes that wait cannot be saved, because
    /// the disk is full or the store failed earlier, they are made in memory: reading goes on.
    fn digest_under<R>(
        &self,
        writer: &mut WriterGuard<'_>,
        work: impl FnOnce(&dyn Read, u32, &VersionVector) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let saved = writer.commit(Durability::Eventual, &mut |rows| {
            let number = number_of(rows, &self.shared.name)?.unwrap_or(u32::MAX);
            if digest::is_clean(rows, number)? {
                return Ok(Verdict::Abort);
            }
            let commit = read_state(rows, number)?.commit;
            let vector = self.shared.vector(rows, number, commit)?;
            digest::refresh(rows, number, &vector)?;
            Ok(Verdict::Commit)
        });
        // Nobody else writes before this is done, so what was made clean is clean still.
        let snapshot = self.snapshot()?;
        let number = snapshot.space.unwrap_or(u32::MAX);
        match saved {
            Ok(()) => work(&*snapshot.rows, number, &snapshot.vector),
            Err(StorageError::Io { .. } | StorageError::MustReopen { .. }) => {
                let mut rows = Overlay::on(&*snapshot.rows);
                digest::refresh(&mut rows, number, &snapshot.vector)?;
                work(&rows, number, &snapshot.vector)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How a space stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) vector: TaggedVector,
    pub(crate) root: RootHash,
    /// The number of the store's commit that changed the space last.
    pub(crate) touched: u64,
}

/// The number of the store's commit that changed a space last.
pub(crate) fn touched(rows: &dyn Read, space: u32) -> Result<u64, StorageError> {
    Ok(read_state(rows, space)?.touched)
}

/// The root of a clean digest, which is kept where there ever was anything.
pub(super) fn kept_root(
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

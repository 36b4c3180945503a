//! What all handles of a space share while the store is open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::dropping::name_in;
use super::resolve::Resolvers;
use super::rows::{Which, read_vector};
use super::store::{Store, lock, number_of};
use super::stretches::KnownStretches;
use crate::causal::{ReplicaId, Tag, VersionVector};
use crate::error::Error;
use crate::faults::fault;
use crate::storage::{Read, StorageError};

/// The number of a space, which none has after it, and of a commit of it.
type CommitOf = (u32, u64);

/// What all handles of a space share while the store is open.
pub(super) struct SpaceShared {
    pub(super) name: Arc<str>,
    /// The name under which this replica writes here.
    pub(super) replica: Mutex<ReplicaId>,
    /// How often the space was dropped.
    pub(super) generation: AtomicU64,
    /// Which of the store's [ways](Store::ways) was the newest here, or a later one.
    pub(super) way: AtomicU64,
    /// The vector as of a commit of the space of this number: so that a read need not load it.
    pub(super) vector: Mutex<Option<(CommitOf, Arc<VersionVector>)>>,
    /// The tag of what this store makes.
    pub(super) tag: Tag,
    pub(super) stretches: Mutex<KnownStretches>,
    /// Own events up to here may have been seen: a delta was read, or the store opened, since.
    pub(super) shown: AtomicU64,
    /// Whether what is written here goes on a stretch of this opening's.
    pub(super) tagged: AtomicBool,
    /// Where a delta is staged, and which session feeds it now.
    pub(super) staging: Mutex<super::staging::Place>,
    pub(super) resolvers: Resolvers,
}

impl SpaceShared {
    pub(super) fn load(name: &str, store: &Store) -> Result<Self, Error> {
        let rows = store.shared.storage.read()?;
        let replica = name_in(&*rows, store.replica(), name)?;
        let own = match number_of(&*rows, name)? {
            None => 0,
            Some(number) => read_vector(&*rows, number, Which::Seen)?.get(replica).get(),
        };
        Ok(Self {
            name: name.into(),
            replica: Mutex::new(replica),
            generation: AtomicU64::new(0),
            // What was known of an earlier one went with the last handle.
            way: AtomicU64::new(store.ways()),
            vector: Mutex::new(None),
            tag: store.shared.tag,
            stretches: Mutex::default(),
            shown: AtomicU64::new(own),
            tagged: AtomicBool::new(false),
            staging: Mutex::default(),
            resolvers: Resolvers::default(),
        })
    }

    /// The vector as these rows have it.
    pub(super) fn vector(
        &self,
        rows: &dyn Read,
        space: u32,
        commit: u64,
    ) -> Result<Arc<VersionVector>, StorageError> {
        let wanted = (space, commit);
        if let Some((at, vector)) = &*lock(&self.vector)
            && *at == wanted
        {
            return Ok(vector.clone());
        }
        let vector = Arc::new(read_vector(rows, space, Which::Seen)?);
        let mut kept = lock(&self.vector);
        if kept.as_ref().is_none_or(|(at, _)| *at < wanted) {
            *kept = Some((wanted, vector.clone()));
        }
        Ok(vector)
    }

    /// Own events in this vector count as seen from now on. The caller holds the right to
    /// write, so that no writer replaces a row in the belief that nobody saw it.
    pub(super) fn show(&self, vector: &VersionVector) {
        let own = vector.get(*lock(&self.replica));
        self.shown.fetch_max(own.get(), Ordering::SeqCst);
    }

    /// The same of the vector that these rows have: they are a backup.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn show_rows(&self, rows: &dyn Read) -> Result<(), StorageError> {
        if let Some(number) = number_of(rows, &self.name)? {
            let state = super::rows::read_state(rows, number)?;
            self.show(&*self.vector(rows, number, state.commit)?);
        }
        Ok(())
    }

    /// The space was dropped, or names in it gave way: this replica writes under this one from
    /// now on, and what began before knows the space as it is no more.
    pub(super) fn begin_anew(&self, replica: ReplicaId) {
        let before = core::mem::replace(&mut *lock(&self.replica), replica);
        *lock(&self.vector) = None;
        lock(&self.staging).feeder = None;
        if before != replica {
            self.shown.store(0, Ordering::SeqCst);
            self.tagged.store(false, Ordering::SeqCst);
        }
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a space's handles are to know once a commit is there.
pub(super) struct Noted {
    pub(super) space: Arc<SpaceShared>,
    pub(super) number: u32,
    pub(super) commit: u64,
    /// The vector before it, and what rose above that.
    pub(super) vector: Arc<VersionVector>,
    pub(super) risen: VersionVector,
    /// The name under which it made events, which are tagged.
    pub(super) tagged: Option<ReplicaId>,
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
        if self.tagged == Some(*lock(&space.replica)) {
            space.tagged.store(true, Ordering::SeqCst);
        }
        let mut kept = lock(&space.vector);
        *kept = None; // so that nobody else holds the vector, and it need not be copied
        if !fault!(VectorCachedOverAChange) {
            self.rise();
        }
        *kept = Some(((self.number, self.commit), self.vector));
    }
}

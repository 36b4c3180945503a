//! Stores: one file, one replica, any number of spaces.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::options::{Options, Tuning};
use super::rows::{corrupt, number_in};
use super::shared::SpaceShared;
use super::space::Space;
use super::writer::Writers;
use crate::causal::{Hlc, HybridClock, ReplicaId, Tag};
use crate::codec::limits;
use crate::error::{Error, UsageError};
use crate::storage::{Identity, MemoryStorage, Read, Storage, StorageError, Table, Write};

/// One replica: a file (or memory) that holds any number of spaces.
///
/// A handle, cheap to clone; all clones are the same store, which closes with the last.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<StoreShared>,
}

pub(super) struct StoreShared {
    pub(super) storage: Box<dyn Storage>,
    pub(super) options: Options,
    spaces: Mutex<Loaded>,
    pub(super) writers: Writers,
    /// Drawn for this opening: what is made in it carries it.
    pub(super) tag: Tag,
    /// Numbers the feeds of deltas, to tell an old one from the one that took its place.
    pub(super) feeds: AtomicU64,
    /// How often names gave way in any space, or one was dropped, since the store was opened.
    pub(super) ways: AtomicU64,
    /// What was found wrong since the store was opened.
    pub(super) damaged: Mutex<Option<String>>,
}

/// What the handles of each space share, as far as it was asked for.
#[derive(Default)]
struct Loaded {
    by_name: BTreeMap<Arc<str>, Arc<SpaceShared>>,
    /// How many there may be before those that nobody holds are let go.
    most: usize,
}

pub(super) const CLOCK_KEY: &[u8] = b"clock";
pub(super) const SPACES_KEY: &[u8] = b"spaces";

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is whole between any two statements, so a panic elsewhere
    // while one was held spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in this file, or makes one where none is. Beside it stands
    /// `FILE.id`, which tells a restored or copied file from the one that wrote last.
    ///
    /// Takes milliseconds, however much it holds; nothing is loaded.
    ///
    /// # Errors
    /// The file is open elsewhere, is no store or a newer one's, or cannot be read and written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// [`Store::open`] with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_with(path: impl AsRef<std::path::Path>, options: Options) -> Result<Self, Error> {
        let storage = crate::storage::RedbStorage::open(
            path,
            &crate::storage::FileOptions {
                cache_bytes: options.cache_bytes,
                fresh_id: options.fresh_id,
                create: options.create,
            },
            &mut |bytes| (options.entropy)(bytes),
        )?;
        Self::on(Box::new(storage), options)
    }

    /// A store in memory, gone when the last handle is.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_memory_with(Options::default())
    }

    /// A store in memory with options; also where there is no system to ask for time and
    /// randomness.
    #[must_use]
    pub fn in_memory_with(options: Options) -> Self {
        let mut id = [0; 16];
        (options.entropy)(&mut id);
        let storage = Box::new(MemoryStorage::new(ReplicaId::from_bytes(id)));
        Self { shared: Arc::new(StoreShared::new(storage, options, HybridClock::default())) }
    }

    /// A store on a storage of the caller's.
    ///
    /// # Errors
    /// The storage failed.
    pub fn on(storage: Box<dyn Storage>, options: Options) -> Result<Self, Error> {
        let row = storage.read()?.get(Table::Meta, CLOCK_KEY)?;
        let clock = match row {
            None => HybridClock::default(),
            Some(row) => {
                let bytes = <[u8; 8]>::try_from(row.as_slice())
                    .map_err(|_| corrupt(Table::Meta, CLOCK_KEY, "not a timestamp"))?;
                HybridClock::after(Hlc::from_be_bytes(bytes))
            }
        };
        let mut shared = StoreShared::new(storage, options, clock);
        shared.damaged = Mutex::new(shared.storage.noted_damage()?);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The space of this name. It comes to be with the first write; until then it is empty.
    ///
    /// # Errors
    /// The name is empty or longer than [`limits::SPACE_NAME_BYTES`], or the storage failed.
    pub fn space(&self, name: &str) -> Result<Space, Error> {
        if !limits::SPACE_NAME_BYTES.contains(&name.len()) {
            let limit = *limits::SPACE_NAME_BYTES.end();
            return Err(UsageError::SpaceName { limit, found: name.len() }.into());
        }
        // Held while the rows are read: who drops the space must find what was made of them.
        let Loaded { by_name, most } = &mut *lock(&self.shared.spaces);
        if let Some(shared) = by_name.get(name) {
            return Ok(Space::new(self.clone(), shared.clone()));
        }
        if by_name.len() >= *most {
            // Where no handle is left, what they share can be read again, but for the
            // application's functions.
            by_name.retain(|_, s| Arc::strong_count(s) > 1 || !s.resolvers.is_empty());
            *most = 2 * by_name.len() + 8;
        }
        let shared = Arc::new(SpaceShared::load(name, self)?);
        by_name.insert(shared.name.clone(), shared.clone());
        Ok(Space::new(self.clone(), shared))
    }

    /// The name under which this store writes.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.shared.storage.replica()
    }

    /// Whether the store was found to be a copy or put back, and took a fresh id.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.storage.identity()
    }

    /// How often names gave way here, or a space was dropped, since the store was opened.
    pub(crate) fn ways(&self) -> u64 {
        self.shared.ways.load(Ordering::SeqCst)
    }

    /// Notes one more time, once that was committed and before the right to write is given up:
    /// who reads what is to be sent holds that too.
    pub(super) fn parts_ways(&self) -> u64 {
        self.shared.ways.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Names this opening of the store as it was after so many [times](Self::ways): what peers
    /// staged of it before may be called otherwise now, or lie ahead of what is here.
    pub(crate) fn opening(&self, ways: u64) -> Tag {
        match ways {
            0 => self.shared.tag,
            _ => self.shared.tag.under(ReplicaId::from_bytes(u128::from(ways).to_be_bytes())),
        }
    }

    /// Whether this opening of the store is, or was, named so.
    pub(crate) fn was_opening(&self, opening: Tag) -> bool {
        (0..=self.ways()).any(|ways| opening == self.opening(ways))
    }

    pub(crate) fn tuning(&self) -> &Tuning {
        &self.shared.options.tuning
    }

    /// Waits until everything written so far is on disk: of interest only where
    /// [`Options::relaxed`] is set. All other writes are there when they return.
    ///
    /// # Errors
    /// The storage failed; what was written since the last flush may be lost.
    pub fn flush(&self) -> Result<(), Error> {
        Ok(self.shared.writer()?.flush()?)
    }

    /// Bytes taken on disk; zero in memory.
    ///
    /// # Errors
    /// The storage failed.
    pub fn file_bytes(&self) -> Result<u64, Error> {
        Ok(self.shared.storage.file_bytes()?)
    }

    /// Gives space that deletes have freed back to the file system. Takes time in
    /// proportion to the file, and no snapshot may be held. What has been in a
    /// [trash](super::Trash) for too long goes with it.
    ///
    /// # Errors
    /// The storage failed, or a snapshot is held.
    pub fn compact(&self) -> Result<(), Error> {
        self.free_dropped()?;
        self.throw_out_old()?;
        let _writer = self.shared.writer()?;
        Ok(self.shared.storage.compact()?)
    }
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store").field("replica", &self.replica()).finish_non_exhaustive()
    }
}

impl Drop for StoreShared {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure: who must know calls flush.
        let _ = self.writer().map(|mut writer| writer.flush());
    }
}

impl StoreShared {
    fn new(storage: Box<dyn Storage>, options: Options, clock: HybridClock) -> Self {
        let mut tag = [0; 8];
        (options.entropy)(&mut tag);
        Self {
            storage,
            options,
            spaces: Mutex::default(),
            writers: Writers::new(clock),
            tag: Tag::from_bytes(tag),
            feeds: AtomicU64::new(1),
            ways: AtomicU64::new(0),
            damaged: Mutex::default(),
        }
    }

    /// What the handles of a space share, if any was made since the store was opened.
    pub(super) fn loaded(&self, name: &str) -> Option<Arc<SpaceShared>> {
        lock(&self.spaces).by_name.get(name).cloned()
    }

    /// This moment of all spaces, to copy: own events in it count as seen from now on. A
    /// space that nobody has asked for since the store was opened has shown all it has.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn rows_to_show(&self) -> Result<Box<dyn crate::storage::ReadSnapshot>, Error> {
        let mut writer = self.writer()?;
        writer.flush()?;
        let rows = self.storage.read()?;
        let spaces: Vec<_> = lock(&self.spaces).by_name.values().cloned().collect();
        spaces.iter().try_for_each(|space| space.show_rows(&*rows))?;
        Ok(rows)
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.options.clock)()
    }
}

/// The number of a space in this store, if it has one.
pub(super) fn number_of(rows: &dyn Read, name: &str) -> Result<Option<u32>, StorageError> {
    rows.get(Table::Spaces, name.as_bytes())?
        .map(|row| {
            number_in(&row).ok_or_else(|| corrupt(Table::Spaces, name.as_bytes(), "not a number"))
        })
        .transpose()
}

/// Gives a space its number.
pub(super) fn number_space(rows: &mut dyn Write, name: &str) -> Result<u32, StorageError> {
    let wrong = || corrupt(Table::Meta, SPACES_KEY, "not a count of spaces");
    let count = match rows.get(Table::Meta, SPACES_KEY)? {
        None => 0,
        Some(row) => u32::from_be_bytes(row.as_slice().try_into().map_err(|_| wrong())?),
    };
    let next = count.checked_add(1).ok_or_else(wrong)?;
    rows.put(Table::Meta, SPACES_KEY, &next.to_be_bytes())?;
    rows.put(Table::Spaces, name.as_bytes(), &count.to_be_bytes())?;
    Ok(count)
}

/// Keeps the clock, so that it does not fall back behind what it has stamped.
pub(super) fn save_clock(rows: &mut dyn Write, clock: &HybridClock) -> Result<(), StorageError> {
    rows.put(Table::Meta, CLOCK_KEY, &clock.last().to_be_bytes())
}

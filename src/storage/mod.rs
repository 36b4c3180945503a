//! Ordered tables and atomic commits; nothing here knows a conflict-free type.
//!
//! The engine runs on a handful of calls: a read snapshot, a write transaction, and in
//! them get, put, delete and a scan of a range. What keeps these rows (a file, memory) is
//! behind [`Storage`].
//!
//! # What is promised, and what is assumed
//! A commit is atomic: after a crash all of it is there or nothing. A
//! [`Durability::Immediate`] commit is on disk when [`Storage::write`] returns, with all
//! [`Durability::Eventual`] ones before it. A snapshot sees one moment, whatever is
//! committed later. One write transaction runs at a time; snapshots wait for nothing.
//! The disk is assumed to have written what it said it synced.

use core::ops::ControlFlow;

use crate::causal::ReplicaId;

mod error;
#[cfg(not(target_arch = "wasm32"))]
mod file;
#[cfg(not(target_arch = "wasm32"))]
mod identity;
mod memory;
mod overlay;
#[cfg(test)]
mod suite;

pub use error::StorageError;
#[cfg(all(feature = "sim", not(target_arch = "wasm32")))]
pub(crate) use file::device;
#[cfg(not(target_arch = "wasm32"))]
pub use file::{FileOptions, Fill, RedbStorage};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use file::{Gap, Survey, Wreck};
pub use memory::MemoryStorage;
pub(crate) use overlay::{Changed, Changes, Overlay};

/// The tables, all of them raw bytes to raw bytes in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Table {
    /// What concerns the whole store: format, ids, clock.
    Meta,
    /// Name of a space → its number in this store, and in short how it stands.
    Spaces,
    /// One row a space: commit number, counts, staging.
    States,
    /// Live items by place and dot.
    Items,
    /// Where the item of a dot stands, and its hash.
    Dots,
    /// Removal records by dot.
    Removals,
    /// Removal records by age, so that the oldest go first.
    RemovalAges,
    /// Commits by number.
    Commits,
    /// Version vectors, a row an entry.
    Vectors,
    /// Hashes of the digest's blocks and nodes, and marks of those to make anew.
    Digest,
    /// Vectors proven common with a peer.
    Bases,
    /// Number of the store's commit that changed a space last → its name.
    Touched,
    /// What peers took away without a record, by age, and how much of it.
    Trash,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Meta,
        Self::Spaces,
        Self::States,
        Self::Items,
        Self::Dots,
        Self::Removals,
        Self::RemovalAges,
        Self::Commits,
        Self::Vectors,
        Self::Digest,
        Self::Bases,
        Self::Touched,
        Self::Trash,
    ];
}

/// What an array with an entry for each table holds for this one.
fn of<T>(all: &[T; Table::ALL.len()], table: Table) -> &T {
    #[allow(clippy::indexing_slicing, reason = "the array has an entry for each table")]
    &all[table as usize]
}

/// The same, to change it.
fn of_mut<T>(all: &mut [T; Table::ALL.len()], table: Table) -> &mut T {
    #[allow(clippy::indexing_slicing, reason = "the array has an entry for each table")]
    &mut all[table as usize]
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the least key up.
    Ascending,
    /// From the greatest key down.
    Descending,
}

/// Keys from `from` on, up to but without `to`.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange<'a> {
    /// The least key that belongs.
    pub from: &'a [u8],
    /// The first key that no longer belongs; `None` is the end of the table.
    pub to: Option<&'a [u8]>,
}

/// What a scan hands each row to: key, value. [`ControlFlow::Break`] ends the scan.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Reading rows.
pub trait Read {
    /// The value under `key`.
    ///
    /// # Errors
    /// The storage failed.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Visits the rows of a range in order.
    ///
    /// # Errors
    /// The storage failed.
    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError>;
}

/// Changing rows, in a write transaction that sees its own changes.
pub trait Write: Read {
    /// Puts a row, in place of one under the same key.
    ///
    /// # Errors
    /// The storage failed.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Deletes a row; whether there was one.
    ///
    /// # Errors
    /// The storage failed.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError>;
}

/// One moment of the tables, for as long as it is kept.
pub trait ReadSnapshot: Read + Send + Sync {}

/// How soon a commit must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before `write` returns.
    Immediate,
    /// With the next immediate commit; a crash may take it back.
    Eventual,
}

/// How the work of a write transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep all its changes.
    Commit,
    /// Keep none.
    Abort,
}

/// What keeps the tables.
pub trait Storage: Send + Sync {
    /// A snapshot of what is committed now.
    ///
    /// # Errors
    /// The storage failed.
    fn read(&self) -> Result<Box<dyn ReadSnapshot>, StorageError>;

    /// Runs `work` in a write transaction and commits it, or takes it back where `work`
    /// says so, panics (the panic goes on afterwards) or the storage fails. Waits for the
    /// write transaction before it.
    ///
    /// # Errors
    /// The storage failed; nothing was changed.
    fn write(
        &self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError>;

    /// Bytes taken on disk; zero in memory.
    ///
    /// # Errors
    /// The storage failed.
    fn file_bytes(&self) -> Result<u64, StorageError>;

    /// Gives space back to the file system. No snapshot may be held.
    ///
    /// # Errors
    /// The storage failed, or a snapshot is held.
    fn compact(&self) -> Result<(), StorageError>;

    /// Reads everything and checks it against the engine's own checksums; whether it is sound.
    ///
    /// # Errors
    /// The storage failed.
    fn check(&self) -> Result<bool, StorageError>;

    /// Notes beside the tables that they were found damaged, where nothing more may be written
    /// to them; with `None`, takes that back. Not every storage has such a place.
    ///
    /// # Errors
    /// The storage failed.
    fn note_damage(&self, found: Option<&str>) -> Result<(), StorageError> {
        let _ = found;
        Ok(())
    }

    /// What was noted beside the tables: asked when a store is opened on them. May wait for a
    /// write transaction.
    ///
    /// # Errors
    /// The storage failed.
    fn noted_damage(&self) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// The replica whose store this is. It does not change while the store is open.
    fn replica(&self) -> ReplicaId;

    /// How the store came by its [`replica`](Storage::replica) when it was opened.
    fn identity(&self) -> Identity;
}

/// Where random bytes come from: fills the whole slice. The storage draws nothing itself.
///
/// The bytes must be unpredictable and never the same twice: names and nonces are made of
/// them.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// How a store came by its [`ReplicaId`] when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It was made just now.
    Created,
    /// It goes on under the name it had.
    Kept,
    /// It took a fresh name, because the one it had may live on elsewhere: the store was
    /// copied, restored from a backup or lost its identity file, or the caller asked for it.
    Fresh {
        /// The name it had.
        previous: ReplicaId,
    },
}

//! Small commits, written once into one place until there are many.
//!
//! The engine copies every page that a commit changes, and the rows of one write lie in six
//! tables and, of many writers, in as many pages of each. So what a small commit changes
//! goes into *one* row of a table of its own, the journal: one page, whoever wrote what. What
//! the journal holds is also kept in memory, [`Pending`], above the tables; snapshots read
//! both. When it is more than [`PENDING_BYTES`], or a commit is large, all of it moves to
//! its tables in the commit that comes, in the order of the keys, where neighbours share
//! pages. (The memory component of a log-structured merge tree does the same: O'Neil et al.,
//! 1996.)
//!
//! A row of the journal holds changes one after the other: the number of the table, the key
//! with its length before it, then 0 for a row deleted or 1 and the value with its length.
//!
//! # Which tables belong to which memory
//! Moving empties the journal, so memory and tables must be of the same *move*. The file
//! counts them. A snapshot that has nothing pending is right above any tables, as they only
//! ever gain what was committed; one that has must find that no move began meanwhile, or ask
//! the file.

use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, TableError};

use super::health::Health;
use super::tables::Tables;
use crate::codec::{Cursor, DecodeError, Problem, Put};
use crate::storage::overlay::{Changed, Changes};
use crate::storage::{KeyRange, Order, Read, StorageError, Table, Visit, Write};

type Definition = TableDefinition<'static, u64, &'static [u8]>;

/// Number of the commit since the last move → what it changed.
const JOURNAL: Definition = TableDefinition::new("journal");

/// A row without a key's name: how often the journal was moved.
const MOVES: TableDefinition<'static, (), u64> = TableDefinition::new("moves");

/// A commit that changes more goes to the tables at once.
const COMMIT_BYTES: usize = if cfg!(test) { 1 << 10 } else { 16 << 10 };

/// So much is kept beside the tables, in the journal and in memory.
const PENDING_BYTES: usize = if cfg!(test) { 4 << 10 } else { 512 << 10 };

/// What is copied at each commit, where a snapshot holds the one before.
const NEWEST_BYTES: usize = PENDING_BYTES / 32;

/// What is committed and has not moved to its tables. Snapshots hold what they began with, so
/// it is in two parts: much that seldom changes, above it the little that each commit changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    older: Arc<Changes>,
    newest: Arc<Changes>,
    bytes: usize,
    newest_bytes: usize,
    /// Rows of the journal.
    commits: u64,
    /// How often the journal was moved before.
    moves: u64,
    /// The commit that moves it may have happened.
    moving: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Reads these above what is beneath.
    pub(super) fn above<T>(&self, below: &dyn Read, read: impl FnOnce(&dyn Read) -> T) -> T {
        let older = Changed { below, changes: &self.older };
        read(&Changed { below: &older, changes: &self.newest })
    }

    fn add(&mut self, changes: Changes, bytes: usize) {
        self.bytes += bytes;
        self.newest_bytes += bytes;
        self.commits += 1;
        Arc::make_mut(&mut self.newest).absorb(changes);
        if self.newest_bytes > NEWEST_BYTES {
            let newest = core::mem::take(&mut self.newest);
            Arc::make_mut(&mut self.older).absorb(Arc::unwrap_or_clone(newest));
            self.newest_bytes = 0;
        }
    }
}

/// The journal as those see it who begin now.
#[derive(Debug, Default)]
pub(super) struct Journal(RwLock<Arc<Pending>>);

impl Journal {
    fn now(&self) -> Arc<Pending> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now().is_empty()
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut now));
    }

    /// Takes over what the journal in the file holds.
    pub(super) fn load(&self, health: &Health, database: &Database) -> Result<(), StorageError> {
        let mut wrong = None;
        let pending = health.read("reading the journal", || {
            let transaction = database.begin_read()?;
            let mut pending = Pending { moves: moves(&transaction)?, ..Pending::default() };
            let journal = match transaction.open_table(JOURNAL) {
                Ok(journal) => journal,
                Err(TableError::TableDoesNotExist(_)) => return Ok(pending),
                Err(error) => return Err(redb::Error::from(error)),
            };
            for row in journal.range::<u64>(..)? {
                let (number, row) = row?;
                let mut changes = Changes::default();
                if let Err(error) = read_changes(row.value(), &mut changes) {
                    wrong.get_or_insert((number.value(), error));
                }
                pending.commits = number.value();
                pending.add(changes, row.value().len());
            }
            Ok(pending)
        })?;
        if let Some((number, error)) = wrong {
            let place = format!("{}, row {number} of the journal", health.path().display());
            return Err(StorageError::Corrupt { place, reason: error.to_string() });
        }
        self.change(|now| *now = pending);
        Ok(())
    }

    /// A moment of the engine, and what stands above it.
    pub(super) fn begin(
        &self,
        begin: impl FnOnce() -> Result<ReadTransaction, StorageError>,
        health: &Health,
    ) -> Result<(ReadTransaction, Option<Arc<Pending>>), StorageError> {
        let pending = self.now();
        let transaction = begin()?;
        if pending.is_empty() {
            return Ok((transaction, None));
        }
        let now = self.now();
        let stands = if now.moves == pending.moves && !now.moving {
            true
        } else {
            let moved = health.read("counting moves of the journal", || moves(&transaction))?;
            moved == pending.moves
        };
        Ok((transaction, stands.then_some(pending)))
    }
}

fn moves(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    match transaction.open_table(MOVES) {
        Ok(table) => Ok(table.get(())?.map_or(0, |moves| moves.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A write transaction: small until it has grown.
pub(super) struct Draft<'t> {
    tables: Tables<'t>,
    pending: Arc<Pending>,
    /// What a small one changed.
    changes: Changes,
    bytes: usize,
    /// It writes to the tables.
    large: bool,
}

impl<'t> Draft<'t> {
    pub(super) fn new(tables: Tables<'t>, journal: &Journal) -> Self {
        let (pending, changes) = (journal.now(), Changes::default());
        Self { tables, pending, changes, bytes: 0, large: false }
    }

    /// Counts what a change takes in the journal, and goes over to the tables when it is much.
    fn grow(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.bytes += key.len() + value.len() + 16;
        if self.bytes > COMMIT_BYTES { self.spill() } else { Ok(()) }
    }

    /// Writes to the tables from now on, first what is pending and what was changed here.
    pub(super) fn spill(&mut self) -> Result<(), StorageError> {
        self.large = true;
        self.pending.older.apply(&mut self.tables)?;
        self.pending.newest.apply(&mut self.tables)?;
        core::mem::take(&mut self.changes).apply(&mut self.tables)
    }

    /// Writes what is to be committed where it belongs.
    pub(super) fn finish(&mut self) -> Result<Drafted, StorageError> {
        if !self.large && self.pending.bytes + self.bytes > PENDING_BYTES {
            self.spill()?;
        }
        let Self { tables, pending, changes, large, .. } = self;
        if *large && !pending.is_empty() {
            tables.with_own("moving the journal", |transaction| {
                transaction.open_table(JOURNAL)?.retain(|_, _| false)?;
                transaction.open_table(MOVES)?.insert((), pending.moves + 1)?;
                Ok(())
            })?;
            return Ok(Drafted::Move);
        }
        if *large || changes.is_empty() {
            return Ok(Drafted::Nothing);
        }
        let row = write_changes(changes);
        tables.with_own("writing the journal", |transaction| {
            transaction.open_table(JOURNAL)?.insert(pending.commits, row.as_slice())?;
            Ok(())
        })?;
        Ok(Drafted::Small { changes: core::mem::take(changes), bytes: row.len() })
    }
}

/// What the commit of a transaction makes of the journal.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is moved once")]
pub(super) enum Drafted {
    Nothing,
    /// It has one row more.
    Small {
        changes: Changes,
        bytes: usize,
    },
    /// It is empty.
    Move,
}

impl Drafted {
    /// Commits, and shows the journal as it is then.
    pub(super) fn commit(
        self,
        journal: &Journal,
        commit: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match self {
            Self::Nothing => commit(),
            Self::Small { changes, bytes } => {
                commit()?;
                journal.change(|now| now.add(changes, bytes));
                Ok(())
            }
            Self::Move => {
                // Left so where the commit fails: it may have happened.
                journal.change(|now| now.moving = true);
                commit()?;
                journal.change(|now| {
                    *now = Pending { moves: now.moves + 1, ..Pending::default() };
                });
                Ok(())
            }
        }
    }
}

impl Draft<'_> {
    fn read<T>(&self, read: impl FnOnce(&dyn Read) -> T) -> T {
        if self.large {
            return read(&self.tables);
        }
        self.pending.above(&self.tables, |committed| {
            read(&Changed { below: committed, changes: &self.changes })
        })
    }
}

impl Read for Draft<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.read(|rows| rows.get(table, key))
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        self.read(|rows| rows.scan(table, range, order, visit))
    }
}

impl Write for Draft<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if !self.large {
            self.grow(key, value)?;
        }
        if self.large {
            return self.tables.put(table, key, value);
        }
        self.changes.put(table, key, value);
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        if !self.large {
            self.grow(key, &[])?;
        }
        if self.large {
            return self.tables.delete(table, key);
        }
        let changes = &mut self.changes;
        self.pending.above(&self.tables, |committed| changes.delete(committed, table, key))
    }
}

fn write_changes(changes: &Changes) -> Vec<u8> {
    let mut row = Vec::new();
    for (table, key, value) in changes.iter() {
        row.push(table as u8);
        row.put_bytes(key);
        row.push(u8::from(value.is_some()));
        if let Some(value) = value {
            row.put_bytes(value);
        }
    }
    row
}

pub(super) fn read_changes(row: &[u8], changes: &mut Changes) -> Result<(), DecodeError> {
    let mut row = Cursor::new("a row of the journal", row);
    while row.remaining() > 0 {
        let number = row.u8()?;
        let table = Table::ALL.get(usize::from(number)).copied();
        let table = table.ok_or_else(|| row.wrong(Problem::UnknownTag { found: number.into() }))?;
        let key = row.bytes(usize::MAX)?;
        match row.u8()? {
            0 => changes.forget(table, key),
            1 => changes.put(table, key, row.bytes(usize::MAX)?),
            other => return Err(row.wrong(Problem::UnknownTag { found: other.into() })),
        }
    }
    Ok(())
}

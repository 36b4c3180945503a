//! The tables within one transaction of the engine, each opened once, when first asked for.

use core::ops::Bound;
use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError};

use super::Inner;
use super::health::Health;
use super::journal::Pending;
use crate::storage::{
    KeyRange, Order, Read, ReadSnapshot, StorageError, Table, Visit, Write, of, of_mut,
};

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type WriteTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;
type ReadTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Rows<'t> = redb::Range<'t, &'static [u8], &'static [u8]>;

/// The name of a table in the file. It is part of the format.
pub(super) const fn definition(table: Table) -> Definition {
    TableDefinition::new(name(table))
}

pub(super) const fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta",
        Table::Spaces => "spaces",
        Table::States => "states",
        Table::Items => "items",
        Table::Dots => "dots",
        Table::Removals => "removals",
        Table::RemovalAges => "removal_ages",
        Table::Commits => "commits",
        Table::Vectors => "vectors",
        Table::Digest => "digest",
        Table::Bases => "bases",
        Table::Touched => "touched",
        Table::Trash => "trash",
    }
}

fn bounds<'k>(range: KeyRange<'k>) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (Bound::Included(range.from), range.to.map_or(Bound::Unbounded, Bound::Excluded))
}

fn is_empty(range: KeyRange<'_>) -> bool {
    range.to.is_some_and(|to| to <= range.from)
}

/// Visits rows. The engine is called between any two visits, so instead of a barrier round
/// each call there is one round all of them, and a note of whose code is running: a panic of
/// the visitor goes on, one of the engine becomes an error.
fn visit_rows<'t>(
    health: &Health,
    open: impl FnOnce() -> Result<Rows<'t>, redb::StorageError>,
    order: Order,
    visit: Visit<'_>,
) -> Result<Result<(), redb::StorageError>, StorageError> {
    health.readable()?;
    let visiting = Cell::new(false);
    let all = || -> Result<(), redb::StorageError> {
        let mut rows = open()?;
        loop {
            let next = match order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = next else { return Ok(()) };
            let (key, value) = row?;
            // Still the engine: in a damaged page these reach beyond its end.
            let (key, value) = (key.value(), value.value());
            visiting.set(true);
            let flow = visit(key, value);
            visiting.set(false);
            if flow.is_break() {
                return Ok(());
            }
        }
    };
    match catch_unwind(AssertUnwindSafe(all)) {
        Ok(done) => Ok(done),
        Err(payload) if visiting.get() => resume_unwind(payload),
        Err(payload) => Err(health.panicked("scanning", &*payload)),
    }
}

/// A write transaction's tables.
pub(super) struct Tables<'t> {
    health: &'t Health,
    transaction: &'t redb::WriteTransaction,
    tables: [OnceCell<WriteTable<'t>>; Table::ALL.len()],
}

impl<'t> Tables<'t> {
    pub(super) fn new(health: &'t Health, transaction: &'t redb::WriteTransaction) -> Self {
        Self { health, transaction, tables: Default::default() }
    }

    fn table(&self, table: Table) -> Result<&WriteTable<'t>, StorageError> {
        let cell = of(&self.tables, table);
        if let Some(open) = cell.get() {
            return Ok(open);
        }
        let opened = self
            .health
            .write("opening a table", || self.transaction.open_table(definition(table)))?;
        Ok(cell.get_or_init(|| opened))
    }

    /// Changes tables that are the storage's own.
    pub(super) fn with_own(
        &self,
        doing: &'static str,
        call: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StorageError> {
        self.health.write(doing, || call(self.transaction))
    }

    /// Runs a changing call on a table.
    fn change<T>(
        &mut self,
        doing: &'static str,
        table: Table,
        call: impl FnOnce(&mut WriteTable<'t>) -> Result<T, redb::StorageError>,
    ) -> Result<T, StorageError> {
        self.table(table)?;
        match of_mut(&mut self.tables, table).get_mut() {
            Some(open) => self.health.write(doing, || call(open)),
            None => Err(StorageError::Busy("the table did not open")),
        }
    }
}

impl Read for Tables<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let open = self.table(table)?;
        self.health.write("reading a row", || {
            Ok::<_, redb::StorageError>(open.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        if is_empty(range) {
            return Ok(());
        }
        let open = self.table(table)?;
        visit_rows(self.health, || open.range::<&[u8]>(bounds(range)), order, visit)?
            .map_err(|error| self.health.write_failed("scanning", error.into()))
    }
}

impl Write for Tables<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.change("writing a row", table, |open| open.insert(key, value).map(drop))
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        self.change("deleting a row", table, |open| open.remove(key).map(|old| old.is_some()))
    }
}

/// A snapshot. It keeps the store open for as long as it lives.
pub(super) struct Snapshot {
    engine: Option<(ReadTransaction, [OnceLock<Option<ReadTable>>; Table::ALL.len()])>,
    pending: Option<Arc<Pending>>,
    inner: Arc<Inner>,
}

/// The engine's part of a snapshot.
struct Beneath<'a>(&'a Snapshot);

impl Snapshot {
    pub(super) fn new(
        inner: Arc<Inner>,
        transaction: ReadTransaction,
        pending: Option<Arc<Pending>>,
    ) -> Self {
        Self { engine: Some((transaction, Default::default())), pending, inner }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&dyn Read) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.health().readable()?;
        match &self.pending {
            Some(pending) => pending.above(&Beneath(self), read),
            None => read(&Beneath(self)),
        }
    }

    fn health(&self) -> &Health {
        self.inner.health()
    }

    /// The table, if there is one.
    fn table(&self, table: Table) -> Result<Option<&ReadTable>, StorageError> {
        let Some((transaction, tables)) = &self.engine else { return Ok(None) };
        let cell = of(tables, table);
        if let Some(open) = cell.get() {
            return Ok(open.as_ref());
        }
        let opened = self.health().read("opening a table", || {
            match transaction.open_table(definition(table)) {
                Ok(open) => Ok(Some(open)),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let engine = self.engine.take();
        self.health().clean_up("ending a snapshot", || drop(engine));
    }
}

impl ReadSnapshot for Snapshot {}

impl Read for Snapshot {
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

impl Read for Beneath<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(open) = self.0.table(table)? else { return Ok(None) };
        self.0.health().read("reading a row", || {
            Ok::<_, redb::StorageError>(open.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        if is_empty(range) {
            return Ok(());
        }
        let Some(open) = self.0.table(table)? else { return Ok(()) };
        visit_rows(self.0.health(), || open.range::<&[u8]>(bounds(range)), order, visit)?
            .map_err(|error| self.0.health().translate("scanning", error.into()))
    }
}

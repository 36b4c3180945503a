//! Changes in memory above rows that do not move: what a write transaction has done so far.
//!
//! Reading goes through the changes first and to the rows beneath for the rest, so that a
//! transaction sees its own work; dropping the changes takes all of it back.

use core::ops::{Bound, ControlFlow};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{KeyRange, Order, Read, StorageError, Table, Visit, Write, of, of_mut};

pub(super) type Bytes = Arc<[u8]>;

/// Rows put, and rows deleted (`None`), by table and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes([BTreeMap<Bytes, Option<Bytes>>; Table::ALL.len()]);

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeMap::is_empty)
    }

    /// Puts a row.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        of_mut(&mut self.0, table).insert(key.into(), Some(value.into()));
    }

    /// Deletes a row, whether or not there is one beneath.
    pub(super) fn forget(&mut self, table: Table, key: &[u8]) {
        of_mut(&mut self.0, table).insert(key.into(), None);
    }

    /// Deletes a row above those beneath; whether there was one.
    pub(super) fn delete(
        &mut self,
        below: &dyn Read,
        table: Table,
        key: &[u8],
    ) -> Result<bool, StorageError> {
        if let Some(changed) = of_mut(&mut self.0, table).get_mut(key) {
            return Ok(changed.take().is_some());
        }
        let there = below.get(table, key)?.is_some();
        if there {
            self.forget(table, key);
        }
        Ok(there)
    }

    /// Each change, by table and key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        Table::ALL.into_iter().zip(&self.0).flat_map(|(table, changes)| {
            changes.iter().map(move |(key, value)| (table, &**key, value.as_deref()))
        })
    }

    /// Makes them in a transaction, each table in the order of its keys.
    pub(crate) fn apply(&self, rows: &mut dyn Write) -> Result<(), StorageError> {
        for (table, key, value) in self.iter() {
            match value {
                Some(value) => rows.put(table, key, value)?,
                None => drop(rows.delete(table, key)?),
            }
        }
        Ok(())
    }

    /// What takes these back, where they are made on rows that stand like this.
    #[cfg(feature = "sim")]
    pub(crate) fn undoing(&self, rows: &dyn Read) -> Result<Self, StorageError> {
        let mut undoing = Self::default();
        for ((table, changes), undo) in Table::ALL.into_iter().zip(&self.0).zip(&mut undoing.0) {
            for key in changes.keys() {
                undo.insert(key.clone(), rows.get(table, key)?.map(Bytes::from));
            }
        }
        Ok(undoing)
    }

    /// Adds what was changed after these.
    pub(crate) fn absorb(&mut self, later: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(later.0) {
            mine.extend(theirs);
        }
    }

    /// The changes of each table, to be taken over.
    pub(super) fn into_tables(
        self,
    ) -> impl Iterator<Item = (Table, BTreeMap<Bytes, Option<Bytes>>)> {
        Table::ALL.into_iter().zip(self.0)
    }
}

/// Rows as they stand beneath, with changes above them.
pub(crate) struct Changed<'a> {
    pub(crate) below: &'a dyn Read,
    pub(crate) changes: &'a Changes,
}

impl Read for Changed<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match of(&self.changes.0, table).get(key) {
            Some(changed) => Ok(changed.as_ref().map(|value| value.to_vec())),
            None => self.below.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        if range.to.is_some_and(|to| to <= range.from) {
            return Ok(());
        }
        let to = range.to.map_or(Bound::Unbounded, Bound::Excluded);
        let changes =
            of(&self.changes.0, table).range::<[u8], _>((Bound::Included(range.from), to));
        let below = |visit: Visit<'_>| self.below.scan(table, range, order, visit);
        match order {
            Order::Ascending => merge(below, changes, |a, b| a < b, visit),
            Order::Descending => merge(below, changes.rev(), |a, b| a > b, visit),
        }
    }
}

/// Visits rows and changes in one order, a change hiding the row under its key.
fn merge<'a>(
    below: impl FnOnce(Visit<'_>) -> Result<(), StorageError>,
    changes: impl Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>,
    before: impl Fn(&[u8], &[u8]) -> bool,
    visit: Visit<'_>,
) -> Result<(), StorageError> {
    let mut changes = changes.peekable();
    let mut ended = false;
    below(&mut |key, row| {
        let mut step = || {
            while let Some((earlier, value)) = changes.next_if(|(other, _)| before(other, key)) {
                if let Some(value) = value {
                    visit(earlier, value)?;
                }
            }
            match changes.next_if(|(other, _)| ***other == *key) {
                Some((_, None)) => ControlFlow::Continue(()),
                Some((_, Some(value))) => visit(key, value),
                None => visit(key, row),
            }
        };
        let step = step();
        ended = step.is_break();
        step
    })?;
    if !ended {
        let mut left = changes.filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let _ = left.try_for_each(|(key, value)| visit(key, value));
    }
    Ok(())
}

/// A transaction in memory: sees its own changes, and hands them out at its end.
pub(crate) struct Overlay<'a> {
    below: &'a dyn Read,
    changes: Changes,
}

impl<'a> Overlay<'a> {
    pub(crate) fn on(below: &'a dyn Read) -> Self {
        Self { below, changes: Changes::default() }
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    fn changed(&self) -> Changed<'_> {
        Changed { below: self.below, changes: &self.changes }
    }
}

impl Read for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.changed().get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        self.changed().scan(table, range, order, visit)
    }
}

impl Write for Overlay<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.changes.put(table, key, value);
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        self.changes.delete(self.below, table, key)
    }
}

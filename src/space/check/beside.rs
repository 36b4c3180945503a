//! The rows beside items, dots and removals, each read as whoever needs it would: what a
//! session comes upon, a check must find too, or else it would take the session's finding back.

use std::collections::BTreeSet;

use super::{CheckReport, each_row};
use crate::codec::{Cursor, DecodeError};
use crate::error::shown;
use crate::space::dropping::is_dropped;
use crate::space::rows::{Runs, SPACE_BYTES, check_vector_row, number_in};
use crate::space::{bases, batch, brake, catalog, dropping, meetings, store, trash, waiting};
use crate::storage::{Read, StorageError, Table};

/// Those tables of them whose keys begin with the number of a space.
pub(super) const OF_SPACES: [Table; 5] =
    [Table::RemovalAges, Table::Commits, Table::Vectors, Table::Bases, Table::Trash];

/// And those of the whole store.
pub(super) const OF_STORE: [Table; 3] = [Table::Meta, Table::Spaces, Table::Touched];

/// Whether a row can be what it must be by its key.
pub(in crate::space) fn check_row(table: Table, key: &[u8], row: &[u8]) -> Result<(), DecodeError> {
    match table {
        Table::RemovalAges | Table::Commits => {
            Runs::from_row(row)?;
            exactly::<{ SPACE_BYTES + 8 }>("number of a commit", key)
        }
        Table::Vectors => check_vector_row(key, row),
        Table::Bases => bases::check_row(key, row),
        Table::Trash => trash::check_row(key, row).unwrap_or_else(|| brake::check_row(key, row)),
        Table::Touched => catalog::check_touched(key, row),
        Table::Spaces => {
            catalog::check_name(key)?;
            match row.split_at_checked(SPACE_BYTES) {
                Some((_, [])) => Ok(()),
                Some((_, leaf)) => exactly::<16>("leaf of a space", leaf),
                None => exactly::<SPACE_BYTES>("number of a space", row),
            }
        }
        Table::Meta => meetings::check_row(key, row)
            .or_else(|| dropping::check_row(key, row))
            .or_else(|| waiting::check_row(key, row))
            .or_else(|| check_number(key, row))
            .unwrap_or(Ok(())), // what was found wrong, and what belongs to a file's format
        _ => Ok(()),
    }
}

/// One of the numbers that the whole store keeps; `None` where the key is another one's.
fn check_number(key: &[u8], row: &[u8]) -> Option<Result<(), DecodeError>> {
    match key {
        store::SPACES_KEY => Some(exactly::<SPACE_BYTES>("count of spaces", row)),
        store::CLOCK_KEY => Some(exactly::<8>("timestamp", row)),
        catalog::LEAVES_KEY => Some(exactly::<8>("number of a commit", row)),
        _ if key.starts_with(batch::STAGED_KEY) => Some(exactly::<8>("count of bytes", row)),
        _ => None,
    }
}

/// Whether each space has a number of its own, which no other will be given, and each number that
/// has a state a name, but for those that were dropped; and whether it is a space in which
/// something salvaged waits.
pub(super) fn numbers(rows: &dyn Read, report: &mut CheckReport) -> Result<(), StorageError> {
    let count = rows.get(Table::Meta, store::SPACES_KEY)?;
    let count = count.and_then(|row| row.try_into().ok()).map_or(0, u32::from_be_bytes);
    let mut named = BTreeSet::new();
    each_row(rows, Table::Spaces, &[], |name, row| {
        let number = number_in(row).filter(|number| *number < count);
        if !number.is_some_and(|number| named.insert(number)) {
            report.wrong(&shown(name), "its number is another one's, or none");
        }
        Ok(())
    })?;
    each_row(rows, Table::States, &[], |key, _| {
        let number = number_in(key).filter(|number| !named.contains(number));
        if let Some(number) = number
            && !is_dropped(rows, number)?
        {
            report.note(format!("the space of number {number} has no name"));
        }
        Ok(())
    })?;
    each_row(rows, Table::Meta, waiting::WAITING_KEY, |key, _| {
        let number = waiting::waits_in(key).and_then(number_in);
        if !number.is_some_and(|number| named.contains(&number)) {
            report.note(format!("{} waits in no space", key.escape_ascii()));
        }
        Ok(())
    })
}

/// Whether there are exactly so many bytes.
fn exactly<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(what, bytes);
    let _: [u8; N] = cursor.array()?;
    cursor.finish()
}

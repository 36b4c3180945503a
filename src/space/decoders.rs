//! The decoders of rows, one by one, for fuzzers.

use super::check::check_row;
use super::rows::{Removal, Runs, State, dot_value, item_value, split_dot_value, split_item_value};
use crate::codec::DecodeError;
use crate::storage::Table;

/// Reads the value of a row and writes it again: what is not refused has one spelling.
/// Of other tables than these, where the key says what a row is, rows are read as a check reads
/// them, and values come back as they are.
///
/// # Errors
/// The bytes are no such value.
pub(crate) fn read_row(table: Table, key: &[u8], value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(match table {
        Table::Items => {
            let (past, payload) = split_item_value(value)?;
            item_value(&past, payload)
        }
        Table::Dots => {
            let row = split_dot_value(value)?;
            dot_value(row.hash, row.has_past, row.place)
        }
        Table::Removals => Removal::from_row(value)?.to_row(),
        Table::RemovalAges | Table::Commits => Runs::from_row(value)?.to_row(),
        Table::States => State::from_row(value)?.to_row(),
        _ => {
            check_row(table, key, value)?;
            value.to_vec()
        }
    })
}

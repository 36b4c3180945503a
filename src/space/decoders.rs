//! The decoders of rows, one by one, for fuzzers.

use super::check::check_row;
use super::rows::{Removal, Runs, State, dot_value, item_value, split_dot_value, split_item_value};
use super::{bases, brake, dropping, meetings, trash, waiting};
use crate::codec::DecodeError;
use crate::digest;
use crate::storage::Table;

/// Reads the value of a row and writes it again: what is not refused has one spelling.
/// What is of so many bytes, or is text, has one in any case, and comes back as it is.
///
/// # Errors
/// The bytes are no such value, or no row has such a key.
pub(crate) fn read_row(table: Table, key: &[u8], value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match table {
        Table::Items => {
            let (past, payload) = split_item_value(value)?;
            Ok(item_value(&past, payload))
        }
        Table::Dots => {
            let row = split_dot_value(value)?;
            Ok(dot_value(row.hash, row.has_past, row.place))
        }
        Table::Removals => Ok(Removal::from_row(value)?.to_row()),
        Table::RemovalAges | Table::Commits => Ok(Runs::from_row(value)?.to_row()),
        Table::States => Ok(State::from_row(value)?.to_row()),
        Table::Bases => bases::respelled(key, value),
        Table::Trash => {
            trash::respelled(key, value).unwrap_or_else(|| brake::respelled(key, value))
        }
        Table::Digest => digest::read_row(key, value),
        Table::Meta => meetings::respelled(key, value)
            .or_else(|| dropping::respelled(key, value))
            .or_else(|| waiting::respelled(key, value))
            .unwrap_or_else(|| checked(table, key, value)),
        Table::Spaces | Table::Vectors | Table::Touched => checked(table, key, value),
    }
}

/// The value as it is, where a check of the store would not find it wrong.
fn checked(table: Table, key: &[u8], value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    check_row(table, key, value)?;
    Ok(value.to_vec())
}

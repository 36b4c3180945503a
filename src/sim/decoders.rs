//! The decoders of what travels and of what stands on disk, one by one, for fuzzers: no
//! application needs them.

use crate::codec::DecodeError;
use crate::storage::Table;

/// Reads a frame as a session does, message by message.
///
/// # Errors
/// What a session refuses it for.
pub fn frame(bytes: &[u8]) -> Result<(), DecodeError> {
    crate::session::forge::read(bytes)
}

/// The tags of the messages of a frame: what a session is made of.
///
/// # Errors
/// As [`frame`].
pub fn tags(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    crate::session::forge::tags(bytes)
}

/// The first message of a frame that has another spelling, in words: there must be none.
///
/// # Errors
/// As [`frame`].
pub fn respelled(bytes: &[u8]) -> Result<Option<String>, DecodeError> {
    crate::session::forge::respelled(bytes)
}

/// Reads the value of a row under its key and writes it again, which must give the same bytes.
///
/// # Errors
/// What a store calls it corrupt for.
pub fn row(table: Table, key: &[u8], value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    crate::space::read_row(table, key, value)
}

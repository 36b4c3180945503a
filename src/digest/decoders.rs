//! The decoders of the rows of the digest, for fuzzers.

use super::rows::{BUCKETS, MARKS, NODES, ORIGINS, ROOT};
use super::rows::{block_row, hash_of, more_of, origin_of};
use crate::codec::{Cursor, DecodeError, Problem};
use crate::storage::StorageError;

/// Where the key of a row has its region, and that of a node its level.
const REGION: usize = 4;
const LEVEL: usize = REGION + 1 + 16;

/// Reads the value of a row and writes it again.
///
/// # Errors
/// The bytes are no such value, or no row has such a key.
pub(crate) fn read_row(key: &[u8], value: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let wrong = |what| Cursor::new("digest", value).wrong(Problem::Other(what));
    let hash = || hash_of(key, value).map(|hash| hash.as_bytes().to_vec());
    let again = || -> Result<Option<Vec<u8>>, StorageError> {
        Ok(Some(match (key.get(REGION), key.get(LEVEL)) {
            (Some(&(ROOT | BUCKETS)), _) => hash()?,
            (Some(&MARKS), _) => (more_of(key, value)? as i16).to_be_bytes().to_vec(),
            (Some(&ORIGINS), _) => {
                let origin = origin_of(key, value)?;
                [origin.hash.as_bytes().as_slice(), &[origin.height]].concat()
            }
            (Some(&NODES), Some(0)) => {
                let block = block_row(key, value)?;
                [block.hash.as_bytes().as_slice(), &[(block.live - 1) as u8]].concat()
            }
            (Some(&NODES), Some(_)) => hash()?,
            _ => return Ok(None),
        }))
    };
    match again() {
        Ok(again) => again.ok_or_else(|| wrong("a row of no region of the digest")),
        Err(_) => Err(wrong("not what the digest keeps under its key")),
    }
}

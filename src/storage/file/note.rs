//! A note beside a store's file that it was found damaged.
//!
//! After a damaged block was read nothing more is written into the file, and so not that it is
//! damaged either. Who opens it next must still know.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use super::path::sync_folder;
use crate::storage::StorageError;
use crate::storage::identity::{beside, io};

const ENDING: &str = ".damaged";

/// More of it is not read: it is a line.
const MOST_BYTES: u64 = 4096;

/// What is noted beside the file at `path`, if anything is.
pub(super) fn read(path: &Path) -> Result<Option<String>, StorageError> {
    let note = beside(path, ENDING);
    let failed = |source| io(&note, "reading whether the store is damaged", source);
    let file = match File::open(&note) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut found).map_err(failed)?;
    Ok(Some(String::from_utf8_lossy(&found).into_owned()))
}

/// Notes what was found, on disk when this returns.
pub(super) fn write(path: &Path, found: &str) -> Result<(), StorageError> {
    let note = beside(path, ENDING);
    let written = File::create(&note)
        .and_then(|mut file| file.write_all(found.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| io(&note, "noting that the store is damaged", source))?;
    sync_folder(path)
}

/// Takes the note back, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    let note = beside(path, ENDING);
    match std::fs::remove_file(&note) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(&note, "taking back that the store is damaged", error)),
    }
}

//! Making a store with its first rows, as a backup is made: whole, or not at all.

use std::io::ErrorKind;
use std::path::Path;

use super::open::{Engine, Plan, create};
use super::path::{exists, resolve};
use super::tables::Tables;
use super::{FileOptions, Fill, Inner};
use crate::storage::identity::{FileMark, IdFile, beside, io};
use crate::storage::{Entropy, StorageError};

/// Makes a store with these rows where there is none. It has its name only once they are on
/// disk; where that fails, nothing stays behind.
pub(super) fn make(
    path: &Path,
    options: &FileOptions,
    entropy: Entropy<'_>,
    plan: Plan,
    fill: Fill<'_>,
) -> Result<Inner, StorageError> {
    let path = resolve(path)?;
    let refuse = |path: &Path| {
        let there = std::io::Error::new(ErrorKind::AlreadyExists, "it is there already");
        Err(io(path, "making a new store", there))
    };
    let id_path = beside(&path, ".id");
    if exists(&path)? {
        return refuse(&path);
    }
    // A crash leaves an empty one, which says as much as none, or one that speaks of a file
    // which never got its name.
    let temp = beside(&path, ".new");
    if std::fs::metadata(&id_path).is_ok_and(|id| id.len() > 0) && !exists(&temp)? {
        return refuse(&id_path);
    }
    let mut id = IdFile::lock(&path)?;
    if exists(&path)? {
        return refuse(&path);
    }
    if let Some(record) = id.record() {
        let left = std::fs::metadata(&temp);
        if !left.is_ok_and(|left| record.mark.agrees(FileMark::of(&left))) {
            return refuse(&id_path);
        }
        id.clear()?;
    }
    match create(&path, options, entropy, &plan, &mut id, fill) {
        Ok(opened) => Ok(opened.into_inner(id, plan)),
        Err(error) => {
            // All under the lock, and none of it was there before. The file itself is ours
            // only if it is the one that the identity file speaks of.
            let ours = |mark: FileMark| id.record().is_some_and(|id| id.mark.agrees(mark));
            if std::fs::metadata(&path).is_ok_and(|there| ours(FileMark::of(&there))) {
                let _ = std::fs::remove_file(&path);
            }
            let _ = std::fs::remove_file(&temp);
            let _ = std::fs::remove_file(&id_path);
            Err(error)
        }
    }
}

impl Engine {
    /// Writes the first rows of a new store, durably.
    pub(super) fn fill(&self, fill: Fill<'_>) -> Result<(), StorageError> {
        let mut transaction = self.begin()?;
        transaction.set_quick_repair(true);
        let mut tables = Tables::new(&self.health, &transaction);
        let filled = fill(&mut tables);
        self.health.clean_up("closing tables", || drop(tables));
        if filled.is_ok() {
            return self.health.write("committing", || transaction.commit());
        }
        self.health.clean_up("taking a transaction back", || {
            let _ = transaction.abort();
        });
        filled
    }
}

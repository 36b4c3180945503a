//! A store that was found damaged does not sync.
//!
//! To others, an item that this replica has seen and does not hold was removed. So a hole in its
//! rows must never be told to anybody: it would be a delete. Rows are held against their hashes
//! before they are sent, and blocks before claims are made on them; whoever finds something
//! wrong, a session or a [check](Store::check), writes it down, and from then on sessions are
//! refused, also once the store was opened anew, until a check finds nothing wrong. (A file that
//! was put back or copied, and lost the identity file with its note, is a store of its own that
//! nobody has found damaged yet; whoever reads the bad block finds it again.) A row says
//! so, or, where the store takes no more writes, a [note beside
//! it](crate::storage::Storage::note_damage), in the identity file of one that has a file.

use super::space::Space;
use super::store::{Store, lock};
use crate::causal::ReplicaId;
use crate::digest;
use crate::error::{Error, shown};
use crate::storage::{Durability, StorageError, Table, Verdict, Write};

/// What was found, in words.
const DAMAGED_KEY: &[u8] = b"damaged";

impl Store {
    /// What was found wrong with the store, if anything was. It is read and written as ever,
    /// and every session fails with
    /// [`Damaged`](StorageError::Damaged). Save what is sound into a new store, and sync that;
    /// a [check](Self::check) that finds nothing wrong takes this back. So does a fresh name, where
    /// a file was copied or put back without what was noted beside it.
    ///
    /// # Errors
    /// The storage failed.
    pub fn damage(&self) -> Result<Option<String>, Error> {
        if let Some(found) = &*lock(&self.shared.damaged) {
            return Ok(Some(found.clone()));
        }
        let row = self.shared.storage.read()?.get(Table::Meta, DAMAGED_KEY)?;
        Ok(row.map(|found| shown(&found)))
    }

    /// Refuses where the store is damaged.
    pub(crate) fn check_undamaged(&self) -> Result<(), Error> {
        match self.damage()? {
            Some(found) => Err(StorageError::Damaged { found }.into()),
            None => Ok(()),
        }
    }

    /// Writes down that the store is damaged, where an error says so. Where even that cannot
    /// be written it counts until the store is closed.
    pub(crate) fn note_error(&self, error: &Error) {
        if let Error::Storage(error @ StorageError::Corrupt { .. }) = error {
            self.note_damage(error.to_string());
        }
    }

    /// Writes down what was found wrong.
    pub(super) fn note_damage(&self, found: String) {
        if self.write_damage(Some(&found)).is_err() {
            // Whoever met a damaged block in a file writes nothing more into it.
            let _ = self.shared.storage.note_damage(Some(&found));
        }
        *lock(&self.shared.damaged) = Some(found);
    }

    /// Writes down that nothing is wrong, where it was said that something is.
    ///
    /// # Errors
    /// The storage failed, and it is said as before.
    pub(super) fn take_back_damage(&self) -> Result<(), Error> {
        if self.damage()?.is_none() {
            return Ok(());
        }
        self.write_damage(None)?;
        self.shared.storage.note_damage(None)?;
        *lock(&self.shared.damaged) = None;
        Ok(())
    }

    fn write_damage(&self, found: Option<&str>) -> Result<(), Error> {
        self.shared.writer()?.commit(Durability::Immediate, &mut |rows| {
            match found {
                Some(found) => put_damage(rows, found)?,
                None if rows.delete(Table::Meta, DAMAGED_KEY)? => {}
                None => return Ok(Verdict::Abort),
            }
            Ok(Verdict::Commit)
        })?;
        Ok(())
    }
}

/// Puts the row that says what was found.
pub(super) fn put_damage(rows: &mut dyn Write, found: &str) -> Result<(), StorageError> {
    rows.put(Table::Meta, DAMAGED_KEY, found.as_bytes())
}

impl Space {
    /// Holds blocks against their hashes: before claims are made on them, and before those of
    /// a peer change them.
    pub(crate) fn check_blocks(
        &self,
        mut blocks: impl Iterator<Item = (ReplicaId, u64)>,
    ) -> Result<(), Error> {
        self.with_digest(|rows, space, vector| {
            blocks.try_for_each(|(origin, block)| {
                if digest::is_as_hashed(rows, space, vector, origin, block)? {
                    return Ok(());
                }
                let place = format!("block {block} of replica {origin}");
                let reason = "its items are not those that its hash was made of".to_owned();
                Err(StorageError::Corrupt { place, reason }.into())
            })
        })
    }
}

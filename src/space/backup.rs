//! A consistent copy of a store that is in use.
//!
//! A backup is a replica of its own: it has all that the original had seen at one moment, and
//! a name under which the original never writes. So nothing needs to be noticed when it is
//! put back: it is a replica that was away since then, and what others learned meanwhile it
//! learns when it meets them. A copy under the old name would write new events under dots
//! that peers have already seen, and they would drop them as dead.
//!
//! # Why each table may be copied as it is
//! | table | why |
//! |---|---|
//! | meta | the clock must not fall back behind what it has stamped; the count of spaces gives the next number; meetings say up to which commit all was equal, and commits go on; names after a drop are made of the copy's own |
//! | spaces, touched | the numbers stand in the keys of all other tables; commits go on |
//! | items, dots, vectors | this is the state. Events of the original are those of another replica now, and keep their dots |
//! | states | counts of the rows copied beside it; the number of the last commit, from which the copy counts on |
//! | staging, in states, vectors, items, dots and removals | what a peer's delta has brought so far, told from the same vector: the peer goes on behind it. Left out, it would only travel again |
//! | removals, their ages | what helps peers who were away; the ages are numbers of commits, which go on |
//! | commits | a cursor of the original means the same commit here, up to the backup |
//! | digest | hashes and marks of the rows copied beside it |
//! | trash | what was taken away before the moment can be restored in the copy as here |
//! | bases | vectors by their own hash; each was proven before this moment, so the copy's vector is not below |
//!
//! Name and nonce stand in none of them: the file has its own.
//!
//! # The moment counts as shown
//! A counter's newest own row is replaced in place as long as nobody can have seen it. The
//! obvious code, which only reads, breaks that:
//!
//! 1. The counter holds the row a5 with 3. A backup is made, with a5 in it.
//! 2. A adds 2: nobody has seen a5, so a6 with 5 takes its place, and says nothing of a5.
//! 3. The backup is opened and meets A. It takes a6, keeps a5, and shows 8 until the proof
//!    fails and the walk finds a5.
//!
//! So the moment is taken under the right to write, as that of a delta is.

use std::ops::ControlFlow;
use std::path::Path;

use super::damage::put_damage;
use super::rows::range;
use super::store::Store;
use crate::causal::ReplicaId;
use crate::error::Error;
use crate::storage::{FileOptions, Order, Read, RedbStorage, Storage, StorageError, Table, Write};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The name under which the copy writes.
    pub replica: ReplicaId,
    /// Rows copied.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub row_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Rows between two words about how far a backup is.
const ROWS_A_WORD: u64 = 4096;

impl Store {
    /// Copies the store into a new file, as it is at this moment: transactions whole, all
    /// spaces of one moment. Reads and writes go on meanwhile. The copy is a store under a
    /// name of its own: opened here or elsewhere, it is a replica that has not met the others
    /// since now. The file has its name once all of it is on disk, and `FILE.id` beside it.
    ///
    /// Takes the time of reading all rows and writing them anew, and memory for the pages of
    /// two files ([`Options::cache_bytes`](crate::Options::cache_bytes) each). While it goes
    /// on a snapshot is held: the file may grow by what is written meanwhile, and
    /// [`compact`](Store::compact) and [`check`](Store::check) are refused.
    ///
    /// # Errors
    /// There is a file of this name or an identity file beside it, which are left as they
    /// are; either disk failed; or this is within a write. Nothing of the copy stays behind.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, copy) = (folder.path().join("notes.store"), folder.path().join("notes.backup"));
    /// let store = rejoin::Store::open(path)?;
    /// store.space("main")?.register("title").set(&"Notes")?;
    /// let report = store.backup(&copy)?;
    ///
    /// let copy = rejoin::Store::open(copy)?;
    /// assert_eq!(copy.space("main")?.root()?, store.space("main")?.root()?);
    /// assert_eq!(copy.replica(), report.replica);
    /// assert_ne!(copy.replica(), store.replica());
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupReport, Error> {
        self.backup_telling(path, |_, _| {})
    }

    /// [`Store::backup`], which says every few thousand rows how many rows, and bytes of
    /// them, it has copied.
    ///
    /// # Errors
    /// As [`Store::backup`].
    pub fn backup_telling(
        &self,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<BackupReport, Error> {
        let options = &self.shared.options;
        let file = FileOptions { cache_bytes: options.cache_bytes, ..FileOptions::default() };
        let (from, damaged) = (self.shared.rows_to_show()?, self.damage()?);
        let (mut rows, mut row_bytes) = (0, 0);
        let made =
            RedbStorage::make(path, &file, &mut |bytes| (options.entropy)(bytes), &mut |to| {
                copy(&*from, to, &mut |bytes| {
                    (rows, row_bytes) = (rows + 1, row_bytes + bytes);
                    if rows % ROWS_A_WORD == 0 {
                        progress(rows, row_bytes);
                    }
                })?;
                damaged.as_ref().map_or(Ok(()), |found| put_damage(to, found))
            })?;
        progress(rows, row_bytes);
        let (replica, file_bytes) = (made.replica(), made.close()?);
        Ok(BackupReport { replica, rows, row_bytes, file_bytes })
    }
}

/// Copies all tables, row by row; says of each row how many bytes it has.
fn copy(
    from: &dyn Read,
    to: &mut dyn Write,
    each: &mut dyn FnMut(u64),
) -> Result<(), StorageError> {
    for table in Table::ALL {
        let mut written = Ok(());
        from.scan(table, range(&[], &[]), Order::Ascending, &mut |key, value| {
            written = to.put(table, key, value);
            each((key.len() + value.len()) as u64);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
    }
    Ok(())
}

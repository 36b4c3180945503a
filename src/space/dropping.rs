//! Dropping a space here: its rows go, and what other replicas hold of it stays.
//!
//! A version vector that covers a dot whose item is gone *is* a delete. So the vector goes
//! with the items: to others this replica then is one that has never seen the space. The
//! dots that it made there are known elsewhere and must not be made again; therefore it writes
//! under another name in that space from then on, made of its own name, a count and a tag.
//!
//! The first commit takes the name off the rows; the rest frees them, some in each commit, and
//! goes on with the next drop or [`Store::compact`] where it was cut.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::batch::release_staged;
use super::catalog::drop_touched;
use super::meetings::forget_meetings;
use super::rows::{
    SPACE_BYTES, Which, after, batch, corrupt, range, read_state, space_key, vector_key,
};
use super::store::{Store, number_of};
use super::waiting::forget_waiting;
use crate::causal::{ReplicaId, Tag};
use crate::codec::{Cursor, DecodeError, Put};
use crate::error::Error;
use crate::faults::fault;
use crate::storage::{Durability, Order, Read, StorageError, Table, Verdict, Write};

/// Rows freed in one commit.
const A_COMMIT: usize = 4096;

const DROPPED_KEY: &[u8] = b"dropped/";
const NAMES_KEY: &[u8] = b"names/";

/// The tables whose keys begin with the number of a space.
const OF_SPACES: [Table; 10] = [
    Table::Items,
    Table::Dots,
    Table::Removals,
    Table::RemovalAges,
    Table::Commits,
    Table::Vectors,
    Table::Digest,
    Table::Bases,
    Table::States,
    Table::Trash,
];

fn names_key(space: &str) -> Vec<u8> {
    [NAMES_KEY, space.as_bytes()].concat()
}

/// Whether the space of this number was dropped and has rows that are not freed yet.
pub(super) fn is_dropped(rows: &dyn Read, number: u32) -> Result<bool, StorageError> {
    let key = [DROPPED_KEY, &space_key(number)].concat();
    Ok(rows.get(Table::Meta, &key)?.is_some())
}

/// How many names of its own this replica has used up in a space, and the tag of the opening
/// in which it gave up the last: nothing where it has used up none.
fn names_used(rows: &dyn Read, space: &str) -> Result<Option<(u64, Tag)>, StorageError> {
    let key = names_key(space);
    let Some(row) = rows.get(Table::Meta, &key)? else { return Ok(None) };
    names_of_row(&row).map(Some).map_err(|e| corrupt(Table::Meta, &key, e))
}

fn names_of_row(row: &[u8]) -> Result<(u64, Tag), DecodeError> {
    let mut cursor = Cursor::new("names used up", row);
    let names = (cursor.varint()?, cursor.tag()?);
    cursor.finish().map(|()| names)
}

fn row_of_names(used: u64, tag: Tag) -> Vec<u8> {
    let mut row = Vec::with_capacity(18);
    row.put_varint(used);
    row.extend_from_slice(tag.as_bytes());
    row
}

/// What such a row says, written again; `None` where its key is another one's.
#[cfg(feature = "sim")]
pub(super) fn respelled(key: &[u8], row: &[u8]) -> Option<Result<Vec<u8>, DecodeError>> {
    if key.starts_with(NAMES_KEY) {
        return Some(names_of_row(row).map(|(used, tag)| row_of_names(used, tag)));
    }
    check_row(key, row).map(|checked| checked.map(|()| row.to_vec()))
}

/// Whether a row of the whole store is one of these; `None` where its key is another one's.
pub(super) fn check_row(key: &[u8], row: &[u8]) -> Option<Result<(), DecodeError>> {
    if let Some(number) = key.strip_prefix(DROPPED_KEY) {
        let mut number = Cursor::new("space that was dropped", number);
        let read = number.array().and_then(|_: [u8; SPACE_BYTES]| number.finish());
        return Some(read.and_then(|()| Cursor::new("space that was dropped", row).finish()));
    }
    key.starts_with(NAMES_KEY).then(|| names_of_row(row).map(drop))
}

/// The name under which `replica` writes in a space. One that follows another is made of the
/// tag of an opening too: a copy of this store, should it use up its name as well, takes
/// another.
pub(super) fn name_in(
    rows: &dyn Read,
    replica: ReplicaId,
    space: &str,
) -> Result<ReplicaId, StorageError> {
    Ok(match names_used(rows, space)? {
        None => replica,
        Some((used, tag)) => {
            let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 name that follows");
            hasher.update(replica.as_bytes()).update(&used.to_be_bytes());
            hasher.update(tag.as_bytes()).update(space.as_bytes());
            let hash = hasher.finalize();
            ReplicaId::from_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
        }
    })
}

/// Uses up the name under which this replica writes in a space.
pub(super) fn use_up_name(rows: &mut dyn Write, space: &str, tag: Tag) -> Result<(), StorageError> {
    let used = names_used(rows, space)?.map_or(0, |(used, _)| used);
    rows.put(Table::Meta, &names_key(space), &row_of_names(used.saturating_add(1), tag))
}

impl Store {
    /// Drops a space *here*, and gives back whether there was one. Other replicas keep what
    /// they hold, and the next session with one of them that is about this space brings it
    /// back: dropping is for what this device no longer wants to keep. To delete what is in
    /// a space everywhere, delete its keys.
    ///
    /// What no other replica has yet seen is lost with it: sync first. The space is empty for
    /// everybody who reads when the first commit is made, which takes a moment; then its rows
    /// are freed, a few thousand in each commit, and writers and readers go on between them.
    /// Handles stay good, and writing begins the space anew, under another
    /// [name](super::Space::replica). A session under way gives it up and
    /// goes on with its other spaces.
    ///
    /// # Errors
    /// The storage failed; the space is dropped or it is not, and freeing goes on with the
    /// next drop or [`compact`](Store::compact).
    ///
    /// ```
    /// # let (store, other) = (rejoin::Store::in_memory(), rejoin::Store::in_memory());
    /// store.space("2024/march")?.counter("visits").add(3)?;
    /// assert!(store.drop_space("2024/march")?);
    /// assert!(store.spaces("")?.is_empty());
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn drop_space(&self, name: &str) -> Result<bool, Error> {
        let mut writer = self.shared.writer()?;
        let mut dropped = None;
        writer.commit(Durability::Immediate, &mut |rows| {
            let Some(number) = number_of(rows, name)? else { return Ok(Verdict::Abort) };
            let own = name_in(rows, self.replica(), name)?;
            let wrote = rows.get(Table::Vectors, &vector_key(number, Which::Seen, own))?.is_some();
            if wrote && !fault!(NameKeptOverADrop) {
                use_up_name(rows, name, self.shared.tag)?;
            }
            let mut state = read_state(rows, number)?;
            release_staged(rows, &mut state)?;
            drop_touched(rows, state.touched)?;
            forget_meetings(rows, name)?;
            forget_waiting(rows, number)?;
            rows.delete(Table::Spaces, name.as_bytes())?;
            rows.put(Table::Meta, &[DROPPED_KEY, &space_key(number)].concat(), &[])?;
            dropped = Some(name_in(rows, self.replica(), name)?);
            Ok(Verdict::Commit)
        })?;
        let Some(replica) = dropped else { return Ok(false) };
        let way = if fault!(DropIsNoWay) { self.ways() } else { self.parts_ways() };
        if let Some(shared) = self.shared.loaded(name) {
            shared.way.store(way, Ordering::SeqCst);
            shared.begin_anew(replica);
        }
        drop(writer);
        self.free_dropped()?;
        Ok(true)
    }

    /// Frees the rows of dropped spaces, some in each commit.
    pub(super) fn free_dropped(&self) -> Result<(), Error> {
        loop {
            let mut more = false;
            self.shared.writer()?.commit(Durability::Eventual, &mut |rows| {
                let to = after(DROPPED_KEY);
                let mut key = None;
                let first = range(DROPPED_KEY, &to);
                rows.scan(Table::Meta, first, Order::Ascending, &mut |found, _| {
                    key = Some(found.to_vec());
                    ControlFlow::Break(())
                })?;
                let Some(key) = key else { return Ok(Verdict::Abort) };
                let from = key.get(DROPPED_KEY.len()..).unwrap_or_default();
                more = true;
                for table in OF_SPACES {
                    let (found, _) = batch(rows, table, from, &after(from), A_COMMIT)?;
                    for (key, _) in &found {
                        rows.delete(table, key)?;
                    }
                    if !found.is_empty() {
                        return Ok(Verdict::Commit);
                    }
                }
                rows.delete(Table::Meta, &key)?;
                Ok(Verdict::Commit)
            })?;
            if !more {
                return Ok(());
            }
        }
    }
}

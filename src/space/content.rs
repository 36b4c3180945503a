//! The item of a dot, as its two rows hold it.

use super::rows::{corrupt, dot_key, item_key, split_dot_value, split_item_value};
use super::scan::Item;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::digest::ItemHash;
use crate::storage::{Read, StorageError, Table};

/// An item without its dot.
pub(super) struct Content {
    pub(super) place: Vec<u8>,
    pub(super) past: VersionVector,
    pub(super) payload: Vec<u8>,
}

impl Content {
    /// The item of a dot with this row.
    ///
    /// # Errors
    /// The storage failed; or there is no such item, or one of another hash than the row says.
    pub(super) fn read(
        rows: &dyn Read,
        space: u32,
        dot: Dot,
        row: &[u8],
    ) -> Result<Self, StorageError> {
        let row =
            split_dot_value(row).map_err(|e| corrupt(Table::Dots, &dot_key(space, dot), e))?;
        let (key, value) = item_row(rows, space, dot, row.place)?;
        let wrong = |e| corrupt(Table::Items, &key, e);
        let (past, payload) = split_item_value(&value).map_err(wrong)?;
        if ItemHash::of(dot, row.place, payload) != row.hash {
            return Err(corrupt(Table::Items, &key, "its content has another hash"));
        }
        Ok(Self { place: row.place.to_vec(), past, payload: payload.to_vec() })
    }

    /// About what it takes in a chunk.
    pub(super) fn bytes(&self) -> usize {
        8 + self.place.len() + 20 * self.past.len() + self.payload.len()
    }

    pub(super) fn hash(&self, dot: Dot) -> ItemHash {
        ItemHash::of(dot, &self.place, &self.payload)
    }

    /// Its hash, whatever the origin is called.
    pub(super) fn nameless_hash(&self, dot: Dot) -> ItemHash {
        self.hash(Dot::new(ReplicaId::from_bytes([0; 16]), dot.seq))
    }

    pub(super) fn item(&self, dot: Dot) -> Result<Item, StorageError> {
        let made = Item::made(dot, &self.place, &self.payload);
        made.map_err(|e| corrupt(Table::Items, &self.place, e))
    }
}

/// The row of an item that stands here, with its key.
pub(super) fn item_row(
    rows: &dyn Read,
    space: u32,
    dot: Dot,
    place: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), StorageError> {
    let key = item_key(space, place, Some(dot));
    match rows.get(Table::Items, &key)? {
        Some(value) => Ok((key, value)),
        None => Err(corrupt(Table::Items, &key, "a dot whose item is gone")),
    }
}

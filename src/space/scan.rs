//! Scans: keys and items in order, by prefix or range.

use core::ops::{Bound, ControlFlow, RangeBounds};

use super::fields;
use super::tx::Reads;
use super::view::Row;
use super::{Snapshot, Space, Tx};
use crate::causal::Dot;
use crate::codec::{DecodeError, Kind, place};
use crate::error::Error;
use crate::space::rows::{after, corrupt};
use crate::storage::{StorageError, Table};

/// Which keys a scan is about.
///
/// ```
/// # let space = rejoin::Store::in_memory().space("main")?;
/// use rejoin::space::Keys;
/// for key in ["apple", "banana", "cherry"] {
///     space.put(key, "1", None)?;
/// }
/// let names = |keys| Ok::<_, rejoin::Error>(space.keys(keys)?.len());
/// assert_eq!(names(Keys::all())?, 3);
/// assert_eq!(names(Keys::prefix("b"))?, 1);
/// assert_eq!(names(Keys::range("apple".."cherry"))?, 2);
/// assert_eq!(names(Keys::range("banana"..))?, 2);
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    from: Vec<u8>,
    /// Empty: to the end.
    to: Vec<u8>,
}

impl Keys {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::prefix(b"")
    }

    /// Those that start so.
    #[must_use]
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        let from = place::key_range_start(prefix.as_ref());
        Self { to: after(&from), from }
    }

    /// Those of a range, in byte order.
    #[must_use]
    pub fn range<K: AsRef<[u8]>>(range: impl RangeBounds<K>) -> Self {
        let start = |key: &K| place::key_range_start(key.as_ref());
        let behind = |key: &K| after(&[place::key_range_start(key.as_ref()), vec![0, 0]].concat());
        let from = match range.start_bound() {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => start(key),
            Bound::Excluded(key) => behind(key),
        };
        let to = match range.end_bound() {
            Bound::Unbounded => Vec::new(),
            Bound::Excluded(key) => start(key),
            Bound::Included(key) => behind(key),
        };
        // An empty end would be no end at all.
        let none = matches!(range.end_bound(), Bound::Excluded(_)) && to.is_empty();
        Self { to: if none { vec![0] } else { to }, from }
    }
}

/// A key, and the types that stand under it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyEntry {
    /// The key.
    pub key: Vec<u8>,
    /// What stands there: mostly one type; more where replicas used the key for different
    /// things.
    pub kinds: Vec<Kind>,
}

/// A live item, as it is kept: what all types are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// The key.
    pub key: Vec<u8>,
    /// The path beneath it, down to what the item is a row of.
    pub path: Vec<(Kind, Vec<u8>)>,
    /// The event that wrote it.
    pub dot: Dot,
    /// What it holds, spelled as its type does.
    pub payload: Vec<u8>,
}

impl Item {
    /// What this version cannot read of the payload: what stands there behind the fields that it
    /// knows of the type, and all of it where it does not know the type. A newer version wrote
    /// it. It is kept and passed on byte for byte, until the item is replaced.
    #[must_use]
    pub fn unknown(&self) -> &[u8] {
        let kind = self.path.last().map(|(kind, _)| *kind);
        kind.and_then(|kind| fields::unknown(kind, &self.payload).ok()).unwrap_or_default()
    }

    /// The item of an event at a place.
    pub(super) fn made(dot: Dot, place: &[u8], payload: &[u8]) -> Result<Self, DecodeError> {
        let (key, path) = (place::key_of(place)?, place::steps_of(place)?);
        Ok(Self { key, path, dot, payload: payload.to_vec() })
    }

    fn of(row: &Row<'_>) -> Result<Self, StorageError> {
        let made = Self::made(row.dot, row.place, row.payload()?);
        made.map_err(|e| corrupt(Table::Items, row.key, e))
    }
}

fn each_key<C: Reads>(
    on: &C,
    keys: &Keys,
    mut visit: impl FnMut(KeyEntry) -> ControlFlow<()>,
) -> Result<(), Error> {
    let key_end = |bytes: &[u8]| place::encoded_key_of(bytes).ok().map(<[u8]>::len);
    on.read(|view| {
        view.each_start_in(&keys.from, &keys.to, key_end, |encoded| {
            let key = place::key_of(encoded).map_err(|e| corrupt(Table::Items, encoded, e))?;
            Ok(visit(KeyEntry { key, kinds: view.kinds(encoded)? }))
        })?;
        Ok(())
    })
}

fn each_item<C: Reads>(
    on: &C,
    keys: &Keys,
    mut visit: impl FnMut(Item) -> ControlFlow<()>,
) -> Result<(), Error> {
    on.read(|view| {
        view.each_row_in(&keys.from, &keys.to, &mut |row| Ok(visit(Item::of(&row)?)))?;
        Ok(())
    })
}

macro_rules! scans {
    ([$($life:tt)*] $on:ty, by $self:ident => $held:expr) => {
        impl<$($life)*> $on {
            /// Visits keys in order with the types under each: a look-up for each key and
            /// type, however much stands there. [`ControlFlow::Break`] ends the visit.
            ///
            /// # Errors
            /// The storage failed.
            pub fn for_each_key(
                &$self,
                keys: Keys,
                visit: impl FnMut(KeyEntry) -> ControlFlow<()>,
            ) -> Result<(), Error> {
                each_key(&$held, &keys, visit)
            }

            /// The keys in order, all in memory.
            ///
            /// # Errors
            /// The storage failed.
            pub fn keys(&$self, keys: Keys) -> Result<Vec<KeyEntry>, Error> {
                let mut found = Vec::new();
                each_key(&$held, &keys, |entry| {
                    found.push(entry);
                    ControlFlow::Continue(())
                })?;
                Ok(found)
            }

            /// Visits the live items of keys, in order of key, path and dot: every row of
            /// every type. [`ControlFlow::Break`] ends the visit.
            ///
            /// # Errors
            /// The storage failed.
            pub fn for_each_item(
                &$self,
                keys: Keys,
                visit: impl FnMut(Item) -> ControlFlow<()>,
            ) -> Result<(), Error> {
                each_item(&$held, &keys, visit)
            }
        }
    };
}

scans!([] Space, by self => self.clone());
scans!([] Snapshot, by self => self.clone());
scans!(['t] Tx<'t>, by self => self);

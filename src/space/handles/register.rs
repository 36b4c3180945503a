//! Registers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stored::Reading;
use super::{At, Stored, handle_of};
use crate::causal::{Dot, Hlc};
use crate::codec::encoding::encode;
use crate::codec::{Cursor, Kind, Prefix};
use crate::crdt::rules;
use crate::error::Error;
use crate::space::change::STAMP_BYTES;
use crate::space::rows::corrupt;
use crate::space::tx::{Reads, Writes};
use crate::storage::{StorageError, Table};

handle_of!(
    /// A value of which the last writer wins: of *concurrent* writes the one with the greatest
    /// (timestamp, dot). A write that has seen another always wins over it, whatever the
    /// clocks say.
    LwwRegister<T>
);

handle_of!(
    /// A value that keeps every concurrent write until one that has seen them replaces them.
    MvRegister<T>
);

/// A sibling's timestamp, dot and value.
type Sibling = (Hlc, Dot, Vec<u8>);

/// What stands at a register's path.
fn siblings<C: Reads>(at: &At<C>, kind: Kind) -> Result<(Prefix, Vec<Sibling>), Error> {
    let prefix = at.step(kind, b"")?;
    let place = prefix.place();
    let found = at.on.read(|view| Ok(view.found(place.as_bytes())?))?;
    let rows: Result<Vec<_>, StorageError> = found
        .into_iter()
        .map(|found| {
            let (at, value) = split_stamp(&found.payload)?;
            Ok((at, found.dot, value.to_vec()))
        })
        .collect();
    Ok((prefix, rows?))
}

/// Timestamp and value of a register's payload.
pub(crate) fn split_stamp(payload: &[u8]) -> Result<(Hlc, &[u8]), StorageError> {
    debug_assert_eq!(STAMP_BYTES, size_of::<u64>());
    let mut cursor = Cursor::new("register", payload);
    let stamp = cursor.array().map_err(|e| corrupt(Table::Items, b"", e))?;
    Ok((Hlc::from_be_bytes(stamp), cursor.take_rest()))
}

macro_rules! register_handle {
    ($name:ident, $kind:expr) => {
        impl<T: Serialize, C: Writes> $name<T, C> {
            /// Writes a value in place of all that is observed here.
            ///
            /// # Errors
            /// The key or value cannot be, or the storage failed.
            pub fn set(&self, value: &T) -> Result<(), Error> {
                let place = self.at.step($kind, b"")?;
                let value = encode(value)?;
                self.at.on.change(|change| {
                    let payload = change.stamped(&value);
                    change.replace_all(&place, &payload).map(drop)
                })
            }

            /// Writes a value beside all that is here, as if nothing had been seen.
            ///
            /// # Errors
            /// The key or value cannot be, or the storage failed.
            pub fn set_blind(&self, value: &T) -> Result<(), Error> {
                let place = self.at.step($kind, b"")?;
                let value = encode(value)?;
                self.at.on.change(|change| {
                    let payload = change.stamped(&value);
                    change.replace_seen(&place, &Default::default(), &payload).map(drop)
                })
            }

            /// Takes away all that is observed here; whether anything was.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn clear(&self) -> Result<bool, Error> {
                let place = self.at.step($kind, b"")?;
                self.at.on.change(|change| Ok(change.remove(&place)?.is_some()))
            }
        }
    };
}

register_handle!(LwwRegister, Kind::REGISTER);
register_handle!(MvRegister, Kind::MV_REGISTER);

impl<T: DeserializeOwned, C: Reads> LwwRegister<T, C> {
    /// The value that wins, if any was written.
    ///
    /// # Errors
    /// The value is not a `T` ([`stored`](Self::stored) hands it over as it is), the key
    /// cannot be, or the storage failed.
    pub fn get(&self) -> Result<Option<T>, Error> {
        Ok(self.stored()?.map(Stored::decoded).transpose()?)
    }

    /// The value that wins, if any was written, also where it is no `T`.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn stored(&self) -> Result<Option<Stored<T>>, Error> {
        let (at, rows) = siblings(&self.at, Kind::REGISTER)?;
        let winner = rules::lww_winner(rows.iter().map(|(t, d, v)| (*t, *d, v)));
        Ok(winner.map(|(_, _, value)| Reading::new(&at, Kind::REGISTER).value(value)))
    }

    /// The concurrent values that lost, the latest first: readable until the next write.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn conflicts(&self) -> Result<Vec<Stored<T>>, Error> {
        let (at, mut rows) = siblings(&self.at, Kind::REGISTER)?;
        rows.sort_unstable_by_key(|row| core::cmp::Reverse((row.0, row.1)));
        let reading = Reading::new(&at, Kind::REGISTER);
        Ok(rows.iter().skip(1).map(|(_, _, value)| reading.value(value)).collect())
    }
}

impl<T: DeserializeOwned, C: Reads> MvRegister<T, C> {
    /// Every value that no other replaced, in order of their dots. [`set`](Self::set)
    /// replaces all of them, those that are no `T` too.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn get(&self) -> Result<Vec<Stored<T>>, Error> {
        let (at, rows) = siblings(&self.at, Kind::MV_REGISTER)?;
        let reading = Reading::new(&at, Kind::MV_REGISTER);
        Ok(rows.iter().map(|(_, _, value)| reading.value(value)).collect())
    }
}

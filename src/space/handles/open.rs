//! How handles are made: the same calls on a space, a snapshot and a transaction.

use super::{At, Counter, DwFlag, EwFlag, LwwRegister, Map, MvRegister, RwSet, Set};
use crate::codec::Kind;
use crate::error::Error;
use crate::space::{Snapshot, Space, Tx};

macro_rules! makes_handles {
    ($(#[$meta:meta])* impl[$($life:tt)*] $on:ty, as $held:ty, by $self:ident => $make:expr) => {
        $(#[$meta])*
        impl<$($life)*> $on {
            /// A set of elements in which adding wins over a concurrent removal.
            pub fn set<T>(&$self, key: impl AsRef<[u8]>) -> Set<T, $held> {
                Set::at(At::key($make, key.as_ref()))
            }

            /// A set of elements in which removing wins over a concurrent addition.
            pub fn rw_set<T>(&$self, key: impl AsRef<[u8]>) -> RwSet<T, $held> {
                RwSet::at(At::key($make, key.as_ref()))
            }

            /// A number that replicas add to and take from.
            pub fn counter(&$self, key: impl AsRef<[u8]>) -> Counter<$held> {
                Counter::at(At::key($make, key.as_ref()))
            }

            /// A value of which the last writer wins.
            pub fn register<T>(&$self, key: impl AsRef<[u8]>) -> LwwRegister<T, $held> {
                LwwRegister::at(At::key($make, key.as_ref()))
            }

            /// A value that keeps every concurrent write.
            pub fn mv_register<T>(&$self, key: impl AsRef<[u8]>) -> MvRegister<T, $held> {
                MvRegister::at(At::key($make, key.as_ref()))
            }

            /// A flag in which enabling wins.
            pub fn flag(&$self, key: impl AsRef<[u8]>) -> EwFlag<$held> {
                EwFlag::at(At::key($make, key.as_ref()))
            }

            /// A flag in which disabling wins.
            pub fn dw_flag(&$self, key: impl AsRef<[u8]>) -> DwFlag<$held> {
                DwFlag::at(At::key($make, key.as_ref()))
            }

            /// A map whose values are any of these types, maps too.
            pub fn map<K>(&$self, key: impl AsRef<[u8]>) -> Map<K, $held> {
                Map::at(At::key($make, key.as_ref()))
            }

            /// The types that stand under a key: more than one where replicas used it
            /// for different things. Nothing of either is lost.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn kinds(&$self, key: impl AsRef<[u8]>) -> Result<Vec<Kind>, Error> {
                At::key($make, key.as_ref()).kinds()
            }
        }
    };
}

makes_handles!(impl[] Space, as Space, by self => self.clone());
makes_handles!(impl[] Snapshot, as Snapshot, by self => self.clone());
makes_handles!(impl['t] Tx<'t>, as &Tx<'t>, by self => self);

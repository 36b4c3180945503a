//! Maps.

use core::fmt;
use core::marker::PhantomData;
use core::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{At, Counter, DwFlag, EwFlag, LwwRegister, MvRegister, RwSet, Set, decode, encode};
use crate::codec::{Kind, Prefix, place};
use crate::error::{Error, UsageError};
use crate::space::Space;
use crate::space::rows::corrupt;
use crate::space::tx::{Reads, Writes};
use crate::storage::Table;

/// A map whose values are of any type, maps too, down to
/// [`PATH_STEPS`](crate::codec::limits::PATH_STEPS).
///
/// A key is in the map while anything lives beneath it. Removing a key removes what was
/// observed there; what another replica writes beneath it concurrently survives.
pub struct Map<K, C = Space> {
    at: At<C>,
    by: PhantomData<fn() -> K>,
}

impl<K, C: Clone> Clone for Map<K, C> {
    fn clone(&self) -> Self {
        Self::at(self.at.clone())
    }
}

impl<K, C: fmt::Debug> fmt::Debug for Map<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.at).finish()
    }
}

impl<K, C> Map<K, C> {
    pub(super) fn at(at: At<C>) -> Self {
        Self { at, by: PhantomData }
    }
}

impl<K: Serialize, C: Reads> Map<K, C> {
    fn field(&self, field: &K) -> Result<Prefix, Error> {
        self.at.step(Kind::MAP, &encode(field)?)
    }

    fn beneath(&self, field: &K) -> Result<At<C>, Error> {
        let base = match self.field(field) {
            Ok(prefix) => Ok(prefix),
            // What is wrong with the place shows with the first call on the handle.
            Err(Error::Usage(UsageError::Place(error))) => Err(error),
            Err(other) => return Err(other),
        };
        Ok(At { on: self.at.on.clone(), base })
    }

    /// The last-writer-wins register under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn register<T>(&self, field: &K) -> Result<LwwRegister<T, C>, Error> {
        Ok(LwwRegister::at(self.beneath(field)?))
    }

    /// The multi-value register under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn mv_register<T>(&self, field: &K) -> Result<MvRegister<T, C>, Error> {
        Ok(MvRegister::at(self.beneath(field)?))
    }

    /// The counter under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn counter(&self, field: &K) -> Result<Counter<C>, Error> {
        Ok(Counter::at(self.beneath(field)?))
    }

    /// The set under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn set<T>(&self, field: &K) -> Result<Set<T, C>, Error> {
        Ok(Set::at(self.beneath(field)?))
    }

    /// The set in which removing wins under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn rw_set<T>(&self, field: &K) -> Result<RwSet<T, C>, Error> {
        Ok(RwSet::at(self.beneath(field)?))
    }

    /// The flag under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn flag(&self, field: &K) -> Result<EwFlag<C>, Error> {
        Ok(EwFlag::at(self.beneath(field)?))
    }

    /// The flag in which disabling wins under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn dw_flag(&self, field: &K) -> Result<DwFlag<C>, Error> {
        Ok(DwFlag::at(self.beneath(field)?))
    }

    /// The map under a field.
    ///
    /// # Errors
    /// The field cannot be encoded.
    pub fn map<L>(&self, field: &K) -> Result<Map<L, C>, Error> {
        Ok(Map::at(self.beneath(field)?))
    }

    /// The types that stand under a field.
    ///
    /// # Errors
    /// The field cannot be, or the storage failed.
    pub fn kinds(&self, field: &K) -> Result<Vec<Kind>, Error> {
        self.beneath(field)?.kinds()
    }

    /// Whether anything lives under a field.
    ///
    /// # Errors
    /// The field cannot be, or the storage failed.
    pub fn contains(&self, field: &K) -> Result<bool, Error> {
        let prefix = self.field(field)?;
        self.at.on.read(|view| Ok(view.any(prefix.as_bytes())?))
    }
}

impl<K: Serialize + DeserializeOwned, C: Reads> Map<K, C> {
    /// The fields beneath which anything lives, in order of their encoding. One look-up a field.
    ///
    /// # Errors
    /// The key cannot be, a field is not a `K`, or the storage failed.
    pub fn fields(&self) -> Result<Vec<K>, Error> {
        let base = self.at.base()?;
        let prefix = [base.as_bytes(), &[Kind::MAP.number()]].concat();
        let field_end = |found: &[u8]| place::first_step_end(found, base.as_bytes().len());
        let mut fields = Vec::new();
        self.at.on.read(|view| {
            let mut ended = Ok(());
            view.each_start(&prefix, field_end, |found| {
                let step = place::last_step_of(found).map_err(|e| corrupt(Table::Items, found, e));
                match step.map_err(Error::from).and_then(|(_, name)| decode(base, Kind::MAP, &name))
                {
                    Ok(field) => fields.push(field),
                    Err(error) => {
                        ended = Err(error);
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            ended
        })?;
        Ok(fields)
    }
}

impl<K: Serialize, C: Writes> Map<K, C> {
    /// Removes a field with everything observed beneath it; whether anything was.
    ///
    /// # Errors
    /// The field cannot be, or the storage failed.
    pub fn remove(&self, field: &K) -> Result<bool, Error> {
        let prefix = self.field(field)?;
        self.at.on.change(|change| Ok(change.remove(&prefix)?.is_some()))
    }
}

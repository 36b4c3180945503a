//! Maps.

use core::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stored::Reading;
use super::{At, Counter, DwFlag, EwFlag, LwwRegister, MvRegister, RwSet, Set, Stored, handle_of};
use crate::codec::{Kind, Prefix, place};
use crate::error::{Error, Undecodable, UsageError};
use crate::space::rows::corrupt;
use crate::space::tx::{Reads, Writes};
use crate::storage::Table;

handle_of!(
    /// A map whose values are of any type, maps too, down to
    /// [`PATH_STEPS`](crate::codec::limits::PATH_STEPS).
    ///
    /// A key is in the map while anything lives beneath it. Removing a key removes what was
    /// observed there; what another replica writes beneath it concurrently survives. Like
    /// an element of a [`Set`], a field must have one encoding.
    Map<K>
);

impl<K: Serialize + DeserializeOwned, C: Reads> Map<K, C> {
    fn field(&self, field: &K) -> Result<Prefix, Error> {
        self.at.named(Kind::MAP, field)
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

    /// The fields beneath which anything lives, in order of their encoding; what is no `K`
    /// stands in its place as [`Stored::Undecodable`]. One look-up a field.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn fields(&self) -> Result<Vec<Stored<K>>, Error> {
        let base = self.at.base()?;
        let prefix = [base.as_bytes(), &[Kind::MAP.number()]].concat();
        let field_end = |found: &[u8]| place::first_step_end(found, base.as_bytes().len());
        let reading = Reading::new(base, Kind::MAP);
        let mut fields = Vec::new();
        self.at.on.read(|view| {
            view.each_start(&prefix, field_end, |found| {
                let step = place::last_step_of(found).map_err(|e| corrupt(Table::Items, found, e));
                fields.push(reading.name(&step?.1));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(())
        })?;
        Ok(fields)
    }
}

impl<K: Serialize + DeserializeOwned, C: Writes> Map<K, C> {
    /// Removes a field with everything observed beneath it; whether anything was.
    ///
    /// # Errors
    /// The field cannot be, or the storage failed.
    pub fn remove(&self, field: &K) -> Result<bool, Error> {
        self.remove_at(self.field(field)?)
    }

    /// Removes a field that is no `K`, as a read has shown it, with everything observed
    /// beneath it; whether anything was.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn remove_undecodable(&self, field: &Undecodable) -> Result<bool, Error> {
        self.remove_at(self.at.step(Kind::MAP, field.bytes())?)
    }

    fn remove_at(&self, prefix: Prefix) -> Result<bool, Error> {
        self.at.on.change(|change| Ok(change.remove(&prefix)?.is_some()))
    }
}

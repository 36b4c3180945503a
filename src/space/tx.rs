//! Transactions, and what a handle stands on: a space, a snapshot, a transaction.

use std::cell::RefCell;

use super::change::Change;
use super::space::Space;
use super::view::{Snapshot, View};
use crate::error::{Error, UsageError};

/// A transaction on one space, as [`Space::write`] hands it to its closure: handles made
/// from it see its own changes.
pub struct Tx<'t> {
    change: RefCell<Change<'t>>,
}

impl<'t> Tx<'t> {
    pub(super) fn new(change: Change<'t>) -> Self {
        Self { change: RefCell::new(change) }
    }

    /// Up to where `replica` is seen, this transaction included.
    #[cfg(feature = "sim")]
    pub(crate) fn seen(
        &self,
        replica: crate::causal::ReplicaId,
    ) -> Result<crate::causal::Seq, Error> {
        let tx: &Self = self;
        tx.change(|change| Ok(change.batch.seen(replica)))
    }

    pub(super) fn into_change(self) -> Change<'t> {
        self.change.into_inner()
    }
}

impl core::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// Something that a handle can read from: [`Space`] (each read at the moment it is made),
/// [`Snapshot`] (all at its moment) and `&`[`Tx`] (its own changes included).
///
/// Not to be implemented elsewhere.
pub trait Reads: Clone + sealed::Sealed {
    #[doc(hidden)]
    fn read<R>(&self, work: impl FnOnce(&View<'_>) -> Result<R, Error>) -> Result<R, Error>;
    #[doc(hidden)]
    fn space_name(&self) -> String;
}

/// Something that a handle can write to: [`Space`] (each write a transaction of its own) and
/// `&`[`Tx`].
///
/// Not to be implemented elsewhere.
pub trait Writes: Reads {
    #[doc(hidden)]
    fn change<R>(&self, work: impl FnOnce(&mut Change<'_>) -> Result<R, Error>)
    -> Result<R, Error>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Space {}
    impl Sealed for super::Snapshot {}
    impl Sealed for &super::Tx<'_> {}
}

impl Reads for Space {
    fn read<R>(&self, work: impl FnOnce(&View<'_>) -> Result<R, Error>) -> Result<R, Error> {
        Self::read(self, work)
    }

    fn space_name(&self) -> String {
        self.name().to_owned()
    }
}

impl Writes for Space {
    fn change<R>(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        Self::change(self, work)
    }
}

impl Reads for Snapshot {
    fn read<R>(&self, work: impl FnOnce(&View<'_>) -> Result<R, Error>) -> Result<R, Error> {
        work(&self.view())
    }

    fn space_name(&self) -> String {
        self.shared.name.as_ref().to_owned()
    }
}

impl Reads for &Tx<'_> {
    fn read<R>(&self, work: impl FnOnce(&View<'_>) -> Result<R, Error>) -> Result<R, Error> {
        let change = self.change.try_borrow().map_err(|_| UsageError::NestedChange)?;
        work(&change.batch.view())
    }

    fn space_name(&self) -> String {
        self.change.try_borrow().map(|c| c.space_name.as_ref().to_owned()).unwrap_or_default()
    }
}

impl Writes for &Tx<'_> {
    fn change<R>(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut change = self.change.try_borrow_mut().map_err(|_| UsageError::NestedChange)?;
        work(&mut change)
    }
}

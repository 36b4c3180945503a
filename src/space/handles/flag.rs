//! Flags.

use super::At;
use crate::codec::Kind;
use crate::crdt::rules;
use crate::error::Error;
use crate::space::Space;
use crate::space::fields;
use crate::space::tx::{Reads, Writes};

/// A flag in which enabling wins over a concurrent disabling; disabled at first.
#[derive(Clone, Debug)]
pub struct EwFlag<C = Space> {
    at: At<C>,
}

/// A flag in which disabling wins over a concurrent enabling; disabled at first.
#[derive(Clone, Debug)]
pub struct DwFlag<C = Space> {
    at: At<C>,
}

impl<C: Reads> EwFlag<C> {
    pub(super) fn at(at: At<C>) -> Self {
        Self { at }
    }

    /// Whether it is enabled.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn get(&self) -> Result<bool, Error> {
        let place = self.at.step(Kind::EW_FLAG, b"")?.place();
        self.at.on.read(|view| Ok(view.any(place.as_bytes())?))
    }
}

impl<C: Writes> EwFlag<C> {
    /// Enables it.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn enable(&self) -> Result<(), Error> {
        let place = self.at.step(Kind::EW_FLAG, b"")?;
        self.at.on.change(|change| change.replace_all(&place, &[]).map(drop))
    }

    /// Disables it, as far as it is observed to be enabled.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn disable(&self) -> Result<(), Error> {
        let place = self.at.step(Kind::EW_FLAG, b"")?;
        self.at.on.change(|change| change.remove(&place).map(drop))
    }
}

impl<C: Reads> DwFlag<C> {
    pub(super) fn at(at: At<C>) -> Self {
        Self { at }
    }

    /// Whether it is enabled.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn get(&self) -> Result<bool, Error> {
        let place = self.at.step(Kind::DW_FLAG, b"")?.place();
        self.at.on.read(|view| {
            let found = view.found(place.as_bytes())?;
            Ok(rules::remove_wins(found.iter().map(|f| fields::says(&f.payload))))
        })
    }
}

impl<C: Writes> DwFlag<C> {
    /// Enables it; a concurrent disabling wins.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn enable(&self) -> Result<(), Error> {
        self.say(1)
    }

    /// Disables it, also against enablings made concurrently elsewhere.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn disable(&self) -> Result<(), Error> {
        self.say(0)
    }

    fn say(&self, enabled: u8) -> Result<(), Error> {
        let place = self.at.step(Kind::DW_FLAG, b"")?;
        self.at.on.change(|change| change.replace_all(&place, &[enabled]).map(drop))
    }
}

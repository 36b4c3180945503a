//! Counters.

use core::ops::ControlFlow;

use super::At;
use crate::codec::Kind;
use crate::error::Error;
use crate::space::Space;
use crate::space::change::counter_amount;
use crate::space::tx::{Reads, Writes};

/// A number that every replica adds to and takes from; what is read is the sum of it all.
///
/// Each addition is an event of its own, so removing a counter removes exactly the
/// additions observed. A replica keeps at most
/// [`COUNTER_ROWS`](crate::codec::limits::COUNTER_ROWS) rows in one counter.
#[derive(Clone, Debug)]
pub struct Counter<C = Space> {
    at: At<C>,
}

impl<C: Reads> Counter<C> {
    pub(super) fn at(at: At<C>) -> Self {
        Self { at }
    }

    /// The sum, zero where nothing was added.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn get(&self) -> Result<i128, Error> {
        let place = self.at.step(Kind::COUNTER, b"")?.place();
        self.at.on.read(|view| {
            let mut sum: i128 = 0;
            view.each_row(place.as_bytes(), &mut |row| {
                sum += i128::from(counter_amount(row.payload()?)?);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(sum)
        })
    }
}

impl<C: Writes> Counter<C> {
    /// Adds an amount, which may be negative.
    ///
    /// # Errors
    /// What this replica has added in all would leave 64 bits; the key cannot be, or the
    /// storage failed.
    pub fn add(&self, amount: i64) -> Result<(), Error> {
        let place = self.at.step(Kind::COUNTER, b"")?;
        self.at.on.change(|change| change.count(&place, amount).map(drop))
    }
}

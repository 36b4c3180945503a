//! Applications that are tested in worlds.

use super::random::Random;
use crate::error::Error;
use crate::space::{Space, Tx};

/// An application whose replicas live in worlds: what it writes, and what must hold.
///
/// Only the seed and what the replica holds may decide what it does: a world must be the same
/// whenever it is run. Where it panics, that is what does not hold.
pub trait Application: Sync {
    /// Writes something at a replica, in a transaction of its own; what it did, in words.
    ///
    /// # Errors
    /// The storage failed: hand it on, so that the world can judge whether it may.
    fn write(&self, tx: &Tx<'_>, replica: char, random: &mut Random) -> Result<String, Error>;

    /// What must hold of each replica at every moment.
    ///
    /// # Errors
    /// What does not, in words.
    fn always(&self, space: &Space) -> Result<(), String> {
        let _ = space;
        Ok(())
    }

    /// What must hold of each replica in the end, when all have met and are equal.
    ///
    /// # Errors
    /// What does not, in words.
    fn finally(&self, space: &Space) -> Result<(), String> {
        let _ = space;
        Ok(())
    }
}

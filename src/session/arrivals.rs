//! Spaces that the peer opened, and those of them that wait for room.
//!
//! What a space takes here does not depend on the few bytes that open it: the whole vector
//! is read. So only so many are begun at a time; the others wait as they came, and take no
//! more than what the peer sent for them.

use std::collections::{BTreeMap, VecDeque};

use super::message::Standing;
use crate::codec::limits;
use crate::error::{Error, PeerError};

/// Spaces of the peer's that are under way at a time, at most.
const OPEN_SPACES: usize = 1024;

/// Entries of the vectors of these, at most, where there is more than one space: no more
/// than one of them may have by itself.
const OPEN_REPLICAS: usize = limits::VECTOR_REPLICAS;

/// A space that the peer opened.
pub(super) struct Arrival {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) standing: Box<Standing>,
}

#[derive(Default)]
pub(super) struct Arrivals {
    waiting: VecDeque<Arrival>,
    /// Those under way, and how many entries their vectors have.
    open: BTreeMap<u64, usize>,
    replicas: usize,
    /// The least number that the peer may give to its next space.
    next_id: u64,
}

impl Arrivals {
    /// Takes a space that the peer opened.
    ///
    /// # Errors
    /// Its number was given before, or is less than one that was.
    pub(super) fn push(&mut self, arrival: Arrival) -> Result<(), Error> {
        self.take_number(arrival.id)?;
        self.waiting.push_back(arrival);
        Ok(())
    }

    /// Takes the number of a space that the peer opened.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(super) fn take_number(&mut self, id: u64) -> Result<(), Error> {
        if id < self.next_id {
            return Err(PeerError::Protocol { what: "a space opened twice" }.into());
        }
        self.next_id = id.saturating_add(1);
        Ok(())
    }

    /// The next space to begin with, if there is room for it.
    pub(super) fn next(&mut self) -> Option<Arrival> {
        let room = self.open.len() < OPEN_SPACES && self.replicas < OPEN_REPLICAS;
        if room || self.open.is_empty() { self.waiting.pop_front() } else { None }
    }

    /// A space was begun, whose vectors have so many entries.
    pub(super) fn note(&mut self, id: u64, replicas: usize) {
        self.replicas += replicas;
        self.open.insert(id, replicas);
    }

    /// A space came to its end.
    pub(super) fn forget(&mut self, id: u64) {
        self.replicas -= self.open.remove(&id).unwrap_or(0);
    }

    /// The peer gives up a space with which nobody has begun; its name.
    pub(super) fn give_up(&mut self, id: u64) -> Option<String> {
        let at = self.waiting.binary_search_by_key(&id, |arrival| arrival.id).ok()?;
        self.waiting.remove(at).map(|arrival| arrival.name)
    }

    /// The names of those that wait, who do so no longer.
    pub(super) fn take_names(&mut self) -> impl Iterator<Item = String> + use<> {
        core::mem::take(&mut self.waiting).into_iter().map(|arrival| arrival.name)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

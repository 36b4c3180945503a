//! Dots: the names of events.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::ReplicaId;

/// The number of an event at its replica, counting 1, 2, 3 … for each replica and space.
///
/// [`Seq::ZERO`] names no event: in a version vector it says that nothing was seen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);
    /// The first event of a replica.
    pub const FIRST: Self = Self(1);
    /// The last number there is.
    pub const MAX: Self = Self(u64::MAX);

    /// The event number `n`.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one; stays at the last one, which 2⁶⁴ events cannot reach.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one; stays at [`Seq::ZERO`].
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether this is [`Seq::ZERO`], the name of no event.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one event: which replica, and the how many-th event of that replica.
///
/// Dots are ordered by replica, then seq: the order in which deltas travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The replica that made the event.
    pub replica: ReplicaId,
    /// The event's number there; never [`Seq::ZERO`] in a dot that names an event.
    pub seq: Seq,
}

impl Dot {
    /// The dot `(replica, seq)`.
    #[must_use]
    pub const fn new(replica: ReplicaId, seq: Seq) -> Self {
        Self { replica, seq }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.replica, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

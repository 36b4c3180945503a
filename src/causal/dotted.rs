//! Dotted version vectors: one event, and what it has seen.
//!
//! Preguiça, Baquero, Almeida, Fonte, Gonçalves, "Dotted Version Vectors: Logical Clocks for
//! Optimistic Replication" (2010), arXiv 1011.5808.
//!
//! Why a value cannot simply be stamped with a version vector of the replicas:
//!
//! 1. Two clients read the same empty value at replica A. The first writes: {A: 1}.
//! 2. The second, which has seen nothing, writes too. The replica counts on: {A: 2}.
//! 3. By the vectors the second has seen the first, and replaces it. The first write is lost.
//!
//! Keeping the event apart from its past says what happened: A:1 with past {} and A:2 with
//! past {} are concurrent. It also makes comparing a single look-up.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Causality, Dot, VersionVector};

/// A dot that claims to be in its own past, or whose seq is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dot} names no event beyond its own past")]
pub struct NotBeyondPast {
    /// The dot.
    pub dot: Dot,
}

/// The name of an event together with the vector of what it had seen.
///
/// ```
/// use rejoin::causal::{Causality, Dot, DottedVersionVector, ReplicaId, Seq, VersionVector};
/// let a = ReplicaId::from_bytes([1; 16]);
/// let event = |seq, past| {
///     DottedVersionVector::new(Dot::new(a, Seq::new(seq)), past).expect("beyond its past")
/// };
///
/// // Two clients write through one replica, neither having seen the other's write …
/// let first = event(1, VersionVector::new());
/// let second = event(2, VersionVector::new());
/// assert_eq!(first.compare(&second), Causality::Concurrent);
/// // … and a third that has read the first only replaces that one only.
/// let third = event(3, [first.dot()].into_iter().collect());
/// assert_eq!(first.compare(&third), Causality::Before);
/// assert_eq!(second.compare(&third), Causality::Concurrent);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct DottedVersionVector {
    dot: Dot,
    past: VersionVector,
}

impl DottedVersionVector {
    /// The event `dot`, which had seen `past`.
    ///
    /// # Errors
    /// The dot is in that past itself, or its seq is zero.
    pub fn new(dot: Dot, past: VersionVector) -> Result<Self, NotBeyondPast> {
        if past.contains(dot) { Err(NotBeyondPast { dot }) } else { Ok(Self { dot, past }) }
    }

    /// As [`DottedVersionVector::new`], for a dot known to be beyond the past.
    #[cfg(any(test, feature = "quickcheck"))]
    pub(super) fn beyond(dot: Dot, past: VersionVector) -> Self {
        debug_assert!(!past.contains(dot));
        Self { dot, past }
    }

    /// The event itself.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// What it had seen.
    #[must_use]
    pub fn past(&self) -> &VersionVector {
        &self.past
    }

    /// Whether `dot` is this event or one that it had seen.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        self.dot == dot || self.past.contains(dot)
    }

    /// Whether this is the same event as `other` or one that had seen it. One look-up.
    #[must_use]
    pub fn descends(&self, other: &Self) -> bool {
        self.contains(other.dot)
    }

    /// How this event stands to `other`. One look-up each way. Two that claim to have seen
    /// each other, which no history makes, count as concurrent: so nothing gets lost.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        if self.dot == other.dot {
            return Causality::Equal;
        }
        match (self.past.contains(other.dot), other.past.contains(self.dot)) {
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (true, true) | (false, false) => Causality::Concurrent,
        }
    }

    /// The least vector that has seen this event: what a read hands back.
    #[must_use]
    pub fn to_vector(&self) -> VersionVector {
        let mut vector = self.past.clone();
        vector.advance(self.dot);
        vector
    }
}

impl fmt::Debug for DottedVersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:?}", self.dot, self.past)
    }
}

impl<'de> Deserialize<'de> for DottedVersionVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "DottedVersionVector")]
        struct Parts {
            dot: Dot,
            past: VersionVector,
        }
        let parts = Parts::deserialize(deserializer)?;
        Self::new(parts.dot, parts.past).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::{ReplicaId, Seq};
    use quickcheck::quickcheck;

    fn dot(replica: u8, seq: u64) -> Dot {
        Dot::new(ReplicaId::from_bytes([replica; 16]), Seq::new(seq))
    }

    quickcheck! {
        /// Writers at three replicas hand in what they have read of earlier events; the oracle
        /// keeps the whole history of each event as a set.
        fn compares_as_whole_histories(writes: Vec<(u8, Vec<usize>)>) -> bool {
            let mut events: Vec<DottedVersionVector> = Vec::new();
            for (replica, reads) in writes.iter().take(8) {
                let replica = replica % 3;
                let seq = 1 + events.iter().filter(|e| e.dot.replica == dot(replica, 1).replica).count();
                let mut past = VersionVector::new();
                for at in reads.iter().take(2) {
                    if let Some(read) = events.get(at % (events.len() + 1)) {
                        past.join(&read.to_vector());
                    }
                }
                events.push(DottedVersionVector::new(dot(replica, seq as u64), past).unwrap());
            }
            let history = |e: &DottedVersionVector| {
                let mut all: std::collections::BTreeSet<Dot> =
                    crate::causal::CausalContext::from(e.past.clone())
                        .dots_beyond(&VersionVector::new()).collect();
                all.insert(e.dot);
                all
            };
            events.iter().all(|a| events.iter().all(|b| {
                let (l, r) = (history(a), history(b));
                let expected = match (l.contains(&b.dot), r.contains(&a.dot)) {
                    (true, true) => Causality::Equal,
                    (true, false) => Causality::After,
                    (false, true) => Causality::Before,
                    (false, false) => Causality::Concurrent,
                };
                a.compare(b) == expected && a.descends(b) == l.contains(&b.dot)
            }))
        }
    }

    #[test]
    fn an_event_in_its_own_past_is_refused() {
        let past: VersionVector = [dot(1, 3)].into_iter().collect();
        assert!(DottedVersionVector::new(dot(1, 3), past.clone()).is_err());
        assert!(DottedVersionVector::new(dot(1, 0), VersionVector::new()).is_err());
        let bytes = postcard::to_allocvec(&(dot(1, 2), past.clone())).unwrap();
        assert!(postcard::from_bytes::<DottedVersionVector>(&bytes).is_err());
        let bytes = postcard::to_allocvec(&(dot(1, 4), past)).unwrap();
        assert!(postcard::from_bytes::<DottedVersionVector>(&bytes).is_ok());
    }
}

//! Causal contexts: sets of dots, with gaps.
//!
//! Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2016), arXiv 1603.01529,
//! section 7.2.
//!
//! Why a version vector is not enough for deltas that travel alone:
//!
//! 1. A makes the events A:1 and A:2, and sends B the delta of A:2 only.
//! 2. B, keeping a vector, would have to write {A: 2} — which says that it saw A:1 as well.
//! 3. A:1 arrives. B takes it for something seen and removed, and drops it. It is lost.
//!
//! So a context keeps beside the vector the dots beyond it, one by one, and folds them into
//! the vector as soon as the gap before them closes.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Causality, Dot, ReplicaId, Seq, VersionVector};

/// A set of dots seen: a vector for all that is without gaps, and the loose dots beyond it.
///
/// There is one spelling for each set: no loose dot is covered by the vector or follows it
/// directly. So equality of contexts is equality of sets, and so are their encodings.
///
/// ```
/// use rejoin::causal::{CausalContext, Dot, ReplicaId, Seq};
/// let a = ReplicaId::from_bytes([1; 16]);
/// let dot = |seq| Dot::new(a, Seq::new(seq));
///
/// let mut seen = CausalContext::new();
/// seen.insert(dot(1));
/// seen.insert(dot(3)); // 2 is missing
/// assert!(seen.contains(dot(3)) && !seen.contains(dot(2)));
/// assert_eq!(seen.loose().count(), 1);
///
/// seen.insert(dot(2)); // the gap closes
/// assert_eq!(seen.loose().count(), 0);
/// assert_eq!(seen.next_dot(a), dot(4));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CausalContext {
    vector: VersionVector,
    loose: BTreeSet<Dot>,
}

impl CausalContext {
    /// The context that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the event `dot` was seen. No event has the seq zero.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        !dot.seq.is_zero()
            && (self.vector.contains(dot) || (!self.loose.is_empty() && self.loose.contains(&dot)))
    }

    /// Adds one event; says whether it is news. A dot of seq zero names no event and is
    /// passed over. O(log n), and one step for each loose dot that can be folded.
    pub fn insert(&mut self, dot: Dot) -> bool {
        if dot.seq.is_zero() || self.contains(dot) {
            return false;
        }
        if self.vector.get(dot.replica).next() != dot.seq {
            return self.loose.insert(dot);
        }
        let mut last = dot;
        if !self.loose.is_empty() {
            loop {
                let next = Dot::new(last.replica, last.seq.next());
                if !self.loose.remove(&next) {
                    break;
                }
                last = next;
            }
        }
        self.vector.advance(last);
        true
    }

    /// The union of both sets. O(n + m) for whole contexts, O(k log n) for another of *k*
    /// loose dots.
    pub fn join(&mut self, other: &Self) {
        if !other.vector.is_empty() {
            self.vector.join(&other.vector);
            self.fold();
        }
        for &dot in &other.loose {
            self.insert(dot);
        }
    }

    /// Takes what the vector covers or reaches out of the loose dots.
    fn fold(&mut self) {
        if self.loose.is_empty() {
            return;
        }
        let vector = &mut self.vector;
        // Ascending by replica, then seq: each dot meets the vector as the one before left it.
        self.loose.retain(|&dot| {
            let seen = vector.get(dot.replica);
            if dot.seq > seen.next() {
                return true;
            }
            vector.advance(dot);
            false
        });
    }

    /// A name for the next event of `replica`: one more than the greatest seq seen of it, gap
    /// or no gap. (Filling a gap would give a second event the name of one that is on its
    /// way.) The name is fresh unless the last seq of all, 2⁶⁴ − 1, was already seen.
    #[must_use]
    pub fn next_dot(&self, replica: ReplicaId) -> Dot {
        Dot::new(replica, self.greatest(replica).next())
    }

    /// The greatest seq seen of `replica`, or [`Seq::ZERO`].
    #[must_use]
    pub fn greatest(&self, replica: ReplicaId) -> Seq {
        let all = Dot::new(replica, Seq::ZERO)..=Dot::new(replica, Seq::MAX);
        let loose = self.loose.range(all).next_back();
        loose.map_or_else(|| self.vector.get(replica), |dot| dot.seq)
    }

    /// Whether every dot of `other` is here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // The dot after the end of a vector is never in the set, so a run reaches as far
        // here as the vector does.
        self.vector.covers(&other.vector) && other.loose.iter().all(|&dot| self.contains(dot))
    }

    /// How this history stands to `other`.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (false, false) => Causality::Concurrent,
        }
    }

    /// The dots of this set that `vector` does not cover: those of the runs first, then the
    /// loose ones, each ascending. Lazy: a run is not written out before it is asked for.
    pub fn dots_beyond<'a>(&'a self, vector: &'a VersionVector) -> impl Iterator<Item = Dot> + 'a {
        let runs = self.vector.iter().flat_map(move |(replica, last)| {
            let first = vector.get(replica).get().saturating_add(1);
            (first..=last.get()).map(move |seq| Dot::new(replica, Seq::new(seq)))
        });
        // A vector at the end of all seqs leaves nothing beyond, which `saturating_add` hides.
        let runs = runs.filter(move |&dot| !vector.contains(dot));
        runs.chain(self.loose.iter().copied().filter(move |&dot| !vector.contains(dot)))
    }

    /// What was seen without gaps.
    #[must_use]
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// The dots beyond the vector, ascending.
    pub fn loose(&self) -> impl ExactSizeIterator<Item = Dot> + DoubleEndedIterator + '_ {
        self.loose.iter().copied()
    }

    /// How many dots were seen; stays at the greatest number there is.
    #[must_use]
    pub fn count(&self) -> u64 {
        let runs = self.vector.iter().map(|(_, seq)| seq.get());
        runs.fold(self.loose.len() as u64, u64::saturating_add)
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vector.is_empty() && self.loose.is_empty()
    }

    /// The context of these parts, if they are its one spelling: loose dots strictly
    /// ascending, none of seq zero, none covered by the vector or next after it.
    #[must_use]
    pub fn from_parts(vector: VersionVector, loose: impl IntoIterator<Item = Dot>) -> Option<Self> {
        let mut sorted = BTreeSet::new();
        for dot in loose {
            let gap = dot.seq.prev() > vector.get(dot.replica);
            if !gap || sorted.last().is_some_and(|last| *last >= dot) {
                return None;
            }
            sorted.insert(dot);
        }
        Some(Self { vector, loose: sorted })
    }
}

impl From<VersionVector> for CausalContext {
    fn from(vector: VersionVector) -> Self {
        Self { vector, loose: BTreeSet::new() }
    }
}

impl FromIterator<Dot> for CausalContext {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut seen = Self::new();
        seen.extend(dots);
        seen
    }
}

impl Extend<Dot> for CausalContext {
    fn extend<I: IntoIterator<Item = Dot>>(&mut self, dots: I) {
        for dot in dots {
            self.insert(dot);
        }
    }
}

impl<'de> Deserialize<'de> for CausalContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "CausalContext")]
        struct Parts {
            vector: VersionVector,
            loose: Vec<Dot>,
        }
        let parts = Parts::deserialize(deserializer)?;
        Self::from_parts(parts.vector, parts.loose).ok_or_else(|| {
            serde::de::Error::custom(
                "causal context: loose dots out of order, of seq zero, or not beyond the vector",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn dot(replica: u8, seq: u64) -> Dot {
        Dot::new(ReplicaId::from_bytes([replica; 16]), Seq::new(seq))
    }

    /// Dots of three replicas, close together, so that gaps open and close.
    fn dots(raw: &[(u8, u8)]) -> Vec<Dot> {
        raw.iter().map(|&(r, s)| dot(r % 3, u64::from(s % 12))).collect()
    }

    fn set(raw: &[(u8, u8)]) -> BTreeSet<Dot> {
        dots(raw).into_iter().filter(|d| !d.seq.is_zero()).collect()
    }

    fn all(context: &CausalContext) -> BTreeSet<Dot> {
        context.dots_beyond(&VersionVector::new()).collect()
    }

    fn canonical(context: &CausalContext) -> bool {
        let parts = (context.vector.clone(), context.loose.clone());
        CausalContext::from_parts(parts.0, parts.1).as_ref() == Some(context)
    }

    type Raw = Vec<(u8, u8)>;

    quickcheck! {
        fn is_a_set_of_dots(raw: Raw, asked: (u8, u8)) -> bool {
            let (context, oracle) = (CausalContext::from_iter(dots(&raw)), set(&raw));
            let asked = dot(asked.0 % 3, u64::from(asked.1 % 12));
            all(&context) == oracle
                && canonical(&context)
                && context.count() == oracle.len() as u64
                && context.contains(asked) == oracle.contains(&asked)
        }

        fn join_is_union(a: Raw, b: Raw) -> bool {
            let mut joined: CausalContext = dots(&a).into_iter().collect();
            joined.join(&dots(&b).into_iter().collect());
            all(&joined) == &set(&a) | &set(&b) && canonical(&joined)
        }

        fn join_is_a_lattice_join(a: Raw, b: Raw, c: Raw) -> bool {
            let of = |raw: &Raw| dots(raw).into_iter().collect::<CausalContext>();
            let join = |l: &CausalContext, r: &CausalContext| {
                let mut l = l.clone();
                l.join(r);
                l
            };
            let (a, b, c) = (of(&a), of(&b), of(&c));
            join(&a, &b) == join(&b, &a)
                && join(&join(&a, &b), &c) == join(&a, &join(&b, &c))
                && join(&a, &a) == a
                && join(&a, &b).covers(&a)
        }

        fn compare_is_inclusion(a: Raw, b: Raw) -> bool {
            let (l, r) = (set(&a), set(&b));
            let (a, b): (CausalContext, CausalContext) =
                (dots(&a).into_iter().collect(), dots(&b).into_iter().collect());
            let expected = match (l.is_superset(&r), r.is_superset(&l)) {
                (true, true) => Causality::Equal,
                (true, false) => Causality::After,
                (false, true) => Causality::Before,
                (false, false) => Causality::Concurrent,
            };
            a.compare(&b) == expected && a.covers(&b) == l.is_superset(&r)
        }

        fn the_next_dot_is_fresh_and_beyond_all(raw: Raw, replica: u8) -> bool {
            let context: CausalContext = dots(&raw).into_iter().collect();
            let next = context.next_dot(ReplicaId::from_bytes([replica % 3; 16]));
            all(&context).iter().all(|d| d.replica != next.replica || *d < next)
        }

        fn dots_beyond_a_vector(raw: Raw, known: Raw) -> bool {
            let context: CausalContext = dots(&raw).into_iter().collect();
            let known: VersionVector = dots(&known).into_iter().collect();
            let beyond: Vec<Dot> = context.dots_beyond(&known).collect();
            let expected: BTreeSet<Dot> =
                set(&raw).into_iter().filter(|&d| !known.contains(d)).collect();
            beyond.len() == expected.len() && beyond.into_iter().collect::<BTreeSet<_>>() == expected
        }

        fn survives_serialisation(raw: Raw) -> bool {
            let context: CausalContext = dots(&raw).into_iter().collect();
            let bytes = postcard::to_allocvec(&context).unwrap();
            let json = serde_json::to_string(&context).unwrap();
            postcard::from_bytes::<CausalContext>(&bytes).unwrap() == context
                && serde_json::from_str::<CausalContext>(&json).unwrap() == context
        }
    }

    #[test]
    fn a_context_that_is_not_in_its_one_spelling_is_refused() {
        let vector: VersionVector = [dot(1, 3)].into_iter().collect();
        for loose in [
            vec![dot(1, 3)],            // covered
            vec![dot(1, 4)],            // next after the vector
            vec![dot(2, 1)],            // the first of a replica
            vec![dot(1, 0)],            // no event
            vec![dot(1, 9), dot(1, 7)], // out of order
            vec![dot(1, 7), dot(1, 7)], // doubled
        ] {
            assert_eq!(CausalContext::from_parts(vector.clone(), loose.clone()), None);
            let bytes = postcard::to_allocvec(&(vector.clone(), loose)).unwrap();
            assert!(postcard::from_bytes::<CausalContext>(&bytes).is_err());
        }
        let bytes = postcard::to_allocvec(&(vector, vec![dot(1, 5), dot(1, 7)])).unwrap();
        assert!(postcard::from_bytes::<CausalContext>(&bytes).is_ok());
    }

    #[test]
    fn the_last_seq_is_no_trap() {
        let last = dot(1, u64::MAX);
        let mut context: CausalContext = VersionVector::from_iter([dot(1, u64::MAX - 1)]).into();
        assert!(context.insert(last) && !context.insert(last));
        assert_eq!(context.next_dot(last.replica), last);
        assert_eq!(context.count(), u64::MAX);
        assert_eq!(context.dots_beyond(&[last].into_iter().collect()).count(), 0);
    }
}

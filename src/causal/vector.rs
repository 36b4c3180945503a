//! Version vectors.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::{Dot, ReplicaId, Seq};

/// How two causal histories stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Causality {
    /// Both have seen the same.
    Equal,
    /// The left has seen less than the right.
    Before,
    /// The left has seen more than the right.
    After,
    /// Each has seen something that the other has not.
    Concurrent,
}

/// For each replica the greatest seq seen of it; a replica that is not named has
/// [`Seq::ZERO`]. Parker et al., "Detection of Mutual Inconsistency in Distributed
/// Systems" (1983).
///
/// A vector here stands for the set of *all* dots up to its seqs, without gaps: events of
/// one replica arrive in order. Kept as a sorted list, so that joining two vectors of
/// *n* and *m* entries takes *n + m* steps and looking up one entry a binary search; the
/// common vector of one entry needs no allocation.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct VersionVector {
    entries: SmallVec<[(ReplicaId, Seq); 1]>,
}

impl VersionVector {
    /// The vector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest seq seen of `replica`, or [`Seq::ZERO`].
    #[must_use]
    pub fn get(&self, replica: ReplicaId) -> Seq {
        match self.find(replica) {
            Ok(at) => self.entries.get(at).map_or(Seq::ZERO, |e| e.1),
            Err(_) => Seq::ZERO,
        }
    }

    /// Whether the event `dot` was seen.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        dot.seq <= self.get(dot.replica)
    }

    /// Whether everything that `other` has seen was seen here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        matches!(self.compare(other), Causality::Equal | Causality::After)
    }

    /// Raises the entry of `dot.replica` to at least `dot.seq`.
    pub fn advance(&mut self, dot: Dot) {
        if dot.seq.is_zero() {
            return;
        }
        match self.find(dot.replica) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = entry.1.max(dot.seq);
                }
            }
            Err(at) => self.entries.insert(at, (dot.replica, dot.seq)),
        }
    }

    /// The least vector that has seen what either has: entry by entry the greater seq.
    pub fn join(&mut self, other: &Self) {
        if let [(replica, seq)] = other.entries.as_slice() {
            return self.advance(Dot::new(*replica, *seq));
        }
        if other.entries.is_empty() {
            return;
        }
        self.entries = merge(&self.entries, &other.entries, Seq::max);
    }

    /// The greatest vector that has seen only what both have: entry by entry the smaller seq.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self { entries: merge(&self.entries, &other.entries, Seq::min) }
    }

    /// How this history stands to `other`.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        let (mut less, mut more) = (false, false);
        each_pair(&self.entries, &other.entries, |_, mine, theirs| {
            less |= mine < theirs;
            more |= mine > theirs;
        });
        match (less, more) {
            (false, false) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (true, true) => Causality::Concurrent,
        }
    }

    /// The entries in which this vector has seen more than `other`.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let mut entries = SmallVec::new();
        each_pair(&self.entries, &other.entries, |replica, mine, theirs| {
            if mine > theirs {
                entries.push((replica, mine));
            }
        });
        Self { entries }
    }

    /// The entries in order of replica; none is [`Seq::ZERO`].
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (ReplicaId, Seq)> + DoubleEndedIterator + '_ {
        self.entries.iter().copied()
    }

    /// How many replicas are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The vector of entries that are already strictly ascending by replica and not
    /// zero, as in a canonical encoding; `None` otherwise. O(n).
    #[must_use]
    pub fn from_sorted(entries: impl IntoIterator<Item = (ReplicaId, Seq)>) -> Option<Self> {
        // A list that is a `Vec` already keeps its memory: those from frames may be long.
        let entries = Vec::from_iter(entries);
        let entries: SmallVec<[(ReplicaId, Seq); 1]> = match entries.as_slice() {
            [] | [_] => SmallVec::from_slice(&entries),
            _ => SmallVec::from_vec(entries),
        };
        let ascending = entries.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
        let seen = entries.iter().all(|e| !e.1.is_zero());
        (ascending && seen).then_some(Self { entries })
    }

    fn find(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.entries.binary_search_by(|e| e.0.cmp(&replica))
    }
}

/// Visits every replica that either list names, with its seqs on both sides.
fn each_pair(
    mut left: &[(ReplicaId, Seq)],
    mut right: &[(ReplicaId, Seq)],
    mut visit: impl FnMut(ReplicaId, Seq, Seq),
) {
    loop {
        match (left.split_first(), right.split_first()) {
            (None, None) => return,
            (Some((l, rest)), None) => {
                visit(l.0, l.1, Seq::ZERO);
                left = rest;
            }
            (None, Some((r, rest))) => {
                visit(r.0, Seq::ZERO, r.1);
                right = rest;
            }
            (Some((l, l_rest)), Some((r, r_rest))) => {
                if l.0 <= r.0 {
                    left = l_rest;
                }
                if r.0 <= l.0 {
                    right = r_rest;
                }
                match l.0.cmp(&r.0) {
                    core::cmp::Ordering::Less => visit(l.0, l.1, Seq::ZERO),
                    core::cmp::Ordering::Equal => visit(l.0, l.1, r.1),
                    core::cmp::Ordering::Greater => visit(r.0, Seq::ZERO, r.1),
                }
            }
        }
    }
}

fn merge(
    left: &[(ReplicaId, Seq)],
    right: &[(ReplicaId, Seq)],
    pick: impl Fn(Seq, Seq) -> Seq,
) -> SmallVec<[(ReplicaId, Seq); 1]> {
    let mut merged = SmallVec::with_capacity(left.len().max(right.len()));
    each_pair(left, right, |replica, l, r| {
        let seq = pick(l, r);
        if !seq.is_zero() {
            merged.push((replica, seq));
        }
    });
    merged
}

impl FromIterator<(ReplicaId, Seq)> for VersionVector {
    /// Entries in any order; of a replica named twice the greater seq counts.
    fn from_iter<I: IntoIterator<Item = (ReplicaId, Seq)>>(entries: I) -> Self {
        let mut entries: SmallVec<[(ReplicaId, Seq); 1]> =
            entries.into_iter().filter(|e| !e.1.is_zero()).collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        entries.dedup_by_key(|e| e.0);
        Self { entries }
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        dots.into_iter().map(|d| (d.replica, d.seq)).collect()
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for VersionVector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries.iter())
    }
}

impl<'de> Deserialize<'de> for VersionVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<(ReplicaId, Seq)>::deserialize(deserializer)?;
        Self::from_sorted(entries).ok_or_else(|| {
            serde::de::Error::custom("version vector: entries not ascending, or a seq of zero")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    type Raw = Vec<(u8, u8)>;

    /// A vector of few replicas and small seqs, and the same as a plain map.
    fn of(raw: &Raw) -> (VersionVector, BTreeMap<ReplicaId, Seq>) {
        let entries = raw
            .iter()
            .map(|&(r, s)| (ReplicaId::from_bytes([r % 4; 16]), Seq::new(u64::from(s % 5))));
        let mut oracle = BTreeMap::new();
        for (replica, seq) in entries.clone().filter(|e| !e.1.is_zero()) {
            let kept = oracle.entry(replica).or_insert(seq);
            *kept = seq.max(*kept);
        }
        (entries.collect(), oracle)
    }

    fn join(left: &VersionVector, right: &VersionVector) -> VersionVector {
        let mut joined = left.clone();
        joined.join(right);
        joined
    }

    fn canonical(vector: &VersionVector) -> bool {
        VersionVector::from_sorted(vector.iter()).as_ref() == Some(vector)
    }

    quickcheck! {
        fn is_a_map_to_the_greatest_seq(raw: Raw) -> bool {
            let (vector, oracle) = of(&raw);
            let mut advanced = VersionVector::new();
            for &(r, s) in &raw {
                let replica = ReplicaId::from_bytes([r % 4; 16]);
                advanced.advance(Dot::new(replica, Seq::new(u64::from(s % 5))));
            }
            vector.iter().eq(oracle) && advanced == vector && canonical(&vector)
        }

        fn join_and_meet_are_a_lattice(a: Raw, b: Raw, c: Raw) -> bool {
            let (a, b, c) = (of(&a).0, of(&b).0, of(&c).0);
            join(&a, &b) == join(&b, &a)
                && a.meet(&b) == b.meet(&a)
                && join(&a, &join(&b, &c)) == join(&join(&a, &b), &c)
                && a.meet(&b.meet(&c)) == a.meet(&b).meet(&c)
                && join(&a, &a) == a && a.meet(&a) == a
                && join(&a, &a.meet(&b)) == a && a.meet(&join(&a, &b)) == a
                && canonical(&join(&a, &b)) && canonical(&a.meet(&b))
        }

        fn compare_is_the_order_of_the_lattice(a: Raw, b: Raw) -> bool {
            let (a, b) = (of(&a).0, of(&b).0);
            let (above, below) = (join(&a, &b) == a, join(&a, &b) == b);
            let expected = match (above, below) {
                (true, true) => Causality::Equal,
                (true, false) => Causality::After,
                (false, true) => Causality::Before,
                (false, false) => Causality::Concurrent,
            };
            let turned = match expected {
                Causality::After => Causality::Before,
                Causality::Before => Causality::After,
                same => same,
            };
            a.compare(&b) == expected && b.compare(&a) == turned
                && a.covers(&b) == above
                && (expected == Causality::Equal) == (a == b)
        }

        fn beyond_is_what_the_other_lacks(a: Raw, b: Raw) -> bool {
            let (a, b) = (of(&a).0, of(&b).0);
            let beyond = a.beyond(&b);
            join(&b, &beyond) == join(&a, &b)
                && beyond.iter().all(|(r, seq)| seq > b.get(r))
                && canonical(&beyond)
        }

        fn survives_serialisation(a: Raw) -> bool {
            let vector = of(&a).0;
            let bytes = postcard::to_allocvec(&vector).unwrap();
            let json = serde_json::to_string(&vector).unwrap();
            postcard::from_bytes::<VersionVector>(&bytes).unwrap() == vector
                && serde_json::from_str::<VersionVector>(&json).unwrap() == vector
        }
    }

    #[test]
    fn a_vector_that_is_not_in_its_one_spelling_is_refused() {
        let entry = |r: u8, s: u64| (ReplicaId::from_bytes([r; 16]), Seq::new(s));
        for entries in [
            vec![entry(2, 1), entry(1, 1)], // out of order
            vec![entry(1, 1), entry(1, 2)], // doubled
            vec![entry(1, 0)],              // nothing seen
        ] {
            let bytes = postcard::to_allocvec(&entries).unwrap();
            assert!(postcard::from_bytes::<VersionVector>(&bytes).is_err());
            assert_eq!(VersionVector::from_sorted(entries), None);
        }
    }
}

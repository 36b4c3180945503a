//! Tags: which opening of its store made an event.

use core::fmt;

use smallvec::SmallVec;

use super::{Dot, ReplicaId, Seq, VersionVector};

/// Names one opening of a store: 8 random bytes, drawn each time it is opened.
///
/// Two stores that go on under one [`ReplicaId`], because one was copied or put back, make
/// different events under equal dots, and nothing in the dots tells them apart. But each
/// has been opened anew since, so what they made since carries different tags. The events of
/// a replica thus fall into *stretches* of one tag each; the histories of two such stores
/// are equal up to where their stretches part.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 8]);

impl Tag {
    /// The tag of events of which it is not known what opening made them.
    pub const UNKNOWN: Self = Self([0; 8]);

    /// The tag of these bytes, which should be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The tag of what an opening with this one makes under a name: of two names each has its
    /// own, so that a tag and a seq name one event.
    #[must_use]
    pub fn under(self, name: ReplicaId) -> Self {
        if self == Self::UNKNOWN {
            return self;
        }
        let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 tag under a name");
        hasher.update(&self.0).update(name.as_bytes());
        Self(hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// Whether two events of one seq may be the same: their tags are equal, or one is not known.
    #[must_use]
    pub fn agrees(self, other: Self) -> bool {
        self == other || self == Self::UNKNOWN || other == Self::UNKNOWN
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// An entry of a [`TaggedVector`]: a replica, the greatest seq seen of it, and the tag of that
/// event.
pub type TaggedEntry = (ReplicaId, Seq, Tag);

/// A [`VersionVector`] that says of each entry by which opening its last event was made.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TaggedVector {
    entries: SmallVec<[TaggedEntry; 1]>,
}

impl TaggedVector {
    /// The vector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The vector of entries that are already strictly ascending by replica and not zero;
    /// `None` otherwise.
    #[must_use]
    pub fn from_sorted(entries: Vec<TaggedEntry>) -> Option<Self> {
        let ascending = entries.is_sorted_by(|a, b| a.0 < b.0);
        let seen = entries.iter().all(|entry| !entry.1.is_zero());
        let entries = match entries.as_slice() {
            [] | [_] => SmallVec::from_slice(&entries),
            _ => SmallVec::from_vec(entries),
        };
        (ascending && seen).then_some(Self { entries })
    }

    /// A vector without any tag.
    #[must_use]
    pub fn untagged(vector: &VersionVector) -> Self {
        Self { entries: vector.iter().map(|(r, seq)| (r, seq, Tag::UNKNOWN)).collect() }
    }

    /// The vector with the tag that each entry's event is found to have.
    ///
    /// # Errors
    /// What the search for a tag failed with.
    pub fn tagging<E>(
        vector: &VersionVector,
        mut tag_of: impl FnMut(Dot) -> Result<Tag, E>,
    ) -> Result<Self, E> {
        let tagged = |(replica, seq)| Ok((replica, seq, tag_of(Dot::new(replica, seq))?));
        Ok(Self { entries: vector.iter().map(tagged).collect::<Result<_, E>>()? })
    }

    /// What was seen, without the tags.
    #[must_use]
    pub fn vector(&self) -> VersionVector {
        let entries = self.entries.iter().map(|(replica, seq, _)| (*replica, *seq));
        VersionVector::from_sorted(entries).unwrap_or_default()
    }

    /// The greatest seq seen of a replica, or [`Seq::ZERO`], and its tag.
    #[must_use]
    pub fn get(&self, replica: ReplicaId) -> (Seq, Tag) {
        let found = self.entries.binary_search_by(|entry| entry.0.cmp(&replica)).ok();
        let entry = found.and_then(|at| self.entries.get(at));
        entry.map_or((Seq::ZERO, Tag::UNKNOWN), |(_, seq, tag)| (*seq, *tag))
    }

    /// The entries that are not the same in `other`.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let differs = |entry: &&TaggedEntry| other.get(entry.0) != (entry.1, entry.2);
        Self { entries: self.entries.iter().filter(differs).copied().collect() }
    }

    /// Puts the entries of `changes` in place of those of the same replicas.
    pub fn replace(&mut self, changes: &Self) {
        let rest = self.entries.iter().filter(|entry| changes.get(entry.0).0.is_zero());
        let mut entries: SmallVec<[TaggedEntry; 1]> = rest.copied().collect();
        entries.extend(changes.entries.iter().copied());
        entries.sort_unstable_by_key(|entry| entry.0);
        self.entries = entries;
    }

    /// The entries in order of replica.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TaggedEntry> + '_ {
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
}

impl fmt::Debug for TaggedVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|(replica, seq, tag)| (replica, (seq, tag)));
        f.debug_map().entries(entries).finish()
    }
}

/// The stretches of one replica's events: at which seq each begins, and its tag.
pub type Stretches = Vec<(Seq, Tag)>;

/// How two histories under one name stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// One is the beginning of the other, or they are equal.
    None,
    /// They are equal up to a seq, and each goes on by itself.
    After {
        /// The last seq that is the same in both; zero where none is.
        seq: Seq,
        /// Whether the left one gives up the name for what it has beyond that.
        left_gives_way: bool,
        /// The tag with which the one that gives way goes on.
        tag: Tag,
    },
}

/// Where two histories under one name part, each given as its stretches, ascending, and how
/// far it leads.
///
/// Who began a stretch of its own there gives way to one that just went on; where both did,
/// the greater tag gives way. So whoever holds one of the two, and meets the other, decides
/// the same.
#[must_use]
pub fn parting(left: (&[(Seq, Tag)], Seq), right: (&[(Seq, Tag)], Seq)) -> Parting {
    if left.0.is_empty() || right.0.is_empty() {
        return Parting::None; // nothing is known of one of them
    }
    let common = left.0.iter().zip(right.0).take_while(|(a, b)| a == b).count();
    // Where the last common stretch ends on either side, and the one that begins there.
    let end = |(stretches, top): (&[(Seq, Tag)], Seq)| match stretches.get(common) {
        Some((start, tag)) => (start.prev().min(top), Some(*tag)),
        None => (top, None),
    };
    let ((left_end, left_tag), (right_end, right_tag)) = (end(left), end(right));
    let seq = if common == 0 { Seq::ZERO } else { left_end.min(right_end) };
    if left.1 <= seq || right.1 <= seq {
        return Parting::None;
    }
    let begins = |end: Seq, tag: Option<Tag>| tag.filter(|_| common == 0 || end == seq);
    let (left_gives_way, tag) = match (begins(left_end, left_tag), begins(right_end, right_tag)) {
        (Some(left), Some(right)) => (left > right, left.max(right)),
        (Some(left), None) => (true, left),
        (None, Some(right)) => (false, right),
        // Stretches that are not known, or not in order: nobody can say where they part.
        (None, None) => return Parting::None,
    };
    Parting::After { seq, left_gives_way, tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(of: &[(u64, u8)]) -> Stretches {
        of.iter().map(|(seq, tag)| (Seq::new(*seq), Tag::from_bytes([*tag; 8]))).collect()
    }

    fn part(
        left: &[(u64, u8)],
        to: u64,
        right: &[(u64, u8)],
        upto: u64,
    ) -> Option<(u64, bool, u8)> {
        let (left, right) = (stretches(left), stretches(right));
        match parting((&left, Seq::new(to)), (&right, Seq::new(upto))) {
            Parting::None => None,
            Parting::After { seq, left_gives_way, tag } => {
                Some((seq.get(), left_gives_way, tag.as_bytes()[0]))
            }
        }
    }

    #[test]
    fn the_beginning_of_a_history_parts_from_nothing() {
        assert_eq!(part(&[(1, 1)], 5, &[(1, 1)], 9), None);
        assert_eq!(part(&[(1, 1)], 5, &[(1, 1), (6, 2)], 9), None);
        assert_eq!(part(&[(1, 1), (6, 2)], 9, &[(1, 1)], 5), None);
        assert_eq!(part(&[], 0, &[(1, 1)], 5), None);
    }

    #[test]
    fn who_begins_a_stretch_gives_way_to_who_goes_on() {
        // One was put back to seq 7 and opened, the other went on.
        assert_eq!(part(&[(1, 1), (8, 0)], 9, &[(1, 1)], 12), Some((7, true, 0)));
        assert_eq!(part(&[(1, 1)], 12, &[(1, 1), (8, 0)], 9), Some((7, false, 0)));
        // It went on to 9 before it was opened again.
        assert_eq!(part(&[(1, 1), (8, 5)], 9, &[(1, 1), (10, 0)], 12), Some((7, true, 5)));
    }

    #[test]
    fn of_two_that_begin_one_the_greater_tag_gives_way() {
        assert_eq!(part(&[(1, 1), (8, 5)], 9, &[(1, 1), (8, 6)], 8), Some((7, false, 6)));
        assert_eq!(part(&[(1, 9)], 9, &[(1, 3)], 8), Some((0, true, 9)));
    }

    #[test]
    fn entries_are_told_that_differ_in_seq_or_in_tag() {
        let id = |n| ReplicaId::from_bytes([n; 16]);
        let tag = |n| Tag::from_bytes([n; 8]);
        let vector = |entries: &[(u8, u64, u8)]| {
            let entries = entries.iter().map(|(r, s, t)| (id(*r), Seq::new(*s), tag(*t)));
            TaggedVector::from_sorted(entries.collect()).unwrap()
        };
        let base = vector(&[(1, 4, 1), (2, 4, 1), (3, 4, 1)]);
        let now = vector(&[(1, 4, 1), (2, 5, 1), (3, 4, 2), (4, 1, 1)]);
        let changes = now.beyond(&base);
        assert_eq!(changes, vector(&[(2, 5, 1), (3, 4, 2), (4, 1, 1)]));
        let mut again = base.clone();
        again.replace(&changes);
        assert_eq!(again, now);
        assert_eq!(now.vector().len(), 4);
        assert_eq!(TaggedVector::from_sorted(vec![(id(2), Seq::FIRST, tag(1)); 2]), None);
    }
}

//! Reading the rows of a space at one moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::rows::{
    State, after, corrupt, item_key, payload_of, range, split_item_key, split_item_value,
};
use super::shared::SpaceShared;
use super::stretches::{Tags, next_stretch};
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};
use crate::codec::{Kind, place};
use crate::storage::{Order, Read, ReadSnapshot, StorageError, Table};

/// What stands in a space: its rows, as far as its vector covers them.
///
/// A row whose dot is ahead of the vector is staged: it belongs to a delta that is not
/// all here yet, and is not there for anybody who reads.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) rows: &'a dyn Read,
    /// `None` where the space has no row yet, so there is nothing to see.
    pub(super) space: Option<u32>,
    vector: &'a VersionVector,
    risen: Option<&'a VersionVector>,
    /// Whether any row is ahead of the vector: where none is, none need be asked.
    staged: bool,
    tags: Option<Tags<'a>>,
}

/// A live item's row, borrowed for the length of a visit.
pub(crate) struct Row<'r> {
    pub(super) key: &'r [u8],
    pub(crate) place: &'r [u8],
    pub(crate) dot: Dot,
    value: &'r [u8],
}

impl<'r> Row<'r> {
    pub(crate) fn past(&self) -> Result<VersionVector, StorageError> {
        let split = split_item_value(self.value);
        split.map(|(past, _)| past).map_err(|e| corrupt(Table::Items, self.key, e))
    }

    pub(crate) fn payload(&self) -> Result<&'r [u8], StorageError> {
        payload_of(self.value).map_err(|e| corrupt(Table::Items, self.key, e))
    }
}

/// A live item's row, kept.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The key of the row.
    pub(super) key: Vec<u8>,
    pub(crate) dot: Dot,
    pub(crate) past: VersionVector,
    pub(crate) payload: Vec<u8>,
}

/// What a visit is handed, and whether to go on.
pub(crate) type VisitRow<'v> = &'v mut dyn FnMut(Row<'_>) -> Result<ControlFlow<()>, StorageError>;

impl<'a> View<'a> {
    pub(super) fn new(
        rows: &'a dyn Read,
        space: Option<u32>,
        vector: &'a VersionVector,
        risen: Option<&'a VersionVector>,
        staged: bool,
    ) -> Self {
        Self { rows, space, vector, risen, staged, tags: None }
    }

    /// The same, of which tags may be asked.
    pub(super) fn tagged_by(self, tags: Option<Tags<'a>>) -> Self {
        Self { tags, ..self }
    }

    /// The tag of an event that was seen, as far as it is known.
    pub(crate) fn tag_of(&self, dot: Dot) -> Result<Tag, StorageError> {
        let Some((space, tags)) = self.space.zip(self.tags) else { return Ok(Tag::UNKNOWN) };
        tags.of(self.rows, space, dot, self.vector.get(dot.replica))
    }

    /// The first event of an origin of which it is known what opening made it.
    pub(crate) fn first_tagged(&self, origin: ReplicaId) -> Result<Option<Seq>, StorageError> {
        let Some(space) = self.space else { return Ok(None) };
        next_stretch(self.rows, space, Dot::new(origin, Seq::ZERO), self.vector.get(origin))
    }

    /// A vector of what was seen, with its tags.
    pub(crate) fn tagged(&self, seen: &VersionVector) -> Result<TaggedVector, StorageError> {
        TaggedVector::tagging(seen, |dot| self.tag_of(dot))
    }

    /// The origins of which anything was seen, before any change that is under way.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (ReplicaId, Seq)> + '_ {
        self.vector.iter()
    }

    /// Whether the event was seen.
    pub(crate) fn covers(&self, dot: Dot) -> bool {
        self.vector.contains(dot) || self.risen.is_some_and(|risen| risen.contains(dot))
    }

    /// Visits the live items beneath an encoded prefix of places, in order.
    pub(crate) fn each_row(&self, prefix: &[u8], visit: VisitRow<'_>) -> Result<(), StorageError> {
        let to = self.space.map(|space| after(&item_key(space, prefix, None))).unwrap_or_default();
        self.each_row_between(prefix, &to, visit)
    }

    /// Visits the live items from one start of places up to another; an empty one is the end.
    pub(crate) fn each_row_in(
        &self,
        from: &[u8],
        to: &[u8],
        visit: VisitRow<'_>,
    ) -> Result<(), StorageError> {
        self.each_row_between(from, &self.end_key(to), visit)
    }

    /// The row key at which places from `to` on begin; where `to` is empty, the space's end.
    fn end_key(&self, to: &[u8]) -> Vec<u8> {
        match self.space {
            None => Vec::new(),
            Some(space) if to.is_empty() => after(&item_key(space, &[], None)),
            Some(space) => item_key(space, to, None),
        }
    }

    /// The same from a place on, up to a row key.
    pub(super) fn each_row_between(
        &self,
        from: &[u8],
        to: &[u8],
        visit: VisitRow<'_>,
    ) -> Result<(), StorageError> {
        let Some(space) = self.space else { return Ok(()) };
        let from = item_key(space, from, None);
        let mut ended = Ok(());
        self.rows.scan(Table::Items, range(&from, to), Order::Ascending, &mut |key, value| {
            let step = match split_item_key(key) {
                Ok((_, dot)) if self.hides(dot) => Ok(ControlFlow::Continue(())),
                Ok((place, dot)) => visit(Row { key, place, dot, value }),
                Err(e) => Err(corrupt(Table::Items, key, e)),
            };
            step.unwrap_or_else(|error| {
                ended = Err(error);
                ControlFlow::Break(())
            })
        })?;
        ended
    }

    fn hides(&self, dot: Dot) -> bool {
        self.staged && !crate::faults::fault!(StagedRowsVisible) && !self.covers(dot)
    }

    /// The live items at exactly one place or beneath a prefix, all at once.
    pub(crate) fn found(&self, prefix: &[u8]) -> Result<Vec<Found>, StorageError> {
        let mut found = Vec::new();
        self.each_row(prefix, &mut |row| {
            found.push(Found {
                key: row.key.to_vec(),
                dot: row.dot,
                past: row.past()?,
                payload: row.payload()?.to_vec(),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Whether anything lives beneath a prefix.
    pub(crate) fn any(&self, prefix: &[u8]) -> Result<bool, StorageError> {
        let mut any = false;
        self.each_row(prefix, &mut |_| {
            any = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(any)
    }

    /// Visits each distinct `start` of the live places beneath `prefix` once, where `start`
    /// cuts a place to what counts as one; skips over the rows beneath, so that it
    /// costs a look-up for each start, however much stands there.
    pub(crate) fn each_start(
        &self,
        prefix: &[u8],
        start: impl Fn(&[u8]) -> Option<usize>,
        visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        self.each_start_in(prefix, &after(prefix), start, visit)
    }

    /// The same from one start of places up to another; an empty one is the end.
    pub(crate) fn each_start_in(
        &self,
        from: &[u8],
        to: &[u8],
        start: impl Fn(&[u8]) -> Option<usize>,
        mut visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        let to = self.end_key(to);
        let mut from = from.to_vec();
        loop {
            let mut found = None;
            self.each_row_between(&from, &to, &mut |row| {
                let cut = start(row.place).and_then(|len| row.place.get(..len));
                found = Some(cut.unwrap_or(row.place).to_vec());
                Ok(ControlFlow::Break(()))
            })?;
            let Some(found) = found else { return Ok(()) };
            if visit(&found)?.is_break() {
                return Ok(());
            }
            from = after(&found);
            if from.is_empty() {
                return Ok(());
            }
        }
    }

    /// How many keys anything lives under. One pass over the items.
    pub(crate) fn count_keys(&self) -> Result<u64, StorageError> {
        let (mut count, mut last) = (0, Vec::new());
        self.each_row(&[], &mut |row| {
            let key = place::encoded_key_of(row.place);
            let key = key.map_err(|e| corrupt(Table::Items, row.key, e))?;
            if key != last {
                count += 1;
                last.clear();
                last.extend_from_slice(key);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// The kinds that stand directly beneath an encoded prefix.
    pub(crate) fn kinds(&self, prefix: &[u8]) -> Result<Vec<Kind>, StorageError> {
        let mut kinds = Vec::new();
        let kind_len = |_: &[u8]| Some(prefix.len() + 1);
        self.each_start(prefix, kind_len, |found| {
            kinds.extend(found.last().copied().and_then(Kind::new));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(kinds)
    }
}

/// One moment of a space, to read from for as long as it is kept: whatever is written or
/// synced meanwhile does not show. Keeping one for long keeps the store's file from
/// giving space back.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) rows: Arc<dyn ReadSnapshot>,
    pub(super) space: Option<u32>,
    pub(super) shared: Arc<SpaceShared>,
    /// Of the space, when the rows were not read yet.
    pub(super) generation: u64,
    pub(super) vector: Arc<VersionVector>,
    pub(super) state: State,
}

impl Snapshot {
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&*self.rows, self.space, &self.vector, None, self.state.staged > 0)
            .tagged_by(Some(Tags::new(&self.shared, self.generation)))
    }

    /// The number of the newest commit of the space at this moment.
    #[cfg(feature = "sim")]
    pub(crate) fn commit(&self) -> u64 {
        self.state.commit
    }

    /// What the space had seen at this moment.
    #[must_use]
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }
}

impl core::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Snapshot")
            .field("space", &self.shared.name)
            .field("vector", &self.vector)
            .finish()
    }
}

//! Which opening of its store made which events of a replica: see [`Tag`].
//!
//! A stretch is a row that says with which tag the events of a replica go on from a seq on. Its
//! replica writes one with its first event in a space after each opening; with the events
//! it travels to all who take them. Nobody ever needs more than where two lists part.

use std::ops::ControlFlow;

use super::batch::Batch;
use super::fork::{forked, forked_beyond, gone_by};
use super::rows::{Which, corrupt, dot_of_key, put_dot, range, space_key, tag_of};
use super::shared::SpaceShared;
use super::store::lock;
use crate::causal::{Dot, ReplicaId, Seq, Stretches, Tag, VersionVector};
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::storage::{Order, Read, StorageError, Table};

/// The key of a stretch of a replica's events.
pub(super) fn stretch_key(space: u32, first: Dot) -> Vec<u8> {
    let mut key = [space_key(space).as_slice(), &[Which::Stretches as u8]].concat();
    put_dot(&mut key, first);
    key
}

/// The stretches of a replica's events that begin between two seqs, both included, ascending.
pub(super) fn read_stretches(
    rows: &dyn Read,
    space: u32,
    replica: ReplicaId,
    (first, last): (Seq, Seq),
) -> Result<Stretches, StorageError> {
    let mut found = Vec::new();
    scan_stretches(rows, space, replica, (first, last), Order::Ascending, |stretch| {
        found.push(stretch);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The stretch in which an event stands, if it is known.
pub(super) fn stretch_at(
    rows: &dyn Read,
    space: u32,
    dot: Dot,
) -> Result<Option<(Seq, Tag)>, StorageError> {
    let mut found = None;
    let upto = (Seq::ZERO, dot.seq);
    scan_stretches(rows, space, dot.replica, upto, Order::Descending, |stretch| {
        found = Some(stretch);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn scan_stretches(
    rows: &dyn Read,
    space: u32,
    replica: ReplicaId,
    (first, last): (Seq, Seq),
    order: Order,
    mut visit: impl FnMut((Seq, Tag)) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let from = stretch_key(space, Dot::new(replica, first));
    let mut to = stretch_key(space, Dot::new(replica, last));
    to.push(0);
    let mut wrong = None;
    rows.scan(Table::Vectors, range(&from, &to), order, &mut |key, value| match dot_of_key(key)
        .ok()
        .zip(tag_of(value))
    {
        Some((dot, tag)) => visit((dot.seq, tag)),
        None => {
            wrong = Some(corrupt(Table::Vectors, key, "not a stretch of events"));
            ControlFlow::Break(())
        }
    })?;
    wrong.map_or(Ok(()), Err)
}

/// The tag of an event, as far as it is known.
pub(super) fn tag_at(rows: &dyn Read, space: u32, dot: Dot) -> Result<Tag, StorageError> {
    Ok(stretch_at(rows, space, dot)?.map_or(Tag::UNKNOWN, |(_, tag)| tag))
}

/// Stretches that readers came upon, so that a read need not look for them: an event that was
/// seen keeps its tag for as long as the space is of one generation.
#[derive(Default)]
pub(super) struct KnownStretches {
    generation: u64,
    /// Origin, first and last event and tag of each, ascending.
    stretches: Vec<(ReplicaId, Seq, Seq, Tag)>,
}

/// How often a session looks for what goes by a new name; then the next one finds out.
const LOOKS: u8 = 4;

/// So many are kept; then it begins anew.
const KNOWN: usize = 1024;

impl KnownStretches {
    fn tag_of(&self, generation: u64, dot: Dot) -> Option<Tag> {
        let before = |of: &(ReplicaId, Seq, Seq, Tag)| (of.0, of.1) <= (dot.replica, dot.seq);
        let at = self.stretches.partition_point(before).checked_sub(1)?;
        let (origin, _, last, tag) = *self.stretches.get(at)?;
        let holds = self.generation == generation && origin == dot.replica && dot.seq <= last;
        holds.then_some(tag)
    }

    fn note(&mut self, generation: u64, found: (ReplicaId, Seq, Seq, Tag)) {
        if generation < self.generation {
            return; // of a space that is no more
        }
        if generation > self.generation || self.stretches.len() >= KNOWN {
            self.stretches.clear();
        }
        self.generation = generation;
        match self.stretches.binary_search_by_key(&(found.0, found.1), |of| (of.0, of.1)) {
            Ok(at) => self.stretches.get_mut(at).into_iter().for_each(|of| *of = found),
            Err(at) => self.stretches.insert(at, found),
        }
    }
}

/// How the tags of events are found at one moment of a space.
#[derive(Clone, Copy)]
pub(super) struct Tags<'a> {
    space: &'a SpaceShared,
    /// Asked before the rows were read, so that what these say is not noted of a later one.
    generation: u64,
    /// The first events of each name that a batch made, whose stretches have yet to be begun.
    made: &'a [Dot],
}

impl<'a> Tags<'a> {
    pub(super) fn new(space: &'a SpaceShared, generation: u64) -> Self {
        Self { space, generation, made: &[] }
    }

    /// The same, where a batch has made events.
    pub(super) fn with_made(self, made: &'a [Dot]) -> Self {
        Self { made, ..self }
    }

    /// The tag of an event that was seen; `top` is the last one of its origin that is in the rows.
    pub(super) fn of(
        self,
        rows: &dyn Read,
        number: u32,
        dot: Dot,
        top: Seq,
    ) -> Result<Tag, StorageError> {
        let own = || self.space.tag.under(dot.replica);
        if dot.seq > top {
            let made = self.made.iter().any(|first| first.replica == dot.replica);
            return Ok(if made && !fault!(NoTags) { own() } else { Tag::UNKNOWN });
        }
        if let Some(tag) = lock(&self.space.stretches).tag_of(self.generation, dot) {
            return Ok(tag);
        }
        let (first, tag) = stretch_at(rows, number, dot)?.unwrap_or((Seq::FIRST, Tag::UNKNOWN));
        let last = match tag == own() {
            true => Seq::MAX, // nothing but this opening makes what comes after it
            false => next_stretch(rows, number, dot, top)?.map_or(top, Seq::prev),
        };
        lock(&self.space.stretches).note(self.generation, (dot.replica, first, last, tag));
        Ok(tag)
    }
}

/// Where after an event a new stretch begins, if one does up to `top`.
pub(super) fn next_stretch(
    rows: &dyn Read,
    space: u32,
    dot: Dot,
    top: Seq,
) -> Result<Option<Seq>, StorageError> {
    let mut next = None;
    let beyond = (dot.seq.next(), top);
    scan_stretches(rows, space, dot.replica, beyond, Order::Ascending, |stretch| {
        next = Some(stretch.0);
        ControlFlow::Break(())
    })?;
    Ok(next)
}

/// How many stretches of a replica's events begin up to a seq, where that is at most `most`.
pub(super) fn count_stretches(
    rows: &dyn Read,
    space: u32,
    last: Dot,
    most: usize,
) -> Result<usize, StorageError> {
    let mut count = 0;
    let upto = (Seq::ZERO, last.seq);
    scan_stretches(rows, space, last.replica, upto, Order::Ascending, |_| {
        count += 1;
        if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(count)
}

/// The stretches that begin beyond what `told` has seen, up to these entries: what goes with
/// a delta, ascending.
pub(super) fn stretches_beyond(
    rows: &dyn Read,
    space: u32,
    entries: &VersionVector,
    told: &VersionVector,
) -> Result<Vec<(Dot, Tag)>, StorageError> {
    let mut found = Vec::new();
    for (replica, last) in entries.iter() {
        let stretches = read_stretches(rows, space, replica, (told.get(replica).next(), last))?;
        found.extend(stretches.into_iter().map(|(first, tag)| (Dot::new(replica, first), tag)));
    }
    Ok(found)
}

#[cfg(feature = "sim")]
impl super::Snapshot {
    /// All stretches of the space at this moment, ascending: with which event each begins.
    pub(crate) fn stretches(&self) -> Result<Vec<(Dot, Tag)>, StorageError> {
        let Some(space) = self.space else { return Ok(Vec::new()) };
        let from = [space_key(space).as_slice(), &[Which::Stretches as u8]].concat();
        let to = super::rows::after(&from);
        let (mut found, mut wrong) = (Vec::new(), None);
        self.rows.scan(
            Table::Vectors,
            range(&from, &to),
            Order::Ascending,
            &mut |key, value| {
                match dot_of_key(key).ok().zip(tag_of(value)) {
                    Some(stretch) => found.push(stretch),
                    None => wrong = Some(corrupt(Table::Vectors, key, "not a stretch of events")),
                }
                ControlFlow::Continue(())
            },
        )?;
        wrong.map_or(Ok(found), Err)
    }
}

#[cfg(feature = "sim")]
impl super::Space {
    /// The tag of what is written here from now on, until the store is opened again or the
    /// name gives way.
    pub(crate) fn opening(&self) -> Tag {
        self.store.shared.tag.under(self.replica())
    }
}

impl Batch<'_> {
    /// Begins a stretch.
    pub(super) fn put_stretch(&mut self, first: Dot, tag: Tag) -> Result<(), StorageError> {
        self.rows.put(Table::Vectors, &stretch_key(self.space, first), tag.as_bytes())
    }

    /// Begins a stretch of this store's own with an event, unless one with this tag goes on.
    pub(super) fn begin_stretch(&mut self, first: Dot, tag: Tag) -> Result<(), StorageError> {
        match stretch_at(self.rows, self.space, first)? {
            Some((_, newest)) if newest == tag => Ok(()),
            _ => self.put_stretch(first, tag),
        }
    }

    /// Takes the stretches that come with a delta which leads to `vector`; whether they go on
    /// from what is here. Where another session moved this replica along beyond `told`, which
    /// is what the sender knew of it, both must say the same of what lies between. Nor may
    /// they bring under its old name what another session brought under the new, or under a new
    /// one, of which the sender heard since the two met, what is here under the old. That is
    /// `looked` for a few times in a session: it takes as long as there are stretches.
    ///
    /// # Errors
    /// There would be more than `most` of an origin, whose history no peer could be told then;
    /// or the storage failed.
    pub(super) fn take_stretches(
        &mut self,
        stretches: &[(Dot, Tag)],
        vector: &VersionVector,
        told: &VersionVector,
        most: usize,
        looked: &mut u8,
    ) -> Result<bool, Error> {
        let mut rest = stretches;
        for (replica, top) in vector.iter() {
            let (of, after) =
                rest.split_at(rest.partition_point(|(first, _)| first.replica <= replica));
            rest = after;
            let (from, seen) = (told.get(replica).next(), self.seen(replica));
            let here = read_stretches(self.rows, self.space, replica, (from, top))?;
            let comes = |(first, tag): &(Seq, Tag)| {
                of.binary_search(&(Dot::new(replica, *first), *tag)).is_ok()
            };
            let is_here = |(first, tag): &(Dot, Tag)| {
                first.seq < from
                    || first.seq > seen
                    || here.binary_search(&(first.seq, *tag)).is_ok()
            };
            if !(here.iter().all(comes) && of.iter().all(is_here)) {
                return Ok(false);
            }
        }
        let gone = |(first, tag): &(Dot, Tag)| {
            let name = forked(first.seq, *tag);
            name != first.replica && self.seen(name).max(vector.get(name)) >= first.seq
        };
        if stretches.iter().any(gone) {
            return Ok(false);
        }
        let names = forked_beyond(&self.base, vector.iter());
        if !names.is_empty() {
            *looked = looked.saturating_add(1);
            if *looked > LOOKS || !gone_by(self.rows, self.space, &self.base, &names)?.is_empty() {
                return Ok(false);
            }
        }
        for of in stretches.chunk_by(|a, b| a.0.replica == b.0.replica) {
            let Some((Dot { replica, .. }, _)) = of.first().copied() else { continue };
            let seen = Dot::new(replica, self.seen(replica));
            let new = of.iter().filter(|(first, _)| first.seq > seen.seq).count();
            let here = match new {
                0 => 0,
                _ => count_stretches(self.rows, self.space, seen, most)?,
            };
            if here + new > most {
                return Err(PeerError::TooManyStretches { replica, limit: most }.into());
            }
        }
        for (first, tag) in stretches {
            // What made the events that are here is no longer the peer's to say.
            if first.seq > self.seen(first.replica) {
                self.put_stretch(*first, *tag)?;
            }
        }
        Ok(true)
    }
}

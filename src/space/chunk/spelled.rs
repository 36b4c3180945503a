//! A chunk as it stands in a frame: checked once, and then read event by event.

use core::fmt;
use std::collections::BTreeSet;

use super::origins::Origins;
use super::{Chunk, Claim, Event, ITEM, Last, PREFIX, RUN};
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::{Cursor, DecodeError, Places, Prefix, Problem, Put, limits};
use crate::digest;
use crate::error::PeerError;
use crate::space::change::{RECORD_DOTS, STAMP_BYTES, payload_fits};
use crate::space::rows::{DOT_BYTES, Removal, Runs};

/// What one event brings, or several.
pub(in crate::space) enum Brought<'c, 'p> {
    /// A live item.
    Item {
        /// Where it stands.
        place: &'p [u8],
        /// What it replaced.
        past: VersionVector,
        /// What it holds.
        payload: &'c [u8],
    },
    /// The record of a removal.
    Removal(Removal),
    /// Events in a row, from this one on, that removed one dot each, in a row too.
    Run {
        /// How many.
        count: u64,
        /// What the first of them removed.
        first: Dot,
    },
}

impl Brought<'_, '_> {
    /// The last of its events, of which this is the first.
    const fn last(&self, first: Dot) -> Dot {
        match self {
            Self::Run { count, .. } => nth(first, *count - 1),
            Self::Item { .. } | Self::Removal(_) => first,
        }
    }
}

/// A part of a delta, as it came or is to go.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SpelledChunk {
    /// Its origins and groups.
    bytes: Box<[u8]>,
    items: u64,
    removals: u64,
    /// About how many bytes its rows take.
    row_bytes: u64,
    /// Per origin how far it leads.
    pub(crate) upto: VersionVector,
    /// In the last chunk what ends the delta.
    pub(crate) last: Option<Last>,
}

impl SpelledChunk {
    /// Of a chunk that was made here.
    pub(super) fn made(bytes: Vec<u8>, chunk: &Chunk) -> Self {
        let (items, removals) = chunk.counts();
        let (upto, last) = (chunk.upto.clone(), chunk.last.clone());
        let rows = chunk.events.iter().map(|(_, event)| match event {
            Event::Item { place, past, payload } => item_bytes(place, past, payload),
            Event::Removal(removal) => removal_bytes(removal),
        });
        Self { bytes: bytes.into(), items, removals, row_bytes: rows.sum(), upto, last }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let start = cursor.clone();
        let origins = Origins::take(cursor)?.noting();
        let mut reading = Reading::of(origins, Some(Places::default()));
        let (mut items, mut removals, mut row_bytes) = (0, 0, 0);
        let upto = reading.groups(cursor, &mut |_, brought| {
            match brought {
                Brought::Item { place, past, payload } => {
                    items += 1;
                    row_bytes += item_bytes(place, &past, payload);
                }
                Brought::Removal(removal) => {
                    removals += 1;
                    row_bytes += removal_bytes(&removal);
                }
                Brought::Run { count, .. } => {
                    removals += count;
                    row_bytes += count * (KEY_BYTES + DOT_BYTES as u64);
                }
            }
            Ok::<_, DecodeError>(())
        })?;
        let bytes = start.clone().take(start.remaining() - cursor.remaining())?.into();
        let origins = reading.origins;
        let last = match cursor.u8()? {
            0 => None,
            1 => Some(take_last(cursor, &origins)?),
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        if !origins.all_named() {
            return Err(cursor.wrong(Problem::Other("an origin is listed that nothing names")));
        }
        Ok(Self { bytes, items, removals, row_bytes, upto, last })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        let Some(last) = &self.last else { return out.push(0) };
        out.push(1);
        let origins = Origins::take(&mut Cursor::new("chunk", &self.bytes));
        let origins = origins.unwrap_or_else(|_| Origins::of(&[]));
        origins.put_vector(out, &last.vector);
        out.put_varint(last.stretches.len() as u64);
        for (first, tag) in &last.stretches {
            origins.put(out, first.replica);
            out.put_varint(first.seq.get());
            out.extend_from_slice(tag.as_bytes());
        }
        out.put_varint(last.claims.len() as u64);
        for claim in &last.claims {
            origins.put(out, claim.origin);
            out.put_varint(claim.block);
            out.extend_from_slice(&claim.bits);
        }
    }

    /// How many items and how many removals it holds.
    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.items, self.removals)
    }

    /// Whether it brings nothing.
    pub(in crate::space) const fn is_empty(&self) -> bool {
        self.items + self.removals == 0
    }

    /// About how many bytes its rows take.
    pub(in crate::space) const fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Visits what it brings, ascending by dot; of a run the first.
    ///
    /// # Errors
    /// The visitor's.
    pub(in crate::space) fn each<'c, E: From<PeerError>>(
        &'c self,
        visit: Visit<'_, 'c, E>,
    ) -> Result<(), E> {
        let mut cursor = Cursor::new("chunk", &self.bytes);
        let origins = Origins::take(&mut cursor).map_err(PeerError::from)?;
        let mut visit = |dot, brought: Brought<'c, '_>| visit(dot, brought).map_err(Stop);
        let read = Reading::of(origins, None).groups(&mut cursor, &mut visit);
        read.map(drop).map_err(|Stop(error)| error)
    }

    /// The greatest seq of an origin that it names as replaced or removed.
    pub(in crate::space) fn replaces(&self, origin: ReplicaId) -> Result<Seq, PeerError> {
        let mut most = Seq::ZERO;
        // Mostly it is about others: then nothing needs to be read.
        if !Origins::take(&mut Cursor::new("chunk", &self.bytes))?.list(origin) {
            return Ok(most);
        }
        self.each::<PeerError>(&mut |_, brought| {
            most = most.max(match brought {
                Brought::Item { past, .. } | Brought::Removal(Removal::Prefix { past, .. }) => {
                    past.get(origin)
                }
                Brought::Removal(Removal::Dots(dots)) => {
                    let own = dots.iter().filter(|dot| dot.replica == origin);
                    own.map(|dot| dot.seq).max().unwrap_or(Seq::ZERO)
                }
                Brought::Run { count, first } if first.replica == origin => {
                    nth(first, count - 1).seq
                }
                Brought::Run { .. } => Seq::ZERO,
            });
            Ok(())
        })?;
        Ok(most)
    }

    /// The events that it brings.
    pub(in crate::space) fn runs(&self) -> Result<Runs, PeerError> {
        let mut runs = Runs::default();
        self.each::<PeerError>(&mut |dot, brought| {
            runs.push(dot);
            if let Some(run) = runs.0.last_mut() {
                run.last = brought.last(dot).seq;
            }
            Ok(())
        })?;
        Ok(runs)
    }

    /// The blocks in which its events stand.
    pub(crate) fn blocks(&self) -> Result<BTreeSet<(ReplicaId, u64)>, PeerError> {
        let mut blocks = BTreeSet::new();
        self.each::<PeerError>(&mut |dot, brought| {
            let run = digest::block_of(dot.seq)..=digest::block_of(brought.last(dot).seq);
            blocks.extend(run.map(|block| (dot.replica, block)));
            Ok(())
        })?;
        Ok(blocks)
    }

    /// All of it, for those who have room.
    pub(in crate::space) fn whole(&self) -> Result<Chunk, PeerError> {
        let mut events = Vec::new();
        self.each::<PeerError>(&mut |dot, brought| {
            match brought {
                Brought::Item { place, past, payload } => {
                    let (place, payload) = (place.to_vec(), payload.to_vec());
                    events.push((dot, Event::Item { place, past, payload }));
                }
                Brought::Removal(removal) => events.push((dot, Event::Removal(removal))),
                Brought::Run { count, first } => events
                    .extend((0..count).map(|n| {
                        (nth(dot, n), Event::Removal(Removal::Dots(vec![nth(first, n)])))
                    })),
            }
            Ok(())
        })?;
        Ok(Chunk { events, upto: self.upto.clone(), last: self.last.clone() })
    }
}

impl fmt::Debug for SpelledChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole() {
            Ok(chunk) => chunk.fmt(f),
            Err(error) => write!(f, "Chunk({error})"),
        }
    }
}

/// The dot so many events further on: of a run, of which it was checked that there is such a one.
pub(in crate::space) const fn nth(first: Dot, n: u64) -> Dot {
    Dot::new(first.replica, Seq::new(first.seq.get().saturating_add(n)))
}

/// What dot and number of the space take in the keys of an item's two rows, and its hash.
const KEY_BYTES: u64 = 2 * DOT_BYTES as u64 + 24;

fn item_bytes(place: &[u8], past: &VersionVector, payload: &[u8]) -> u64 {
    KEY_BYTES + (2 * place.len() + 20 * past.len() + payload.len()) as u64
}

fn removal_bytes(removal: &Removal) -> u64 {
    let bytes = match removal {
        Removal::Prefix { prefix, past } => prefix.as_bytes().len() + 20 * past.len(),
        Removal::Dots(dots) => DOT_BYTES * dots.len(),
    };
    KEY_BYTES + bytes as u64
}

fn take_last(cursor: &mut Cursor<'_>, origins: &Origins<'_>) -> Result<Last, DecodeError> {
    let vector = origins.vector(cursor, limits::VECTOR_REPLICAS)?;
    let count = cursor.count(10, limits::STRETCHES)?;
    let mut stretches: Vec<(Dot, Tag)> = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let (first, tag) = (Dot::new(origins.origin(cursor)?, cursor.seq()?), cursor.tag()?);
        if stretches.last().is_some_and(|(last, _)| *last >= first) {
            return Err(here.wrong(Problem::Unsorted));
        }
        if !vector.contains(first) {
            return Err(here.wrong(Problem::Other("a stretch that begins beyond the vector")));
        }
        stretches.push((first, tag));
    }
    let count = cursor.count(34, usize::MAX)?;
    let mut claims: Vec<Claim> = Vec::with_capacity(count);
    for _ in 0..count {
        let (origin, block) = (origins.origin(cursor)?, cursor.varint()?);
        if claims.last().is_some_and(|c| (c.origin, c.block) >= (origin, block)) {
            return Err(cursor.wrong(Problem::Unsorted));
        }
        claims.push(Claim { origin, block, bits: cursor.array()? });
    }
    Ok(Last { vector, stretches, claims })
}

/// Goes through the groups of a chunk.
struct Reading<'c> {
    origins: Origins<'c>,
    /// The place of the last item.
    place: Vec<u8>,
    /// Bytes that the places to come may have in all.
    room: usize,
    /// Events that came so far.
    events: u64,
    /// What checks places and payloads; none where that was done before.
    places: Option<Places>,
}

/// Who is shown what stands in a chunk.
type Visit<'v, 'c, E> = &'v mut dyn FnMut(Dot, Brought<'c, '_>) -> Result<(), E>;

/// A visitor's error, or that of bytes which were never checked.
struct Stop<E>(E);

impl<E: From<PeerError>> From<DecodeError> for Stop<E> {
    fn from(error: DecodeError) -> Self {
        Self(PeerError::from(error).into())
    }
}

impl<'c> Reading<'c> {
    const fn of(origins: Origins<'c>, places: Option<Places>) -> Self {
        let room = limits::CHUNK_PLACE_BYTES;
        Self { origins, place: Vec::new(), room, events: 0, places }
    }

    /// Visits what all groups bring; how far they lead.
    fn groups<E: From<DecodeError>>(
        &mut self,
        cursor: &mut Cursor<'c>,
        visit: Visit<'_, 'c, E>,
    ) -> Result<VersionVector, E> {
        let count = cursor.count(3, limits::VECTOR_REPLICAS.min(self.origins.count()))?;
        let mut upto = Vec::with_capacity(count);
        for _ in 0..count {
            let (origin, to) = (self.origins.origin(cursor)?, cursor.seq()?);
            upto.push((origin, to));
            self.group(cursor, origin, to, visit)?;
        }
        Ok(VersionVector::from_sorted(upto).ok_or_else(|| cursor.wrong(Problem::Unsorted))?)
    }

    fn group<E: From<DecodeError>>(
        &mut self,
        cursor: &mut Cursor<'c>,
        origin: ReplicaId,
        upto: Seq,
        visit: Visit<'_, 'c, E>,
    ) -> Result<(), E> {
        let here = cursor.clone();
        let mut left = cursor.varint()?;
        if left > limits::CHUNK_EVENTS as u64 - self.events {
            let limit = limits::CHUNK_EVENTS;
            return Err(here.wrong(Problem::TooMany { limit, found: left }).into());
        }
        self.events += left;
        // The gap to an event further on would not fit its header, when it is sent on.
        let upto = upto.min(limits::EVENT_SEQ);
        let mut before: u64 = 0;
        // The one dot that the event before this one removed, if it did just that.
        let mut removed_before: Option<Dot> = None;
        while left > 0 {
            let here = cursor.clone();
            let header = cursor.varint()?;
            let beyond = || here.wrong(Problem::Other("an event beyond where its group leads"));
            let seq = before
                .checked_add(header >> 2)
                .and_then(|n| n.checked_add(1))
                .ok_or_else(beyond)?;
            let follows = removed_before.filter(|_| before.checked_add(1) == Some(seq));
            let dot = Dot::new(origin, Seq::new(seq));
            let brought = match header & 3 {
                ITEM => self.item(cursor)?,
                PREFIX => {
                    let prefix = Prefix::from_bytes(cursor.bytes(limits::PLACE_BYTES)?)?;
                    let past = self.origins.vector(cursor, limits::REMOVAL_ORIGINS)?;
                    Brought::Removal(Removal::Prefix { prefix, past })
                }
                RUN => self.run(cursor, left)?,
                _ => Brought::Removal(Removal::Dots(self.dots(cursor, &here)?)),
            };
            let (events, first) = match &brought {
                Brought::Run { count, first } => (*count, Some(*first)),
                Brought::Removal(Removal::Dots(dots)) => match dots.as_slice() {
                    [removed] => (1, Some(*removed)),
                    _ => (1, None),
                },
                _ => (1, None),
            };
            // Not by `nth`, which stays at the last seq that there is.
            let is_next = |(before, first): (Dot, Dot)| {
                before.replica == first.replica
                    && before.seq.get().checked_add(1) == Some(first.seq.get())
            };
            if follows.zip(first).is_some_and(is_next) {
                return Err(here.wrong(Problem::Other("a run of removals in two parts")).into());
            }
            before = seq
                .checked_add(events - 1)
                .filter(|last| *last <= upto.get())
                .ok_or_else(beyond)?;
            left -= events;
            removed_before = first.map(|first| nth(first, events - 1));
            visit(dot, brought)?;
        }
        Ok(())
    }

    fn run(&self, cursor: &mut Cursor<'_>, left: u64) -> Result<Brought<'c, 'static>, DecodeError> {
        let here = cursor.clone();
        let count = cursor.varint()?;
        let first = Dot::new(self.origins.origin(cursor)?, cursor.seq()?);
        if count < 2 || count > left {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            return Err(here.wrong(Problem::TooMany { limit, found: count }));
        }
        if first.seq.get().checked_add(count - 1).is_none() {
            return Err(here.wrong(Problem::Other("a run that removes beyond the last seq")));
        }
        Ok(Brought::Run { count, first })
    }

    fn dots(&self, cursor: &mut Cursor<'_>, here: &Cursor<'_>) -> Result<Vec<Dot>, DecodeError> {
        let count = cursor.count(2, RECORD_DOTS)?;
        let mut dots = Vec::with_capacity(count);
        for _ in 0..count {
            dots.push(Dot::new(self.origins.origin(cursor)?, cursor.seq()?));
        }
        if dots.is_empty() || !dots.is_sorted_by(|a, b| a < b) {
            return Err(here.wrong(Problem::Unsorted));
        }
        Ok(dots)
    }

    fn item(&mut self, cursor: &mut Cursor<'c>) -> Result<Brought<'c, '_>, DecodeError> {
        let here = cursor.clone();
        let shared = cursor.varint()?;
        if shared > self.place.len() as u64 {
            return Err(here.wrong(Problem::Other("shares more of the last place than there is")));
        }
        let shared = shared as usize;
        let suffix = cursor.bytes(limits::PLACE_BYTES)?;
        if let (Some(next), Some(first)) = (self.place.get(shared), suffix.first())
            && next == first
        {
            return Err(here.wrong(Problem::Other("shares less of the last place than it could")));
        }
        self.place.truncate(shared);
        self.place.extend_from_slice(suffix);
        let room = self.room.checked_sub(self.place.len());
        let much = || here.wrong(Problem::Other("places that take more room than a chunk may"));
        self.room = room.ok_or_else(much)?;
        let past = self.origins.vector(cursor, limits::REMOVAL_ORIGINS)?;
        let payload = cursor.bytes(limits::VALUE_BYTES + STAMP_BYTES)?;
        if let Some(places) = &mut self.places {
            let kind = places.leaf_kind(&self.place, shared)?;
            if !payload_fits(kind, payload) {
                return Err(here.wrong(Problem::Other("a payload that its type does not allow")));
            }
        }
        Ok(Brought::Item { place: &self.place, past, payload })
    }
}

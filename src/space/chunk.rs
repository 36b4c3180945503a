//! A chunk of a delta, and how it is spelled in a frame.
//!
//! ```text
//! chunk    := origins, groups, 00                            one of several, more follow
//!           | origins, groups, 01, vector, stretches, claims the last one
//! origins  := count, replica (16 bytes) …                    ascending; below they are indexes
//! groups   := count, (origin, upto, events, entry …) …       ascending by origin
//! entry    := (gap × 4 + tag), body                          gap: seqs left out since the last one
//!   tag 0  item: shared, suffix, past, payload               place = shared bytes of the last one + suffix
//!   tag 1  removal beneath a prefix: prefix, past
//!   tag 2  events in a row that removed dots in a row: count, origin, first seq removed
//!   tag 3  removal of dots: count, (origin, seq) …
//! past, vector := count, (origin, seq) …                     ascending by origin
//! stretches    := count, (origin, first seq, 8 bytes) …      ascending, of origins of the vector
//! claims   := count, (origin, block, 32 bytes) …             ascending
//! ```
//! All numbers are varints. An entry stands for one event, of tag 2 for several. `upto` is how
//! far the chunk leads in that origin's events: what it leaves out up to there is dead.
//!
//! There is one spelling of each chunk: every origin listed is named, as many bytes of a place
//! are shared as can be, and what can travel as a run of tag 2 does.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::change::payload_fits;
use super::rows::Removal;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::{Cursor, DecodeError, Places, Prefix, Problem, Put, limits};

/// What one event brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A live item.
    Item {
        /// Where it stands.
        place: Vec<u8>,
        /// What it replaced.
        past: VersionVector,
        /// What it holds.
        payload: Vec<u8>,
    },
    /// The record of a removal.
    Removal(Removal),
}

impl Event {
    /// The greatest seq of an origin that it names as replaced or removed.
    pub(super) fn replaces(&self, origin: ReplicaId) -> Seq {
        match self {
            Self::Item { past, .. } | Self::Removal(Removal::Prefix { past, .. }) => {
                past.get(origin)
            }
            Self::Removal(Removal::Dots(dots)) => {
                let own = dots.iter().filter(|dot| dot.replica == origin);
                own.map(|dot| dot.seq).max().unwrap_or(Seq::ZERO)
            }
        }
    }
}

/// What is live in one block of 256 events, as the sender of a last chunk has it: what the
/// receiver holds there beside these, within the cut that both agreed on, is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) origin: ReplicaId,
    pub(crate) block: u64,
    pub(crate) bits: [u8; 32],
}

/// What ends a delta.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// The entries of the sender's vector that lie beyond what the receiver had: read in the
    /// same snapshot as the end of the order.
    pub(crate) vector: VersionVector,
    /// The stretches of those origins' events that begin beyond it: with which event, and
    /// its tag.
    pub(crate) stretches: Vec<(Dot, Tag)>,
    /// Claims that this news explains.
    pub(crate) claims: Vec<Claim>,
}

/// A part of a delta.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Ascending by dot.
    pub(crate) events: Vec<(Dot, Event)>,
    /// Per origin how far this chunk leads.
    pub(crate) upto: VersionVector,
    /// In the last chunk what ends the delta.
    pub(crate) last: Option<Last>,
}

const ITEM: u64 = 0;
const PREFIX: u64 = 1;
const RUN: u64 = 2;
const DOTS: u64 = 3;

impl Chunk {
    /// How many items and how many removals it holds.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let items = self.events.iter().filter(|(_, e)| matches!(e, Event::Item { .. })).count();
        (items as u64, (self.events.len() - items) as u64)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let origins = Origins::of(self);
        out.put_varint(origins.ids.len() as u64);
        for origin in &origins.ids {
            out.extend_from_slice(origin.as_bytes());
        }
        out.put_varint(self.upto.len() as u64);
        let mut rest = self.events.as_slice();
        let mut last_place: &[u8] = &[];
        for (origin, upto) in self.upto.iter() {
            let (group, after) =
                rest.split_at(rest.partition_point(|(dot, _)| dot.replica <= origin));
            rest = after;
            origins.put(out, origin);
            out.put_varint(upto.get());
            out.put_varint(group.len() as u64);
            put_group(out, &origins, group, &mut last_place);
        }
        match &self.last {
            None => out.push(0),
            Some(last) => {
                out.push(1);
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
        }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let count = cursor.count(16, 2 * limits::VECTOR_REPLICAS)?;
        let mut origins = Vec::with_capacity(count);
        for _ in 0..count {
            let origin = cursor.replica()?;
            if origins.last().is_some_and(|last| *last >= origin) {
                return Err(cursor.wrong(Problem::Unsorted));
            }
            origins.push(origin);
        }
        let origins = Origins::new(origins);
        let mut chunk = Self::default();
        let mut last_place = LastPlace {
            bytes: Vec::new(),
            room: limits::CHUNK_PLACE_BYTES,
            places: Places::default(),
        };
        let count = cursor.count(3, limits::VECTOR_REPLICAS)?;
        let mut upto = Vec::with_capacity(count);
        for _ in 0..count {
            let (origin, to) = (origins.take(cursor)?, cursor.seq()?);
            upto.push((origin, to));
            take_group(cursor, &origins, origin, to, &mut last_place, &mut chunk.events)?;
        }
        chunk.upto =
            VersionVector::from_sorted(upto).ok_or_else(|| cursor.wrong(Problem::Unsorted))?;
        chunk.last = match cursor.u8()? {
            0 => None,
            1 => Some(take_last(cursor, &origins)?),
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        if !origins.named.iter().all(Cell::get) {
            return Err(cursor.wrong(Problem::Other("an origin is listed that nothing names")));
        }
        Ok(chunk)
    }
}

fn take_last(cursor: &mut Cursor<'_>, origins: &Origins) -> Result<Last, DecodeError> {
    let vector = origins.take_vector(cursor, limits::VECTOR_REPLICAS)?;
    let count = cursor.count(10, limits::STRETCHES)?;
    let mut stretches: Vec<(Dot, Tag)> = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let (first, tag) = (Dot::new(origins.take(cursor)?, cursor.seq()?), cursor.tag()?);
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
        let (origin, block) = (origins.take(cursor)?, cursor.varint()?);
        if claims.last().is_some_and(|c| (c.origin, c.block) >= (origin, block)) {
            return Err(cursor.wrong(Problem::Unsorted));
        }
        claims.push(Claim { origin, block, bits: cursor.array()? });
    }
    Ok(Last { vector, stretches, claims })
}

/// The replicas that a chunk names, ascending; in it they are their places here.
struct Origins {
    ids: Vec<ReplicaId>,
    /// Which of them were named so far.
    named: Vec<Cell<bool>>,
}

impl Origins {
    fn new(ids: Vec<ReplicaId>) -> Self {
        Self { named: vec![Cell::new(false); ids.len()], ids }
    }

    fn of(chunk: &Chunk) -> Self {
        let mut named: BTreeSet<ReplicaId> = chunk.upto.iter().map(|e| e.0).collect();
        for (_, event) in &chunk.events {
            match event {
                Event::Item { past, .. } | Event::Removal(Removal::Prefix { past, .. }) => {
                    named.extend(past.iter().map(|e| e.0));
                }
                Event::Removal(Removal::Dots(dots)) => named.extend(dots.iter().map(|d| d.replica)),
            }
        }
        if let Some(last) = &chunk.last {
            named.extend(last.vector.iter().map(|e| e.0));
            named.extend(last.claims.iter().map(|c| c.origin));
        }
        Self::new(named.into_iter().collect())
    }

    fn put(&self, out: &mut Vec<u8>, origin: ReplicaId) {
        out.put_varint(self.ids.binary_search(&origin).unwrap_or(usize::MAX) as u64);
    }

    fn put_vector(&self, out: &mut Vec<u8>, vector: &VersionVector) {
        out.put_varint(vector.len() as u64);
        for (replica, seq) in vector.iter() {
            self.put(out, replica);
            out.put_varint(seq.get());
        }
    }

    fn take(&self, cursor: &mut Cursor<'_>) -> Result<ReplicaId, DecodeError> {
        let here = cursor.clone();
        let index = usize::try_from(cursor.varint()?).ok();
        match index.and_then(|index| self.ids.get(index).zip(self.named.get(index))) {
            Some((origin, named)) => {
                named.set(true);
                Ok(*origin)
            }
            None => Err(here.wrong(Problem::Other("an origin that the chunk does not list"))),
        }
    }

    fn take_vector(
        &self,
        cursor: &mut Cursor<'_>,
        limit: usize,
    ) -> Result<VersionVector, DecodeError> {
        let count = cursor.count(2, limit)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.take(cursor)?, cursor.seq()?));
        }
        VersionVector::from_sorted(entries).ok_or_else(|| cursor.wrong(Problem::Unsorted))
    }
}

fn put_group<'e>(
    out: &mut Vec<u8>,
    origins: &Origins,
    mut group: &'e [(Dot, Event)],
    last_place: &mut &'e [u8],
) {
    let mut before = Seq::ZERO;
    while let Some(((dot, event), rest)) = group.split_first() {
        let gap = dot.seq.get() - before.get() - 1;
        let header = |tag| gap << 2 | tag;
        before = dot.seq;
        group = rest;
        match event {
            Event::Item { place, past, payload } => {
                out.put_varint(header(ITEM));
                let shared =
                    place.iter().zip(last_place.iter()).take_while(|(a, b)| a == b).count();
                out.put_varint(shared as u64);
                out.put_bytes(place.get(shared..).unwrap_or_default());
                origins.put_vector(out, past);
                out.put_bytes(payload);
                *last_place = place;
            }
            Event::Removal(Removal::Prefix { prefix, past }) => {
                out.put_varint(header(PREFIX));
                out.put_bytes(prefix.as_bytes());
                origins.put_vector(out, past);
            }
            Event::Removal(Removal::Dots(dots)) => {
                match (dots.as_slice(), run_of(*dot, dots, rest)) {
                    ([first], run @ 2..) => {
                        out.put_varint(header(RUN));
                        out.put_varint(run as u64);
                        origins.put(out, first.replica);
                        out.put_varint(first.seq.get());
                        group = rest.get(run - 1..).unwrap_or_default();
                        before = Seq::new(dot.seq.get() + run as u64 - 1);
                    }
                    _ => {
                        out.put_varint(header(DOTS));
                        out.put_varint(dots.len() as u64);
                        for removed in dots {
                            origins.put(out, removed.replica);
                            out.put_varint(removed.seq.get());
                        }
                    }
                }
            }
        }
    }
}

/// How many events from this one on follow each other and removed one dot each that
/// follow each other too.
fn run_of(dot: Dot, removed: &[Dot], rest: &[(Dot, Event)]) -> usize {
    let [first] = removed else { return 0 };
    let follows = |n: u64, (next, event): &(Dot, Event)| {
        let Event::Removal(Removal::Dots(dots)) = event else { return false };
        let [removed] = dots.as_slice() else { return false };
        next.seq.get() - dot.seq.get() == n
            && removed.replica == first.replica
            && removed.seq.get().checked_sub(first.seq.get()) == Some(n)
    };
    1 + rest.iter().zip(1..).take_while(|(event, n)| follows(*n, event)).count()
}

fn take_group(
    cursor: &mut Cursor<'_>,
    origins: &Origins,
    origin: ReplicaId,
    upto: Seq,
    last_place: &mut LastPlace,
    events: &mut Vec<(Dot, Event)>,
) -> Result<(), DecodeError> {
    let here = cursor.clone();
    let count = cursor.varint()?;
    let room = limits::CHUNK_EVENTS - events.len();
    if count > room as u64 {
        return Err(here.wrong(Problem::TooMany { limit: limits::CHUNK_EVENTS, found: count }));
    }
    let start = events.len();
    let end = start + count as usize;
    // The gap to an event further on would not fit its header, when it is sent on.
    let upto = upto.min(limits::EVENT_SEQ);
    let mut before: u64 = 0;
    while events.len() < end {
        let here = cursor.clone();
        let header = cursor.varint()?;
        let beyond = || here.wrong(Problem::Other("an event beyond where its group leads"));
        let seq =
            before.checked_add(header >> 2).and_then(|n| n.checked_add(1)).ok_or_else(beyond)?;
        before = seq;
        let dot = Dot::new(origin, Seq::new(seq));
        // The one dot that the event before this one removed, if it did just that.
        let removed_before = match events.get(start..).and_then(<[_]>::last) {
            Some((last, Event::Removal(Removal::Dots(dots)))) if last.seq.next() == dot.seq => {
                dots.first().filter(|_| dots.len() == 1).copied()
            }
            _ => None,
        };
        let goes_on = |removed: Dot| {
            removed_before.is_some_and(|before| {
                before.replica == removed.replica && before.seq.next() == removed.seq
            })
        };
        let apart = || here.wrong(Problem::Other("a run of removals in two parts"));
        let event = match header & 3 {
            ITEM => take_item(cursor, origins, last_place)?,
            PREFIX => {
                let prefix = Prefix::from_bytes(cursor.bytes(limits::PLACE_BYTES)?)?;
                let past = origins.take_vector(cursor, limits::REMOVAL_ORIGINS)?;
                Event::Removal(Removal::Prefix { prefix, past })
            }
            RUN => {
                let run = cursor.varint()?;
                let (replica, first) = (origins.take(cursor)?, cursor.seq()?.get());
                if run < 2 || run > (end - events.len()) as u64 {
                    return Err(
                        here.wrong(Problem::TooMany { limit: end - events.len(), found: run })
                    );
                }
                before = seq
                    .checked_add(run - 1)
                    .filter(|last| *last <= upto.get())
                    .ok_or_else(beyond)?;
                if first.checked_add(run).is_none() {
                    return Err(beyond());
                }
                if goes_on(Dot::new(replica, Seq::new(first))) {
                    return Err(apart());
                }
                events.extend((0..run).map(|n| {
                    let removed = Dot::new(replica, Seq::new(first + n));
                    let event = Event::Removal(Removal::Dots(vec![removed]));
                    (Dot::new(origin, Seq::new(seq + n)), event)
                }));
                continue;
            }
            _ => {
                let count = cursor.count(2, super::change::RECORD_DOTS)?;
                let mut dots = Vec::with_capacity(count);
                for _ in 0..count {
                    dots.push(Dot::new(origins.take(cursor)?, cursor.seq()?));
                }
                if dots.is_empty() || !dots.is_sorted_by(|a, b| a < b) {
                    return Err(here.wrong(Problem::Unsorted));
                }
                if let [removed] = dots.as_slice()
                    && goes_on(*removed)
                {
                    return Err(apart());
                }
                Event::Removal(Removal::Dots(dots))
            }
        };
        if seq > upto.get() {
            return Err(beyond());
        }
        events.push((dot, event));
    }
    Ok(())
}

/// The place of the last item read, and the bytes that those to come may have in all.
struct LastPlace {
    bytes: Vec<u8>,
    room: usize,
    places: Places,
}

fn take_item(
    cursor: &mut Cursor<'_>,
    origins: &Origins,
    last_place: &mut LastPlace,
) -> Result<Event, DecodeError> {
    let here = cursor.clone();
    let LastPlace { bytes: last_place, room, places } = last_place;
    let shared = cursor.varint()?;
    if shared > last_place.len() as u64 {
        return Err(here.wrong(Problem::Other("shares more of the last place than there is")));
    }
    let suffix = cursor.bytes(limits::PLACE_BYTES)?;
    if let (Some(next), Some(first)) = (last_place.get(shared as usize), suffix.first())
        && next == first
    {
        return Err(here.wrong(Problem::Other("shares less of the last place than it could")));
    }
    last_place.truncate(shared as usize);
    last_place.extend_from_slice(suffix);
    *room = room
        .checked_sub(last_place.len())
        .ok_or_else(|| here.wrong(Problem::Other("places that take more room than a chunk may")))?;
    let past = origins.take_vector(cursor, limits::REMOVAL_ORIGINS)?;
    let payload = cursor.bytes(limits::VALUE_BYTES + super::change::STAMP_BYTES)?;
    let kind = places.leaf_kind(last_place, shared as usize)?;
    if !payload_fits(kind, payload) {
        return Err(here.wrong(Problem::Other("a payload that its type does not allow")));
    }
    Ok(Event::Item { place: last_place.clone(), past, payload: payload.to_vec() })
}

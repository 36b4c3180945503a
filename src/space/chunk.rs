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
//!
//! Who sends makes a [`Chunk`] of what stands in its space. Who receives has a [`SpelledChunk`],
//! and reads one event after the other: a list of them would take many times the bytes that came.

mod origins;
mod spelled;

use super::rows::Removal;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::Put;
use origins::Origins;
pub(crate) use spelled::SpelledChunk;
pub(super) use spelled::{Brought, nth};

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

impl Last {
    /// What a stretch takes in a chunk, at most, of an origin that the vector names.
    pub(super) const STRETCH_BYTES: usize = 24;

    /// At most so many bytes it takes in a chunk, with the origins that it names.
    pub(super) fn bytes(&self) -> usize {
        let stretches = Self::STRETCH_BYTES * self.stretches.len();
        32 * self.vector.len() + stretches + 64 * self.claims.len()
    }
}

/// A part of a delta, as it is made.
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

    /// As it travels.
    pub(crate) fn spelled(&self) -> SpelledChunk {
        let named = origins::named_by(self);
        let origins = Origins::of(&named);
        let mut out = Vec::new();
        out.put_varint(named.len() as u64);
        named.iter().for_each(|origin| out.extend_from_slice(origin));
        out.put_varint(self.upto.len() as u64);
        let mut rest = self.events.as_slice();
        let mut last_place: &[u8] = &[];
        for (origin, upto) in self.upto.iter() {
            let (group, after) =
                rest.split_at(rest.partition_point(|(dot, _)| dot.replica <= origin));
            rest = after;
            origins.put(&mut out, origin);
            out.put_varint(upto.get());
            out.put_varint(group.len() as u64);
            put_group(&mut out, &origins, group, &mut last_place);
        }
        SpelledChunk::made(out, self)
    }
}

fn put_group<'e>(
    out: &mut Vec<u8>,
    origins: &Origins<'_>,
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

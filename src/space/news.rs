//! Sending: what lies beyond what another replica has seen, a chunk at a time.

use std::ops::ControlFlow;

use super::chunk::{Chunk, Claim, Event, Last};
use super::content::Content;
use super::options::Tuning;
use super::rows::{PASS_ROWS, Removal, corrupt, dot_key, dot_of_key, range};
use super::space::Space;
use super::stretches::{stretches_beyond, tag_at};
use super::view::Snapshot;
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};
use crate::codec::limits;
use crate::digest;
use crate::error::Error;
use crate::faults::fault;
use crate::storage::{Order, StorageError, Table};

/// About what an origin takes in a chunk, beside its events.
const ORIGIN_BYTES: usize = 24;

/// Goes through what lies beyond what a peer has seen, in (origin, seq) order, straight
/// from the index of dots: no search, no hashing, and no snapshot held between chunks.
pub(crate) struct Outgoing {
    /// What the peer had when this began: its vector and what it had staged from here.
    known: VersionVector,
    /// Up to where it was sent. A vector, so that a write of an origin already passed is
    /// not missed.
    cursor: VersionVector,
    /// Our vector when this began: a removal up to here concerns the peer only where it
    /// had the removed item before, since we sent it none that was already dead.
    start: Option<VersionVector>,
    /// Of the space that it sends from.
    generation: u64,
    /// What ends the delta, where it did not fit beside the last events: as it was then, since
    /// where writes go on it would never be made with no event before it.
    end: Option<Last>,
    #[cfg(rejoin_faults)]
    early: Option<Snapshot>,
}

impl Outgoing {
    /// From a space of this generation to a peer that has seen `known` and holds `staged`
    /// from us beyond that.
    pub(crate) fn new(known: &VersionVector, staged: &VersionVector, generation: u64) -> Self {
        let mut cursor = known.clone();
        cursor.join(staged);
        Self {
            known: cursor.clone(),
            cursor,
            start: None,
            generation,
            end: None,
            #[cfg(rejoin_faults)]
            early: None,
        }
    }

    /// Keeps the snapshot that a fault is to be made of.
    #[cfg(rejoin_faults)]
    pub(crate) fn looking_early(mut self, space: &Space) -> Result<Self, Error> {
        self.early = Some(space.snapshot()?);
        Ok(self)
    }

    /// The peer has told us that it has seen all this, some of it ours no longer to send.
    pub(crate) fn peer_has(&mut self, seen: &VersionVector) {
        self.known.join(seen);
        self.cursor.join(seen);
    }

    /// The next chunk, of about [`CHUNK_BYTES`](crate::codec::limits::CHUNK_BYTES). Where it reaches the end it is the
    /// last: its vector says what lies beyond `told`, which is what the peer knows us to
    /// have seen, and with it go claims on `blocks` at `cut`. None where what other sessions
    /// brought here since the two told each other how they stand, which is `opened`, may lie
    /// on another history than the peer's.
    pub(crate) fn next(
        &mut self,
        space: &Space,
        told: &VersionVector,
        opened: (&TaggedVector, &TaggedVector),
        blocks: &[(ReplicaId, u64)],
        cut: &VersionVector,
    ) -> Result<Option<Chunk>, Error> {
        let snapshot = space.snapshot_to_show(self.generation)?;
        if !lies_on_the_same(&snapshot, opened)? {
            return Ok(None);
        }
        if let Some(end) = self.end.take() {
            return Ok(Some(Chunk { last: Some(end), ..Chunk::default() }));
        }
        let vector = snapshot.vector.clone();
        #[cfg(rejoin_faults)]
        let (snapshot, early) = match &self.early {
            Some(early) if fault!(FinalVectorReadLate) => (early.clone(), early.clone()),
            Some(early) if fault!(LiveSetReadBeforeTheVector) => (snapshot, early.clone()),
            _ => (snapshot.clone(), snapshot),
        };
        #[cfg(rejoin_faults)]
        let early = &early;
        #[cfg(not(rejoin_faults))]
        let early = &snapshot;
        let start = self.start.get_or_insert_with(|| (*vector).clone());
        let mut reading = Reading {
            snapshot: &snapshot,
            known: &self.known,
            start,
            tuning: space.store().tuning(),
            chunk: Chunk::default(),
            bytes: 0,
        };
        for (origin, top) in snapshot.vector.beyond(&self.cursor).iter() {
            let from = self.cursor.get(origin).next();
            let reached = reading.origin(origin, from, top, &self.cursor)?;
            reading.chunk.upto.advance(Dot::new(origin, reached));
            reading.bytes += ORIGIN_BYTES;
            // Also where the origin ended just here: of many origins with one event each, each
            // would add its own to a chunk that is full.
            if reached < top || reading.full() {
                break;
            }
        }
        let mut chunk = reading.chunk;
        self.cursor.join(&chunk.upto);
        if self.cursor.covers(&snapshot.vector) || fault!(TransactionSplit) {
            let claims = claims_on(early, blocks, cut)?;
            let vector = if fault!(TransactionSplit) { &chunk.upto } else { &*vector };
            let mut last = Last { vector: vector.beyond(told), claims, ..Last::default() };
            last.stretches = stretches_of(early, &last, told)?;
            // With a large value in one frame with it, a long end would be too much for one: then
            // it goes by itself, behind.
            if chunk.events.is_empty()
                || reading.bytes + last.bytes() <= limits::FRAME_BYTES / 4 * 3
            {
                chunk.last = Some(last);
            } else {
                self.end = Some(last);
            }
        }
        Ok(Some(chunk))
    }

    /// The one chunk of a side from which nothing is taken: claims, which show the peer the
    /// blocks that it should make claims on.
    pub(crate) fn only_claims(
        &self,
        space: &Space,
        blocks: &[(ReplicaId, u64)],
        cut: &VersionVector,
    ) -> Result<Chunk, Error> {
        let claims = claims_on(&space.snapshot_to_show(self.generation)?, blocks, cut)?;
        Ok(Chunk { last: Some(Last { claims, ..Last::default() }), ..Chunk::default() })
    }

    /// Whether our vector has anything beyond what was sent.
    pub(crate) fn behind(&self, space: &Space) -> Result<bool, Error> {
        Ok(!self.cursor.covers(&space.snapshot()?.vector))
    }
}

/// Whether what came here since this side told its vector lies on the histories of which the
/// peer told the ends. Nobody else can ask that:
///
/// 1. B makes an event under a name, and so does its twin G; D has seen neither.
/// 2. D and G tell each other how they stand. Then B's comes to D, in another session.
/// 3. D's delta to G leaves out what B's event replaced, and that event too, since G has seen
///    as many of this name. G would lose the one, and has never heard of the other.
///
/// Where this side has less of a name than the peer, and not the same tag, nobody can tell yet:
/// the peer's delta is under way.
fn lies_on_the_same(
    snapshot: &Snapshot,
    (mine, theirs): (&TaggedVector, &TaggedVector),
) -> Result<bool, StorageError> {
    let Some(space) = snapshot.space else { return Ok(true) };
    for (origin, seq) in snapshot.vector.iter().filter(|(origin, seq)| *seq > mine.get(*origin).0) {
        let (end, tag) = theirs.get(origin);
        let both = Dot::new(origin, seq.min(end));
        if !end.is_zero() && !tag.agrees(tag_at(&*snapshot.rows, space, both)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What stretches go with what else ends a delta: where they are more than one delta may bring,
/// or than fit one frame with that, the newest.
fn stretches_of(
    snapshot: &Snapshot,
    last: &Last,
    told: &VersionVector,
) -> Result<Vec<(Dot, Tag)>, StorageError> {
    let Some(number) = snapshot.space else { return Ok(Vec::new()) };
    let mut stretches = stretches_beyond(&*snapshot.rows, number, &last.vector, told)?;
    let mut most = stretches.len();
    let room = limits::FRAME_BYTES.saturating_sub(limits::MIB + last.bytes());
    let at_once = limits::STRETCHES.min(room / Last::STRETCH_BYTES);
    while stretches.len() > at_once {
        // Of each origin the newest half, and one at least.
        most = most.div_ceil(2);
        let newest = |of: &[(Dot, Tag)]| of.get(of.len().saturating_sub(most)..).map(<[_]>::to_vec);
        let kept = stretches.chunk_by(|a, b| a.0.replica == b.0.replica).filter_map(newest);
        stretches = kept.flatten().collect();
        if most == 1 {
            stretches.truncate(at_once);
        }
    }
    Ok(stretches)
}

/// What is live of some blocks at a cut.
fn claims_on(
    snapshot: &Snapshot,
    blocks: &[(ReplicaId, u64)],
    cut: &VersionVector,
) -> Result<Vec<Claim>, StorageError> {
    let Some(number) = snapshot.space else { return Ok(Vec::new()) };
    let claim = |&(origin, block): &(ReplicaId, u64)| {
        let (rows, vector) = (&*snapshot.rows, &snapshot.vector);
        let bits = digest::live_bits(rows, number, vector, cut, origin, block)?;
        Ok(Claim { origin, block, bits })
    };
    blocks.iter().map(claim).collect()
}

/// Rows by dot, and up to which seq these are all.
type Pass = (Vec<(Dot, Vec<u8>)>, Seq);

struct Reading<'a> {
    snapshot: &'a Snapshot,
    known: &'a VersionVector,
    start: &'a VersionVector,
    tuning: &'a Tuning,
    chunk: Chunk,
    bytes: usize,
}

impl Reading<'_> {
    /// Reads the events of one origin until the chunk is full; up to where.
    fn origin(
        &mut self,
        origin: ReplicaId,
        mut from: Seq,
        top: Seq,
        cursor: &VersionVector,
    ) -> Result<Seq, StorageError> {
        loop {
            // The two tables are read in step: up to where both were read whole.
            let (dots, dots_to) = self.pass(Table::Dots, origin, from, top)?;
            self.check_whole(origin, top, (from, dots_to), &dots)?;
            let (removals, removals_to) = self.pass(Table::Removals, origin, from, top)?;
            let to = dots_to.min(removals_to);
            let mut removals = removals.into_iter().peekable();
            for (dot, row) in dots.into_iter().filter(|(dot, _)| dot.seq <= to) {
                while let Some((before, row)) = removals.next_if(|(r, _)| r.seq < dot.seq) {
                    self.removal(before, &row, cursor)?;
                    if self.full() {
                        return Ok(before.seq);
                    }
                }
                self.item(dot, &row)?;
                if self.full() {
                    return Ok(dot.seq);
                }
            }
            for (dot, row) in removals.filter(|(dot, _)| dot.seq <= to) {
                self.removal(dot, &row, cursor)?;
                if self.full() {
                    return Ok(dot.seq);
                }
            }
            if to >= top {
                return Ok(top);
            }
            from = to.next();
        }
    }

    /// Holds the dots that were read against how many there must be: what is left out is dead,
    /// to whoever reads this.
    fn check_whole(
        &self,
        origin: ReplicaId,
        top: Seq,
        range: (Seq, Seq),
        dots: &[(Dot, Vec<u8>)],
    ) -> Result<(), StorageError> {
        let Some(space) = self.snapshot.space else { return Ok(()) };
        let seqs = dots.iter().map(|(dot, _)| dot.seq);
        digest::check_counts(&*self.snapshot.rows, space, origin, top, range, seqs)
    }

    /// Some rows of an origin from a seq on, and up to which seq these are all.
    fn pass(
        &self,
        table: Table,
        origin: ReplicaId,
        from: Seq,
        top: Seq,
    ) -> Result<Pass, StorageError> {
        let Some(space) = self.snapshot.space else { return Ok((Vec::new(), top)) };
        let start = dot_key(space, Dot::new(origin, from));
        let mut end = dot_key(space, Dot::new(origin, top));
        end.push(0);
        let mut found = Vec::new();
        let mut wrong = None;
        let rows = &self.snapshot.rows;
        rows.scan(table, range(&start, &end), Order::Ascending, &mut |key, value| {
            match dot_of_key(key) {
                Ok(dot) => found.push((dot, value.to_vec())),
                Err(e) => wrong = Some(corrupt(table, key, e)),
            }
            if found.len() < PASS_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let to = match found.last() {
            Some((dot, _)) if found.len() == PASS_ROWS => dot.seq,
            _ => top,
        };
        Ok((found, to))
    }

    fn item(&mut self, dot: Dot, row: &[u8]) -> Result<(), StorageError> {
        let Some(space) = self.snapshot.space else { return Ok(()) };
        let content = Content::read(&*self.snapshot.rows, space, dot, row)?;
        self.bytes += content.bytes();
        let Content { place, past, payload } = content;
        let event = Event::Item { place, past, payload };
        self.chunk.events.push((dot, event));
        Ok(())
    }

    fn removal(
        &mut self,
        dot: Dot,
        row: &[u8],
        cursor: &VersionVector,
    ) -> Result<(), StorageError> {
        let Some(space) = self.snapshot.space else { return Ok(()) };
        let wrong = |e| corrupt(Table::Removals, &dot_key(space, dot), e);
        let removal = Removal::from_row(row).map_err(wrong)?;
        let seen = if self.start.contains(dot) { self.known } else { cursor };
        if removal.concerns(seen) || !self.tuning.spares {
            self.bytes += match &removal {
                Removal::Dots(dots) => 4 + 4 * dots.len(),
                Removal::Prefix { prefix, past } => 4 + prefix.as_bytes().len() + 20 * past.len(),
            };
            self.chunk.events.push((dot, Event::Removal(removal)));
        }
        Ok(())
    }

    fn full(&self) -> bool {
        self.bytes >= self.tuning.chunk_bytes || self.chunk.events.len() >= self.tuning.chunk_events
    }
}

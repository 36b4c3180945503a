//! Receiving: chunks are staged, the last one commits.
//!
//! A staged row stands in its final table already; since its dot is ahead of the vector it
//! is not there for anybody, and nothing is written twice. A delta of one chunk, the usual
//! case, is one commit and needs no staging.
//!
//! One large delta is staged per space at a time. Others wait while it makes progress, and
//! take its place when it does not; a cut keeps what is staged, and the *same* peer
//! resumes behind it. Another peer's staging vouches for nothing: suppose A stages half of
//! its items and is cut; C resumes behind that, and its vector covers what A had staged and
//! C had long removed: the item would come back to life under C's vector.

mod portion;

use std::sync::atomic::Ordering;

use self::portion::{Staged, stage};
use super::brake::{Claimed, Claims, MassRemoval};
use super::chunk::SpelledChunk;
use super::rows::{Which, read_vector};
use super::space::Space;
use super::store::{lock, save_clock};
use super::trash::Taker;
use super::writer::WriterGuard;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::limits;
use crate::codec::limits::KIB;
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::storage::Durability;

/// How long a delta of which no chunk comes keeps its place where another waits, in
/// milliseconds.
pub(crate) const STAGING_PATIENCE_MS: u64 = 10_000;

/// How much of it must come in a minute: less, chunk by chunk, would keep the place for ever.
const STAGING_BYTES_A_MINUTE: u64 = 60 * KIB as u64;
const MINUTE_MS: u64 = 60_000;

/// Chunks staged between two that are made sure to be on disk.
const CHUNKS_A_SYNC: u32 = 16;

/// The place where one delta is staged.
#[derive(Default)]
pub(super) struct Place {
    /// The session that feeds it, if one does.
    pub(super) feeder: Option<u64>,
    /// Chunks and bytes that came, whoever brought them, since the store was opened.
    chunks: u64,
    bytes: u64,
}

/// What is staged, as a peer is told: if it is the one whose delta that is, it sends only the
/// rest.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The [`feeder_name`] of the peer whose delta it is.
    pub(crate) feeder: ReplicaId,
    /// Up to where it is staged.
    pub(crate) upto: VersionVector,
    /// The turn of the place.
    pub(super) turn: u64,
}

/// Behind what a session goes on.
#[derive(Clone, Copy)]
pub(crate) enum Resumes<'a> {
    /// What is staged now, which the peer is told next.
    Now,
    /// What the peer was told of, if it was; it leaves out the rest. Removals too: of one that
    /// the peer does not send, since nothing of it is said to be here, the item may be staged.
    Told(Option<&'a Offer>),
}

impl Resumes<'_> {
    fn at(self, place: &Place) -> bool {
        match self {
            Self::Now => true,
            Self::Told(offer) => offer.is_some_and(|offer| offer.turn == place.turn()),
        }
    }
}

impl Place {
    /// Another one once any more has come: as long as it is the same, what is staged is too,
    /// or was taken away.
    pub(super) const fn turn(&self) -> u64 {
        self.chunks
    }

    /// Whoever waits for the place sees whether the delta that holds it goes on, by the
    /// clock of its own session: those of two sessions may have nothing in common.
    fn goes_on(&self, waiting: &mut Waiting, now_ms: u64) -> bool {
        if self.chunks != waiting.chunks {
            (waiting.chunks, waiting.chunk_ms) = (self.chunks, now_ms);
        }
        if self.bytes >= waiting.bytes.saturating_add(STAGING_BYTES_A_MINUTE) {
            (waiting.bytes, waiting.bytes_ms) = (self.bytes, now_ms);
        }
        now_ms.saturating_sub(waiting.chunk_ms) < STAGING_PATIENCE_MS
            && now_ms.saturating_sub(waiting.bytes_ms) < MINUTE_MS
    }
}

/// What a session that waits for the place has seen of it, and when.
struct Waiting {
    chunks: u64,
    chunk_ms: u64,
    bytes: u64,
    bytes_ms: u64,
}

/// The name under which a peer's deltas are staged: made of its id and of its opening. A peer
/// that was opened anew, or in which names gave way or a space was dropped since, stages anew,
/// since what it sends may be another history: a copy of it goes by its id as well, and what both
/// had staged in turn would be neither's.
pub(crate) fn feeder_name(replica: ReplicaId, opening: Tag) -> ReplicaId {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 feeder");
    hasher.update(replica.as_bytes()).update(opening.as_bytes());
    let hash = hasher.finalize();
    ReplicaId::from_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
}

/// A session's side of the staging: who feeds it, and whether it holds the place.
pub(crate) struct Incoming {
    space: Space,
    peer: ReplicaId,
    /// Its [`feeder_name`].
    feeder: ReplicaId,
    id: u64,
    /// Of the space, when the peer was told how it stands.
    generation: u64,
    holds: bool,
    chunks: u32,
    /// Up to where this delta is staged, while it holds the place.
    staged: VersionVector,
    /// While another one holds it.
    waiting: Option<Waiting>,
    /// How often it was looked whether events are held here under the name that they had before
    /// a delta's.
    looked: u8,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        lock(&self.space.shared.staging).feeder.take_if(|feeder| *feeder == self.id);
    }
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the last: the vector has moved, and claims were settled.
    Committed(Claimed),
    /// It is kept until the last one comes.
    Staged,
    /// Another delta is being staged and makes progress: offer it again later.
    Busy,
    /// Another session took this one's place.
    Displaced,
    /// What it says of a name is not what another session brought meanwhile: nothing of it
    /// is taken, and the next session finds out.
    Forked,
    /// The peer would have more staged than it may. What it had staged here is gone.
    TooMuch,
}

impl Space {
    /// Takes away what is staged from a feeder.
    ///
    /// # Errors
    /// The storage failed, or the space changed its generation: nothing has changed.
    pub(crate) fn forget_staged(&self, generation: u64, feeder: ReplicaId) -> Result<(), Error> {
        let mut guard = self.store.shared.writer()?;
        self.check_generation(generation)?;
        let cleared =
            self.in_batch::<bool, Error>(&mut guard, Durability::Eventual, |mut batch| {
                if batch.state.staging_peer != Some(feeder) {
                    return Ok((false, None));
                }
                batch.clear_staging()?;
                Ok((true, Some(batch)))
            })?;
        if cleared {
            lock(&self.shared.staging).feeder = None;
        }
        Ok(())
    }
}

impl Incoming {
    /// The side of a new session with `peer`. Where a delta of the same peer was cut, this
    /// takes its place over, and says up to where it is staged.
    ///
    /// Where that was offered to it before, in this session, nothing else may have been staged
    /// since. The rest that it sends may be of an earlier moment than what it sent meanwhile in
    /// another session: what it removed between the two would be missing, and so would what
    /// removed it.
    pub(crate) fn open(
        space: &Space,
        generation: u64,
        (peer, feeder): (ReplicaId, ReplicaId),
        resumes: Resumes<'_>,
    ) -> Result<(Self, VersionVector), Error> {
        let id = space.store.shared.feeds.fetch_add(1, Ordering::Relaxed);
        let mut incoming = Self {
            space: space.clone(),
            peer,
            feeder,
            id,
            generation,
            holds: false,
            chunks: 0,
            staged: VersionVector::new(),
            waiting: None,
            looked: 0,
        };
        // Held meanwhile: a session that feeds it holds it until its chunk is committed.
        let mut place = lock(&space.shared.staging);
        if !resumes.at(&place) {
            return Ok((incoming, VersionVector::new()));
        }
        let snapshot = space.snapshot()?;
        let fed = match snapshot.state.staging_peer {
            Some(staged) => staged == feeder || fault!(AnotherPeersStagingResumed),
            None => false,
        };
        let Some(number) = snapshot.space.filter(|_| fed) else {
            return Ok((incoming, VersionVector::new()));
        };
        place.feeder = Some(id);
        let staged = read_vector(&*snapshot.rows, number, Which::Staged)?;
        incoming.holds = true;
        incoming.staged.clone_from(&staged);
        Ok((incoming, staged))
    }

    /// Takes a chunk: stages it, or commits where it is the last. `told` is what the peer knows
    /// this side to have seen, `cut` what claims are about, and `asked` what to do where they
    /// take away too much.
    ///
    /// # Errors
    /// The peer names events of ours that we never made, or the storage failed; nothing has
    /// changed then.
    pub(crate) fn take(
        &mut self,
        chunk: &SpelledChunk,
        told: &VersionVector,
        (cut, asked): (&VersionVector, MassRemoval),
        now_ms: u64,
    ) -> Result<Taken, Error> {
        if !self.check(chunk)? {
            return Ok(Taken::Forked);
        }
        let space = self.space.clone();
        let stages = chunk.last.is_none() || self.holds;
        let mut guard = space.store.shared.writer()?;
        // Kept until the chunk is committed: see `open`.
        let mut place = stages.then(|| lock(&space.shared.staging));
        let mut takes_place = false;
        if let Some(place) = &mut place {
            takes_place = match self.feed(place, chunk, now_ms) {
                Ok(takes_place) => takes_place,
                Err(not) => return Ok(not),
            };
        }
        let taken = self.commit(&mut guard, chunk, told, (cut, asked), stages, takes_place)?;
        self.holds = stages && taken == Taken::Staged;
        self.staged.join(&chunk.upto);
        if let Some(place) = place.as_mut().filter(|_| !self.holds) {
            place.feeder = None;
        }
        Ok(taken)
    }

    /// Whether a chunk may be staged at the place now, and takes it over.
    fn feed(
        &mut self,
        place: &mut Place,
        chunk: &SpelledChunk,
        now_ms: u64,
    ) -> Result<bool, Taken> {
        let feeds = place.feeder == Some(self.id) || fault!(TwoSessionsFeedOneStaging);
        if self.holds && !feeds {
            // Also where the other has come to its end: what was staged from here went
            // with it, and the rest of this delta is not the whole of it.
            return Err(Taken::Displaced);
        }
        let takes_place = !self.holds && !fault!(TwoSessionsFeedOneStaging);
        if takes_place {
            let (chunks, bytes) = (place.chunks, place.bytes);
            let now = Waiting { chunks, chunk_ms: now_ms, bytes, bytes_ms: now_ms };
            let waiting = self.waiting.get_or_insert(now);
            if place.feeder.is_some() && place.goes_on(waiting, now_ms) {
                return Err(Taken::Busy);
            }
            self.staged = VersionVector::new();
        }
        self.waiting = None;
        place.feeder = Some(self.id);
        place.chunks += 1;
        place.bytes += chunk.row_bytes();
        Ok(takes_place)
    }

    /// Whether a chunk ends a delta and brings nothing that this replica has not seen.
    pub(crate) fn has_all(&self, chunk: &SpelledChunk) -> Result<bool, Error> {
        let Some(last) = &chunk.last else { return Ok(false) };
        let seen = self.space.snapshot()?.vector;
        let has_seen = seen.covers(&chunk.upto) && seen.covers(&last.vector);
        Ok(chunk.is_empty() && has_seen)
    }

    /// Refuses a delta that names events of ours which we never made and does not bring them,
    /// and one whose end does not cover what it brought. Whether it may be taken: not where it
    /// brings events in our name. They are a twin's, of which the peer has heard since it told
    /// how it stands, or it lies; the next session finds out.
    fn check(&self, chunk: &SpelledChunk) -> Result<bool, Error> {
        let (own, now) = (self.space.replica(), self.space.snapshot()?);
        let seen = &now.vector;
        let last = chunk.last.as_ref().map_or(Seq::ZERO, |last| last.vector.get(own));
        let brought = chunk.upto.get(own).max(last);
        // A past too: passed on, it would take away what this replica is still to write.
        let named = chunk.replaces(own)?.max(brought);
        if named > seen.get(own) && !fault!(OwnFutureTaken) {
            if !self.space.writes_as(&*now.rows, own)? {
                return Err(self.space.dropped().into());
            }
            return match brought >= named || chunk.last.is_none() {
                true => Ok(false),
                false => {
                    let (theirs, own) = (Dot::new(own, named), seen.get(own).get());
                    Err(PeerError::OwnFuture { theirs, own }.into())
                }
            };
        }
        let Some(last) = &chunk.last else { return Ok(true) };
        let beyond = |e: &(ReplicaId, Seq)| e.1 > last.vector.get(e.0).max(seen.get(e.0));
        if chunk.upto.iter().any(|entry| beyond(&entry)) && !fault!(DeltaBeyondItsVectorTaken) {
            return Err(
                PeerError::Protocol { what: "a delta that leads beyond its own vector" }.into()
            );
        }
        Ok(true)
    }

    fn commit(
        &mut self,
        guard: &mut WriterGuard<'_>,
        chunk: &SpelledChunk,
        told: &VersionVector,
        (cut, asked): (&VersionVector, MassRemoval),
        stages: bool,
        takes_place: bool,
    ) -> Result<Taken, Error> {
        let space = &self.space;
        self.chunks += 1;
        // Between the chunks of a large delta, so that a cut loses little; at its end the
        // session waits for the disk once, for all the spaces of which it then says so.
        let durability = match self.chunks.is_multiple_of(CHUNKS_A_SYNC) {
            true => Durability::Immediate,
            false => guard.take(chunk.last.is_some()),
        };
        space.check_generation(self.generation)?;
        let mut clock = guard.clock;
        // The session's milliseconds are of any clock, timestamps of the wall's.
        let wall_ms = space.store.shared.now_ms();
        let (peer, feeder) = (self.peer, self.feeder);
        let staged = if stages { Staged::UpTo(self.staged.clone()) } else { Staged::Anywhere };
        let options = &space.store.shared.options;
        let most = options.tuning.stretches;
        let taken = space.in_batch::<Taken, Error>(guard, durability, |mut batch| {
            batch.trash.taker = Some(Taker::new(peer, wall_ms, options));
            if takes_place {
                if !fault!(DisplacedStagingKept) {
                    batch.clear_staging()?;
                }
                batch.state.staging_peer = Some(feeder);
            }
            if let Some(last) = &chunk.last {
                let new = last.vector.iter().filter(|(r, _)| batch.seen(*r).is_zero()).count();
                if new > 0 && batch.origins() + new > limits::VECTOR_REPLICAS {
                    let what = "a delta that leads to more replicas than a vector may name";
                    return Err(PeerError::Protocol { what }.into());
                }
            }
            let Some(last) = &chunk.last else {
                if !batch.may_stage(feeder, chunk.row_bytes(), options.staging_bytes)? {
                    batch.clear_staging()?;
                    return Ok((Taken::TooMuch, Some(batch)));
                }
                stage(&mut batch, chunk, &staged, &mut clock, wall_ms)?;
                // A peer that does not keep to what it was told may send again what is here.
                let raised = |(origin, seq): (_, Seq)| (origin, seq.max(self.staged.get(origin)));
                let upto: VersionVector = chunk.upto.iter().map(raised).collect();
                batch.write_staged_vector(Some(&upto))?;
                if fault!(VectorMovesWithEachChunk) {
                    batch.promote(&chunk.upto, None)?;
                }
                save_clock(batch.rows, &clock)?;
                return Ok((Taken::Staged, Some(batch)));
            };
            if !fault!(ClaimsWithoutTheNews) || last.claims.is_empty() {
                let (stretches, looked) = (&last.stretches, &mut self.looked);
                if !batch.take_stretches(stretches, &last.vector, told, most, looked)? {
                    return Ok((Taken::Forked, None));
                }
                stage(&mut batch, chunk, &staged, &mut clock, wall_ms)?;
                let fresh = match !stages && batch.state.staged > 0 {
                    true => Some(chunk.runs()?),
                    false => None,
                };
                batch.promote(&last.vector, fresh.as_ref())?;
            }
            let mut change = space.changing(batch, clock);
            let claims = Claims { peer, claims: &last.claims, cut };
            let claimed = claims.settle(&mut change, asked, options)?;
            (batch, clock) = (change.batch, change.clock);
            if stages {
                // What is still ahead of the vector belongs to nothing any more.
                batch.clear_staging()?;
            } else if !batch.changed() && claimed == Claimed::default() {
                return Ok((Taken::Committed(claimed), None));
            }
            save_clock(batch.rows, &clock)?;
            Ok((Taken::Committed(claimed), Some(batch)))
        })?;
        guard.clock = clock;
        Ok(taken)
    }
}

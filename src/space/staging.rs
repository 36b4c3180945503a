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

use std::sync::atomic::Ordering;

use hashbrown::HashSet;

use super::batch::{Batch, Staging};
use super::chunk::{Chunk, Claim, Event};
use super::handles::split_stamp;
use super::rows::{Which, read_vector};
use super::space::Space;
use super::store::{lock, save_clock};
use crate::causal::{Dot, HybridClock, ReplicaId, Seq, VersionVector};
use crate::codec::{Kind, place};
use crate::digest;
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::storage::{Durability, StorageError};

/// How long a delta that makes no progress keeps its place, in milliseconds.
pub(crate) const STAGING_PATIENCE_MS: u64 = 10_000;

/// How far ahead of the wall clock here a remote timestamp may be and still be followed,
/// in milliseconds: a day. The data is taken in any case.
const CLOCK_AHEAD_MS: u64 = 86_400_000;

/// Chunks staged between two that are made sure to be on disk.
const CHUNKS_A_SYNC: u32 = 16;

/// Which session feeds the staging.
pub(super) struct Feeder {
    id: u64,
    progress_ms: u64,
}

/// A session's side of the staging: who feeds it, and whether it holds the place.
pub(crate) struct Incoming {
    space: Space,
    peer: ReplicaId,
    id: u64,
    /// Of the space, when the peer was told how it stands.
    generation: u64,
    holds: bool,
    chunks: u32,
    /// Up to where this delta is staged, while it holds the place.
    staged: VersionVector,
}

/// Where rows ahead of the vector may stand.
enum Staged {
    /// Anywhere: another delta is being staged.
    Anywhere,
    /// Up to here: they are all of the delta that holds the place.
    UpTo(VersionVector),
}

impl Staged {
    fn may_hold(&self, dot: Dot) -> bool {
        match self {
            Self::Anywhere => true,
            Self::UpTo(staged) => staged.contains(dot),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut feeder = lock(&self.space.shared.feeder);
        if feeder.as_ref().is_some_and(|feeder| feeder.id == self.id) {
            *feeder = None;
        }
    }
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the last: the vector has moved; so many items were dropped by claims.
    Committed {
        /// Items dropped because of claims.
        repaired: u64,
    },
    /// It is kept until the last one comes.
    Staged,
    /// Another delta is being staged and makes progress: offer it again later.
    Busy,
    /// Another session took this one's place.
    Displaced,
}

impl Incoming {
    /// The side of a new session with `peer`. Where a delta of the same peer was cut, this
    /// takes its place over, and says up to where it is staged.
    pub(crate) fn open(
        space: &Space,
        generation: u64,
        peer: ReplicaId,
        now_ms: u64,
    ) -> Result<(Self, VersionVector), Error> {
        let id = space.store.shared.feeds.fetch_add(1, Ordering::Relaxed);
        let staged = VersionVector::new();
        let space = space.clone();
        let mut incoming = Self { space, peer, id, generation, holds: false, chunks: 0, staged };
        let space = &incoming.space;
        let snapshot = space.snapshot()?;
        let resumes = match snapshot.state.staging_peer {
            Some(staged) => staged == peer || fault!(AnotherPeersStagingResumed),
            None => false,
        };
        let Some(number) = snapshot.space.filter(|_| resumes) else {
            return Ok((incoming, VersionVector::new()));
        };
        *lock(&space.shared.feeder) = Some(Feeder { id, progress_ms: now_ms });
        let staged = read_vector(&*snapshot.rows, number, Which::Staged)?;
        incoming.holds = true;
        incoming.staged.clone_from(&staged);
        Ok((incoming, staged))
    }

    /// Takes a chunk: stages it, or commits where it is the last. `cut` is what claims are about.
    ///
    /// # Errors
    /// The peer names events of ours that we never made, or the storage failed; nothing has
    /// changed then.
    pub(crate) fn take(
        &mut self,
        chunk: &Chunk,
        cut: &VersionVector,
        now_ms: u64,
    ) -> Result<Taken, Error> {
        self.check(chunk)?;
        let stages = chunk.last.is_none() || self.holds;
        let mut takes_place = false;
        if stages {
            let mut feeder = lock(&self.space.shared.feeder);
            let feeds = fault!(TwoSessionsFeedOneStaging)
                || feeder.as_ref().is_some_and(|feeder| feeder.id == self.id);
            if self.holds && !feeds {
                // Also where the other has come to its end: what was staged from here went
                // with it, and the rest of this delta is not the whole of it.
                return Ok(Taken::Displaced);
            }
            if !self.holds {
                let waits = |f: &Feeder| {
                    now_ms.saturating_sub(f.progress_ms) < STAGING_PATIENCE_MS
                        && !fault!(TwoSessionsFeedOneStaging)
                };
                if feeder.as_ref().is_some_and(waits) {
                    return Ok(Taken::Busy);
                }
                takes_place = !fault!(TwoSessionsFeedOneStaging);
            }
            *feeder = Some(Feeder { id: self.id, progress_ms: now_ms });
        }
        if takes_place {
            self.staged = VersionVector::new();
        }
        let taken = self.commit(chunk, cut, stages, takes_place)?;
        self.holds = stages && taken == Taken::Staged;
        self.staged.join(&chunk.upto);
        if stages && !self.holds {
            *lock(&self.space.shared.feeder) = None;
        }
        Ok(taken)
    }

    /// Refuses events in our name that we never made, and a delta whose end does not
    /// cover what it brought.
    fn check(&self, chunk: &Chunk) -> Result<(), Error> {
        let own = self.space.replica();
        let stated = chunk.upto.get(own);
        let last = chunk.last.as_ref().map_or(Seq::ZERO, |last| last.vector.get(own));
        // A past too: passed on, it would take away what this replica is still to write.
        let replaced = chunk.events.iter().map(|(_, event)| event.replaces(own)).max();
        check_own_future(&self.space, stated.max(last).max(replaced.unwrap_or(Seq::ZERO)))?;
        let Some(last) = &chunk.last else { return Ok(()) };
        let seen = self.space.snapshot()?.vector;
        let beyond = |e: &(ReplicaId, Seq)| e.1 > last.vector.get(e.0).max(seen.get(e.0));
        if chunk.upto.iter().any(|entry| beyond(&entry)) {
            return Err(
                PeerError::Protocol { what: "a delta that leads beyond its own vector" }.into()
            );
        }
        Ok(())
    }

    fn commit(
        &mut self,
        chunk: &Chunk,
        cut: &VersionVector,
        stages: bool,
        takes_place: bool,
    ) -> Result<Taken, Error> {
        let space = &self.space;
        self.chunks += 1;
        let mut guard = space.store.shared.writer()?;
        // Between the chunks of a large delta, so that a cut loses little; at its end the
        // session waits for the disk once, for all the spaces of which it then says so.
        let durability = match self.chunks.is_multiple_of(CHUNKS_A_SYNC) {
            true => Durability::Immediate,
            false => guard.take(),
        };
        space.check_generation(self.generation)?;
        let mut clock = guard.clock;
        // The session's milliseconds are of any clock, timestamps of the wall's.
        let wall_ms = space.store.shared.now_ms();
        let peer = self.peer;
        let staged = if stages { Staged::UpTo(self.staged.clone()) } else { Staged::Anywhere };
        let taken = space.in_batch::<Taken, Error>(&mut guard, durability, |mut batch| {
            if takes_place {
                if !fault!(DisplacedStagingKept) {
                    batch.clear_staging()?;
                }
                batch.state.staging_peer = Some(peer);
            }
            let Some(last) = &chunk.last else {
                stage(&mut batch, chunk, &staged, &mut clock, wall_ms)?;
                // A session that took the staging over may send again what the one before it
                // had staged since this side said up to where: that does not go back.
                let raised = |(origin, seq): (_, Seq)| match fault!(StagedVectorGoesBack) {
                    true => (origin, seq),
                    false => (origin, seq.max(self.staged.get(origin))),
                };
                let upto: VersionVector = chunk.upto.iter().map(raised).collect();
                batch.write_staged_vector(Some(&upto))?;
                if fault!(VectorMovesWithEachChunk) {
                    batch.promote(&chunk.upto, None)?;
                }
                save_clock(batch.rows, &clock)?;
                return Ok((Taken::Staged, Some(batch)));
            };
            if !fault!(ClaimsWithoutTheNews) || last.claims.is_empty() {
                stage(&mut batch, chunk, &staged, &mut clock, wall_ms)?;
                let fresh: Option<HashSet<Dot>> =
                    (!stages).then(|| chunk.events.iter().map(|(dot, _)| *dot).collect());
                batch.promote(&last.vector, fresh.as_ref())?;
            }
            let repaired = drop_claimed(&mut batch, &last.claims, cut)?;
            if stages {
                // What is still ahead of the vector belongs to nothing any more.
                batch.clear_staging()?;
            } else if !batch.changed() && repaired == 0 {
                return Ok((Taken::Committed { repaired }, None));
            }
            save_clock(batch.rows, &clock)?;
            Ok((Taken::Committed { repaired }, Some(batch)))
        })?;
        guard.clock = clock;
        Ok(taken)
    }
}

/// Refuses a peer that names an own event beyond the newest there is.
pub(crate) fn check_own_future(space: &Space, theirs: Seq) -> Result<(), Error> {
    let replica = space.replica();
    let own = space.snapshot()?.vector.get(replica);
    if theirs > own {
        let theirs = Dot::new(replica, theirs);
        return Err(PeerError::OwnFuture { theirs, own: own.get() }.into());
    }
    Ok(())
}

/// Puts the rows of a chunk. Under a dot that `staged` covers a row may stand already, at
/// another place even, from a peer that says otherwise; it goes first.
fn stage(
    batch: &mut Batch<'_>,
    chunk: &Chunk,
    staged: &Staged,
    clock: &mut HybridClock,
    wall_ms: u64,
) -> Result<(), StorageError> {
    let mut items = Vec::new();
    let half = chunk.last.is_some() && fault!(ChunkAppliedByHalf);
    let events = chunk.events.len() / if half { 2 } else { 1 };
    for (dot, event) in chunk.events.iter().take(events) {
        if dot.seq <= batch.seen(dot.replica) {
            continue;
        }
        if batch.state.staged > 0 && staged.may_hold(*dot) {
            batch.unstage(*dot)?;
        }
        match event {
            Event::Item { place, past, payload } => {
                if let Ok(Kind::VALUE | Kind::REGISTER | Kind::MV_REGISTER) =
                    place::leaf_kind(place)
                {
                    clock.observe(split_stamp(payload)?.0, wall_ms, CLOCK_AHEAD_MS);
                }
                items.push(Staging { dot: *dot, place, past, payload });
            }
            Event::Removal(removal) => batch.stage_removal(*dot, removal)?,
        }
    }
    batch.stage_items(items)
}

/// Drops what a peer that has seen it no longer holds; how many items.
fn drop_claimed(
    batch: &mut Batch<'_>,
    claims: &[Claim],
    cut: &VersionVector,
) -> Result<u64, StorageError> {
    let mut dropped = 0;
    let base = batch.base.clone();
    for claim in claims {
        let mine =
            digest::live_bits(batch.rows, batch.space, &base, cut, claim.origin, claim.block)?;
        for seq in digest::seqs_of(claim.block, &digest::dead_of(&mine, &claim.bits)) {
            if fault!(RepairDropsNothing) {
                break;
            }
            dropped += u64::from(batch.remove_dot(Dot::new(claim.origin, seq))?);
        }
    }
    Ok(dropped)
}

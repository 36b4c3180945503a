//! One space in a session.
//!
//! ```text
//! opener                                answerer
//!   open: vector, root        ─────▶
//!                             ◀─────    same                              equal: finished
//!                             ◀─────    answer: vector, root; chunks …
//!   chunks …; proof           ─────▶    all is applied: root at the cut
//!                             ◀─────    proven                            equal: finished
//!                             ◀─────    chunks …; again                   it has news: prove again
//!                             ◀─────    nodes                             walk
//!   nodes                     ─────▶
//!             … down to the blocks that differ …
//!                             ◀─────    last chunk: news and claims       either side may be first
//!   last chunk: news and claims; proof ─▶
//!                             ◀─────    proven
//! ```
//!
//! The *cut* is what both sides have seen by the time of the proof: the join of what both
//! declared in open and answer and at the end of each delta. Both know it, so it does not
//! travel. A write made meanwhile lies beyond it and waits for the next session.

use std::collections::VecDeque;

use super::message::{Message, Standing};
use super::report::{Report, Why};
use super::walk;
use crate::causal::{Causality, ReplicaId, VersionVector};
use crate::codec::limits;
use crate::digest::{self, RootHash};
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::space::{Chunk, Incoming, Outgoing, Space, Taken, VectorHash, check_own_future};

/// Chunks that may be under way at a time, in a whole session.
pub(super) const WINDOW_CHUNKS: u64 = 4;

/// Proofs made again because there was news, before the digests are walked.
const NEWS_ROUNDS: u8 = 3;

/// Proofs, steps of walks and ends of deltas from the peer, at most: several times what three
/// rounds of news and three walks of ten levels can take. A session ends.
const TURNS: u16 = 256;

/// Walks, before two replicas are said to differ for good.
const WALKS: u8 = 3;

/// What a space's machine is handed with each call.
pub(super) struct Around<'a> {
    pub(super) now_ms: u64,
    pub(super) peer: ReplicaId,
    pub(super) key: &'a [u8; 32],
    pub(super) report: &'a mut Report,
    /// Chunks sent and not yet taken, in the whole session.
    pub(super) under_way: &'a mut u64,
}

impl<'a> Around<'a> {
    pub(super) fn new(
        now_ms: u64,
        peer: &'a Peer,
        report: &'a mut Report,
        under_way: &'a mut u64,
    ) -> Self {
        Self { now_ms, peer: peer.replica, key: &peer.key, report, under_way }
    }
}

/// Who is at the other side.
pub(super) struct Peer {
    pub(super) replica: ReplicaId,
    /// Shortens hashes in this session.
    pub(super) key: [u8; 32],
}

/// How a space ended.
pub(super) type End = Result<RootHash, Why>;

/// What the next message of a space is, if any.
pub(super) enum Poll {
    Message(Message),
    /// Nothing until the peer says something.
    Idle,
    /// A chunk, once the peer has taken another.
    Window,
}

/// Why chunks are being sent, and so what follows the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sending {
    /// What the peer lacked at the beginning.
    Delta,
    /// What came since, after a proof that failed.
    News,
    /// News with claims on blocks that differ.
    Claims(Vec<(ReplicaId, u64)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The opener waits for an answer, or either for the other's whole vector.
    Opening,
    /// Deltas go both ways.
    Exchange,
    /// A proof is awaited or under way.
    Proof,
    /// The digests are being walked.
    Walk,
}

pub(super) struct SpaceSync {
    pub(super) id: u64,
    space: Space,
    /// Of the space, before anything was said of how it stands.
    generation: u64,
    opener: bool,
    phase: Phase,
    /// What this side declared at first.
    mine: VersionVector,
    /// What this side said it has staged from the peer.
    offered: Option<(ReplicaId, VersionVector)>,
    /// The hash of the peer's vector, until the vector itself is known.
    awaited: Option<(VectorHash, Option<VersionVector>)>,
    /// What the peer is known to have seen.
    theirs: VersionVector,
    cut: VersionVector,
    outgoing: Option<Outgoing>,
    incoming: Option<Incoming>,
    sending: Option<Sending>,
    /// Chunks of the delta under way that were sent, and that were received.
    sent_chunks: u64,
    received_chunks: u64,
    /// Chunks sent that count in the window of the session and were not taken yet.
    unacknowledged: u64,
    /// Whether the peer's delta is still to end.
    awaiting: bool,
    delta_ended: bool,
    queue: VecDeque<Message>,
    /// Messages behind a chunk that waits for another delta's staging.
    inbox: VecDeque<Message>,
    rounds: u8,
    walks: u8,
    turns: u16,
    /// Whether the peer has asked for the vector.
    vector_wanted: bool,
    /// The cut of the last walk.
    walked: VersionVector,
    /// Whether claims dropped anything here since it began.
    dropped: bool,
    blocks: Vec<(ReplicaId, u64)>,
    claimed: bool,
    root: Option<RootHash>,
    pub(super) end: Option<End>,
    /// The commit of the store that changed the space last, where it then was what is proven.
    pub(super) touched: Option<u64>,
}

fn protocol(what: &'static str) -> Error {
    PeerError::Protocol { what }.into()
}

impl SpaceSync {
    /// Opens a space, which says how it stands here.
    pub(super) fn open(id: u64, space: Space, peer: Option<ReplicaId>) -> Result<Self, Error> {
        let mut sync = Self::new(id, space, true);
        let standing = sync.stand(peer)?;
        sync.root = Some(standing.root);
        let name = sync.space.name().to_owned();
        sync.queue.push_back(Message::Open { space: id, name, standing });
        Ok(sync)
    }

    /// Answers the opening of a space.
    pub(super) fn answer(
        id: u64,
        space: Space,
        theirs: &Standing,
        around: &mut Around<'_>,
    ) -> Result<Self, Error> {
        let mut sync = Self::new(id, space, false);
        let standing = sync.stand(Some(around.peer))?;
        if (standing.hash, standing.root) == (theirs.hash, theirs.root) {
            sync.queue.push_back(Message::Same { space: id });
            sync.finish(around, sync.mine.clone(), standing.root)?;
            return Ok(sync);
        }
        let (incoming, staged) =
            Incoming::open(&sync.space, sync.generation, around.peer, around.now_ms)?;
        sync.incoming = Some(incoming);
        let staged = (!staged.is_empty()).then_some((around.peer, staged));
        sync.queue.push_back(Message::Answer {
            space: id,
            standing: Box::new(Standing { staged, ..*standing }),
        });
        sync.learn(theirs, around)?;
        Ok(sync)
    }

    fn new(id: u64, space: Space, opener: bool) -> Self {
        Self {
            id,
            generation: space.generation(),
            space,
            opener,
            phase: Phase::Opening,
            mine: VersionVector::new(),
            offered: None,
            awaited: None,
            theirs: VersionVector::new(),
            cut: VersionVector::new(),
            outgoing: None,
            incoming: None,
            sending: None,
            sent_chunks: 0,
            received_chunks: 0,
            unacknowledged: 0,
            awaiting: false,
            delta_ended: false,
            queue: VecDeque::new(),
            inbox: VecDeque::new(),
            rounds: 0,
            walks: 0,
            turns: 0,
            vector_wanted: false,
            walked: VersionVector::new(),
            dropped: false,
            blocks: Vec::new(),
            claimed: false,
            root: None,
            end: None,
            touched: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.space.name()
    }

    /// How the space stands here; the vector against the base shared with `peer`, or with
    /// whoever was met last.
    fn stand(&mut self, peer: Option<ReplicaId>) -> Result<Box<Standing>, Error> {
        let (vector, root) = self.space.standing()?;
        let hash = VectorHash::of(&vector);
        let long = 20 * vector.len() > self.space.store().tuning().short_vector_bytes;
        let base = if long { self.space.base_with(peer)? } else { None };
        let known = base.map(|base| self.space.base(base)).transpose()?.flatten();
        let (base, changes) = match (base, known) {
            (Some(base), Some(known)) if vector.covers(&known) => {
                (Some(base), vector.beyond(&known))
            }
            _ => (None, vector.clone()),
        };
        let mut staged = self.space.staged()?;
        // Both vectors must fit a frame; without this one the peer sends some of it again.
        staged.take_if(|(_, upto)| upto.len() + changes.len() > limits::VECTOR_REPLICAS);
        self.mine = vector;
        self.offered.clone_from(&staged);
        Ok(Box::new(Standing { hash, root, base, changes, staged }))
    }

    /// Learns how the space stands at the peer.
    fn learn(&mut self, theirs: &Standing, around: &mut Around<'_>) -> Result<(), Error> {
        let own = self.space.store().replica();
        let staged = theirs.staged.clone().filter(|(peer, _)| *peer == own).map(|(_, upto)| upto);
        let base = match theirs.base {
            None => Some(VersionVector::new()),
            Some(base) => self.space.base(base)?,
        };
        match base {
            Some(mut vector) => {
                vector.join(&theirs.changes);
                if VectorHash::of(&vector) != theirs.hash {
                    return Err(protocol(
                        "a vector that does not have the hash it was said to have",
                    ));
                }
                self.exchange(vector, staged, around)
            }
            None => {
                self.awaited = Some((theirs.hash, staged));
                // In front of the answer: so that the vector comes before whatever the
                // answer sets off, a proof or a delta, which make no sense without it.
                self.queue.push_front(Message::WantVector { space: self.id });
                Ok(())
            }
        }
    }

    /// Both vectors are known: deltas may go.
    fn exchange(
        &mut self,
        theirs: VersionVector,
        staged: Option<VersionVector>,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        check_own_future(&self.space, theirs.get(self.space.replica()))?;
        let order = self.mine.compare(&theirs);
        // Where the opener had to ask for the vector, the whole delta of the answerer, who
        // had not, may have come before it.
        self.theirs.join(&theirs);
        self.cut.join(&self.mine);
        self.cut.join(&theirs);
        let outgoing = Outgoing::new(&self.theirs, &staged.unwrap_or_default(), self.generation);
        #[cfg(rejoin_faults)]
        let outgoing = outgoing.looking_early(&self.space)?;
        self.outgoing = Some(outgoing);
        self.awaiting =
            matches!(order, Causality::Before | Causality::Concurrent) && !self.delta_ended;
        if matches!(order, Causality::After | Causality::Concurrent) {
            self.sending = Some(Sending::Delta);
        }
        self.phase = Phase::Exchange;
        self.maybe_prove(around)
    }

    /// The opener proves once both deltas have ended.
    fn maybe_prove(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        if self.opener && self.phase == Phase::Exchange && self.sending.is_none() && !self.awaiting
        {
            self.prove(around)?;
        }
        Ok(())
    }

    fn prove(&mut self, _: &mut Around<'_>) -> Result<(), Error> {
        let root = self.root_at_cut()?;
        self.root = Some(root);
        self.phase = Phase::Proof;
        self.queue.push_back(Message::Proof { space: self.id, root });
        Ok(())
    }

    fn root_at_cut(&self) -> Result<RootHash, Error> {
        self.space
            .with_digest(|rows, space, vector| Ok(digest::root_at(rows, space, vector, &self.cut)?))
    }

    fn finish(
        &mut self,
        around: &mut Around<'_>,
        common: VersionVector,
        root: RootHash,
    ) -> Result<(), Error> {
        self.space.save_base(around.peer, &common)?;
        self.touched = self.space.touched_at(&common)?;
        self.end_with(around, Ok(root));
        Ok(())
    }

    fn give_up(&mut self, around: &mut Around<'_>, why: Why) {
        self.queue.push_back(Message::GiveUp { space: self.id, why });
        self.end_with(around, Err(why));
    }

    fn end_with(&mut self, around: &mut Around<'_>, end: End) {
        self.end = Some(end);
        self.incoming = None;
        self.sending = None;
        // A peer that gave the space up takes no more of its chunks: those under way must
        // not fill the window of the other spaces.
        *around.under_way = around.under_way.saturating_sub(self.unacknowledged);
        self.unacknowledged = 0;
    }

    /// The peer has taken chunks.
    pub(super) fn taken(&mut self, chunks: u64, around: &mut Around<'_>) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(()); // they left the window with the end
        }
        self.unacknowledged = self
            .unacknowledged
            .checked_sub(chunks)
            .ok_or_else(|| protocol("more chunks taken than were sent"))?;
        *around.under_way = around.under_way.saturating_sub(chunks);
        Ok(())
    }

    /// Whether a chunk waits for another delta's staging.
    pub(super) fn waits(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Tries again what had to wait.
    pub(super) fn retry(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        while let Some(message) = self.inbox.pop_front() {
            if let Some(back) = self.act(message, around)? {
                self.inbox.push_front(back);
                break;
            }
        }
        Ok(())
    }

    /// Takes a message about this space.
    pub(super) fn handle(
        &mut self,
        message: Message,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(()); // sent before the peer knew
        }
        self.check_turn(&message)?;
        if self.waits() {
            // The peer has no more chunks under way than the window allows.
            if self.inbox.len() as u64 > 2 * WINDOW_CHUNKS {
                return Err(protocol("more chunks than the window allows"));
            }
            self.inbox.push_back(message);
            return Ok(());
        }
        if let Some(back) = self.act(message, around)? {
            self.inbox.push_back(back);
        }
        Ok(())
    }

    /// Refuses what would make one small message after another cost a proof, a walk or a
    /// commit each: answers to what was not sent yet, more chunks than the window allows,
    /// and a talk without end.
    fn check_turn(&mut self, message: &Message) -> Result<(), Error> {
        let speaks = |m: &&Message| {
            matches!(m, Message::Proof { .. } | Message::Again { .. } | Message::Nodes { .. })
        };
        let taken = |m: &&Message| matches!(m, Message::Taken { .. });
        match message {
            Message::Chunk { chunk, .. } if chunk.last.is_none() => {
                if self.queue.iter().filter(taken).count() as u64 >= WINDOW_CHUNKS {
                    return Err(protocol("more chunks than the window allows"));
                }
                return Ok(());
            }
            Message::Chunk { .. } => {}
            message if speaks(&message) => {
                if self.queue.iter().any(|queued| speaks(&queued)) {
                    return Err(protocol("an answer to what was not sent yet"));
                }
            }
            _ => return Ok(()),
        }
        self.turns += 1;
        if self.turns > TURNS {
            return Err(protocol("a proof that comes to no end"));
        }
        Ok(())
    }

    /// Acts on a message; hands it back where it must wait.
    fn act(&mut self, message: Message, around: &mut Around<'_>) -> Result<Option<Message>, Error> {
        match (message, self.phase) {
            (Message::Same { .. }, Phase::Opening) if self.opener && self.awaited.is_none() => {
                let root = self.root.take().map_or_else(|| self.space.root(), Ok)?;
                self.finish(around, self.mine.clone(), root)?;
            }
            (Message::Answer { standing, .. }, Phase::Opening)
                if self.opener && self.incoming.is_none() =>
            {
                self.take_answer(&standing, around)?;
            }
            (Message::WantVector { .. }, _) if !self.vector_wanted => {
                self.vector_wanted = true;
                let vector = self.mine.clone();
                self.queue.push_back(Message::Vector { space: self.id, vector });
            }
            (Message::Vector { vector, .. }, Phase::Opening) => {
                let Some((hash, staged)) = self.awaited.take() else {
                    return Err(protocol("a vector that nobody asked for"));
                };
                if VectorHash::of(&vector) != hash {
                    return Err(protocol(
                        "a vector that does not have the hash it was said to have",
                    ));
                }
                self.exchange(vector, staged, around)?;
            }
            (Message::Chunk { chunk, .. }, _) => return self.take_chunk(chunk, around),
            (Message::Proof { root, .. }, Phase::Exchange | Phase::Proof | Phase::Walk)
                if !self.opener && !self.awaiting && self.sending.is_none() =>
            {
                self.take_proof(root, around)?;
            }
            (Message::Proven { .. }, Phase::Proof) if self.opener => {
                let root = self.root.take().map_or_else(|| self.root_at_cut(), Ok)?;
                self.finish(around, self.cut.clone(), root)?;
            }
            (Message::Again { .. }, Phase::Proof | Phase::Walk) if self.opener => {
                self.theirs.join(&self.cut);
                self.prove_with_news(around)?;
            }
            (Message::Nodes { opened, blocks, .. }, Phase::Proof | Phase::Walk) => {
                self.take_nodes(opened, blocks, around)?;
            }
            (Message::GiveUp { why, .. }, _) => self.end_with(around, Err(why)),
            _ => return Err(protocol("a message that does not fit what went before")),
        }
        Ok(None)
    }

    fn take_answer(&mut self, theirs: &Standing, around: &mut Around<'_>) -> Result<(), Error> {
        let (incoming, staged) =
            Incoming::open(&self.space, self.generation, around.peer, around.now_ms)?;
        self.incoming = Some(incoming);
        // What was offered may have been cleared since; then the peer leaves out what is
        // not here, and its delta must not be taken.
        if let Some((peer, mut offered)) = self.offered.take()
            && peer == around.peer
        {
            offered = offered.beyond(&self.space.snapshot()?.vector().clone());
            if !staged.covers(&offered) {
                self.give_up(around, Why::Displaced);
                return Ok(());
            }
        }
        self.learn(theirs, around)
    }

    fn take_chunk(
        &mut self,
        chunk: Box<Chunk>,
        around: &mut Around<'_>,
    ) -> Result<Option<Message>, Error> {
        let Some(incoming) = &mut self.incoming else {
            return Err(protocol("a chunk before the answer"));
        };
        // Only a walk, which only a failed proof begins, shows what there is to claim.
        let claims = chunk.last.as_ref().is_some_and(|last| !last.claims.is_empty());
        if claims && self.phase != Phase::Walk {
            return Err(protocol("claims without a walk"));
        }
        let repaired = match incoming.take(&chunk, &self.cut, around.now_ms)? {
            Taken::Busy => return Ok(Some(Message::Chunk { space: self.id, chunk })),
            Taken::Displaced => {
                self.give_up(around, Why::Displaced);
                return Ok(None);
            }
            Taken::Staged => 0,
            Taken::Committed { repaired } => repaired,
        };
        let (items, removals) = chunk.counts();
        around.report.items_received += items;
        around.report.removals_received += removals;
        around.report.repaired += repaired;
        self.dropped |= repaired > 0;
        self.received_chunks += 1;
        if chunk.last.is_none() || self.received_chunks > 1 {
            self.queue.push_back(Message::Taken { space: self.id, chunks: 1 });
        }
        let Some(last) = chunk.last else { return Ok(None) };
        self.received_chunks = 0;
        self.awaiting = false;
        self.delta_ended = true;
        self.cut.join(&last.vector);
        self.theirs.join(&last.vector);
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.peer_has(&last.vector);
        }
        if !last.claims.is_empty() {
            self.theirs.join(&self.cut);
            if !core::mem::take(&mut self.claimed) {
                let blocks = last.claims.iter().map(|claim| (claim.origin, claim.block)).collect();
                self.sending = Some(Sending::Claims(blocks));
                self.phase = Phase::Proof;
            } else if self.opener {
                // What was written here since the claims would make the proof fail.
                match self.has_news()? {
                    true => self.sending = Some(Sending::News),
                    false => self.prove(around)?,
                }
            }
            return Ok(None);
        }
        self.maybe_prove(around)?;
        Ok(None)
    }

    fn take_proof(&mut self, theirs: RootHash, around: &mut Around<'_>) -> Result<(), Error> {
        self.phase = Phase::Proof;
        self.theirs.join(&self.cut);
        let root = self.root_at_cut()?;
        if root == theirs || fault!(NoRepair) {
            self.queue.push_back(Message::Proven { space: self.id });
            return self.finish(around, self.cut.clone(), root);
        }
        if self.rounds < NEWS_ROUNDS && self.has_news()? {
            self.rounds += 1;
            self.sending = Some(Sending::News);
            return Ok(());
        }
        self.walks += 1;
        if self.walks > WALKS {
            // Where writes or other sessions changed the two while they walked, that they
            // differ is no sign of a dot with two contents.
            let moved = self.walked != self.cut || self.dropped || self.has_news()?;
            self.give_up(around, if moved { Why::Unfinished } else { Why::Diverged });
            return Ok(());
        }
        self.walked.clone_from(&self.cut);
        self.dropped = false;
        self.phase = Phase::Walk;
        self.blocks.clear();
        self.claimed = false;
        let opened = walk::start(&self.space, &self.cut, around.key)?;
        self.queue.push_back(Message::Nodes { space: self.id, opened, blocks: Vec::new() });
        Ok(())
    }

    fn has_news(&self) -> Result<bool, Error> {
        self.outgoing.as_ref().map_or(Ok(false), |outgoing| outgoing.behind(&self.space))
    }

    /// The opener proves again, after its own news where it has any.
    fn prove_with_news(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        self.rounds = self.rounds.saturating_add(1);
        if self.has_news()? {
            self.sending = Some(Sending::News);
            return Ok(());
        }
        self.prove(around)
    }

    fn take_nodes(
        &mut self,
        opened: Vec<super::message::Opened>,
        blocks: Vec<(ReplicaId, u64)>,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if self.phase == Phase::Proof {
            // The answerer begins a walk because a proof failed.
            if !self.opener {
                return Err(protocol("a walk begun by the side that proves"));
            }
            self.theirs.join(&self.cut);
            if self.rounds < NEWS_ROUNDS && self.has_news()? {
                return self.prove_with_news(around);
            }
            self.phase = Phase::Walk;
            self.blocks.clear();
            self.claimed = false;
        }
        let mut step = walk::compare(&self.space, &self.cut, around.key, opened)?;
        self.blocks.extend(blocks);
        self.blocks.append(&mut step.blocks);
        self.blocks.sort_unstable();
        self.blocks.dedup();
        if !step.opened.is_empty() {
            let blocks = core::mem::take(&mut self.blocks);
            self.queue.push_back(Message::Nodes { space: self.id, opened: step.opened, blocks });
            return Ok(());
        }
        match (core::mem::take(&mut self.blocks), self.opener) {
            // What differed has gone meanwhile.
            (blocks, true) if blocks.is_empty() => self.prove_with_news(around)?,
            (blocks, false) if blocks.is_empty() => {
                self.queue.push_back(Message::Again { space: self.id });
            }
            (blocks, _) => {
                self.claimed = true;
                self.sending = Some(Sending::Claims(blocks));
            }
        }
        Ok(())
    }

    /// The message queued at the opening.
    pub(super) fn take_queued(&mut self) -> Option<Message> {
        self.queue.pop_front()
    }

    /// The next message to send.
    pub(super) fn poll(&mut self, around: &mut Around<'_>) -> Result<Poll, Error> {
        if let Some(message) = self.queue.pop_front() {
            return Ok(Poll::Message(message));
        }
        let (Some(sending), Some(outgoing)) = (&self.sending, &mut self.outgoing) else {
            return Ok(Poll::Idle);
        };
        if *around.under_way >= WINDOW_CHUNKS {
            return Ok(Poll::Window);
        }
        let blocks = match sending {
            Sending::Claims(blocks) => blocks.as_slice(),
            Sending::Delta | Sending::News => &[],
        };
        let chunk = outgoing.next(&self.space, &self.theirs, blocks, &self.cut)?;
        let (items, removals) = chunk.counts();
        around.report.items_sent += items;
        around.report.removals_sent += removals;
        self.sent_chunks += 1;
        if chunk.last.is_none() || self.sent_chunks > 1 {
            *around.under_way += 1;
            self.unacknowledged += 1;
        }
        if let Some(last) = &chunk.last {
            self.cut.join(&last.vector);
            self.sent_chunks = 0;
            self.sent_all(around)?;
        }
        Ok(Poll::Message(Message::Chunk { space: self.id, chunk: Box::new(chunk) }))
    }

    /// What follows the last chunk.
    fn sent_all(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        match (self.sending.take(), self.opener) {
            (Some(Sending::Delta), _) => self.maybe_prove(around),
            (Some(Sending::News), true) => self.prove(around),
            (Some(Sending::News), false) => {
                self.queue.push_back(Message::Again { space: self.id });
                Ok(())
            }
            // Who claims first waits for the other's claims.
            (Some(Sending::Claims(_)), true) if !self.claimed => self.prove(around),
            (Some(Sending::Claims(_)) | None, _) => Ok(()),
        }
    }
}

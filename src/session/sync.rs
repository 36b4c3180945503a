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

mod contents;
mod fork;
mod intake;
mod opening;
mod proof;

use std::collections::{BTreeSet, VecDeque};

use super::around::Around;
use super::message::Message;
use super::options::OneWay;
use super::report::Why;
use crate::causal::{ReplicaId, TaggedVector, VersionVector};
use crate::digest::{Node, RootHash};
use crate::error::{Error, PeerError, UsageError};
use crate::faults::fault;
use crate::space::{Held, Incoming, Offer, Outgoing, Parted, Space, VectorHash};

/// Chunks that may be under way at a time, in a whole session.
pub(super) const WINDOW_CHUNKS: u64 = 4;

/// Proofs made again because there was news, before the digests are walked.
const NEWS_ROUNDS: u8 = 3;

/// Proofs, steps of walks and ends of deltas from the peer, at most: several times what three
/// rounds of news and three walks of ten levels can take. A session ends.
const TURNS: u16 = 256;

/// Walks, before two replicas are said to differ for good.
const WALKS: u8 = 3;

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
    /// Items are compared, of dots that live at both sides.
    Contents,
    /// Histories are compared: whatever else comes was sent before the peer knew.
    Forked,
}

pub(super) struct SpaceSync {
    pub(super) id: u64,
    space: Space,
    /// Of the space, before anything was said of how it stands.
    generation: u64,
    opener: bool,
    one_way: OneWay,
    /// Whether the side that only receives has seen events which the other has not.
    pub(super) not_taken: bool,
    /// What is held back here of what the peer claims.
    pub(super) held: Option<Held>,
    /// Whether items were written anew that the peer is still to get.
    kept: bool,
    phase: Phase,
    /// What this side declared at first.
    mine: VersionVector,
    mine_tagged: TaggedVector,
    /// What the peer declared at first.
    theirs_tagged: TaggedVector,
    /// What the peer knows this side to have seen.
    told: VersionVector,
    asked_histories: bool,
    asked_back: bool,
    /// The origins of which either side has asked.
    spoken_of: BTreeSet<ReplicaId>,
    /// What is to give way here before anything goes.
    gives_way: Option<Parted>,
    histories_shown: bool,
    /// Whether the session knows that the space is to be opened once more.
    again: bool,
    /// What this side said it has staged from the peer.
    offered: Option<Offer>,
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
    /// The roots at it, here and at the peer: where neither changes by a walk, none will.
    walked_roots: Option<(RootHash, RootHash)>,
    /// The blocks on which the peer made claims by it.
    walked_blocks: Vec<(ReplicaId, u64)>,
    /// What was written here as it was proven, and the peer has not heard of.
    pub(super) untold: bool,
    /// At which roots what lives in them was shown.
    shown_at: Option<(RootHash, RootHash)>,
    /// How often.
    contents: u8,
    blocks: Vec<(ReplicaId, u64)>,
    claimed: bool,
    /// Nodes that this side opened last in the walk, ascending, and how many both have
    /// opened in it because they differ.
    asked: Vec<Node>,
    descents: usize,
    root: Option<RootHash>,
    pub(super) end: Option<End>,
    /// The commit of the store that had changed the space last when its root was made, and
    touched_then: u64,
    /// the same once that is proven, if nothing has changed the space since.
    pub(super) touched: Option<u64>,
}

fn protocol(what: &'static str) -> Error {
    PeerError::Protocol { what }.into()
}

impl SpaceSync {
    fn new(id: u64, space: Space, opener: bool) -> Self {
        Self {
            id,
            generation: space.generation(),
            space,
            opener,
            one_way: OneWay::default(),
            not_taken: false,
            held: None,
            kept: false,
            phase: Phase::Opening,
            mine: VersionVector::new(),
            mine_tagged: TaggedVector::new(),
            theirs_tagged: TaggedVector::new(),
            told: VersionVector::new(),
            asked_histories: false,
            asked_back: false,
            spoken_of: BTreeSet::new(),
            gives_way: None,
            histories_shown: false,
            again: false,
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
            walked_roots: None,
            walked_blocks: Vec::new(),
            untold: false,
            shown_at: None,
            contents: 0,
            blocks: Vec::new(),
            claimed: false,
            asked: Vec::new(),
            descents: 0,
            root: None,
            end: None,
            touched_then: 0,
            touched: None,
        }
    }

    /// How many entries the vectors have that are held for it.
    pub(super) fn replicas(&self) -> usize {
        self.mine.len() + self.theirs.len() + self.cut.len()
    }

    pub(super) fn name(&self) -> &str {
        self.space.name()
    }

    fn finish(
        &mut self,
        around: &mut Around<'_>,
        common: VersionVector,
        root: RootHash,
    ) -> Result<(), Error> {
        self.untold = self.space.save_base(around.peer, &common)? > 0;
        self.space.forget_held(around.peer)?;
        // Claims change what lives and leave the vector as it is.
        let same = |now: &u64| *now == self.touched_then || fault!(MeetingRememberedOverAChange);
        self.touched = self.space.touched_at(&common)?.filter(same);
        self.end_with(around, Ok(root));
        Ok(())
    }

    fn give_up(&mut self, around: &mut Around<'_>, why: Why) {
        self.queue.push_back(Message::GiveUp { space: self.id, why });
        self.end_with(around, Err(why));
    }

    /// Gives the space up where it was dropped here meanwhile: the others go on.
    pub(super) fn unless_dropped<T>(
        &mut self,
        done: Result<T, Error>,
        around: &mut Around<'_>,
    ) -> Result<Option<T>, Error> {
        match done {
            Err(Error::Usage(UsageError::SpaceDropped { .. })) => {
                self.inbox.clear();
                self.give_up(around, Why::Dropped);
                Ok(None)
            }
            done => done.map(Some),
        }
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
                let vector = self.mine_tagged.clone();
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
            (Message::Chunk { .. }, Phase::Forked) => {}
            (Message::Chunk { .. }, Phase::Contents) => {
                return Err(protocol("a chunk while contents are compared"));
            }
            // Until the peer's vector is known, nothing says on which histories its delta lies.
            (chunk @ Message::Chunk { .. }, Phase::Opening)
                if self.awaited.is_some() && !self.one_way.here =>
            {
                return Ok(Some(chunk));
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
            (Message::Contents { blocks, .. }, Phase::Proof) if self.opener => {
                self.take_contents(&blocks, around)?;
            }
            (Message::Unlike { chunk, .. }, Phase::Contents) => self.take_unlike(&chunk, around)?,
            (Message::WantHistories { origins, back, .. }, _) => {
                self.told_to_show_histories((origins, back), around)?;
            }
            (Message::Histories { histories, .. }, Phase::Forked) => {
                self.take_histories(&histories, around)?;
            }
            (Message::GiveUp { why, .. }, _) => {
                if why == Why::Renamed {
                    // What is staged from there stands here under the old names.
                    self.space.forget_staged(self.generation, around.feeder)?;
                }
                self.end_with(around, Err(why));
            }
            (_, Phase::Forked) => {}
            _ => return Err(protocol("a message that does not fit what went before")),
        }
        Ok(None)
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
        let chunk = match self.one_way.there {
            true => Some(outgoing.only_claims(&self.space, blocks, &self.cut)?),
            false => {
                let opened = (&self.mine_tagged, &self.theirs_tagged);
                outgoing.next(&self.space, &self.theirs, opened, blocks, &self.cut)?
            }
        };
        let Some(chunk) = chunk else {
            self.give_up(around, Why::Unfinished);
            return Ok(self.queue.pop_front().map_or(Poll::Idle, Poll::Message));
        };
        let (items, removals) = chunk.counts();
        around.report.items_sent += items;
        around.report.removals_sent += removals;
        self.sent_chunks += 1;
        if chunk.last.is_none() || self.sent_chunks > 1 {
            *around.under_way += 1;
            self.unacknowledged += 1;
        }
        if let Some(last) = &chunk.last {
            // Not yet told: a delta of the peer's may be under way that was made before it came.
            self.cut.join(&last.vector);
            self.sent_chunks = 0;
            self.sent_all(around)?;
        }
        Ok(Poll::Message(Message::Chunk { space: self.id, chunk: Box::new(chunk.spelled()) }))
    }
}

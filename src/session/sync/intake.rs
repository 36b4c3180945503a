//! What comes in about a space: whether it may come now, what must wait, and chunks.

use super::{Around, Phase, Sending, SpaceSync, TURNS, WINDOW_CHUNKS, protocol};
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::session::message::Message;
use crate::session::report::Why;
use crate::space::{Claimed, SpelledChunk, Taken};

impl SpaceSync {
    /// The peer has taken chunks.
    pub(in crate::session) fn taken(
        &mut self,
        chunks: u64,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
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

    /// Whether a chunk waits for another delta's staging, or for the peer's vector.
    pub(in crate::session) fn waits(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Tries again what had to wait.
    pub(in crate::session) fn retry(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        while let Some(message) = self.inbox.pop_front() {
            if self.end.is_some() {
                // What waited behind the message that ended it was sent before the peer knew.
                self.inbox.clear();
                break;
            }
            if let Some(back) = self.act(message, around)? {
                self.inbox.push_front(back);
                break;
            }
        }
        Ok(())
    }

    /// Takes a message about this space.
    pub(in crate::session) fn handle(
        &mut self,
        message: Message,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(()); // sent before the peer knew
        }
        self.check_turn(&message)?;
        if self.awaited.is_some() && matches!(message, Message::Vector { .. }) {
            self.act(message, around)?;
            return self.retry(around);
        }
        if self.awaited.is_some() && matches!(message, Message::GiveUp { .. }) {
            // The vector that all the rest waits for does not come any more.
            self.inbox.clear();
            return self.act(message, around).map(drop);
        }
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
            matches!(
                m,
                Message::Proof { .. }
                    | Message::Again { .. }
                    | Message::Nodes { .. }
                    | Message::Contents { .. }
                    | Message::Unlike { .. }
            )
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

    pub(super) fn take_chunk(
        &mut self,
        chunk: Box<SpelledChunk>,
        around: &mut Around<'_>,
    ) -> Result<Option<Message>, Error> {
        let Some(incoming) = &mut self.incoming else {
            return Err(protocol("a chunk before the answer"));
        };
        // Only a walk, which only a failed proof begins, shows what there is to claim.
        let claims = chunk.last.as_ref().is_some_and(|last| !last.claims.is_empty());
        if claims && self.phase != Phase::Walk && !fault!(ClaimsTakenWithoutAWalk) {
            return Err(protocol("claims without a walk"));
        }
        if let Some(last) = chunk.last.as_ref().filter(|_| claims) {
            self.space.check_blocks(last.claims.iter().map(|claim| (claim.origin, claim.block)))?;
        }
        if self.one_way.here && !incoming.has_all(&chunk)? {
            return Err(PeerError::ReceiveOnly.into());
        }
        let taken = match self.one_way.here {
            // Its claims are no reason to drop anything.
            true => Taken::Committed(Claimed::default()),
            false => {
                let claims = (&self.cut, around.mass_removal);
                incoming.take(&chunk, &self.told, claims, around.now_ms)?
            }
        };
        let Claimed { repaired, kept, held } = match taken {
            Taken::Busy => return Ok(Some(Message::Chunk { space: self.id, chunk })),
            Taken::Displaced => {
                self.give_up(around, Why::Displaced);
                return Ok(None);
            }
            Taken::Forked => {
                self.give_up(around, Why::Unfinished);
                return Ok(None);
            }
            Taken::TooMuch => {
                self.give_up(around, Why::StagedTooMuch);
                return Ok(None);
            }
            Taken::Staged => Claimed::default(),
            Taken::Committed(claimed) => claimed,
        };
        let (items, removals) = chunk.counts();
        around.report.items_received += items;
        around.report.removals_received += removals;
        around.report.repaired += repaired;
        around.report.kept += kept;
        self.kept |= kept > 0;
        if held.is_some() {
            self.held = held;
            self.give_up(around, Why::Held);
            return Ok(None);
        }
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
            self.walked_blocks = last.claims.iter().map(|c| (c.origin, c.block)).collect();
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
}

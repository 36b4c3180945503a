//! One event with two contents, found where a walk changed nothing: see
//! [`crate::space::Equivocation`].
//!
//! ```text
//! opener                                answerer
//!   proof                     ─────▶    as the last walk left it: its blocks hold the same dots
//!                             ◀─────    contents: what lives in these blocks, as hashes
//!   unlike: items of which
//!   something else lives there ────▶    takes them in beside its own
//!                             ◀─────    unlike: its own
//!   takes them in; proof      ─────▶
//! ```
//! A message of items holds about a chunk of them: where there are more, another walk follows.

use super::{Around, Phase, SpaceSync, protocol};
use crate::digest::RootHash;
use crate::error::Error;
use crate::session::contents::CONTENT_BLOCKS;
use crate::session::message::Message;
use crate::session::report::Why;
use crate::space::{BlockContents, SpelledChunk};

/// How often contents are compared in a session, at most; the next one goes on.
const CONTENTS: u8 = 32;

impl SpaceSync {
    /// Shows what lives in the blocks of the last walk, if it changed nothing and this has not
    /// been tried at these roots; whether it does.
    pub(super) fn show_contents(
        &mut self,
        roots: (RootHash, RootHash),
        around: &mut Around<'_>,
    ) -> Result<bool, Error> {
        if self.walked_blocks.is_empty() || self.shown_at == Some(roots) {
            return Ok(false);
        }
        self.shown_at = Some(roots);
        self.contents += 1;
        if self.contents > CONTENTS {
            self.give_up(around, Why::Unfinished);
            return Ok(true);
        }
        let blocks = core::mem::take(&mut self.walked_blocks);
        let blocks = blocks.get(..CONTENT_BLOCKS).unwrap_or(&blocks);
        let blocks = self.space.contents(self.generation, blocks, &self.cut)?;
        self.phase = Phase::Contents;
        self.queue.push_back(Message::Contents { space: self.id, blocks });
        Ok(true)
    }

    pub(super) fn take_contents(
        &mut self,
        blocks: &[BlockContents],
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if self.one_way.either() {
            self.give_up(around, Why::ReceiveOnly);
            return Ok(());
        }
        let chunk = self.space.unlike(self.generation, blocks, &self.cut)?;
        self.phase = Phase::Contents;
        self.queue.push_back(Message::Unlike { space: self.id, chunk: Box::new(chunk.spelled()) });
        Ok(())
    }

    pub(super) fn take_unlike(
        &mut self,
        chunk: &SpelledChunk,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if chunk.last.is_some() {
            return Err(protocol("items of two contents that end a delta"));
        }
        self.space.check_blocks(chunk.blocks()?.into_iter())?;
        let (mine, found) = self.space.take_unlike(self.generation, chunk, around.peer)?;
        around.report.equivocations.extend(found);
        self.phase = Phase::Proof;
        if !mine.events.is_empty() {
            // What differed is settled: whatever is left is looked for from the beginning.
            (self.walks, self.rounds) = (0, 0);
        }
        if self.opener {
            return self.prove_with_news(around);
        }
        self.queue.push_back(Message::Unlike { space: self.id, chunk: Box::new(mine.spelled()) });
        Ok(())
    }
}

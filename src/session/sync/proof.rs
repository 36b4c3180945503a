//! The end of a space's talk: proofs, news between them, walks, claims.

use super::{Around, NEWS_ROUNDS, Phase, Sending, SpaceSync, WALKS, protocol};
use crate::causal::{ReplicaId, VersionVector};
use crate::digest::{self, RootHash};
use crate::error::Error;
use crate::faults::fault;
use crate::session::message::Message;
use crate::session::nodes::Opened;
use crate::session::report::Why;
use crate::session::walk;
use crate::space::touched;
use crate::storage::Read;

impl SpaceSync {
    /// The opener proves once both deltas have ended.
    pub(super) fn maybe_prove(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        if self.opener && self.phase == Phase::Exchange && self.sending.is_none() && !self.awaiting
        {
            self.prove(around)?;
        }
        Ok(())
    }

    pub(super) fn prove(&mut self, _: &mut Around<'_>) -> Result<(), Error> {
        let root = self.root_at_cut()?;
        self.root = Some(root);
        self.phase = Phase::Proof;
        self.queue.push_back(Message::Proof { space: self.id, root });
        Ok(())
    }

    /// Once a proof is made, each knows the other to have seen all up to the cut.
    pub(super) fn root_at_cut(&mut self) -> Result<RootHash, Error> {
        self.told.join(&self.cut);
        let cut = &self.cut;
        let read = |rows: &dyn Read, space, vector: &VersionVector| {
            Ok((digest::root_at(rows, space, vector, cut)?, touched(rows, space)?))
        };
        let (root, touched) = self.space.with_digest(read)?;
        self.touched_then = touched;
        Ok(root)
    }

    pub(super) fn take_proof(
        &mut self,
        theirs: RootHash,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        self.phase = Phase::Proof;
        self.theirs.join(&self.cut);
        let root = self.root_at_cut()?;
        // What was written anew is to reach the peer before the two are called equal.
        let owes = core::mem::take(&mut self.kept) && self.has_news()?;
        let same = !owes && (root == theirs || fault!(NoRepair));
        if same || fault!(PastDroppedAndRepairOff) {
            self.queue.push_back(Message::Proven { space: self.id });
            return self.finish(around, self.cut.clone(), root);
        }
        if owes || self.rounds < NEWS_ROUNDS && self.has_news()? {
            self.rounds = self.rounds.saturating_add(1);
            self.sending = Some(Sending::News);
            return Ok(());
        }
        self.walks += 1;
        if self.one_way.either() && self.walks > 1 {
            self.give_up(around, Why::ReceiveOnly);
            return Ok(());
        }
        // Where writes, repair or other sessions changed either of the two while they walked, that
        // they differ is no sign of a dot with two contents.
        let same = self.walked == self.cut && self.walked_roots == Some((root, theirs))
            || fault!(ChangeTakenForTwoContents);
        if same && self.show_contents((root, theirs), around)? {
            return Ok(());
        }
        if self.walks > WALKS {
            let moved = !same || self.has_news()?;
            self.give_up(around, if moved { Why::Unfinished } else { Why::Diverged });
            return Ok(());
        }
        self.walked.clone_from(&self.cut);
        self.walked_roots = Some((root, theirs));
        self.begin_walk();
        let opened = walk::start(&self.space, &self.cut, around.key)?;
        self.asked = opened.iter().map(|opened| opened.node).collect();
        self.queue.push_back(Message::Nodes { space: self.id, opened, blocks: Vec::new() });
        Ok(())
    }

    pub(super) fn has_news(&self) -> Result<bool, Error> {
        if self.one_way.there {
            return Ok(false); // none that counts
        }
        self.outgoing.as_ref().map_or(Ok(false), |outgoing| outgoing.behind(&self.space))
    }

    /// The opener proves again, after its own news where it has any.
    pub(super) fn prove_with_news(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        self.rounds = self.rounds.saturating_add(1);
        if self.has_news()? {
            self.sending = Some(Sending::News);
            return Ok(());
        }
        self.prove(around)
    }

    fn begin_walk(&mut self) {
        self.phase = Phase::Walk;
        self.blocks.clear();
        self.claimed = false;
        self.asked.clear();
        self.descents = 0;
    }

    pub(super) fn take_nodes(
        &mut self,
        opened: Vec<Opened>,
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
            self.begin_walk();
        } else {
            self.descents += opened.len();
        }
        if !walk::follows(&opened, &self.asked, &self.cut) {
            return Err(protocol("a node opened that nobody listed"));
        }
        let mut step = walk::compare(&self.space, &self.cut, around.key, opened)?;
        self.blocks.extend(blocks);
        self.blocks.append(&mut step.blocks);
        self.blocks.sort_unstable();
        self.blocks.dedup();
        self.descents += step.opened.len();
        self.asked = step.opened.iter().map(|opened| opened.node).collect();
        if self.descents > walk::most_descents(self.blocks.len() + self.asked.len(), &self.cut) {
            let root = self.root_at_cut()?;
            let changed = self.walked_roots.is_some_and(|(walked, _)| walked != root);
            let moved = changed || self.has_news()?;
            self.give_up(around, if moved { Why::Unfinished } else { Why::Diverged });
            return Ok(());
        }
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
                self.space.check_blocks(blocks.iter().copied())?;
                self.claimed = true;
                self.sending = Some(Sending::Claims(blocks));
            }
        }
        Ok(())
    }

    /// What follows the last chunk.
    pub(super) fn sent_all(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
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
